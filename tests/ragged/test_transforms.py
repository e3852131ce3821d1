"""Batches made and used inside the transforms of torch.func, inference mode and compiled functions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, func, nn
from torch.autograd import forward_ad

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import ShapeError, UnsupportedError

# torch's own, when its forward mode is first used.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

OFFSETS = torch.tensor([0, 3, 3, 4, 6])

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: nn.Linear(2, 2),
    "LSTM": lambda: tt.nn.LSTM(2, 2),
    "Conv1d strided": lambda: tt.nn.Conv1d(2, 2, 2, stride=2, padding=1),
    "Pool max": lambda: tt.nn.Pool("max"),
    "Pool top-k": lambda: tt.nn.Pool("top-k", k=2),
    "AttentionPool": lambda: tt.nn.AttentionPool(2),
    "MaxPool1d": lambda: tt.nn.MaxPool1d(2, ceil_mode=True),
    "InstanceNorm1d": lambda: tt.nn.InstanceNorm1d(2),
}

Function = Callable[[Tensor], Tensor]


def along(function: Function, values: Tensor, tangent: Tensor) -> Tensor:
    """The derivative in one direction, in forward mode."""
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(function(forward_ad.make_dual(values, tangent))).tangent


def transformed(function: Function, values: Tensor) -> list[Tensor]:
    """All that torch.func makes of a function (T, 2) -> any, and forward mode."""

    def loss(values: Tensor) -> Tensor:
        return function(values).square().sum()

    two = torch.stack([values, values.cos()])
    return [
        func.grad(loss)(values),
        func.jacrev(function)(values),
        func.jvp(function, (values,), (values,))[1],
        func.vjp(loss, values)[1](torch.tensor(1.0, dtype=values.dtype))[0],
        func.hessian(loss)(values),
        func.vmap(function)(two),
        func.vmap(func.grad(loss))(two),
        along(function, values, values),
    ]


def function_of(layer: nn.Module, make: Callable[[Tensor], Ragged]) -> Function:
    def function(values: Tensor) -> Tensor:
        y = layer(make(values))
        y = y.output if isinstance(y, tt.nn.RecurrentOutput) else y
        return y.values if isinstance(y, Ragged) else y

    return function


@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_made_inside_a_transform_is_as_one_made_outside(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]().double()
    values = torch.randn(6, 2, dtype=torch.float64)
    outside = Ragged(values, OFFSETS)
    inside = transformed(function_of(layer, lambda v: Ragged(v, OFFSETS)), values)
    expected = transformed(function_of(layer, outside.with_values), values)
    torch.testing.assert_close(inside, expected, rtol=0, atol=0)
    # And the hessian is what autograd alone gives.
    by_autograd = torch.autograd.functional.hessian(
        lambda v: function_of(layer, lambda v: Ragged(v, OFFSETS))(v).square().sum(), values
    )
    torch.testing.assert_close(inside[4], by_autograd)


@pytest.mark.parametrize(
    "make",
    [
        lambda v: Ragged(v, torch.tensor([0, 3, 3, 4, 6])),
        lambda v: Ragged(v, OFFSETS.repeat_interleave(2)[::2]),
        lambda v: Ragged.from_lengths(v, [3, 0, 1, 2]),
        lambda v: Ragged.from_lengths(v, torch.tensor([3, 0, 1, 2])),
        lambda v: Ragged.from_list([v[:3], v[3:3], v[3:4], v[4:]]),
        lambda v: Ragged.from_padded(Ragged(v, OFFSETS).to_padded(), lengths=[3, 0, 1, 2]),
        lambda v: Ragged(v, OFFSETS).reverse().reverse(),
        lambda v: Ragged.cat([Ragged(v, OFFSETS)[:2], Ragged(v, OFFSETS)[2:]]),
        lambda v: Ragged.cat_time(list(Ragged(v, OFFSETS).split_time(1))),
    ],
)
def test_every_way_to_make_a_batch_works_inside(make: Callable[[Tensor], Ragged]) -> None:
    torch.manual_seed(0)
    layer, values = tt.nn.GRU(2, 2).double(), torch.randn(6, 2, dtype=torch.float64)
    found = transformed(function_of(layer, make), values)
    expected = transformed(function_of(layer, Ragged(values, OFFSETS).with_values), values)
    torch.testing.assert_close(found, expected)


def test_offsets_may_be_an_argument_and_are_checked() -> None:
    values = torch.randn(6, 2)

    def loss(values: Tensor, offsets: Tensor) -> Tensor:
        return tt.nn.Pool("max")(Ragged(values, offsets)).sum()

    expected = func.grad(lambda v: loss(v, OFFSETS))(values)
    torch.testing.assert_close(func.grad(loss)(values, OFFSETS), expected)
    torch.testing.assert_close(func.grad(func.functionalize(loss))(values, OFFSETS), expected)
    mapped = func.vmap(func.grad(loss), in_dims=(0, None))(values[None], OFFSETS)
    torch.testing.assert_close(mapped[0], expected)
    for transform in (func.grad, func.jacrev, lambda f: lambda v, o: func.jvp(lambda v: f(v, o), (v,), (v,))):
        with pytest.raises(ShapeError, match="offsets must end at the number of values, 6, got 9"):
            transform(loss)(values, torch.tensor([0, 3, 9]))
    with pytest.raises(UnsupportedError, match="vmap maps over the offsets.*in_dims=None"):
        func.vmap(loss)(values[None], OFFSETS[None])


def test_a_transform_leaves_nothing_of_itself_in_a_batch() -> None:
    """What it computed of the layout serves eager calls afterwards, native ones included."""
    for first in ("grad", "vmap", "inference"):
        x = Ragged(torch.randn(6, 2), OFFSETS)
        layers = [make() for make in LAYERS.values()]
        for layer in layers:
            function = function_of(layer, x.with_values)
            if first == "grad":
                func.grad(lambda v, function=function: function(v).sum())(x.values)
            elif first == "vmap":
                func.vmap(function)(x.values[None])
            else:
                with torch.inference_mode():
                    function(x.values)
        for layer in layers:
            leaf = x.values.clone().requires_grad_()
            fresh = function_of(layer, lambda v: Ragged(v, OFFSETS.clone()))
            found, expected = (f(leaf) for f in (function_of(layer, x.with_values), fresh))
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
            torch.autograd.grad(found.sum(), leaf)


def test_batches_that_meet_in_a_compiled_function_are_compared_when_it_runs() -> None:
    @torch.compile(backend="aot_eager", fullgraph=True)
    def add(x: Ragged, y: Ragged) -> Any:
        return x + y

    torch._dynamo.reset()
    values = torch.randn(6, 2)
    x, y = Ragged(values, OFFSETS), Ragged(values, OFFSETS.clone())
    assert torch.equal(add(x, y).values, values * 2)
    with pytest.raises(RuntimeError, match="different lengths"):
        add(x, Ragged(values, torch.tensor([0, 3, 4, 4, 6])))


def test_a_compiled_function_selects_and_converts_without_a_break() -> None:
    def function(x: Ragged) -> list[Any]:
        last = x[torch.arange(len(x)), x.lengths - 1]
        parts = [x[:, -1], x[0, 0], x[:, 1:], x[1:], x[..., 0], x[x > 0], x.reverse(), Ragged.cat([x, x])]
        return [last, *(part.values if isinstance(part, Ragged) else part for part in parts), x.to_padded()]

    torch._dynamo.reset()
    compiled = torch.compile(function, backend="eager", fullgraph=True, dynamic=True)
    for lengths in ([3, 1, 5], [2, 2, 1, 4]):
        x = Ragged.from_lengths(torch.randn(9, 6), lengths)
        torch.testing.assert_close(compiled(x), function(x), rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="a step is out of range"):
        compiled(Ragged.from_lengths(torch.randn(9, 6), [3, 0, 6]))


def test_lengths_of_padded_batches_are_compared_when_a_compiled_function_runs() -> None:
    def function(padded: Tensor, lengths: Tensor, steps: int) -> Tensor:
        return (Ragged.from_padded(padded, lengths=lengths) * 2).to_padded(-1, length=steps)

    torch._dynamo.reset()
    compiled = torch.compile(function, backend="eager", fullgraph=True, dynamic=True)
    for sizes, lengths in (((2, 5), [5, 0]), ((3, 4), [1, 4, 2])):
        padded = torch.randn(*sizes, 3)
        found = compiled(padded, torch.tensor(lengths), sizes[1] + 1)
        torch.testing.assert_close(
            found, function(padded, torch.tensor(lengths), sizes[1] + 1), rtol=0, atol=0
        )
    for lengths in ([5, 2], [-1, 2]):
        with pytest.raises(RuntimeError, match="between 0 and the number of steps of the padded batch"):
            compiled(torch.randn(2, 4, 3), torch.tensor(lengths), 6)
    with pytest.raises(RuntimeError, match="length is less than that of the longest sequence"):
        compiled(torch.randn(2, 4, 3), torch.tensor([2, 4]), 3)


def test_masks_of_padded_batches_are_checked_when_a_compiled_function_runs() -> None:
    def function(padded: Tensor, mask: Tensor) -> Tensor:
        return (Ragged.from_padded(padded, mask=mask) * 2).to_padded(length=padded.shape[1])

    torch._dynamo.reset()
    compiled = torch.compile(function, backend="eager", fullgraph=True, dynamic=True)
    masks = [[0, 1, 1], [1, 0, 0], [0, 0, 0]], [[1, 1, 1, 1], [0, 0, 1, 0]]
    for mask in (torch.tensor(mask, dtype=torch.bool) for mask in masks):
        padded = torch.randn(*mask.shape, 3)
        torch.testing.assert_close(compiled(padded, mask), function(padded, mask), rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="a row of the mask has padding between its tokens"):
        compiled(torch.randn(2, 3, 3), torch.tensor([[True, True, True], [True, False, True]]))
