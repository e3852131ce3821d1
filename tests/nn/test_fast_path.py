"""Calls and steps on plain tensors: the fast path equals the general one, and leaves unusual arguments to it."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils._python_dispatch import TorchDispatchMode

import throughtime as tt
from throughtime import Ragged, _native
from throughtime.bptt import Carried
from throughtime.diagnose import watch
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.recurrent._fast_path import quick_call, quick_cell, quick_step
from throughtime.nn.recurrent.cells import spec_of_cell

from .recurrent import LAYERS, VARIANTS, fresh, leaves, name_of

each_layer = pytest.mark.parametrize(("name", "options"), LAYERS + VARIANTS, ids=name_of)


def _layer(name: str, options: dict[str, Any], dtype: torch.dtype = torch.float64, **more: Any) -> nn.Module:
    torch.manual_seed(0)
    return getattr(tt.nn, name)(3, 5, **options, **more).to(dtype)


def _state(layer: nn.Module, batch: int | None) -> Any:
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    middle = () if batch is None else (batch,)
    sizes = (layer.proj_size or 5, 5) if layer.spec.has_c else (5,)
    dtype = next(layer.parameters()).dtype
    parts = tuple(torch.randn(count, *middle, size, dtype=dtype) for size in sizes)
    return parts if len(parts) == 2 else parts[0]


def _x(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def _inputs(dtype: torch.dtype, batch_first: bool) -> list[tuple[Any, int | None]]:
    """Every kind, with its number of sequences."""
    return [
        (torch.randn(7, 3, dtype=dtype), None),
        (torch.randn(6, 2, 3, dtype=dtype), 6 if batch_first else 2),
        (torch.randn(1, 1, 3, dtype=dtype), 1),
        (Ragged.from_lengths(torch.randn(11, 3, dtype=dtype), [4, 0, 1, 6]), 4),
        (Ragged.from_lengths(torch.randn(600, 3, dtype=dtype), [40] * 15), 15),
    ]


@pytest.fixture
def general(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Call a method of a layer so that it takes the general path, on tensors that are brought into order."""

    def only_in_order(name: str) -> Callable[..., Any]:
        return lambda in_order, *rest: getattr(_native, name)(in_order, *rest) if in_order else None

    names = ("recurrent_layer_forward", "recurrent_layer_backward")
    in_order_only = {name: only_in_order(name) for name in names} | {"RecurrentCell": _native.RecurrentCell}

    def call(method: Callable[..., Any], *arguments: Any) -> Any:
        with monkeypatch.context() as patch:
            for place in ("layer.quick_call", "layer.quick_step", "cells.quick_cell"):
                patch.setattr(f"throughtime.nn.recurrent.{place}", lambda *_: None)
            patch.setattr("throughtime.ops.recurrent.native._native", SimpleNamespace(**in_order_only))
            return method(*arguments)

    return call


def _same(found: Any, right: Any) -> None:
    for part, expected in zip(leaves(found), leaves(right), strict=True):
        assert part.shape == expected.shape
        assert part.dtype == expected.dtype
        assert torch.equal(part, expected)


@each_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"num_layers": 2, "batch_first": True},
        {"bidirectional": True},
        {"num_layers": 3, "bidirectional": True},
    ],
    ids=name_of,
)
def test_a_call_gives_what_the_general_path_gives(
    name: str,
    options: dict[str, Any],
    dtype: torch.dtype,
    more: dict[str, Any],
    general: Callable[..., Any],
) -> None:
    layer = _layer(name, options, dtype, **more)
    for x, batch in _inputs(dtype, layer.batch_first):
        for state in (None, _state(layer, batch)):
            right = general(layer, x, state)
            with torch.no_grad():
                found = quick_call(layer, x, state)
                assert found is not None
                assert type(found.output) is type(right.output)
                if isinstance(x, Ragged):
                    assert found.output.layout is x.layout
                _same(found, right)
                _same(layer(x, state), right)


