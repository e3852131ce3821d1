"""Random transitions in the native loop against the same ones step by step in Python."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import throughtime as tt

if TYPE_CHECKING:
    from collections.abc import Callable

D, H = 4, 6

UNARY: list[Callable[[Tensor], Tensor]] = [
    torch.tanh,
    torch.sigmoid,
    torch.relu,
    F.silu,
    F.gelu,
    F.softplus,
    F.elu,
    lambda a: a * 0.5 + 0.1,
    lambda a: a.clamp(-0.4, 0.5),
    lambda a: a - a.mean(-1, keepdim=True),
    lambda a: F.layer_norm(a, (H,)),
    lambda a: F.softmax(a, -1),
    lambda a: F.normalize(a, dim=-1),
    lambda a: a.roll(1, -1),
    lambda a: a.view(-1, 2, 3).flip(1).reshape(-1, H),
    lambda a: a.view(-1, 3, 2).transpose(1, 2).reshape(-1, H),
    lambda a: torch.cat([a[:, 2:], a[:, :2]], 1),
    lambda a: a.unflatten(1, (2, -1)).sum(1).repeat(1, 2),
    lambda a: a.unflatten(1, (3, 2)).amax(-1).repeat_interleave(2, 1),
]
BINARY: list[Callable[[Tensor, Tensor], Tensor]] = [
    torch.add,
    torch.sub,
    torch.mul,
    torch.maximum,
    torch.minimum,
    lambda a, b: a / (b.abs() + 1),
    lambda a, b: torch.where(a > b, a, b * 0.5),
    lambda a, b: torch.lerp(a, b, torch.sigmoid(a)),
    lambda a, b: a * (b > 0),
    lambda a, b: torch.einsum("ni,nj->nij", a, b).mean(1),
    lambda a, b: (a.view(-1, 2, 3) @ b.view(-1, 3, 2)).flatten(1).repeat(1, 2)[:, :H],
    lambda a, b: torch.cat([a, b], 1)[:, 3 : 3 + H],
    lambda a, b: torch.stack([a, b], -1).softmax(-1)[..., 0],
]


class Transition(nn.Module):
    """A dozen operators, each on what came before: states, the token, a parameter."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        choice = random.Random(seed)
        self.of_states = nn.ModuleList([nn.Linear(H, H, bias=choice.random() < 0.5) for _ in range(3)])
        self.of_all, self.of_token = nn.Linear(D + 2 * H, H), nn.Linear(D, H)
        self.scale = nn.Parameter(torch.rand(H))
        self.plan = [
            (
                choice.choice(["unary", "unary", "binary", "linear", "linear of all"]),
                *choice.choices(range(99), k=3),
            )
            for _ in range(choice.randrange(3, 12))
        ]

    def forward(self, state: Any, x: Tensor) -> Any:
        h, c = state
        values = [h, c, self.of_token(x), self.scale.expand_as(h), x[:, :1].expand(-1, H)]
        for kind, i, j, k in self.plan:
            a, b = values[i % len(values)], values[j % len(values)]
            if kind == "unary":
                values.append(UNARY[k % len(UNARY)](a))
            elif kind == "binary":
                values.append(BINARY[k % len(BINARY)](a, b))
            elif kind == "linear":
                values.append(self.of_states[k % 3](a))
            else:
                values.append(self.of_all(torch.cat([a, x, b], 1)))
        return torch.tanh(values[-1] + 0.3 * h), 0.5 * torch.tanh(values[-2] + c)


@pytest.mark.parametrize("seed", range(12))
def test_random_transitions(seed: int) -> None:
    torch.manual_seed(seed)
    f = Transition(seed).double()
    sequences = [torch.randn(length, D, dtype=torch.float64, requires_grad=True) for length in (3, 0, 5, 1)]
    state = tuple(torch.randn(4, H, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weights = torch.randn(2, 9, H, dtype=torch.float64)
    results = []
    for native in ("require", "never"):
        layer = tt.nn.Recurrence(f, state=(H, H), native=native)
        output, final = layer(tt.Ragged.from_list(sequences), state)
        values = [part.values for part in output]
        total = sum((part * weight).sum() for part, weight in zip(values, weights, strict=True))
        wanted = [*sequences, *state, *f.parameters()]
        gradients = torch.autograd.grad(
            total + sum(part.sin().sum() for part in final), wanted, allow_unused=True, materialize_grads=True
        )
        results.append((values, final, gradients))
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-10)
