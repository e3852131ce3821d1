"""Values inside of a model as further outputs, by the path of the part that computes them."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from throughtime.export._batch import Batch, Steps, Value
from throughtime.export._model_graph import Dims

if TYPE_CHECKING:
    from throughtime.export._model_graph import ModelGraph


class _Intermediate(NamedTuple):
    value: Value
    words: str
    dtype: type[np.generic]


class Intermediates:
    """Collects values while the parts of a model are added to a graph."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Intermediate] = {}

    def add(self, name: str, value: Value, words: str, dtype: type[np.generic] = np.float32) -> None:
        """Keep a value, once: parts that compute nothing, such as dropout, return what they get."""
        if not name or any(known.value.name == value.name for known in self._by_name.values()):
            return
        while name in self._by_name:
            name += "_"  # two parts may have the same path
        self._by_name[name] = _Intermediate(value, words, dtype)

    def return_all(self, graph: "ModelGraph", batch: Batch, result: Value) -> None:
        """Return them as outputs of the model, beside its result."""
        for name, (value, words, dtype) in self._by_name.items():
            if value.name != result.name:
                dims, array = batch_first(batch, value)
                graph.output(array, name, dtype, dims, words)


def batch_first(batch: Batch, value: Value) -> tuple[Dims, str]:
    """Return the dimensions and the array of a value as models return it: (B, L, D), 0 behind an end."""
    size = value.features or 0
    if not isinstance(value, Steps):
        rows = () if value.rows is None else (value.rows,)
        return ("batch", *rows, size), value.name
    batch = batch.at(value)
    real = value if batch.full else batch.masked(value, batch.real)
    array = batch.graph.add("Transpose", real.name, perm=[1, 0, 2])
    if not value.sizes:
        return ("batch", batch.length, size), array
    return ("batch", batch.length, *value.sizes), batch.graph.reshaped(array, [0, 0, *value.sizes])
