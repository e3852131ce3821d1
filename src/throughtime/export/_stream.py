"""A padded batch whose sequences come in chunks: streams, with the states that parts keep between chunks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from throughtime.export._batch import Batch
from throughtime.export._intermediates import Intermediates
from throughtime.export._model_graph import Dims, ModelGraph
from throughtime.export._place import Place


class State(NamedTuple):
    """What a part keeps from chunk to chunk: an input of the model, and the output that replaces it."""

    before: str
    dims: Dims
    dtype: type[np.generic]
    words: str

    @property
    def after(self) -> str:
        """The name of the output for the next chunk."""
        return self.before.removesuffix("_0") + "_n"

    def described(self) -> dict[str, Any]:
        """Return the state as the model's metadata have it."""
        return {
            "input": self.before,
            "output": self.after,
            "shape": list(self.dims),
            "dtype": np.dtype(self.dtype).name,
            "description": self.words,
        }


@dataclass(frozen=True)
class Stream(Batch):
    """The next steps of B sequences, the same number of each: every step is real.

    States are zeros where a sequence begins. Those that must begin otherwise look at `is_first`.

    Parameters
    ----------
    value
        The input of the model, (L, B) or (L, B, D).
    """

    graph: ModelGraph
    value: str = ""
    states: list[State] = field(default_factory=list)
    kept: dict[State, str] = field(default_factory=dict)

    full = True

    @classmethod
    def of_steps(cls, graph: ModelGraph, value: str, intermediates: Intermediates | None) -> "Stream":
        """Return the streams of a value of shape (L, B, …)."""
        return cls(graph, "", graph.add("Shape", value, start=0, end=1), intermediates, value=value)

    @cached_property
    def size(self) -> str:
        """(1,): B."""
        return self.graph.add("Shape", self.value, start=1, end=2)

    @cached_property
    def sequence_lens(self) -> str:
        """Nothing: recurrent operators read all steps."""
        return ""

    def state(
        self, place: Place, name: str, dims: Sequence[int | str], words: str, dtype: Any = np.float32
    ) -> State:
        """Take a state as an input of the model."""
        title, present = place.weight(name), {state.before for state in self.states}
        while f"{title}_0" in present:
            title += "_"  # two parts may have the same path
        state = State(f"{title}_0", tuple(dims), dtype, words)
        self.graph.input(state.before, dtype, state.dims, f"{words} Zeros where the sequence begins.")
        self.states.append(state)
        return state

    def keep(self, state: State, value: str) -> None:
        """Take a value as the state after these steps."""
        self.kept[state] = value

    def return_states(self) -> None:
        """Return the states after these steps as outputs of the model."""
        for state, value in self.kept.items():
            self.graph.output(value, state.after, state.dtype, state.dims, state.words)

    @cached_property
    def steps_before(self) -> str:
        """(B, 1) int64: how many steps of each sequence came before."""
        words = "Number of steps so far."
        state = self.state(Place("", ""), "steps", ("batch", 1), words, np.int64)
        self.keep(state, self.graph.add("Add", state.before, self.steps))
        return state.before

    @cached_property
    def is_first(self) -> str:
        """(B, 1) bool: whether a sequence begins with these steps."""
        return self.graph.add("Equal", self.steps_before, self.graph.constant([0]))
