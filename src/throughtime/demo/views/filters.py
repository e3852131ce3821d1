"""Filters of the TextCNN: the n-grams that activate them, and the class that they speak for."""

from typing import cast

from torch import Tensor, nn

from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.views.words import shown
from throughtime.diagnose import FilterNgrams, filter_ngrams
from throughtime.ragged import Ragged
from throughtime.report import Convolution, Filter

_NGRAMS = 5
_STRONGEST = 3
"""Filters shown for each kernel size and class."""


def convolutions(
    model: nn.Module, windows: Ragged, vocabulary: Vocabulary, classes: tuple[str, ...]
) -> list[Convolution]:
    """Return the filters of each kernel size, measured on these windows."""
    return [_convolution(part, vocabulary, classes) for part in filter_ngrams(model, windows, k=_NGRAMS)]


def _convolution(part: FilterNgrams, vocabulary: Vocabulary, classes: tuple[str, ...]) -> Convolution:
    effect = cast("Tensor", part.effect)
    weights = (effect[1] - effect[0]).tolist()
    filters = [_filter(part, number, weight, vocabulary, classes) for number, weight in enumerate(weights)]
    order = sorted(filters, key=lambda item: -item.activation * abs(item.weight))
    strongest = [item for name in classes for item in _first(order, name)]
    return Convolution(int(part.field.size), filters, strongest)


def _first(filters: list[Filter], towards: str) -> list[Filter]:
    return [item for item in filters if item.towards == towards and item.activation > 0][:_STRONGEST]


def _filter(
    part: FilterNgrams, number: int, weight: float, vocabulary: Vocabulary, classes: tuple[str, ...]
) -> Filter:
    ngrams = cast("Tensor", part.ngrams)[number].tolist()
    return Filter(
        [" ".join(shown(ngram, vocabulary)) for ngram in ngrams],
        float(part.activation[number, 0]),
        weight,
        classes[weight > 0],
    )