@each_layer
@pytest.mark.parametrize("layers", [1, 3])
def test_a_step_gives_what_the_general_path_gives(
    name: str, options: dict[str, Any], layers: int, general: Callable[..., Any]
) -> None:
    layer = _layer(name, options, num_layers=layers)
    for x, batch in ((torch.randn(3).double(), None), (torch.randn(4, 3).double(), 4)):
        for state in (None, _state(layer, batch)):
            right = general(layer.step, x, state)
            with torch.no_grad():
                found = quick_step(layer, x, state)
                assert found is not None
                _same(found, right)
                _same(layer.step(x, state), right)


@each_layer
@pytest.mark.parametrize(
    "more", [{}, {"bidirectional": True, "batch_first": True, "bias": False}], ids=name_of
)
def test_gradients_are_those_of_the_general_path(
    name: str, options: dict[str, Any], more: dict[str, Any], general: Callable[..., Any]
) -> None:
    layer = _layer(name, {**options, **more})

    def gradients(given: tuple[Any, ...]) -> list[list[Tensor]]:
        found, wanted = leaves(layer(*given)), [*leaves(given), *layer.parameters()]
        seeds = [torch.arange(part.numel(), dtype=part.dtype).cos().view(part.shape) for part in found]
        return [
            list(torch.autograd.grad(found, wanted, seeds, retain_graph=True)),
            # One result alone, and a gradient that is one number expanded.
            *(
                list(torch.autograd.grad(part.sum(), wanted, retain_graph=True, materialize_grads=True))
                for part in found
            ),
        ]

    for x, batch in _inputs(torch.float64, layer.batch_first):
        for state in (None, _state(layer, batch)):
            assert quick_call(layer, fresh(x), state) is not None
            found = gradients((fresh(x), fresh(state)))
            right = general(gradients, (fresh(x), fresh(state)))
            for parts, expected in zip(found, right, strict=True):
                _same(parts, expected)


CELLS = [
    ("LSTMCell", {}),
    ("GRUCell", {"bias": False}),
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu"}),
]


@pytest.mark.parametrize(("name", "options"), CELLS, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3,), (4, 3)], ids=str)
def test_a_cell_gives_what_the_general_path_gives(
    name: str,
    options: dict[str, Any],
    dtype: torch.dtype,
    shape: tuple[int, ...],
    general: Callable[..., Any],
) -> None:
    layer = _layer(name, options, dtype)
    x = torch.randn(shape, dtype=dtype)
    h, c = (torch.randn(*shape[:-1], 5, dtype=dtype) for _ in range(2))
    for state in (None, (h, c) if name == "LSTMCell" else h):

        def run(state: Any = state) -> tuple[list[Tensor], list[Tensor]]:
            given = (fresh(x), fresh(state))
            found = leaves(layer(*given))
            seeds = [torch.arange(part.numel(), dtype=dtype).cos().view(part.shape) for part in found]
            return found, list(torch.autograd.grad(found, [*leaves(given), *layer.parameters()], seeds))

        right, of_right = general(run)
        found, of_found = run()
        _same(found, right)
        _same(of_found, of_right)
        with torch.no_grad():
            assert quick_cell(layer, spec_of_cell(layer), x, state)
            _same(leaves(layer(x, state)), right)
        if dtype == torch.float64:
            given = (fresh(x), *leaves(fresh(state)))

            def of(x: Tensor, *state: Tensor) -> list[Tensor]:
                return leaves(layer(x, (state if len(state) == 2 else state[0]) if state else None))

            assert torch.autograd.gradgradcheck(of, given)
            wide = _x(*shape[:-1], 6)[..., ::2]
            _same(leaves(layer(wide, state)), leaves(layer(wide.contiguous(), state)))
        with pytest.raises((InputTypeError, ShapeError)) as wrong:
            general(layer, x[..., :2], state)
        with torch.no_grad(), pytest.raises(wrong.type, match=re.escape(str(wrong.value))):
            layer(x[..., :2], state)


