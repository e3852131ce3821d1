"""Spans of tag sequences, by the rules of CoNLL evaluation."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_TYPED = re.compile(r"O|[BIES]-.+", re.DOTALL)
_BARE = frozenset("BIOES")


class Span(NamedTuple):
    """A span of tokens ``start`` to ``end`` (exclusive) of one type; the type of bare tags is ""."""

    kind: str
    start: int
    end: int


def has_spans(tags: Iterable[str]) -> bool:
    """Return whether tags describe spans: all are O or have a prefix B-, I-, E- or S-, and not all are O.

    Bare tags B, I, O, E, S describe spans of one type if B is among them.

    Examples
    --------
    >>> has_spans(["O", "B-PER", "I-PER"]), has_spans(["NOUN", "VERB"]), has_spans(["B", "I", "O"])
    (True, False, True)
    """
    names = set(tags)
    bare = "B" in names and names <= _BARE
    return bare or (bool(names - {"O"}) and all(map(_TYPED.fullmatch, names)))


def spans_of(tags: Sequence[str]) -> list[Span]:
    """Return the spans of a sequence of tags in the schemes IOB1, IOB2 or IOBES.

    The rules are those of the script conlleval [1]_, which are also the default of seqeval. Between two tags,

    - a span ends after E and S, and before B, S, O and a tag of another type
    - a span starts at B and S, at I and E after O, E or S, and at a tag of another type

    So I that continues nothing starts a span, and each sequence of tags has spans, valid or not.

    Parameters
    ----------
    tags : sequence of str
        Such as "O", "B-PER", "I-PER".

    References
    ----------
    .. [1] E. F. Tjong Kim Sang and F. De Meulder, "Introduction to the CoNLL-2003 shared task", CoNLL (2003).

    Examples
    --------
    >>> spans_of(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
    [Span(kind='PER', start=0, end=2), Span(kind='LOC', start=3, end=4), Span(kind='LOC', start=4, end=5)]
    """
    spans: list[Span] = []
    start, previous, kind = 0, "O", ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, next_kind = tag.partition("-")
        starts = prefix in "BS" or (prefix in "IE" and (previous in "OES" or next_kind != kind))
        if previous != "O" and (starts or prefix == "O"):
            spans.append(Span(kind, start, place))
        if starts:
            start = place
        previous, kind = prefix, next_kind
    return spans
