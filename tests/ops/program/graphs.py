"""Graphs of well-known cells, and calls of them with random tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from throughtime.ops.program.builder import Builder, Value
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.recurrent.steps import Steps, dense_steps, packed_steps, ragged_steps
from throughtime.ragged import Layout


def lstm(hidden: int) -> Graph:
    """Build the LSTM of torch: states h and c, the tokens' share of the pre-activations as token 0."""
    b = Builder()
    h, c = b.leaf("state", 0, hidden), b.leaf("state", 1, hidden)
    pre = b.leaf("token", 0, 4 * hidden) + b.product(0, h, 4 * hidden)
    i, f, g, o = (pre.slice(k * hidden, hidden) for k in range(4))
    after = f.call("sigmoid") * c + i.call("sigmoid") * g.call("tanh")
    return b.graph([o.call("sigmoid") * after.call("tanh"), after])


def gru(hidden: int) -> Graph:
    """Build the GRU of torch, which resets after the product; vector 0 is the bias of the hidden candidate."""
    b = Builder()
    h, x = b.leaf("state", 0, hidden), b.leaf("token", 0, 3 * hidden)
    product = b.product(0, h, 3 * hidden)
    r, z = ((x.slice(begin, hidden) + product.slice(begin, hidden)).call("sigmoid") for begin in (0, hidden))
    candidate = product.slice(2 * hidden, hidden) + b.leaf("vector", 0, hidden)
    n = (x.slice(2 * hidden, hidden) + r * candidate).call("tanh")
    return b.graph([(1.0 - z) * n + z * h])


def gru_reset_before(hidden: int) -> Graph:
    """Build the GRU that resets before the product (Cho et al. 2014)."""
    b = Builder()
    h, x = b.leaf("state", 0, hidden), b.leaf("token", 0, 3 * hidden)
    gates = (x.slice(0, 2 * hidden) + b.product(0, h, 2 * hidden)).call("sigmoid")
    r, z = gates.slice(0, hidden), gates.slice(hidden, hidden)
    n = (x.slice(2 * hidden, hidden) + b.product(1, r * h, hidden)).call("tanh")
    return b.graph([(1.0 - z) * n + z * h])


def layer_norm(x: Value, scale: Value, shift: Value) -> Value:
    """Normalise all values of a row."""
    mean = (x.sum(1) / float(x.width)).repeat(x.width)
    centred = x - mean
    variance = centred.call("square").sum(1) / float(x.width)
    return centred * (variance + 1e-5).call("rsqrt").repeat(x.width) * scale + shift


def layer_norm_lstm(hidden: int) -> Graph:
    """Build the cell of `throughtime.nn.LayerNormLSTM`; vectors are gain and bias of the product and of c."""
    b = Builder()
    h, c = b.leaf("state", 0, hidden), b.leaf("state", 1, hidden)
    of_h, of_c = (
        [b.leaf("vector", k + place, width) for k in range(2)]
        for place, width in ((0, 4 * hidden), (2, hidden))
    )
    pre = b.leaf("token", 0, 4 * hidden) + layer_norm(b.product(0, h, 4 * hidden), *of_h)
    i, f, g, o = (pre.slice(k * hidden, hidden) for k in range(4))
    after = f.call("sigmoid") * c + i.call("sigmoid") * g.call("tanh")
    return b.graph([o.call("sigmoid") * layer_norm(after, *of_c).call("tanh"), after])


def attention(hidden: int, slots: int) -> Graph:
    """Build a cell that reads a memory (slots, hidden) of its sequence by attention, with several states."""
    b = Builder()
    h, context = b.leaf("state", 0, hidden), b.leaf("state", 1, hidden)
    memory = b.leaf("sequence", 0, slots * hidden)
    pre = b.leaf("token", 0, hidden) + b.product(0, b.concat([h, context]), hidden)
    after = pre.call("tanh")
    scores = (memory * b.product(1, after, hidden).tile(slots * hidden)).sum(slots)
    weights = (scores - scores.max(1).repeat(slots)).call("exp")
    weights = weights / weights.sum(1).repeat(slots)
    read = (memory * weights.repeat(slots * hidden)).sum_strided(hidden)
    return b.graph([after, read], [weights])


@dataclass
class Call:
    """A graph with tensors for all that it reads."""

    graph: Graph
    inputs: Inputs
    states: list[Tensor | None]
    steps: Steps

    def tensors(self) -> list[Tensor]:
        """Return all tensors of the call."""
        return [part for group in (*self.inputs, self.states) for part in group if part is not None]


def steps_of(order: str, lengths: Sequence[int]) -> Steps:
    """Return the order of a batch, of equal lengths for the dense ones and of falling lengths for a packed one."""
    if order == "packed":
        sizes = [sum(length > t for length in lengths) for t in range(max(lengths, default=0))]
        return packed_steps(torch.tensor(sizes, dtype=torch.int64), len(lengths))
    if order == "ragged":
        layout = Layout.from_lengths(torch.tensor(lengths, dtype=torch.int64), torch.device("cpu"))
        return ragged_steps(layout)
    return dense_steps(len(lengths), lengths[0] if lengths else 0, batch_first=order == "batch first")


def call_of(
    graph: Graph,
    lengths: Sequence[int],
    order: str = "ragged",
    *,
    initial: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Call:
    """Return a call with random tensors that require gradients."""
    widths: dict[str, dict[int, tuple[int, ...]]] = {
        name: {} for name in ("token", "sequence", "vector", "product")
    }
    total, batch = sum(lengths), len(lengths)
    for node in graph.nodes:
        before = graph.nodes[node.inputs[0]].width if node.inputs else 0
        shapes = {
            "token": (total, node.width),
            "sequence": (batch, node.width),
            "vector": (node.width,),
            "product": (node.width, before),
            "product_transposed": (before, node.width),
        }
        if node.operator in shapes:
            widths[node.operator.removesuffix("_transposed")][node.index] = shapes[node.operator]
    unused = {"token": (total, 1), "sequence": (batch, 1), "vector": (1,), "product": (1, 1)}
    groups = [
        tuple(_random(of.get(k, unused[name]), dtype) for k in range(max(of, default=-(name != "token")) + 1))
        for name, of in widths.items()
    ]
    states = [
        _random((batch, graph.nodes[position].width), dtype) if initial else None for position in graph.states
    ]
    return Call(graph, Inputs(*groups), states, steps_of(order, lengths))


def _random(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return (torch.randn(shape, dtype=torch.float64) * 0.7).to(dtype).requires_grad_()
