"""Filters of the TextCNN: the n-grams that activate them, and the operator that they speak for."""

from typing import cast

from torch import Tensor, nn

from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.views.words import shown
from throughtime.diagnose import FilterNgrams, filter_ngrams
from throughtime.ragged import Ragged
from throughtime.report import Convolution, Filter

_NGRAMS = 5
_STRONGEST = 8
"""Filters shown for each kernel size."""


def convolutions(
    model: nn.Module, windows: Ragged, vocabulary: Vocabulary, classes: tuple[str, ...]
) -> list[Convolution]:
    """Return the filters of each kernel size, measured on these windows."""
    return [_convolution(part, vocabulary, classes) for part in filter_ngrams(model, windows, k=_NGRAMS)]


def _convolution(part: FilterNgrams, vocabulary: Vocabulary, classes: tuple[str, ...]) -> Convolution:
    effect = cast("Tensor", part.effect)
    weights, towards = (effect - effect.mean(0)).max(0)
    filters = [
        _filter(part, number, weight, vocabulary, classes[operator])
        for number, (weight, operator) in enumerate(zip(weights.tolist(), towards.tolist(), strict=True))
    ]
    order = sorted(filters, key=lambda item: -item.activation * item.weight)
    strongest = [item for item in order if item.activation > 0][:_STRONGEST]
    return Convolution(int(part.field.size), filters, strongest)


def _filter(part: FilterNgrams, number: int, weight: float, vocabulary: Vocabulary, towards: str) -> Filter:
    ngrams = cast("Tensor", part.ngrams)[number].tolist()
    return Filter(
        [" ".join(shown(ngram, vocabulary)) for ngram in ngrams],
        float(part.activation[number, 0]),
        weight,
        towards,
    )
