"""Runs a graph over a batch in plain PyTorch: a Python loop over time, on any device and dtype.

Not fast. Everything stays in autograd's graph, so results can be differentiated any number of times; the
native machine is tested against it, and what this cannot have runs it: other devices, forward-mode
derivatives, tensor subclasses and modes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.ops.program.graph import Graph, Node
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.program.operators import OPERATORS
from throughtime.ops.recurrent.steps import Steps, host_lengths, rows


class Results(NamedTuple):
    """What a graph makes of a batch.

    Parameters
    ----------
    states : list of Tensor, optional
        (T, width): each state after every step; None of one that was not asked for.
    outputs : list of Tensor
        (T, width): each output of the graph.
    final : list of Tensor
        (B, width): each state after the last step of each sequence, of an empty one its initial state.
    """

    states: list[Tensor | None]
    outputs: list[Tensor]
    final: list[Tensor]


def run_reference(
    graph: Graph,
    inputs: Inputs,
    states: Sequence[Tensor | None],
    steps: Steps,
    *,
    from_end: bool = False,
) -> Results:
    """Run a graph over every sequence, see `throughtime.ops.program.layer.run_program`.

    It computes in the dtype of the tensors, also under autocast.
    """
    like = next(part for group in (*inputs, states) for part in group if part is not None)
    with torch.autocast(like.device.type, enabled=False):
        return _run(graph, inputs, states, steps, like, from_end=from_end)


def _run(
    graph: Graph,
    inputs: Inputs,
    states: Sequence[Tensor | None],
    steps: Steps,
    like: Tensor,
    *,
    from_end: bool,
) -> Results:
    lengths = host_lengths(steps)
    order = torch.argsort(lengths, descending=True, stable=True)
    sorted_lengths, on_device = lengths[order], order.to(like.device)
    widths = [graph.nodes[position].width for position in graph.states]
    state = [
        (like.new_zeros(steps.batch, width) if part is None else part).index_select(0, on_device)
        for part, width in zip(states, widths, strict=True)
    ]
    by_rank = inputs._replace(sequences=tuple(part.index_select(0, on_device) for part in inputs.sequences))
    ended, taken, results = [], [], []
    # A batch without tokens takes one step of no sequences, so that gradients are zero, not missing.
    for t in range(max([1, *lengths.tolist()])):
        alive = int((sorted_lengths > t).sum())
        step = sorted_lengths[:alive] - 1 - t if from_end else torch.full((alive,), t)
        row = rows(steps, order[:alive], step)
        taken.append(row)
        ended.append([part[alive:] for part in state])
        tokens = [part.index_select(0, row.to(like.device)) for part in by_rank.tokens]
        before = [part[:alive] for part in state]
        values = _step(graph, by_rank, tokens, before, alive)
        state = [values[position] for position in graph.states]
        results.append([*state, *(values[position] for position in graph.outputs)])
    ended.append(state)
    places = torch.argsort(torch.cat(taken)).to(like.device)
    per_token = [torch.cat(parts).index_select(0, places) for parts in zip(*results, strict=True)]
    ranks = torch.argsort(order).to(like.device)
    final = [torch.cat(parts).index_select(0, ranks) for parts in zip(*reversed(ended), strict=True)]
    return Results([*per_token[: len(widths)]], per_token[len(widths) :], final)


def _step(
    graph: Graph, inputs: Inputs, tokens: list[Tensor], state: list[Tensor], alive: int
) -> list[Tensor]:
    """Return the value of every node for the rows of one step."""
    values: list[Tensor] = []
    for node in graph.nodes:
        values.append(_value(node, [values[source] for source in node.inputs], inputs, tokens, state, alive))
    return values


def _value(
    node: Node,
    sources: list[Tensor],
    inputs: Inputs,
    tokens: list[Tensor],
    state: list[Tensor],
    alive: int,
) -> Tensor:
    match node.operator:
        case "token":
            value = tokens[node.index]
        case "state":
            value = state[node.index]
        case "sequence":
            value = inputs.sequences[node.index][:alive]
        case "vector":
            value = inputs.vectors[node.index].expand(alive, node.width)
        case "constant":
            value = state[0].new_full((alive, node.width), node.numbers[0])
        case "product":
            value = sources[0] @ inputs.matrices[node.index].T
        case "product_transposed":
            value = sources[0] @ inputs.matrices[node.index]
        case _:
            value = OPERATORS[node.operator].compute(sources, node)
    return value
