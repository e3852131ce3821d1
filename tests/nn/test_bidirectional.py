"""`Bidirectional`: equal to bidirectional=True, for any layer, with every way to merge."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError

from .recurrent import leaves

LENGTHS = [4, 0, 1, 6]


def _batch() -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(LENGTHS), 3).double().requires_grad_(), LENGTHS)


def _halves(both: nn.Module) -> list[nn.Module]:
    made = []
    for suffix in ("", "_reverse"):
        half = type(both)(3, 4).double()
        with torch.no_grad():
            for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
                getattr(half, name).copy_(getattr(both, name + suffix))
        made.append(half)
    return made


@pytest.mark.parametrize("kind", [tt.nn.LSTM, tt.nn.GRU, tt.nn.RNN])
def test_it_is_what_bidirectional_layers_compute(kind: Any) -> None:
    torch.manual_seed(0)
    both = kind(3, 4, bidirectional=True).double()
    layer, x = tt.nn.Bidirectional(*_halves(both)), _batch()
    state = [torch.randn(2, 4, 4).double() for _ in range(2 if kind is tt.nn.LSTM else 1)]
    given = tuple(state) if kind is tt.nn.LSTM else state[0]
    split = [
        tuple(s[d : d + 1] for s in state) if kind is tt.nn.LSTM else state[0][d : d + 1] for d in (0, 1)
    ]
    for found, expected in ((layer(x), both(x)), (layer(x, tuple(split)), both(x, given))):
        assert torch.equal(found.output.values, expected.output.values)
        ends = [torch.cat(parts) for parts in zip(*map(leaves, found.state), strict=True)]
        assert all(torch.equal(a, b) for a, b in zip(ends, leaves(expected.state), strict=True))
    seed = torch.randn(11, 8).double()
    grads = [
        torch.autograd.grad(run(x).output.values, [x.values, *run.parameters()], seed)
        for run in (layer, both)
    ]
    torch.testing.assert_close(*grads)
    dense = torch.randn(5, 2, 3).double()
    assert torch.equal(layer(dense).output, both(dense).output)
    packed = pack_sequence([torch.randn(n, 3).double() for n in (2, 5)], enforce_sorted=False)
    assert torch.equal(layer(packed).output.data, both(packed).output.data)


@pytest.mark.parametrize("merge", ["concat", "sum", "mean"])
def test_outputs_are_merged_at_the_same_step(merge: Any) -> None:
    torch.manual_seed(0)
    a, b = tt.nn.GRU(3, 4).double(), tt.nn.RNN(3, 4).double()
    x = _batch()
    found = tt.nn.Bidirectional(a, b, merge=merge)(x).output
    for row, got in zip(x, found, strict=True):
        first, second = a(row).output, b(row.flip(0)).output.flip(0)
        expected = {
            "concat": torch.cat([first, second], 1),
            "sum": first + second,
            "mean": (first + second) / 2,
        }
        torch.testing.assert_close(got, expected[merge])


class _Running(nn.Module):
    """A user's own layer: cumulative sums, scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def reset_parameters(self) -> None:
        nn.init.normal_(self.scale)

    def forward(self, x: Ragged) -> Ragged:
        return x.with_values(torch.cat([row.cumsum(0) for row in x] or [x.values]) * self.scale)


def test_any_layer_of_ones_own() -> None:
    layer, x = tt.nn.Bidirectional(_Running()), _batch().float()
    found = layer(x)
    assert isinstance(found, Ragged), "a layer without a state gives an output without one"
    for row, got in zip(x, found, strict=True):
        expected = [row.cumsum(0), row.flip(0).cumsum(0).flip(0) * layer.backward_layer.scale]
        torch.testing.assert_close(got, torch.cat(expected, 1))
    causal = tt.nn.Bidirectional(tt.nn.Conv1d(3, 4, 3, padding="causal"), merge="sum")
    assert causal(x).lengths.tolist() == LENGTHS


def test_the_second_layer_begins_anew_and_is_its_own() -> None:
    first = nn.Sequential(nn.Linear(3, 3), tt.nn.LSTM(3, 4, learn_initial_state=True))
    before = copy.deepcopy(first)
    layer = tt.nn.Bidirectional(first)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), before.parameters(), strict=True))
    for (name, a), b in zip(first.named_parameters(), layer.backward_layer.parameters(), strict=True):
        assert a is not b
        assert "initial" in name or not torch.equal(a, b)


class _Stuck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Ragged) -> Tensor:
        return x.values * self.weight


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: tt.nn.Bidirectional(nn.Linear(3, 3), merge="max"),
            ShapeError,
            "'concat', 'sum' or 'mean', got 'max'",
        ),
        (lambda x: tt.nn.Bidirectional(lambda y: y), InputTypeError, "takes modules, got function"),
        (
            lambda x: tt.nn.Bidirectional(_Stuck()),
            UnsupportedError,
            "_Stuck has parameters, but no reset_parameters",
        ),
        (
            lambda x: tt.nn.Bidirectional(_Stuck(), _Stuck())(x),
            InputTypeError,
            "_Stuck returned a Tensor for a Ragged",
        ),
        (
            lambda x: tt.nn.Bidirectional(tt.nn.Conv1d(3, 4, 2, padding=1))(x),
            ShapeError,
            "returned sequences with [5, 0, 2, 7] steps",
        ),
        (
            lambda x: tt.nn.Bidirectional(nn.Linear(3, 4), nn.Linear(3, 5), merge="sum")(x),
            ShapeError,
            "outputs of (4,) and (5,) features cannot be added",
        ),
        (
            lambda x: tt.nn.Bidirectional(tt.nn.GRU(3, 4))(x, torch.zeros(1, 4, 4)),
            InputTypeError,
            "a pair of states",
        ),
        (lambda x: tt.nn.Bidirectional(tt.nn.GRU(3, 4))([1.0]), InputTypeError, "got list"),
    ],
)
def test_what_cannot_be_is_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        call(_batch().float())
    assert message in str(caught.value)
