"""Linear recurrences: derivatives of higher order, dispatch paths, extreme values, errors."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from tests.ops.ladder import layout_of
from tests.ops.scan_ladder import by_steps
from throughtime.errors import InputTypeError, ShapeError
from throughtime.ops.scan import layer
from throughtime.ops.scan.gated_output import gated_output
from throughtime.ops.scan.gates import BLOCKS, Gates
from throughtime.ops.scan.layer import gated_scan, linear_scan
from throughtime.ops.scan.reference import linear_scan_reference

LENGTHS = [3, 0, 1, 5]
LAYOUT = layout_of(LENGTHS)

Scan = Callable[..., tuple[Tensor, Tensor]]


def _gated(gates: Gates, **options: Any) -> Scan:
    return lambda u, h0: gated_scan(u, LAYOUT, h0, gates=gates, **options)


SCANS: dict[str, tuple[Scan, int]] = {
    "given": (lambda u, h0: linear_scan(*u.chunk(2, 1), LAYOUT, h0), 2),
    "given, reverse": (lambda u, h0: linear_scan(*u.chunk(2, 1), LAYOUT, h0, reverse=True), 2),
    **{gates: (_gated(gates, candidate="tanh"), BLOCKS[gates]) for gates in get_args(Gates)},
    "update, reverse": (_gated("update", candidate="positive", reverse=True), 2),
}
each_scan = pytest.mark.parametrize("name", SCANS)


def inputs(blocks: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    tokens, states = torch.randn(sum(LENGTHS), blocks * 2), torch.randn(len(LENGTHS), 2)
    return tokens.to(dtype).requires_grad_(), states.to(dtype).requires_grad_()


@pytest.fixture
def native_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the reference would run instead."""

    def refuse(*_: Any, **__: Any) -> Tensor:
        raise AssertionError("the reference ran")

    monkeypatch.setattr(layer, "linear_scan_reference", refuse)
    monkeypatch.setattr(layer, "coefficients", refuse)


