"""A padded batch within a graph: how long its sequences are, and which of its steps are real."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from throughtime.errors import ShapeError
from throughtime.export._graph import Graph

if TYPE_CHECKING:
    from throughtime.export._intermediates import Intermediates

FLOAT, INT32, INT64, DOUBLE = 1, 6, 7, 11  # onnx.TensorProto's numbers


@dataclass(frozen=True)
class Steps:
    """Token numbers (L, B) or features (L, B, D), with anything behind a sequence's end.

    Of features that are more than a vector, D is their number and ``sizes`` their dimensions. ``batch`` has
    the lengths of the sequences, None for those of the batch that a part is called with.
    """

    name: str
    features: int | None
    sizes: tuple[int, ...] = ()
    batch: "Batch | None" = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Vectors:
    """A value for every sequence, (B, D), or with ``rows`` (B, rows, D)."""

    name: str
    features: int
    rows: int | None = None


Value = Steps | Vectors


def features_of(value: Value, name: str, expected: int | None = None) -> int:
    """Return D, which is the one that is expected.

    Raises
    ------
    ShapeError
        If the value is token numbers, or has another D.
    """
    if value.features is None:
        raise ShapeError(f"{name} reads features, but gets token numbers; put an Embedding before it")
    if expected is not None and value.features != expected:
        raise ShapeError(f"{name} reads {expected} features, but gets {value.features}")
    return value.features


def steps_of(value: Value, name: str, expected: int | None = None) -> Steps:
    """Return features of every step, ``expected`` of them.

    Raises
    ------
    ShapeError
        If the value is one for each sequence, is token numbers, or has other features.
    """
    if isinstance(value, Vectors):
        raise ShapeError(
            f"{name} needs a value for every step, but what comes before it has pooled over time"
        )
    features_of(value, name, expected)
    return value


@dataclass(frozen=True)
class Batch:
    """A padded batch: ``lengths`` (B,) int64, and ``steps`` (1,) int64, which is L.

    With ``intermediates`` its parts also collect the values that they compute on the way. ``changes`` are the
    descriptions of the layers that changed the lengths of the model's input to these, in their order,
    ``length`` is the name of L in the model, and ``extra`` are features of each sequence beside its steps.
    """

    graph: Graph
    lengths: str
    steps: str
    intermediates: "Intermediates | None" = None
    changes: tuple[Any, ...] = ()
    length: str = "length"
    extra: Vectors = Vectors("", 0)

    full: ClassVar[bool] = False
    """Whether every sequence has all the steps, so that none is behind an end."""

    @classmethod
    def of(
        cls, graph: Graph, lengths: str, value: str, intermediates: "Intermediates | None" = None
    ) -> "Batch":
        """Return the batch of a value of shape (L, B, …)."""
        return cls(graph, lengths, graph.add("Shape", value, start=0, end=1), intermediates)

    def at(self, value: Value) -> "Batch":
        """Return the batch with the lengths of a value."""
        return value.batch if isinstance(value, Steps) and value.batch is not None else self

    def holding(self, value: Value) -> Value:
        """Return a value that knows its lengths: these, unless it has others."""
        return replace(value, batch=self) if isinstance(value, Steps) and value.batch is None else value

    @cached_property
    def sequence_lens(self) -> str:
        """(B,) int32, as recurrent operators take it."""
        return self.graph.add("Cast", self.lengths, to=INT32)

    @cached_property
    def size(self) -> str:
        """(1,): B."""
        return self.graph.add("Shape", self.lengths)

    @cached_property
    def times(self) -> str:
        """(L, 1): 0, 1, …, L − 1."""
        graph, axis = self.graph, self.graph.constant([0])
        last = graph.add("Squeeze", self.steps, axis)
        zero, one = (graph.constant(np.array(n, np.int64), f"integer_{n}") for n in (0, 1))
        return graph.add("Unsqueeze", graph.add("Range", zero, last, one), graph.constant([1]))

    @cached_property
    def inside(self) -> str:
        """(L, B) bool: whether a step belongs to its sequence."""
        return self.graph.add("Less", self.times, self.lengths)

    @cached_property
    def real(self) -> str:
        """(L, B, 1) bool: the same."""
        return self.graph.add("Unsqueeze", self.inside, self.graph.constant([2]))

    @cached_property
    def last(self) -> str:
        """(L, B, 1) bool: whether a step is the last of its sequence."""
        following = self.graph.add("Add", self.times, self.graph.constant([1]))
        ends = self.graph.add("Equal", following, self.lengths)
        return self.graph.add("Unsqueeze", ends, self.graph.constant([2]))

    @cached_property
    def first(self) -> str:
        """(L, B, 1) bool: whether a step is the first of its sequence."""
        begins = self.graph.add("Equal", self.times, self.graph.constant([0]))
        first = self.graph.add("And", self.inside, begins)
        return self.graph.add("Unsqueeze", first, self.graph.constant([2]))

    @cached_property
    def empty(self) -> str:
        """(B, 1) bool: whether a sequence has no step."""
        none = self.graph.add("Equal", self.lengths, self.graph.constant([0]))
        return self.graph.add("Unsqueeze", none, self.graph.constant([1]))

    @cached_property
    def _by_steps(self) -> dict[str, str]:
        """Values (B, D, L), by the name of the same value as (L, B, D)."""
        return {}

    def steps_last(self, channels_first: str, features: int | None) -> Steps:
        """Return (B, D, L), as convolution gives it, as steps (L, B, D)."""
        name = self.graph.add("Transpose", channels_first, perm=[2, 0, 1])
        self._by_steps[name] = channels_first
        return Steps(name, features)

    def channels_first(self, steps: Steps) -> str:
        """Return steps (L, B, D) as (B, D, L); those that came from it are not transposed again."""
        return self._by_steps.get(steps.name) or self.graph.add("Transpose", steps.name, perm=[1, 2, 0])

    def masked(self, steps: Steps, mask: str, otherwise: float = 0.0) -> Steps:
        """Return the steps of a mask, and a number in place of all others."""
        name = self.graph.add("Where", mask, steps.name, self.graph.number(otherwise))
        return replace(steps, name=name)
