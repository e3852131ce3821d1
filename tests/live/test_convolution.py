"""The live page on convolution: every section is operated, and its numbers are those of throughtime."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import throughtime as tt
from tests.live.conftest import LivePage, Section

if TYPE_CHECKING:
    from playwright.sync_api import Page

MODES = ("same", "valid", "full", "causal")
STEPS = 32
"""Input steps of the drawn networks."""


@pytest.fixture(scope="module")
def page(live_page: LivePage) -> "Page":
    return live_page("convolution").page


@pytest.fixture
def section(page: "Page") -> Callable[[str], Section]:
    return lambda name: Section(page, name)


SectionOf = Callable[[str], Section]


def doubles(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def assert_equal(shown: list[float], expected: Tensor) -> None:
    np.testing.assert_allclose(shown, expected.detach().flatten().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("preset", "mode"),
    [("gaussian", "same"), ("difference", "same"), *(("asymmetric", mode) for mode in MODES)],
)
def test_outputs_are_convolution_and_cross_correlation(section: SectionOf, preset: str, mode: str) -> None:
    kernel = section("kernel")
    kernel.choose("kernel: preset", preset)
    kernel.choose("outputs", mode)
    f, g = doubles(kernel.signal("signal f")), doubles(kernel.signal("kernel g"))
    expected = {
        True: tt.nn.functional.convolve(f, g, mode),  # type: ignore[arg-type]
        False: tt.nn.functional.cross_correlate(f, g, mode),  # type: ignore[arg-type]
    }
    for reverse, outputs in expected.items():
        kernel.switch("reverse the kernel (convolution)", on=reverse)
        assert_equal(kernel.numbers("y"), outputs)
    assert kernel.number("difference") == pytest.approx((expected[True] - expected[False]).abs().max().item())


@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("mode", MODES)
def test_the_formula_gives_the_outputs(section: SectionOf, mode: str, size: int) -> None:
    """The index of f in the printed sum, for both operations: evaluated, it gives the shown outputs."""
    kernel = section("kernel")
    kernel.choose("kernel: preset", "asymmetric")
    kernel.slide("kernel size", size)
    kernel.choose("outputs", mode)
    f, g = kernel.signal("signal f"), kernel.signal("kernel g")
    assert len(g) == size
    indices = re.findall(r"· f\((t [^)]*)\)", kernel.root.locator(".equation").inner_text())
    for reverse, index in zip((True, False), indices, strict=True):
        kernel.switch("reverse the kernel (convolution)", on=reverse)
        code = index.replace("−", "-").replace("⌈m/2⌉", "((m + 1) // 2)")
        shown = kernel.numbers("y")
        signal = dict(enumerate(f))
        expected = [
            sum(g[j - 1] * signal.get(eval(code, {"t": t, "j": j, "m": size}), 0) for j in range(1, size + 1))
            for t in range(len(shown))
        ]
        assert_equal(shown, doubles(expected))


@pytest.mark.parametrize(
    ("preset", "reason"),
    [("average", "because this kernel is symmetric"), ("edge", "this kernel is antisymmetric")],
)
def test_why_the_reversal_matters_or_not(section: SectionOf, preset: str, reason: str) -> None:
    kernel = section("kernel")
    kernel.choose("kernel: preset", preset)
    kernel.choose("outputs", "same")
    g = doubles(kernel.signal("kernel g"))
    assert (kernel.number("difference") == 0) is torch.equal(g, g.flip(0))
    assert reason in (kernel.root.locator(".verdict").text_content() or "")


def test_the_sum_of_the_products_is_the_output_at_the_chosen_step(section: SectionOf) -> None:
    kernel = section("kernel")
    kernel.choose("outputs", "same")
    for t in (0, 5, 11):
        kernel.slide("output step t", t)
        assert kernel.number("output") == pytest.approx(kernel.numbers("y")[t])
    kernel.press("Back")
    kernel.step("output step t", "ArrowLeft")
    assert kernel.number("output") == pytest.approx(kernel.numbers("y")[9])


def test_signals_are_drawn_with_keyboard_and_pointer(section: SectionOf) -> None:
    kernel = section("kernel")
    kernel.choose("signal f: preset", "spike")
    kernel.choose("kernel: preset", "asymmetric")
    kernel.choose("outputs", "same")
    kernel.switch("reverse the kernel (convolution)", on=True)
    kernel.handles("signal f").nth(9).press("ArrowDown")
    kernel.page.keyboard.press("ArrowRight")
    kernel.page.keyboard.press("ArrowUp")
    assert kernel.signal("signal f")[9:] == pytest.approx([-0.2, 0.2, 0])
    box = kernel.handles("signal f").nth(2).bounding_box()
    assert box is not None
    kernel.page.mouse.click(box["x"] + box["width"] / 2, box["y"] - 15)
    f, g = doubles(kernel.signal("signal f")), doubles(kernel.signal("kernel g"))
    assert f[2] > 0
    assert_equal(kernel.numbers("y"), tt.nn.functional.convolve(f, g))
    assert kernel.root.get_by_label("signal f: preset").input_value() == "own"


@pytest.mark.parametrize("mode", MODES)
def test_the_matrix_of_a_kernel_gives_its_convolution(section: SectionOf, mode: str) -> None:
    linear = section("linear")
    linear.choose("operation F", "convolution")
    linear.choose("outputs of the convolution", mode)
    f, g = doubles(linear.signal("signal f₁")), doubles(linear.signal("kernel g"))
    assert_equal(linear.numbers("T"), tt.nn.functional.convolution_matrix(g, len(f), mode))  # type: ignore[arg-type]
    assert_equal(linear.numbers("Tf"), tt.nn.functional.convolve(f, g, mode))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operation", "is_linear", "moves"),
    [
        ("convolution", True, True),
        ("stride", True, False),
        ("bias", False, True),
        ("relu", False, True),
        ("max", False, True),
    ],
)
def test_which_operations_are_linear_and_which_follow_a_shift(
    section: SectionOf, operation: str, is_linear: bool, moves: bool
) -> None:
    linear = section("linear")
    linear.choose("operation F", operation)
    linear.choose("outputs of the convolution", "same")
    linear.slide("factor a of f₁", 1.3)
    linear.slide("factor b of f₂", -0.7)
    linear.slide("shift of f₁, in steps", 1)
    f1, f2, g = (doubles(linear.signal(name)) for name in ("signal f₁", "signal f₂", "kernel g"))

    def apply(f: Tensor) -> Tensor:
        outputs = tt.nn.functional.convolve(f, g)
        return {
            "convolution": outputs,
            "stride": outputs[::2],
            "bias": outputs + 0.5,
            "relu": F.relu(f),
            "max": F.pad(f, (1, 1)).unfold(0, 3, 1).amax(-1),
        }[operation]

    left, right = apply(1.3 * f1 - 0.7 * f2), 1.3 * apply(f1) - 0.7 * apply(f2)
    assert_equal(linear.numbers("left"), left)
    assert_equal(linear.numbers("right"), right)
    assert linear.number("linearity") == pytest.approx((left - right).abs().max().item(), abs=1e-12)
    assert (linear.number("linearity") < 1e-12) is is_linear
    assert (linear.number("equivariance") < 1e-12) is moves


def test_a_stride_of_two_follows_even_shifts(section: SectionOf) -> None:
    linear = section("linear")
    linear.choose("operation F", "stride")
    linear.slide("shift of f₁, in steps", 2)
    assert linear.number("equivariance") < 1e-12
    linear.slide("shift of f₁, in steps", 3)
    assert linear.number("equivariance") > 0.1


@pytest.mark.parametrize(
    ("kind", "size", "stride"), [("max", 3, 3), ("max", 5, 1), ("mean", 4, 2), ("mean", 2, 6)]
)
def test_pooling_of_windows_and_of_the_whole_sequence(
    section: SectionOf, kind: str, size: int, stride: int
) -> None:
    pooling = section("pooling")
    pooling.choose("keep", kind)
    pooling.slide("window, in steps", size)
    pooling.slide("stride, in steps", stride)
    pooling.slide("shift, in steps", 2)
    f = doubles(pooling.signal("signal f"))
    x = tt.Ragged.from_list([f[:, None], f.roll(2)[:, None]])
    pool = {"max": tt.nn.MaxPool1d, "mean": tt.nn.AvgPool1d}[kind](size, stride)
    before, after = (outputs[:, 0] for outputs in pool(x))
    assert_equal(pooling.numbers("y"), before)
    assert_equal(pooling.numbers("shifted"), after)
    assert pooling.number("changed") == ((before - after).abs() > 1e-12).sum()
    whole = tt.nn.Pool(kind)(x)
    assert_equal([pooling.number("whole"), pooling.number("wholeShifted")], whole)


def test_the_steps_that_win(section: SectionOf) -> None:
    pooling = section("pooling")
    pooling.choose("keep", "max")
    pooling.slide("window, in steps", 4)
    pooling.slide("stride, in steps", 2)
    _, winners = F.max_pool1d(doubles(pooling.signal("signal f"))[None], 4, 2, return_indices=True)
    steps = winners.unique().tolist()
    assert pooling.number("winners") == len(steps)
    assert f"({', '.join(map(str, steps))})" in (pooling.root.text_content() or "")


def batch_of(block: Section, lengths: tuple[int, ...]) -> tt.Ragged:
    """Set the lengths, switch all parts off, and return the batch that the section shows as its output."""
    for i, length in enumerate(lengths):
        block.slide(f"length of sequence {i + 1}", length)
    for part in ("convolution", "batch norm", "max pooling of 2", "dropout"):
        block.switch(part, on=False)
    block.choose("activation", "none")
    return tt.Ragged.from_list([doubles(block.numbers(f"y[{i}]"))[:, None] for i in range(len(lengths))])


@pytest.mark.parametrize(
    ("norm", "activation", "pool"),
    [(True, "relu", 2), (True, "tanh", None), (False, "relu", 2), (False, "none", None)],
)
def test_the_block_with_parts_on_and_off(
    section: SectionOf, norm: bool, activation: str, pool: int | None
) -> None:
    block = section("block")
    x = batch_of(block, (10, 5, 3))
    block.choose("kernel: preset", "asymmetric")
    block.switch("convolution", on=True)
    block.switch("batch norm", on=norm)
    block.choose("activation", activation)
    block.switch("max pooling of 2", on=pool is not None)
    layer = tt.nn.ConvBlock(
        1,
        1,
        3,
        padding="same",
        bias=False,
        norm="batch" if norm else None,
        activation={"relu": F.relu, "tanh": torch.tanh, "none": None}[activation],
        pool=pool,
    ).double()
    weight = layer.conv.weight
    assert isinstance(weight, Tensor)
    weight.data = doubles(block.signal("kernel g")).view(1, 1, 3)
    for i, expected in enumerate(layer(x)):
        assert_equal(block.numbers(f"y[{i}]"), expected)


def test_dropout_scales_what_it_keeps(section: SectionOf) -> None:
    block = section("block")
    x = batch_of(block, (10, 10, 10))
    block.switch("dropout", on=True)
    block.slide("dropout probability", 0.4)
    masks = []
    for _ in range(2):
        block.press("Draw other values to drop")
        kept = doubles(block.numbers("kept[0]") + block.numbers("kept[1]") + block.numbers("kept[2]"))
        shown = block.numbers("y[0]") + block.numbers("y[1]") + block.numbers("y[2]")
        assert_equal(shown, x.values[:, 0] * kept / 0.6)
        masks.append(kept)
    assert 0 < masks[0].sum() < 30
    assert not torch.equal(*masks)


@pytest.mark.parametrize("lengths", [(10, 4, 2), (7, 7, 7)])
def test_batch_statistics_with_and_without_padding(section: SectionOf, lengths: tuple[int, ...]) -> None:
    block = section("block")
    x = batch_of(block, lengths)
    block.choose("kernel: preset", "average")
    block.switch("convolution", on=True)
    block.switch("batch norm", on=True)
    conv = tt.nn.Conv1d(1, 1, 3, padding="same", bias=False).double()
    conv.weight.data = doubles(block.signal("kernel g")).view(1, 1, 3)
    ragged = conv(x).values.flatten()
    padded = conv(nn.utils.rnn.pad_sequence([each[:, 0] for each in x], batch_first=True)[:, None])
    for name, values in (("ragged", ragged), ("padded", padded)):
        assert block.number(f"{name}.tokens") == values.numel()
        assert block.number(f"{name}.mean") == pytest.approx(values.mean().item())
        assert block.number(f"{name}.variance") == pytest.approx(values.var(correction=0).item())
    norm = nn.BatchNorm1d(1).double()
    outputs = norm(ragged[:, None])[:, 0]
    other = torch.cat([row[0, :length] for row, length in zip(norm(padded), lengths, strict=True)])
    assert block.number("gap") == pytest.approx((outputs - other).abs().max().item(), abs=1e-12)
    assert (block.number("gap") > 0.1) is (len(set(lengths)) > 1)


def test_without_batch_norm_padding_changes_no_output(section: SectionOf) -> None:
    block = section("block")
    batch_of(block, (10, 4, 2))
    block.switch("convolution", on=True)
    comparison = block.root.locator("figure", has_text="After batch norm: with statistics")
    for on in (True, False):
        block.switch("batch norm", on=on)
        assert (block.number("gap") > 0.1) is on
        text = block.root.locator(".verdict").inner_text()
        assert ("They change the outputs" in text) is on
        assert ("Without batch norm, padding changes no output" in text) is not on
        assert comparison.is_visible() is on
    assert block.number("gap") == 0


def gradient(stack: nn.Module, output: int) -> Tensor:
    """Return the number of paths from every input to an output: the gradient where all weights are 1."""
    for parameter in stack.parameters():
        nn.init.ones_(parameter)
    x = torch.zeros(STEPS, 1, requires_grad=True)
    (paths,) = torch.autograd.grad(stack(tt.Ragged.from_list([x]))[0][output, 0], x)
    return paths.flatten()


def lit_inputs(section: Section) -> list[bool]:
    """Return for every input whether its dot is lit."""
    section.page.evaluate("() => new Promise(requestAnimationFrame)")
    dots = section.root.locator(".network circle").evaluate_all(
        "all => all.map((each) => [Number(each.getAttribute('cy')), each.classList.contains('lit')])"
    )
    lowest = max(y for y, _ in dots)
    return [lit for y, lit in dots if y == lowest]


@pytest.mark.parametrize(
    ("depth", "size", "stride", "pool"), [(3, 3, 1, None), (4, 5, 1, None), (3, 3, 2, None), (2, 7, 1, 2)]
)
def test_the_receptive_field_of_a_stack(
    section: SectionOf, depth: int, size: int, stride: int, pool: int | None
) -> None:
    stacked = section("stacked")
    stacked.slide("blocks", depth)
    stacked.slide("kernel size (odd)", size)
    stacked.slide("stride of each convolution", stride)
    stacked.switch("max pooling of 2 in each block", on=pool is not None)
    stacked.slide("output step", 2)
    stack = tt.nn.ConvStack(
        1,
        [1] * depth,
        size,
        padding=size // 2,
        stride=stride,
        bias=False,
        activation=None,
        pool=pool,
    )
    field = tt.nn.receptive_field(stack)
    assert stacked.number("from") == 2 * field.stride + field.first
    assert stacked.number("to") == 2 * field.stride + field.last
    assert stacked.number("stride") == field.stride
    assert stacked.number("size") == field.size
    assert stacked.numbers("layerSize")[-1] == field.size
    assert stacked.numbers("layerLength")[-1] == tt.nn.output_lengths(stack, [STEPS])[0]
    if pool is None:
        paths = gradient(stack, 2)
        assert_equal(stacked.numbers("paths"), paths)
        assert lit_inputs(stacked) == (paths > 0).tolist()


def test_a_click_chooses_the_output(section: SectionOf) -> None:
    stacked = section("stacked")
    stacked.slide("blocks", 2)
    stacked.slide("kernel size (odd)", 3)
    stacked.slide("stride of each convolution", 1)
    stacked.switch("max pooling of 2 in each block", on=False)
    drawing = stacked.root.locator(".network svg")
    box = drawing.bounding_box()
    assert box is not None
    drawing.click(position={"x": box["width"] * 20.5 / STEPS, "y": 20})
    assert stacked.root.get_by_label("output step", exact=True).input_value() == "20"
    assert [i for i, lit in enumerate(lit_inputs(stacked)) if lit] == [18, 19, 20, 21, 22]


@pytest.mark.parametrize(
    ("depth", "size", "base", "causal"),
    [(4, 2, 2, True), (3, 3, 1, False), (3, 2, 3, True), (3, 4, 2, False), (5, 2, 2, False)],
)
def test_the_receptive_field_of_dilated_convolutions(
    section: SectionOf, depth: int, size: int, base: int, causal: bool
) -> None:
    dilated = section("dilated")
    dilated.slide("layers", depth)
    dilated.slide("kernel size", size)
    dilated.slide("base of the dilations", base)
    dilated.switch("causal", on=causal)
    dilated.choose("light up", "output")
    dilated.slide("chosen step", 20)
    schedule = tt.nn.dilation_schedule(depth, base=base)
    stack = tt.nn.ConvStack(
        1,
        [1] * depth,
        size,
        dilations=schedule,
        padding="causal" if causal else "same",
        bias=False,
        activation=None,
    )
    field = tt.nn.receptive_field(stack)
    assert dilated.number("size") == field.size
    assert dilated.number("before") == -field.first
    assert dilated.number("lookahead") == field.lookahead
    assert dilated.number("weights") == sum(each.numel() for each in stack.parameters())
    read = gradient(stack, 20) > 0
    assert lit_inputs(dilated) == read.tolist()
    assert dilated.number("lit") == read.sum()
    assert dilated.number("later") == read[21:].sum()
    dilated.choose("light up", "input")
    dilated.slide("chosen step", 9)
    reached = sum(bool(gradient(stack, t)[9] > 0) for t in range(STEPS))
    assert dilated.number("lit") == reached


@pytest.mark.parametrize(("steps", "size"), [(1000, 2), (200, 3)])
def test_how_many_layers_read_a_number_of_steps(section: SectionOf, steps: int, size: int) -> None:
    dilated = section("dilated")
    dilated.slide("kernel size", size)
    dilated.slide("steps to read", steps)
    for name, base in (("plain", 1), ("doubled", 2)):
        depth = round(dilated.number(name))
        sizes = [
            1 + (size - 1) * sum(tt.nn.dilation_schedule(layers, base=base)) for layers in (depth - 1, depth)
        ]
        assert sizes[0] < steps <= sizes[1]


@pytest.mark.parametrize(
    ("shape", "sizes", "relu"),
    [("average", (2, 3, 6), False), ("slope", (1, 4, 9), True), ("peak", (3, 5, 7), False)],
)
def test_wide_convolutions(section: SectionOf, shape: str, sizes: tuple[int, ...], relu: bool) -> None:
    wide = section("wide")
    wide.choose("what the kernels compute", shape)
    for i, size in enumerate(sizes):
        wide.slide(f"size of kernel {i + 1}", size)
    wide.switch("ReLU after each", on=relu)
    wide.slide("step t", 7)
    layer = tt.nn.WideConv(1, 1, sizes, bias=False, activation=F.relu if relu else None).double()
    for parameter in layer.parameters():
        parameter.data = kernel_of(shape, parameter.shape[-1]).view(1, 1, -1)
    x = tt.Ragged.from_list([doubles(wide.signal("signal f"))[:, None]])
    channels = layer(x).values.T
    assert_equal(wide.numbers("y"), channels)
    assert_equal(wide.numbers("feature"), channels[:, 7])
    assert wide.numbers("kernelSize") == list(sizes)
    assert wide.number("size") == tt.nn.receptive_field(layer).size
    assert wide.number("weights") == sum(each.numel() for each in layer.parameters())


def kernel_of(shape: str, size: int) -> Tensor:
    steps = torch.arange(size, dtype=torch.float64)
    if shape == "average":
        return torch.full_like(steps, 1 / size)
    if shape == "slope":
        return torch.sign(steps - (size - 1) / 2) / max(1, size // 2)
    return (steps == (size - 1) // 2).double() - 1 / size
