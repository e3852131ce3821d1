"""Metrics of tagging: tokens as in scikit-learn, spans by the rules of conlleval."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from throughtime.errors import ShapeError
from throughtime.tasks.metrics import (
    METRICS,
    ClassMetrics,
    Span,
    has_spans,
    per_span_metrics,
    per_tag_metrics,
    spans_of,
    tagging,
    tagging_metrics,
)

TAGS = [f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC-X")] + ["O"]
sequences = st.lists(st.sampled_from(TAGS), max_size=12)


def conlleval_ends(before: str, tag: str, kind_before: str, kind: str) -> bool:
    """Return whether a chunk ends between two tags: endOfChunk of conlleval, and E and S of IOBES."""
    pairs = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("B", "S"), ("I", "S")}
    return (before, tag) in pairs or before in "ES" or (before != "O" and kind_before != kind)


def conlleval_starts(before: str, tag: str, kind_before: str, kind: str) -> bool:
    """Return whether a chunk starts between two tags: startOfChunk of conlleval, and E and S of IOBES."""
    pairs = {("O", "I"), ("O", "E"), ("E", "I"), ("E", "E"), ("S", "I"), ("S", "E")}
    return tag in "BS" or (before, tag) in pairs or (tag != "O" and kind_before != kind)


def reference_spans(tags: list[str]) -> list[Span]:
    """Return spans as conlleval and seqeval collect them."""
    spans, start, before, kind_before = [], 0, "O", ""
    for place, name in enumerate([*tags, "O"]):
        tag, kind = name[0], name[2:]
        if conlleval_ends(before, tag, kind_before, kind):
            spans.append(Span(kind_before, start, place))
        if conlleval_starts(before, tag, kind_before, kind):
            start = place
        before, kind_before = tag, kind
    return spans


@given(st.lists(st.sampled_from(TAGS), max_size=8))
def test_spans_are_those_of_conlleval(tags: list[str]) -> None:
    assert spans_of(tags) == reference_spans(tags)


def test_all_pairs_and_triples_of_tags() -> None:
    for first in TAGS:
        for second in TAGS:
            for third in TAGS:
                tags = [first, second, third]
                assert spans_of(tags) == reference_spans(tags), tags


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("", []),
        ("O O", []),
        ("B-X", [("X", 0, 1)]),
        ("B-X I-X O", [("X", 0, 2)]),
        ("B-X B-X", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X I-Y", [("X", 0, 1), ("Y", 1, 2)]),
        ("O I-X I-X", [("X", 1, 3)]),
        ("I-X B-X I-X", [("X", 0, 1), ("X", 1, 3)]),
        ("B-X I-X E-X S-X", [("X", 0, 3), ("X", 3, 4)]),
        ("B-X E-X E-X", [("X", 0, 2), ("X", 2, 3)]),
        ("S-X I-X", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X E-Y O", [("X", 0, 1), ("Y", 1, 2)]),
        ("B-a-b I-a-b", [("a-b", 0, 2)]),
        ("B I O B", [("", 0, 2), ("", 3, 4)]),
    ],
)
def test_spans_by_hand(tags: str, spans: list[tuple[str, int, int]]) -> None:
    assert spans_of(tags.split()) == spans


@given(sequences)
def test_spans_cover_each_tag_but_o_once(tags: list[str]) -> None:
    covered = [place for span in spans_of(tags) for place in range(span.start, span.end)]
    assert covered == [place for place, tag in enumerate(tags) if tag != "O"]


@given(sequences)
def test_spans_written_as_iob2_are_the_same(tags: list[str]) -> None:
    spans = spans_of(tags)
    written = ["O"] * len(tags)
    for kind, start, end in spans:
        written[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    assert spans_of(written) == spans


@pytest.mark.parametrize(
    ("tags", "described"),
    [
        (["O", "B-X"], True),
        (["I-X"], True),
        (["O"], False),
        (["B", "I", "O"], True),
        (["I", "O"], False),
        (["B-X", "NOUN"], False),
        (["S", "O"], False),
        (["B-", "O"], False),
        ([], False),
    ],
)
def test_which_tags_describe_spans(tags: list[str], described: bool) -> None:
    assert has_spans(tags) is described


TRUTH = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O", "B-LOC", "I-LOC"], []]
PREDICTED = [["B-PER", "I-PER", "O", "B-PER"], ["O", "B-LOC", "B-LOC", "I-LOC"], []]


def test_a_hand_made_case() -> None:
    figures = tagging_metrics(PREDICTED, TRUTH)
    # Three true spans, four predicted, two correct; six of eight tokens correct.
    assert figures["span_precision"] == 2 / 4
    assert figures["span_recall"] == 2 / 3
    assert figures["span_f1"] == 4 / 7
    assert figures["token_accuracy"] == 6 / 8
    assert set(figures) <= set(METRICS)


def test_span_types_of_the_hand_made_case() -> None:
    assert per_span_metrics(PREDICTED, TRUTH) == (
        ClassMetrics("LOC", 1 / 2, 1 / 2, 1 / 2, 2),
        ClassMetrics("PER", 1 / 2, 1.0, 2 / 3, 1),
    )


def flattened(sequences: list[list[str]]) -> list[str]:
    return list(chain.from_iterable(sequences))


def random_tags(seed: int, names: list[str]) -> list[list[str]]:
    generator = np.random.default_rng(seed)
    return [list(generator.choice(names, size=n)) for n in (7, 0, 1, 12, 20)]


def test_token_metrics_are_those_of_scikit_learn() -> None:
    predicted, truth = random_tags(0, ["N", "V", "A", "X"]), random_tags(1, ["N", "V", "A", "Y"])
    figures = tagging_metrics(predicted, truth)
    flat = flattened(truth), flattened(predicted)
    assert figures == pytest.approx(
        {
            "token_accuracy": sk.accuracy_score(*flat),
            "token_f1_macro": sk.f1_score(*flat, average="macro", zero_division=0),
        }
    )
    rows = per_tag_metrics(predicted, truth)
    table = sk.precision_recall_fscore_support(*flat, zero_division=0)
    columns = ([getattr(row, key) for row in rows] for key in ("precision", "recall", "f1", "support"))
    for column, reference in zip(columns, table, strict=True):
        assert column == pytest.approx(list(reference))


@given(st.integers(0, 10**6))
def test_span_metrics_are_those_of_sets_of_spans(seed: int) -> None:
    predicted, truth = random_tags(seed, TAGS), random_tags(seed + 1, TAGS)
    guessed, true = (
        {(row, *span) for row, tags in enumerate(part) for span in reference_spans(tags)}
        for part in (predicted, truth)
    )
    figures = tagging_metrics(predicted, truth)
    assert figures["span_precision"] == pytest.approx(len(guessed & true) / len(guessed))
    assert figures["span_recall"] == pytest.approx(len(guessed & true) / len(true))
    assert figures["span_f1"] == pytest.approx(2 * len(guessed & true) / (len(guessed) + len(true)))


def test_weights_count_sequences() -> None:
    predicted, truth, counts = random_tags(0, TAGS), random_tags(1, TAGS), [2, 1, 3, 1, 2]
    repeated = [
        [tags for tags, count in zip(part, counts, strict=True) for _ in range(count)]
        for part in (predicted, truth)
    ]
    assert tagging_metrics(predicted, truth, counts) == pytest.approx(tagging_metrics(*repeated))


def test_intervals_draw_whole_sequences() -> None:
    # In each sequence all tokens are right or all are wrong: 50 independent cases, not 500.
    truth = [["N"] * 10 for _ in range(50)]
    predicted = [["N" if row % 2 else "V"] * 10 for row in range(50)]
    interval = tagging(predicted, truth).intervals()["token_accuracy"]
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * (0.25 / 50) ** 0.5, rel=0.1)


def test_tags_without_prefix_have_no_spans() -> None:
    assert set(tagging_metrics([["N"]], [["V"]])) == {"token_accuracy", "token_f1_macro"}
    assert per_span_metrics([["N"]], [["V"]]) == ()


def test_the_tags_of_the_data_decide_whether_there_are_spans() -> None:
    assert "span_f1" not in tagging_metrics([["O"]], [["O"]])
    assert tagging_metrics([["O"]], [["O"]], tags=["O", "B-X"])["span_f1"] == 0.0
    assert "span_f1" not in tagging_metrics([["B-X"]], [["B-X"]], tags=["B-X", "NOUN"])


def test_no_span_predicted() -> None:
    figures = tagging_metrics([["O", "O"]], [["B-X", "O"]])
    assert (figures["span_precision"], figures["span_recall"], figures["span_f1"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        ([["O"]], [["O"], ["O"]], "of 1 sequences, but true ones of 2"),
        ([["O"], ["O"]], [["O"], ["O", "O"]], "sequence 1 has 1 predicted tags, but 2 true ones"),
        ([], [], "at least one token"),
        ([[]], [[]], "at least one token"),
    ],
)
def test_errors(predicted: list[list[str]], truth: list[list[str]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        tagging_metrics(predicted, truth)