def test_only_gradients_that_are_wanted_are_made() -> None:
    layer, x = _layer("LSTM", {}), _x(7, 2, 3)
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    assert quick_call(layer, x, None).output.grad_fn is None  # nothing to differentiate
    assert layer(x).output.grad_fn is None
    layer.bias_hh_l0.requires_grad_()
    layer(x).output.sum().backward()
    assert layer.weight_ih_l0.grad is None
    right = _layer("LSTM", {})
    right(x).output.sum().backward()
    assert torch.equal(layer.bias_hh_l0.grad, right.bias_hh_l0.grad)
    frozen = fresh(x)
    layer.bias_hh_l0.requires_grad_(False)
    layer(frozen).output.sum().backward()
    other = fresh(x)
    right(other).output.sum().backward()
    assert torch.equal(frozen.grad, other.grad)


def test_gradients_of_gradients_pass_through_the_quick_path() -> None:
    for name in ("LSTM", "GRU", "RNN"):
        layer = _layer(name, {})
        batched, single = fresh(_x(3, 2, 3)), fresh(_x(3, 3))
        for x in (batched, single):
            assert quick_call(layer, x, None) is not None
            assert torch.autograd.gradgradcheck(lambda x, layer=layer: leaves(layer(x)), (x,))


def test_results_are_ordinary_tensors() -> None:
    layer = _layer("LSTM", {})
    for inference in (False, True):
        with torch.inference_mode(inference), torch.no_grad():
            x = torch.randn(7, 2, 3).double()
            found = quick_call(layer, x, None)
            assert found is not None
            for part in leaves(found):
                assert type(part) is Tensor
                assert part.is_contiguous()
                assert part.is_inference() == inference
                assert not part.requires_grad
            kept = found.output.clone()
            found.state[0].zero_()
            x.zero_()
            assert torch.equal(found.output, kept)  # nothing is shared


def test_large_results_outlive_the_layer_and_return_to_the_pool() -> None:
    layer = _layer("GRU", {}, torch.float32)
    with torch.no_grad():
        x = torch.randn(40_000, 3)
        found = layer(x).output
        right = found.clone()
        more = [layer(torch.randn(40_000, 3)).output for _ in range(3)]
        del layer
        assert torch.equal(found, right)
        assert not torch.equal(more[0], more[1])


# What is left to the general path: (what it is called, the layer's options, what is called with).
Call = Callable[[nn.Module], tuple[Any, Any]]


class _Other(Tensor):
    pass


UNUSUAL: dict[str, Call] = {
    "not contiguous": lambda _: (_x(4, 7, 3).transpose(0, 1), None),
    "a subclass": lambda _: (_x(7, 2, 3).as_subclass(_Other), None),
    "a parameter": lambda _: (nn.Parameter(_x(7, 2, 3)), None),
    "no tokens": lambda _: (_x(0, 2, 3), None),
    "no sequences": lambda _: (_x(7, 0, 3), None),
    "an empty ragged batch": lambda _: (Ragged.empty(3, dtype=torch.float64), None),
    "a list of states": lambda layer: (_x(7, 2, 3), list(_state(layer, 2))),
    "a state that is not contiguous": lambda _: (_x(7, 2, 3), (_x(1, 5, 2).transpose(1, 2),) * 2),
}

WRONG: dict[str, Call] = {
    "features": lambda _: (_x(7, 2, 4), None),
    "a dtype": lambda _: (_x(7, 2, 3).float(), None),
    "integers": lambda _: (torch.ones(7, 2, 3, dtype=torch.int64), None),
    "dimensions": lambda _: (_x(3), None),
    "four dimensions": lambda _: (_x(2, 7, 2, 3), None),
    "the batch of a state": lambda layer: (_x(7, 2, 3), _state(layer, 3)),
    "a batched state of one sequence": lambda layer: (_x(7, 3), _state(layer, 1)),
    "the dtype of a state": lambda _: (_x(7, 2, 3), (torch.zeros(1, 2, 5), _x(1, 2, 5))),
    "one state of two": lambda _: (_x(7, 2, 3), _x(1, 2, 5)),
    "a number": lambda _: (3.0, None),
    "nothing": lambda _: (None, None),
}


@pytest.mark.parametrize("what", UNUSUAL)
def test_the_unusual_is_left_to_the_general_path(what: str) -> None:
    layer = _layer("LSTM", {})
    x, state = UNUSUAL[what](layer)
    assert quick_call(layer, x, state) is None
    right = layer(x, state)
    with torch.no_grad():
        assert quick_call(layer, x, state) is None
        _same(layer(x, state), right)


