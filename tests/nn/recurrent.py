"""Helpers for tests of recurrent layers: layers with torch's weights, and results and gradients of both."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

import throughtime as tt
from throughtime import Ragged
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.weights import Weights

CELLS = ("LSTM", "GRU", "RNN", 'RNN{"activations": [["relu", 0.0, 0.0]]}')
LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("LSTM", {"proj_size": 2}),
    ("GRU", {}),
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
]

# Cells that torch does not have.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {"peephole": True}),
    ("LSTM", {"peephole": True, "coupled": True, "clip": 0.6, "cell_clip": 0.3}),
    ("LSTM", {"proj_size": 2, "coupled": True, "activations": ("hard_sigmoid", "softsign", ("elu", 0.7))}),
    ("GRU", {"reset_after": False, "update": "new", "bias": False}),
    ("GRU", {"reset_after": False, "clip": 0.5}),
    ("GRU", {"update": "new", "activations": ("sigmoid", ("leaky_relu", 0.2))}),
    ("RNN", {"nonlinearity": ("scaled_tanh", 1.2, 0.8), "clip": 0.9}),
    ("MGU", {}),
    ("MGU", {"bias": False, "clip": 0.6, "activations": ("hard_sigmoid", "softsign")}),
    ("LayerNormLSTM", {}),
    (
        "LayerNormLSTM",
        {"proj_size": 2, "clip": 0.6, "activations": ("hard_sigmoid", "softsign", ("elu", 0.7))},
    ),
    ("LayerNormLSTM", {"bias": False, "eps": 0.1}),
]


def name_of(value: Any) -> str | None:
    """A readable id of a parameter of a test."""
    if isinstance(value, dict):
        return "-".join(f"{key}={given}" for key, given in value.items()) or "plain"
    return value if isinstance(value, str) else None


def twins(name: str, *args: Any, dtype: torch.dtype = torch.float64, **kwargs: Any) -> tuple[Any, Any]:
    """Our layer and torch's with the same weights."""
    torchs = getattr(nn, name)(*args, **kwargs).to(dtype)
    ours = getattr(tt.nn, name)(*args, **kwargs).to(dtype)
    ours.load_state_dict(torchs.state_dict())
    return ours, torchs


def leaves(result: Any) -> list[Tensor]:
    """Every floating-point tensor in a result, whatever its structure."""
    if isinstance(result, Ragged):
        return [result.values]
    if isinstance(result, PackedSequence):
        return [result.data]
    if isinstance(result, Tensor):
        return [result]
    if result is None:
        return []
    return [leaf for part in result for leaf in leaves(part)]


def weighted(tensors: list[Tensor]) -> Tensor:
    """A scalar whose gradient differs for every element."""
    return sum((t * torch.arange(1, t.numel() + 1, dtype=t.dtype).cos().view(t.shape)).sum() for t in tensors)


def gradients(tensors: list[Tensor], wanted: list[Tensor], *, retain_graph: bool = False) -> list[Tensor]:
    """Gradients of `weighted`, zeros where there is none."""
    loss = weighted(tensors)
    return list(torch.autograd.grad(loss, wanted, retain_graph=retain_graph, materialize_grads=True))


def fresh(value: Any) -> Any:
    """The same value with leaves of its own, which ask for gradients."""
    if isinstance(value, PackedSequence):
        return value._replace(data=fresh(value.data))
    if isinstance(value, Ragged):
        return value.with_values(fresh(value.values))
    if isinstance(value, Tensor):
        # The strides stay as they are: non-contiguous input is worth a test.
        return value.detach().requires_grad_()
    return value if value is None else tuple(fresh(part) for part in value)


def weights_for(
    cell: str,
    features: int,
    hidden: int,
    *,
    directions: int = 1,
    projection: int = 0,
    bias: bool = True,
    context: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[Weights, ...]:
    """Random weights of one layer, as leaves; with a context for so many sequences."""

    def random(*shape: int) -> Tensor:
        return (torch.rand(shape, dtype=dtype) - 0.5).requires_grad_()

    spec = CellSpec.parse(cell)
    rows, size = spec.gates * hidden, projection or hidden
    own = sum(parameter.rows for parameter in spec.own_parameters.values())
    return tuple(
        Weights(
            random(rows, features),
            random(rows, size),
            random(rows) if bias else None,
            random(rows) if bias else None,
            random(projection, hidden) if projection else None,
            random(own * hidden) if own else None,
            random(context, rows) if context else None,
        )
        for _ in range(directions)
    )
