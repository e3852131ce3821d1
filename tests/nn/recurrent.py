"""What the tests of recurrent layers share: twins with torch's weights, results and gradients of both."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

import throughtime as tt
from throughtime import Ragged
from throughtime.ops.steps import GATES, Weights

CELLS = ("LSTM", "GRU", "RNN_TANH", "RNN_RELU")
LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("LSTM", {"proj_size": 2}),
    ("GRU", {}),
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
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
    dtype: torch.dtype = torch.float64,
) -> tuple[Weights, ...]:
    """Random weights of one layer, as leaves."""

    def random(*shape: int) -> Tensor:
        return (torch.rand(shape, dtype=dtype) - 0.5).requires_grad_()

    rows, size = GATES[cell] * hidden, projection or hidden
    return tuple(
        Weights(
            random(rows, features),
            random(rows, size),
            random(rows) if bias else None,
            random(rows) if bias else None,
            random(projection, hidden) if projection else None,
        )
        for _ in range(directions)
    )
