"""Pooling and norms as operators of torch: values, derivatives, and torch's rules for operators."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from tests.models.test_models import MODELS
from tests.nn.contract import CASES
from throughtime.errors import ThroughtimeError
from throughtime.ops.norm import registered as norm
from throughtime.ops.norm.layer import normalize_sequences
from throughtime.ops.norm.reference import normalize_sequences_reference
from throughtime.ops.pool import layer, reference
from throughtime.ops.pool import registered as pool
from throughtime.ops.pool import registered_windows as pool_windows
from throughtime.ops.windows import Windows
from throughtime.ragged import Layout, Ragged

LENGTHS = [4, 0, 1, 6]
OFFSETS = torch.tensor([0, 4, 4, 5, 11])
WINDOWS = Windows(3, 2, 1, 1, 1)
WINDOW_OFFSETS = torch.tensor([0, 2, 2, 3, 6])
GEOMETRY = (OFFSETS, WINDOW_OFFSETS, WINDOWS.numbers())


def tokens(features: int = 2) -> Tensor:
    torch.manual_seed(4)
    return torch.randn(11, features, dtype=torch.float64, requires_grad=True)


def layout() -> Layout:
    return Layout(OFFSETS, total=11)


def operator(name: str) -> Any:
    return getattr(torch.ops.throughtime, name)


def _normalize(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return operator("normalize_sequences")(x, OFFSETS, weight, bias, 2, 1e-2)[0]  # type: ignore[no-any-return]


def _windows(lay: Layout) -> Layout:
    return Layout(WINDOW_OFFSETS, total=6)


# Each operator of values and offsets, with the rest of its arguments, and what it has to give.
POOLINGS: dict[str, tuple[tuple[Any, ...], Callable[[Tensor], Tensor]]] = {
    "max_over_time": ((OFFSETS,), lambda x: reference.max_over_time_reference(x, layout())),
    "mean_over_time": ((OFFSETS,), lambda x: reference.mean_over_time_reference(x, layout())),
    "std_over_time": ((OFFSETS,), lambda x: reference.std_over_time_reference(x, layout())),
    "sum_over_time": ((OFFSETS,), lambda x: reference.sum_over_time_reference(x, layout())),
    "last_over_time": ((OFFSETS,), lambda x: reference.last_over_time_reference(x, layout())),
    "top_k_over_time": ((OFFSETS, 3), lambda x: reference.top_k_over_time_reference(x, layout(), 3)),
    "softmax_over_time": ((OFFSETS,), lambda x: reference.softmax_over_time_reference(x, layout())),
    "max_over_windows": (
        (*GEOMETRY, 6),
        lambda x: reference.max_over_windows_reference(x, layout(), _windows(layout()), WINDOWS),
    ),
    "mean_over_windows": (
        (*GEOMETRY, 6, False),
        lambda x: reference.mean_over_windows_reference(
            x, layout(), _windows(layout()), WINDOWS, count_padding=False
        ),
    ),
}
each_pooling = pytest.mark.parametrize("name", POOLINGS)


@each_pooling
def test_pooling_is_the_reference_in_values_and_derivatives(name: str) -> None:
    rest, expected = POOLINGS[name]

    def call(x: Tensor) -> Tensor:
        return operator(name)(x, *rest)  # type: ignore[no-any-return]

    x = tokens()
    y, wanted = call(x), expected(x)
    torch.testing.assert_close(y, wanted, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(y)
    torch.testing.assert_close(*(torch.autograd.grad((part * weights).sum(), x)[0] for part in (y, wanted)))
    assert torch.autograd.gradcheck(call, (x,))
    assert torch.autograd.gradgradcheck(call, (x,))


# Whole numbers have no mean, exponential or infinity.
REAL_ALONE = {"mean_over_time", "softmax_over_time", "max_over_windows", "mean_over_windows"}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in POOLINGS for dtype in (torch.float32, torch.float64)]
    + [(name, torch.int64) for name in POOLINGS if name not in REAL_ALONE],
)
def test_pooling_on_the_cpu_is_that_of_other_devices(name: str, dtype: torch.dtype) -> None:
    rest, expected = POOLINGS[name]
    x = (3 * tokens().detach()).to(dtype)
    torch.testing.assert_close(operator(name)(x, *rest), expected(x))


@each_pooling
def test_pooling_keeps_torchs_rules(name: str) -> None:
    torch.library.opcheck(operator(name).default, (tokens(), *POOLINGS[name][0]))


def test_gradients_and_rows_keep_torchs_rules() -> None:
    dy = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    x = tokens().detach()
    taps = operator("max_over_windows_taps")(x, *GEOMETRY, 6)
    for name, arguments in {
        "max_over_time_rows": (x, OFFSETS),
        "top_k_over_time_rows": (x, OFFSETS, 3),
        "max_over_windows_taps": (x, *GEOMETRY, 6),
        "max_over_windows_gradient": (dy, taps, *GEOMETRY, 11),
        "mean_over_windows_gradient": (dy, *GEOMETRY, 11, True),
    }.items():
        torch.library.opcheck(operator(name).default, arguments)


def test_the_rows_are_where_the_largest_values_lie() -> None:
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0], [3.0, 2.0], [float("nan"), 0.0]])
    offsets = torch.tensor([0, 3, 3, 4])
    assert operator("max_over_time_rows")(x, offsets).tolist() == [[1, 0], [-1, -1], [3, 3]]
    assert operator("top_k_over_time_rows")(x, offsets, 2).tolist() == [
        [[1, 0], [2, 1]],
        [[-1, -1], [-1, -1]],
        [[3, 3], [-1, -1]],
    ]


@each_pooling
def test_vmap_calls_a_pooling_once_for_all(name: str) -> None:
    rest, expected = POOLINGS[name]
    several = torch.randn(3, 11, 2, dtype=torch.float64)
    mapped = torch.vmap(lambda x: operator(name)(x, *rest))(several)
    torch.testing.assert_close(mapped, torch.stack([expected(x) for x in several]))


@pytest.mark.parametrize("name", [name for name in POOLINGS if "windows" not in name])
def test_no_tokens_pool_to_zeros_whose_gradient_is_empty(name: str) -> None:
    x = torch.zeros(0, 2, dtype=torch.float64, requires_grad=True)
    y = operator(name)(x, torch.tensor([0, 0, 0]), *POOLINGS[name][0][1:])
    assert not y.any()
    assert torch.autograd.grad(y.sum(), x)[0].shape == (0, 2)


@pytest.mark.parametrize("affine", [False, True])
def test_normalization_is_the_reference_in_values_and_derivatives(affine: bool) -> None:
    x = tokens(4)
    rows = [torch.rand(4, dtype=torch.float64, requires_grad=True) for _ in range(2)] if affine else []
    weight, bias = rows or (None, None)

    def call(x: Tensor, *rows: Tensor) -> Tensor:
        return _normalize(x, *(rows or (None, None)))

    wanted = normalize_sequences_reference(x, layout(), 2, 1e-2, weight, bias)
    torch.testing.assert_close(call(x, *rows), wanted, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(call, (x, *rows))
    assert torch.autograd.gradgradcheck(call, (x, *rows))


def test_third_derivatives_of_a_norm_are_those_of_its_composition() -> None:
    def third(call: Callable[[Tensor], Tensor]) -> Tensor:
        x = tokens(4)
        y = call(x).square().sum()
        for _ in range(3):
            (gradient,) = torch.autograd.grad(y, x, create_graph=True)
            y = (gradient * torch.arange(4)).square().sum()
        return gradient

    found = third(lambda x: _normalize(x, None, None))
    wanted = third(lambda x: normalize_sequences_reference(x, layout(), 2, 1e-2, None, None))
    torch.testing.assert_close(found, wanted)


def test_normalization_keeps_torchs_rules() -> None:
    x, weight = tokens(4), torch.rand(4, dtype=torch.float64, requires_grad=True)
    bias = torch.rand(4, dtype=torch.float64)
    op = operator("normalize_sequences")
    torch.library.opcheck(op.default, (x, OFFSETS, weight, bias, 2, 1e-2))
    torch.library.opcheck(op.default, (x, OFFSETS, None, None, 4, 1e-2))
    _, mean, scale = op(x, OFFSETS, weight, bias, 2, 1e-2)
    dy = torch.randn_like(x)
    arguments = (dy, x.detach(), OFFSETS, weight.detach(), bias, mean, scale, 2, 1e-2, [True, True, False])
    torch.library.opcheck(operator("normalize_sequences_gradient").default, arguments)


class _Names(torch.utils._python_dispatch.TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func._schema.name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("max_over_time", lambda x: layer.max_over_time(x, layout())),
        ("mean_over_time", lambda x: layer.mean_over_time(x, layout())),
        ("std_over_time", lambda x: layer.std_over_time(x, layout())),
        ("sum_over_time", lambda x: layer.sum_over_time(x, layout())),
        ("last_over_time", lambda x: layer.last_over_time(x, layout())),
        ("top_k_over_time", lambda x: layer.top_k_over_time(x, layout(), 2)),
        ("softmax_over_time", lambda x: layer.softmax_over_time(x, layout())),
        ("max_over_windows", lambda x: layer.max_over_windows(x, layout(), WINDOWS)[0]),
        ("mean_over_windows", lambda x: layer.mean_over_windows(x, layout(), WINDOWS)[0]),
        ("normalize_sequences", lambda x: normalize_sequences(x, layout(), 2, 1e-5)),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_dispatch_mode_sees_the_operator_and_an_eager_call_does_not_use_it(
    name: str, call: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = tokens().detach()
    with _Names() as seen:
        y = call(x)
    assert f"throughtime::{name}" in seen.names
    modules = [module for module in (pool, pool_windows, norm) if hasattr(module, name)]
    assert modules
    for module in modules:
        monkeypatch.delattr(module, name)
    torch.testing.assert_close(call(x), y, rtol=1e-12, atol=1e-12)


def _named_operators(module: nn.Module) -> set[str]:
    names = set()
    for part in module.modules():
        if hasattr(part, "operators"):
            try:
                names |= {stated.name for stated in part.operators()}
            except ThroughtimeError:
                continue  # a layer that has no operators in this form says so
    return names


def test_every_operator_that_a_layer_states_is_one_of_torchs() -> None:
    makers = [*(case.make for case in CASES), *(make for make, _ in MODELS.values())]
    makers += [lambda kind=kind: tt.nn.Pool(kind) for kind in ("max", "mean", "last", "sum")]
    names = set().union(*(_named_operators(make()) for make in makers))
    ours = {name for name in names if name.startswith("throughtime::")}
    assert {"throughtime::conv1d", "throughtime::recurrent_layer", "throughtime::top_k_over_time"} <= ours
    for name in ours:
        assert hasattr(torch.ops.throughtime, name.removeprefix("throughtime::")), name


def test_a_graph_of_pool_and_norm_holds_one_operator_for_each() -> None:
    x = Ragged(tokens(4).detach(), OFFSETS)
    sizes = ([{0: torch.export.Dim.DYNAMIC}] * 2,)
    layers = nn.Sequential(
        tt.nn.GroupNorm(2, 4).double(), tt.nn.MaxPool1d(2, ceil_mode=True), tt.nn.Pool("max")
    )
    program = torch.export.export(layers, (x,), dynamic_shapes=sizes)
    ours = [str(node.target) for node in program.graph.nodes if "throughtime" in str(node.target)]
    assert ours == [
        "throughtime.normalize_sequences.default",
        "throughtime.max_over_windows.default",
        "throughtime.max_over_time.default",
    ]
