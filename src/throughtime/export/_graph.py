"""What the functions of operators write into: nodes and constants, each value known by its name."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor


class Graph(ABC):
    """Nodes are added one after the other, of `OPSET`; a value is the name it has in the graph.

    Parameters
    ----------
    dtype
        That of the floating-point numbers in it.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    @abstractmethod
    def constant(self, value: Tensor | np.ndarray | Sequence[int], name: str = "") -> str:
        """Keep an array."""

    @abstractmethod
    def add(self, operator: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node, and return the name of its first output; "" stands for an input left out."""

    @abstractmethod
    def add_all(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs, and return all their names."""

    def number(self, value: float) -> str:
        """Keep one floating-point number."""
        name = f"number_{value}".replace("-", "minus_").replace(".", "_")
        return self.constant(np.array(value, self.dtype), name)

    def numbers(self, integers: str) -> str:
        """Return integers as floating-point numbers."""
        return self.add("CastLike", integers, self.number(0.0))

    def sum_over(self, value: str, axes: Sequence[int], *, keepdims: bool = False) -> str:
        """Return the sum over some dimensions."""
        return self.add("ReduceSum", value, self.constant(axes), keepdims=int(keepdims))

    def reshaped(self, value: str, shape: Sequence[int]) -> str:
        """Return a value in another shape, in which 0 stands for the size that a dimension has."""
        return self.add("Reshape", value, self.constant(shape))

    def sliced(self, value: str, first: int, end: int, axis: int = 0) -> str:
        """Return the entries from ``first`` to before ``end`` along a dimension."""
        bounds = (self.constant([number]) for number in (first, end, axis))
        return self.add("Slice", value, *bounds)


# Read by ONNX Runtime from 1.14 (2023), and the first that torch.onnx.export writes.
OPSET = 18
