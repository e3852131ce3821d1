"""Autograd graphs that an operator of torch.compile saves for its backward pass, by way of a tensor.

An operator returns tensors alone. So the memory of one more tensor, which has the number of the graph, holds
the graph of the results: autograd saves that tensor for the backward pass, and the graph ends with it.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

_NUMBERS = itertools.count()
_AUTOGRAD = ("AutogradFunctionality", "AutogradOther", "AutogradNestedTensor")


@dataclass(frozen=True, eq=False)
class SavedGraph:
    """Results of a call, and the tensors that they are differentiated by.

    Parameters
    ----------
    sources
        Leaves of the graph.
    results
        Of the call.
    """

    sources: Sequence[Tensor]
    results: Sequence[Tensor]

    def gradients(self, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        """Return the gradients of the sources, of those of the results; zeros where there is none."""
        pairs = [
            (result, gradient)
            for result, gradient in zip(self.results, gradients, strict=True)
            if gradient is not None and result.requires_grad
        ]
        with _recording():
            found = torch.autograd.grad(
                [result for result, _ in pairs],
                list(self.sources),
                [gradient for _, gradient in pairs],
                retain_graph=True,
                materialize_grads=True,
            )
        return list(found)


_GRAPHS: WeakValueDictionary[int, SavedGraph] = WeakValueDictionary()


class _Number(np.ndarray[Any, Any]):
    """The memory of a tensor, which holds a graph."""

    graph: SavedGraph


def saved_graph(
    call: Callable[[list[Tensor]], list[Tensor]], parts: Sequence[Tensor], needed: Sequence[bool]
) -> SavedGraph:
    """Call a function of tensors, some of which need a gradient, and record its graph."""
    with _recording():
        copies = [part.detach().requires_grad_(need) for part, need in zip(parts, needed, strict=True)]
        results = call(copies)
    return SavedGraph([part for part, need in zip(copies, needed, strict=True) if need], results)


def tensor_of(graph: SavedGraph | None) -> Tensor:
    """Return a tensor (1,) that holds a graph as long as its memory exists, or that holds none."""
    number = -1 if graph is None else next(_NUMBERS)
    memory = np.array([number], dtype=np.int64).view(_Number)
    if graph is not None:
        memory.graph = _GRAPHS[number] = graph
    return torch.from_numpy(memory)


def graph_of(tensor: Tensor) -> SavedGraph | None:
    """Return the graph of a tensor; None if it holds none, as a copy of one whose memory is gone."""
    return _GRAPHS.get(int(tensor))


@contextmanager
def _recording() -> Iterator[None]:
    """Record operations for autograd, also inside of an operator, where torch excludes it."""
    excluded = torch._C._dispatch_tls_local_exclude_set()  # noqa: SLF001
    for name in _AUTOGRAD:
        excluded = excluded.remove(getattr(torch._C.DispatchKey, name))  # noqa: SLF001
    included = torch._C._dispatch_tls_local_include_set()  # noqa: SLF001
    with torch.enable_grad(), torch._C._ForceDispatchKeyGuard(included, excluded):  # noqa: SLF001
        yield
