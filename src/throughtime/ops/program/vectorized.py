"""`torch.vmap` over calls of a graph: what is mapped joins the sequences of one call.

So samples are sequences more, which run together. In the orders of which the sequence varies fastest (time
major and packed) the mapped dimension comes after the sequences, in the others before them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from throughtime.ops.program.forward_plan import ForwardPlan
from throughtime.ops.program.plans import plan_of
from throughtime.ops.recurrent.steps import PACKED, RAGGED, TIME_MAJOR, Steps

Dims = Sequence[int | None]
Applied = Callable[..., tuple[Tensor, ...]]
"""A call of a plan: of (plan, steps, dtype, from_end, *tensors)."""


def vectorized(
    applied: Applied,
    size: int,
    dims: Dims,
    plan: ForwardPlan,
    steps: Steps,
    dtype: torch.dtype,
    from_end: bool,  # noqa: FBT001 - autograd passes arguments by position
    *tensors: Tensor | None,
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Return the results of so many calls, and the dimension of each in which they lie.

    Parameters
    ----------
    applied
        Runs one call.
    size
        How many calls.
    dims
        For each tensor the dimension in which it has one part for each call; None of one that all share.
    """
    *_, of_matrices, _ = plan.counts.divided(dims)
    if any(dim is not None for dim in of_matrices):
        calls = [
            applied(plan, steps, dtype, from_end, *map(_selected, tensors, dims, [k] * len(dims)))
            for k in range(size)
        ]
        return tuple(map(torch.stack, zip(*calls, strict=True))), (0,) * len(calls[0])
    after = steps.order in {TIME_MAJOR, PACKED}
    joined = _Joined(size, steps.batch, after=after)
    count = len(plan.written)
    plan, flat = joined.call(plan, tensors, dims)
    results = applied(plan, _steps_of_all(steps, size), dtype, from_end, *flat)
    chosen = (*results[:count], *results[len(plan.written) :])  # another plan may write more
    return tuple(map(joined.divided, chosen)), (int(after),) * len(chosen)


class _Joined:
    """Matrices of all calls as one."""

    def __init__(self, size: int, batch: int, *, after: bool) -> None:
        self._size, self._batch, self._after = size, batch, after

    def call(
        self, plan: ForwardPlan, tensors: Sequence[Tensor | None], dims: Dims
    ) -> tuple[ForwardPlan, list[Tensor | None]]:
        """Return the plan of one call for all, and its tensors.

        Vectors that differ from call to call are matrices of the sequences.
        """
        values, places = plan.counts.divided(tensors), plan.counts.divided(dims)
        tokens, sequences, states = (list(map(self._joined, values[k], places[k])) for k in (0, 1, 4))
        changing = [k for k, dim in enumerate(places[2]) if dim is not None]
        if changing:
            plan = plan.variant(tuple(changing), _with_sequences)
            sequences += [self._of_sequences(values[2][k], places[2][k]) for k in changing]
        return plan, [*tokens, *sequences, *_without_dims(values[2], places[2]), *values[3], *states]

    def _joined(self, tensor: Tensor | None, dim: int | None) -> Tensor | None:
        if tensor is None:
            return None
        place = int(self._after)
        moved = tensor.unsqueeze(place) if dim is None else tensor.movedim(dim, place)
        shape = list(moved.shape)
        shape[place] = self._size
        return moved.expand(shape).reshape(shape[0] * shape[1], shape[2])

    def _of_sequences(self, vectors: Tensor | None, dim: int | None) -> Tensor | None:
        """Return the vectors (size, width) for each sequence of each call."""
        if vectors is None or dim is None:
            return None
        rows = vectors.movedim(dim, 0).unsqueeze(0 if self._after else 1)
        return self._joined(rows.expand(*self._shape, -1), int(self._after))

    @property
    def _shape(self) -> tuple[int, int]:
        return (self._batch, self._size) if self._after else (self._size, self._batch)

    def divided(self, result: Tensor) -> Tensor:
        """Return the rows of each call."""
        rows, width = len(result) // self._size, result.shape[-1]
        return result.view(rows, self._size, width) if self._after else result.view(self._size, rows, width)


def _without_dims(tensors: Sequence[Tensor | None], dims: Dims) -> list[Tensor | None]:
    """Return one of each; of those that differ the first, which is not read."""
    return [_selected(tensor, dim, 0) for tensor, dim in zip(tensors, dims, strict=True)]


def _with_sequences(plan: ForwardPlan, vectors: Sequence[int]) -> ForwardPlan:
    """Return a plan that first writes the same, with these vectors as further sequence matrices."""
    counts, needs = plan.counts, plan.needs
    places = {vector: counts.sequences + k for k, vector in enumerate(vectors)}
    nodes = [
        node._replace(operator="sequence", index=places[node.index])
        if node.operator == "vector" and node.index in places
        else node
        for node in plan.graph.nodes
    ]
    graph = replace(plan.graph, nodes=tuple(nodes), outputs=plan.written)
    sequences = (*needs.sequences, *(needs.vectors[k] for k in vectors))
    kept = tuple([one and k not in places for k, one in enumerate(needs.vectors)])
    needed = sum(needs._replace(sequences=sequences, vectors=kept), ())
    more = counts._replace(sequences=counts.sequences + len(vectors))
    return plan_of(graph, more, (False,) * len(graph.states), needed)


def _selected(tensor: Tensor | None, dim: int | None, index: int) -> Tensor | None:
    return tensor if tensor is None or dim is None else tensor.select(dim, index)


def _steps_of_all(steps: Steps, size: int) -> Steps:
    """Return where the steps of the joined calls lie."""
    index = steps.index
    if index is not None and steps.order == RAGGED:
        starts = torch.arange(size, device=index.device)[:, None] * index[-1] + index[:-1]
        index = torch.cat([starts.flatten(), size * index[-1:]])
    elif index is not None:
        index = size * index
    return steps._replace(batch=size * steps.batch, index=index)
