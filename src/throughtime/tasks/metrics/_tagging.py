"""Metrics of tagging: a tag per token, and spans of tags."""

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.errors import ShapeError
from throughtime.tasks.intervals import Figures, WeightedMetrics, Weights
from throughtime.tasks.metrics._rows import ClassMetrics, class_rows
from throughtime.tasks.metrics._spans import Span, has_spans, spans_of
from throughtime.tasks.metrics._weighted import Counts, sparse

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Tags = Sequence[Sequence[str]]


def tagging_metrics(
    predicted: Tags,
    truth: Tags,
    weights: ArrayLike | None = None,
    *,
    tags: Iterable[str] | None = None,
) -> dict[str, float]:
    """Return the metrics of a tagger.

    - ``token_accuracy``: fraction of tokens with the correct tag
    - ``token_f1_macro``: mean F1 of the tags that occur
    - ``span_precision``, ``span_recall``, ``span_f1``: of all spans, correct if type, start and end are; only
      if the tags describe spans, see `has_spans` and `spans_of`

    Parameters
    ----------
    predicted, truth : sequence of sequences of str
        Tag names of each token of N sequences.
    weights : array_like, optional
        (N,) weights of the sequences.
    tags : iterable of str, optional
        All tags of the data, which decide whether there are spans; default: those that occur here.

    Raises
    ------
    ShapeError
        If there are no tokens, or numbers of sequences or tokens differ.

    Examples
    --------
    >>> figures = tagging_metrics([["B-PER", "O", "O"]], [["B-PER", "I-PER", "O"]])
    >>> round(figures["token_accuracy"], 3), figures["span_f1"]
    (0.667, 0.0)
    """
    return tagging(predicted, truth, tags=tags).values(weights)


def tagging(predicted: Tags, truth: Tags, *, tags: Iterable[str] | None = None) -> WeightedMetrics:
    """Return what `tagging_metrics` computes as a function of sequence weights, which also gives intervals.

    Examples
    --------
    >>> tagging([["A", "B"], ["A"]], [["A", "A"], ["A"]]).intervals()["token_accuracy"]
    Interval(low=0.5, high=1.0)
    """
    _check(predicted, truth)
    names = _names(predicted, truth)
    tokens = _token_matrices(predicted, truth, names)
    spans = _span_matrices(predicted, truth) if has_spans(names if tags is None else tags) else None

    def compute(weights: Weights) -> Figures:
        counts = _counts(tokens, weights)
        figures = {"token_accuracy": counts.micro().recall, "token_f1_macro": counts.macro()["f1_macro"]}
        if spans is None:
            return figures
        micro = _counts(spans, weights).micro()
        return figures | {"span_precision": micro.precision, "span_recall": micro.recall, "span_f1": micro.f1}

    return WeightedMetrics(len(truth), compute)


def per_tag_metrics(predicted: Tags, truth: Tags) -> tuple[ClassMetrics, ...]:
    """Return precision, recall, F1 and the number of true tokens of each tag, by name.

    Examples
    --------
    >>> per_tag_metrics([["A", "B"]], [["A", "A"]])[0]
    ClassMetrics(name='A', precision=1.0, recall=0.5, f1=0.666..., support=2)
    """
    _check(predicted, truth)
    names = _names(predicted, truth)
    return class_rows(names, _counts(_token_matrices(predicted, truth, names), np.ones((len(truth), 1))))


def per_span_metrics(predicted: Tags, truth: Tags) -> tuple[ClassMetrics, ...]:
    """Return precision, recall, F1 and the number of true spans of each type, by name.

    The result is empty if the tags describe no spans.

    Examples
    --------
    >>> per_span_metrics([["B-PER", "O"]], [["B-PER", "B-LOC"]])[0]
    ClassMetrics(name='LOC', precision=0.0, recall=0.0, f1=0.0, support=1)
    """
    _check(predicted, truth)
    if not has_spans(_names(predicted, truth)):
        return ()
    kinds = _kinds(predicted, truth)
    return class_rows(kinds, _counts(_span_matrices(predicted, truth), np.ones((len(truth), 1))))


def _check(predicted: Tags, truth: Tags) -> None:
    if len(predicted) != len(truth):
        raise ShapeError(f"got predicted tags of {len(predicted)} sequences, but true ones of {len(truth)}")
    for row, (tags, true) in enumerate(zip(predicted, truth, strict=True)):
        if len(tags) != len(true):
            raise ShapeError(f"sequence {row} has {len(tags)} predicted tags, but {len(true)} true ones")
    if not any(map(len, truth)):
        raise ShapeError("metrics of tags need at least one token, got none")


def _names(predicted: Tags, truth: Tags) -> list[str]:
    return sorted(set(chain.from_iterable(chain(predicted, truth))))


def _token_matrices(predicted: Tags, truth: Tags, names: Sequence[str]) -> "list[csr_array]":
    """Return the matrices (tags, N) with the numbers of correct, predicted and true tokens of each tag."""
    correct = [
        [tag for tag, true_tag in zip(tags, true, strict=True) if tag == true_tag]
        for tags, true in zip(predicted, truth, strict=True)
    ]
    return [_occurrences(part, names) for part in (correct, predicted, truth)]


def _span_matrices(predicted: Tags, truth: Tags) -> "list[csr_array]":
    """Return the matrices (types, N) with the numbers of correct, predicted and true spans of each type."""
    of_predicted, of_truth = _spans(predicted), _spans(truth)
    correct = [set(a) & set(b) for a, b in zip(of_predicted, of_truth, strict=True)]
    kinds = _kinds(predicted, truth)
    return [
        _occurrences([[span.kind for span in spans] for spans in part], kinds)
        for part in (correct, of_predicted, of_truth)
    ]


def _spans(sequences: Tags) -> list[list[Span]]:
    return [spans_of(tags) for tags in sequences]


def _kinds(predicted: Tags, truth: Tags) -> list[str]:
    return sorted({span.kind for tags in chain(predicted, truth) for span in spans_of(tags)})


def _occurrences(sequences: Sequence[Iterable[Hashable]], names: Sequence[Hashable]) -> "csr_array":
    """Return how often each name occurs in each sequence, (names, N)."""
    number = {name: i for i, name in enumerate(names)}
    per_sequence = [[number[name] for name in sequence] for sequence in sequences]
    rows = list(chain.from_iterable(per_sequence))
    columns = np.repeat(np.arange(len(sequences)), list(map(len, per_sequence)))
    return sparse(np.ones(len(rows)), rows, columns, (len(names), len(sequences)))


def _counts(matrices: "Sequence[csr_array]", weights: NDArray[np.float64]) -> Counts:
    return Counts(*(matrix @ weights for matrix in matrices))