@pytest.mark.parametrize("what", WRONG)
def test_the_wrong_gets_the_error_of_the_general_path(what: str) -> None:
    layer = _layer("LSTM", {})
    x, state = WRONG[what](layer)
    with pytest.raises((InputTypeError, ShapeError)) as right:
        layer(x, state)
    with torch.no_grad():
        assert quick_call(layer, x, state) is None
        with pytest.raises(right.type) as found:
            layer(x, state)
    assert str(found.value) == str(right.value)


def test_what_counts_as_true_is_true() -> None:
    ones, right = (tt.nn.GRUCell(3, 5, bias=flag).double() for flag in (1, True))
    right.load_state_dict(ones.state_dict())
    x = _x(2, 3)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            assert quick_cell(ones, spec_of_cell(ones), x, None) is not None
            _same(ones(x), right(x))


def test_one_number_alone_may_be_a_view_of_another_sign() -> None:
    layer = tt.nn.RNN(1, 5).double()
    x = torch.tensor([[1 + 2j]], dtype=torch.complex128).conj().imag  # (1, 1), −2 stored as 2
    with torch.no_grad():
        assert quick_call(layer, x, None) is None
        assert torch.equal(layer(x).output, layer(torch.tensor([[-2.0]]).double()).output)


def test_weights_are_looked_at_anew_at_every_call() -> None:
    layer, x = _layer("GRU", {}), _x(7, 2, 3)

    def agrees() -> bool:
        right = layer(x).output
        with torch.no_grad():
            return torch.equal(layer(x).output, right)

    with torch.no_grad():
        layer(x)
    layer.weight_hh_l0.data = torch.randn(15, 5).double()
    assert agrees()
    layer.weight_hh_l0.data = torch.randn(5, 15).double().t()
    with torch.no_grad():
        assert quick_call(layer, x, None) is None
    assert agrees()
    layer.weight_hh_l0 = nn.Parameter(torch.randn(15, 5).double())
    assert agrees()
    layer.weight_hh_l0 = nn.Parameter(torch.randn(15, 4).double())
    with torch.no_grad(), pytest.raises(ShapeError, match="weight_hh_l0 has shape"):
        layer(x)
    layer.weight_hh_l0 = nn.Parameter(torch.randn(15, 5).double())
    weight_norm(layer, "weight_hh_l0")
    with torch.no_grad():
        assert quick_call(layer, x, None) is None
    assert agrees()
    layer.float()
    with torch.no_grad(), pytest.raises(InputTypeError, match="float64"):
        layer(x)


def test_whoever_has_a_part_in_a_call_is_asked() -> None:
    layer, x = _layer("LSTM", {}, torch.float32), torch.randn(7, 2, 3)
    seen = []

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    with torch.no_grad():
        assert quick_call(layer, x, None) is not None
        with Mode():
            layer(x)
        assert any("recurrent_layer" in name for name in seen)
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).output.dtype == torch.bfloat16
        with watch(layer), torch.enable_grad():
            assert quick_call(layer, x, None) is None
        carried, outputs = Carried(), []
        for _ in range(2):
            with carried.carry(layer, [0, 1]):
                assert quick_call(layer, x, None) is None
                outputs.append(layer(x).output)
        assert not torch.equal(*outputs)
        mapped = torch.vmap(lambda one: layer(one).output, in_dims=1, out_dims=1)(x)
        torch.testing.assert_close(mapped, layer(x).output)


def test_dropout_context_and_learned_states_are_the_general_path_s() -> None:
    x = _x(7, 2, 3)
    with torch.no_grad():
        dropping = _layer("LSTM", {}, num_layers=2, dropout=0.5)
        assert quick_call(dropping, x, None) is None
        assert quick_call(dropping.eval(), x, None) is not None
        learned = _layer("LSTM", {"learn_initial_state": True})
        learned.initial_h.normal_()
        assert quick_call(learned, x, None) is None
        assert quick_call(learned, x, _state(learned, 2)) is not None
        speaking = _layer("GRU", {"context_size": 2})
        assert quick_call(speaking, x, None) is None