@each_scan
def test_derivatives_of_first_and_second_order(name: str) -> None:
    call, blocks = SCANS[name]
    assert torch.autograd.gradcheck(call, inputs(blocks), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(call, inputs(blocks))


@each_scan
@pytest.mark.parametrize("part", [0, 1])
def test_gradients_of_the_states_alone_and_of_the_last_ones_alone(name: str, part: int) -> None:
    call, blocks = SCANS[name]
    assert torch.autograd.gradcheck(lambda *given: call(*given)[part], inputs(blocks))


@pytest.mark.usefixtures("native_alone")
@each_scan
def test_a_training_step_is_native(name: str) -> None:
    call, blocks = SCANS[name]
    given = inputs(blocks)
    torch.autograd.grad(call(*given)[0].sum(), given)


OUTPUTS: dict[str, tuple[int, bool]] = {"a gate": (1, False), "a highway": (1, True), "both in u": (2, False)}


@pytest.mark.parametrize(("blocks", "highway"), OUTPUTS.values(), ids=OUTPUTS)
def test_a_gated_output_has_derivatives_of_every_kind(blocks: int, *, highway: bool) -> None:
    torch.manual_seed(3)
    given = tuple(
        torch.randn(5, width * 3).double().requires_grad_() for width in (blocks, 1, 1)[: 2 + highway]
    )
    assert torch.autograd.gradcheck(gated_output, given, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(gated_output, given)
    compiled = torch.compile(gated_output, backend="aot_eager", fullgraph=True)
    results = [
        [y, *torch.autograd.grad(y.sin().sum(), given)] for y in (compiled(*given), gated_output(*given))
    ]
    torch.testing.assert_close(*results)
    rows = torch.func.vmap(lambda *row: gated_output(*(part.unsqueeze(0) for part in row)))(*given)
    torch.testing.assert_close(rows.squeeze(1), gated_output(*given))


def test_a_gated_output_of_other_sizes_is_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"u \(T, D\) or \(T, 2D\) and h \(T, D\), got \(5, 9\) and \(5, 3\)"
    ):
        gated_output(torch.zeros(5, 9), torch.zeros(5, 3))


# Torch's own, at the first forward-mode derivative.
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
@each_scan
def test_transforms_agree(name: str) -> None:
    call, blocks = SCANS[name]
    u, h0 = (part.detach() for part in inputs(blocks))
    _, found = torch.func.jvp(call, (u, h0), (u.sin(), h0.cos()))
    expected = torch.autograd.functional.jvp(call, (u, h0), (u.sin(), h0.cos()))[1]
    torch.testing.assert_close(found, expected)
    many = torch.stack([u, u.sin()])
    found = torch.func.vmap(call, (0, None))(many, h0)
    for place, one in enumerate(many):
        torch.testing.assert_close([part[place] for part in found], list(call(one, h0)))


@each_scan
def test_compiled_with_gradients(name: str) -> None:
    call, blocks = SCANS[name]
    torch._dynamo.reset()
    given = inputs(blocks)
    found, expected = (
        run(*given) for run in (torch.compile(call, backend="aot_eager", fullgraph=True), call)
    )
    torch.testing.assert_close(found, expected)
    for of in (0, 1):
        torch.testing.assert_close(
            *(
                torch.autograd.grad(states[of].sin().sum(), given, retain_graph=True)
                for states in (found, expected)
            )
        )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("initial", [False, True])
def test_the_operator_by_torchs_rules(*, reverse: bool, initial: bool) -> None:
    u, h0 = inputs(2)
    a, b = (part.detach().clone().requires_grad_() for part in u.chunk(2, 1))
    given = (a, b, h0 if initial else None, LAYOUT.offsets, reverse)
    torch.library.opcheck(torch.ops.throughtime.linear_scan.default, given)


def test_the_operator_has_second_derivatives() -> None:
    u, h0 = inputs(2)

    def call(u: Tensor, h0: Tensor) -> Any:
        return torch.ops.throughtime.linear_scan(*u.chunk(2, 1), h0, LAYOUT.offsets, False)

    assert torch.autograd.gradcheck(call, (u, h0))
    assert torch.autograd.gradgradcheck(call, (u, h0))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_reference_is_the_definition(*, reverse: bool) -> None:
    layout, (a, b) = layout_of([70, 0, 1, 9]), torch.randn(2, 80, 3).double().unbind()
    h0 = torch.randn(4, 3).double()
    for start in (h0, None):
        found = linear_scan_reference(a, b, start, layout, reverse=reverse)
        torch.testing.assert_close(found, by_steps(a, b, layout, start, reverse=reverse))


def test_on_the_meta_device_there_are_shapes() -> None:
    a = torch.zeros(9, 2, device="meta")
    h, last = linear_scan(a, a, layout_of(LENGTHS).to(torch.device("meta")))
    assert (h.shape, last.shape) == ((9, 2), (4, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    (u, h0), layout = inputs(2, dtype), LAYOUT
    (a, b), wide = u.chunk(2, 1), [part.float() for part in (*u.chunk(2, 1), h0)]
    found, expected = linear_scan(a, b, layout, h0), linear_scan(wide[0], wide[1], layout, wide[2])
    torch.testing.assert_close(found, tuple(part.to(dtype) for part in expected), rtol=0, atol=0)


def test_factors_whose_product_overflows_do_not_spoil_states_that_do_not() -> None:
    # The product of the first chunk's factors is infinite, and all states are zero, or small.
    a, b = torch.full((200, 2), 1e3), torch.zeros(200, 2)
    a[100:], b[150:] = 0.5, 1.0
    b[:, 1] = torch.where(torch.arange(200) == 70, 1e-30, b[:, 1])
    a[71:, 1] = 0.5
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for copies in (1, 400):  # few values are one thread's
                layout = layout_of([200])
                rows = [part.repeat(1, copies) for part in (a, b)]
                found, last = linear_scan(*rows, layout)
                torch.testing.assert_close(found, by_steps(*rows, layout, None, reverse=False)[0])
                assert last.isfinite().all()
    finally:
        torch.set_num_threads(1)


def test_nan_stays_in_its_sequence_and_feature() -> None:
    a, b = torch.full((300, 3), 0.9), torch.ones(300, 3)
    b[70, 1] = torch.nan
    layout = layout_of([150, 150])
    for call in (linear_scan, lambda a, b, layout: linear_scan_reference(a, b, None, layout, reverse=False)):
        h, last = call(a, b, layout)
        where = h.isnan()
        assert where[70:150, 1].all()
        assert where.sum() == 80
        assert last.isnan().tolist() == [[False, True, False], [False] * 3]


def test_factors_that_underflow_are_as_in_a_loop() -> None:
    a, b = torch.full((500, 4), 1e-3), torch.zeros(500, 4)
    b[::100] = 1.0
    layout = layout_of([500])
    torch.testing.assert_close(linear_scan(a, b, layout)[0], by_steps(a, b, layout, None, reverse=False)[0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linear_scan(torch.ones(9, 2), torch.ones(9, 3), LAYOUT), ShapeError, "one shape"),
        (lambda: linear_scan(torch.ones(9), torch.ones(9), LAYOUT), ShapeError, "one shape"),
        (lambda: linear_scan(torch.ones(8, 2), torch.ones(8, 2), LAYOUT), ShapeError, "9 tokens got 8 rows"),
        (
            lambda: linear_scan(torch.ones(9, 2), torch.ones(9, 2), LAYOUT, torch.ones(3, 2)),
            ShapeError,
            r"\(4, 2\), got \(3, 2\)",
        ),
        (lambda: linear_scan(torch.ones(9, 2), torch.ones(9, 2).double(), LAYOUT), InputTypeError, "float64"),
        (lambda: gated_scan(torch.ones(9, 4), LAYOUT, gates="separate"), ShapeError, r"\(T, 3 · D\)"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
