"""Draw the figures of docs with the layers themselves: python docs/pictures/draw.py [FOLDER]."""

import math
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from overview import overview
from svg import BLUE, GREEN, GREY, RED, Picture, layers, stems, table
from torch import Tensor, nn

import throughtime as tt
from throughtime.nn.functional import convolution_matrix, convolve, cross_correlate


def definition() -> Picture:
    """Draw two impulses: convolution gives the kernel, cross-correlation the reversed kernel."""
    f = torch.tensor([0.0, 0, 1, 0, 0, 0, 0, -1, 0, 0])
    g = torch.tensor([3.0, 2.0, 1.0])
    picture = Picture(860, 290)
    stems(picture, (20, 40), f.tolist(), "f")
    stems(picture, (20, 180), g.tolist(), "kernel g", GREEN)
    stems(picture, (300, 40), convolve(f, g).tolist(), "convolve(f, g)", RED)
    stems(picture, (580, 40), cross_correlate(f, g).tolist(), "cross_correlate(f, g)", RED)
    return picture


def matrix() -> Picture:
    """Draw the kernel as a banded matrix, and the effect of a shift."""
    g = torch.tensor([1.0, 2.0, 3.0])
    f = torch.tensor([0.0, 2, 1, 0, 0, 0, 0, 0, 0, 0])
    picture = Picture(900, 345)
    picture.text(20, 30, "convolution_matrix([1, 2, 3], 10)")
    table(picture, (20, 45), convolution_matrix(g, 10).tolist(), cell=(34, 26))
    late = f.roll(4)
    for x, series, name in ((400, f, "f"), (650, late, "f, 4 steps later")):
        stems(picture, (x, 30), series.tolist(), name)
        stems(picture, (x, 150), convolve(series, g).tolist(), f"M · ({name})" if x > 400 else "M · f", RED)
    return picture


def pooling() -> Picture:
    """Draw pooling over windows within each sequence, and over whole sequences."""
    rows = [[1.0, 5, 2, 4, 9, 3, 8], [7.0, 3, 6, 2], [4.0, 6]]
    x = tt.Ragged.from_list([torch.tensor(row)[:, None] for row in rows])
    picture = Picture(900, 250)
    columns: list[tuple[int, str, nn.Module]] = [
        (20, "x, three sequences", nn.Identity()),
        (290, "MaxPool1d(2)", tt.nn.MaxPool1d(2)),
        (430, "AvgPool1d(3, 1, 1)", tt.nn.AvgPool1d(3, 1, 1)),
    ]
    for left, name, layer in columns:
        picture.text(left, 40, name)
        for row, sequence in enumerate(layer(x)):
            _cells(picture, (left, 60 + 55 * row), sequence.flatten())
    for place, kind in enumerate(("max", "mean", "sum", "last")):
        picture.text(705 + 45 * place, 40, kind, size=13, anchor="middle")
        for row, value in enumerate(tt.nn.Pool(kind)(x).flatten()):
            _cells(picture, (688 + 45 * place, 60 + 55 * row), value[None])
    picture.text(20, 232, "Steps after the last complete window are dropped.")
    return picture


def _cells(picture: Picture, corner: tuple[float, float], values: Tensor) -> None:
    if len(values):
        table(picture, corner, [values.tolist()])
    else:
        picture.text(corner[0], corner[1] + 17, "empty", size=12)


def block() -> Picture:
    """Draw the output of each part of a block for two sequences of unequal length."""
    torch.manual_seed(5)
    made = tt.nn.ConvBlock(3, 4, 3, padding="same", norm="batch", pool=2, dropout=0.3)
    x = tt.Ragged.from_list([torch.randn(10, 3), torch.randn(5, 3)])
    picture = Picture(900, 400)
    stages, y = [("x", x)], x
    for name, part in made.describe().parts:
        y = part(y)
        stages.append((name, y))
    for place, (name, batch) in enumerate(stages):
        left, top = 20 + 300 * (place % 3), 30 + 195 * (place // 3)
        picture.text(left, top, name)
        for sequence, at in zip(batch, (0, 17 * len(batch[0]) + 14), strict=True):
            table(picture, (left + at, top + 12), sequence.t().tolist(), cell=(17, 26), numbers=False)
        picture.text(left, top + 138, f"{batch.shape[1]} features; lengths {batch.lengths.tolist()}", size=12)
    return picture


def stacked() -> Picture:
    """Draw the receptive field of three stacked blocks with kernels of size 3."""
    stack = tt.nn.ConvStack(1, [1, 1, 1], 3, activation=None)
    return _network(list(stack.blocks), 15, 7, ["input", "block 1", "block 2", "block 3"])


def dilated() -> Picture:
    """Draw the receptive field of four causal layers with kernels of size 2 and doubling dilations."""
    dilations = tt.nn.dilation_schedule(4)
    stack = tt.nn.ConvStack(1, [1] * 4, 2, dilations=dilations, padding="causal", activation=None)
    names = ["input", *(f"dilation {d}" for d in dilations)]
    return _network(list(stack.blocks), 20, 17, names)


def _network(blocks: list[nn.Module], steps: int, top: int, names: list[str]) -> Picture:
    edges = []
    for block in blocks:
        windows = block.conv.windows
        taps = [k * windows.dilation - windows.left for k in range(windows.size)]
        edges.append([(t + tap, t) for t in range(steps) for tap in taps if 0 <= t + tap < steps])
    model = nn.Sequential(*blocks)
    reached = _reached(model, steps, top)
    picture = Picture(190 + 30 * steps, 62 * len(blocks) + 110)
    layers(picture, (20, 30), names, steps, edges, reached, top)
    field = tt.nn.receptive_field(model)
    last = f"+{field.last}" if field.last else "0"
    label = f"receptive_field: steps −{-field.first} to {last}, {field.size} in total"
    picture.text(20, 62 * len(blocks) + 90, f"{label}; green: input steps with a gradient from step {top}")
    return picture


def _reached(model: nn.Module, steps: int, top: int) -> set[int]:
    """Return the input steps on which output step ``top`` depends, by its gradient."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_().add_(0.1)
    values = torch.ones(steps, 1, requires_grad=True)
    model(tt.Ragged.from_lengths(values, [steps])).values[top].sum().backward()
    return set(values.grad.flatten().nonzero().flatten().tolist())


def wide() -> Picture:
    """Draw the receptive field of step 7 in each block, and the concatenated features."""
    torch.manual_seed(0)
    sizes, steps, step = (2, 3, 5), 15, 7
    module = tt.nn.WideConv(1, 2, sizes, activation=None)
    picture = Picture(680, 400)
    for row, (size, part) in enumerate(zip(sizes, module.blocks, strict=True)):
        y, reached = 35 + 50 * row, _reached(part, steps, step)
        picture.text(20, y + 5, f"kernel size {size}", size=13)
        for t in range(steps):
            picture.dot(170 + 32 * t, y, 7, GREEN if t in reached else GREY)
        picture.text(170 + 32 * step, y - 13, f"step {step} reads", size=11, anchor="middle")
    torch.manual_seed(1)
    x = tt.Ragged.from_list([torch.randn(steps, 1)])
    module = tt.nn.WideConv(1, 2, sizes, activation=torch.tanh)
    picture.text(20, 205, "their outputs, concatenated: 2 features of each of 3 blocks at every step")
    table(picture, (154, 220), module(x)[0].t().tolist(), cell=(32, 22), numbers=False)
    for row, size in enumerate(sizes):
        picture.text(20, 246 + 44 * row, f"kernel size {size}", size=13)
        picture.line((148, 222 + 44 * row), (148, 262 + 44 * row), BLUE, 3)
    for t in range(steps):
        picture.text(170 + 32 * t, 370, str(t), size=11, anchor="middle")
    return picture


def ragged() -> Picture:
    """Draw three sequences as a padded matrix with its padding, and as the values of a ragged batch."""
    rows = [[4.0, 8, 15], [16.0], [23.0, 42]]
    x = tt.Ragged.from_list([torch.tensor(row) for row in rows])
    padded = x.to_padded(torch.nan)
    picture = Picture(760, 150)
    picture.text(20, 30, "padded: 9 numbers, of which 3 are not data")
    for row, sequence in enumerate(padded):
        for step, value in enumerate(sequence):
            left, top = 20 + 40 * step, 42 + 30 * row
            picture.box(left, top, (40, 30), "#e6e6e6" if value.isnan() else COLOURS[row])
            picture.text(left + 20, top + 20, "0" if value.isnan() else f"{value:.0f}", anchor="middle")
    picture.text(380, 30, "Ragged: values and offsets")
    for place, (value, row) in enumerate(zip(x.values, x.sequence_ids(), strict=True)):
        picture.box(380 + 40 * place, 42, (40, 30), COLOURS[row])
        picture.text(400 + 40 * place, 62, f"{value:.0f}", anchor="middle")
    for offset in x.offsets.tolist():
        picture.line((380 + 40 * offset, 76), (380 + 40 * offset, 88), "#222", 2)
        picture.text(380 + 40 * offset, 106, str(offset), size=12, anchor="middle")
    return picture


def gradients() -> Picture:
    """Draw the norm of the gradient of the last output with respect to h at every step, for three layers."""
    torch.manual_seed(0)
    steps, hidden = 40, 64
    picture = Picture(760, 280)
    picture.text(
        20,
        28,
        "norm of ∂L/∂h_t relative to the last step, L = sum of the last output; untrained layers of 64 units",
    )
    for power in range(0, -13, -3):
        picture.line((80, 60 - 14 * power), (480, 60 - 14 * power), GREY, 1)
        picture.text(70, 65 - 14 * power, f"10{str(power).translate(SUPERSCRIPTS)}", size=12, anchor="end")
    cells = {"RNN": tt.nn.RNN(8, hidden), "LSTM": tt.nn.LSTM(8, hidden)}
    cells["LSTM, forget bias 3"] = tt.nn.init.forget_bias_(tt.nn.LSTM(8, hidden), 3.0)
    x = tt.Ragged.from_list([torch.randn(steps, 8) for _ in range(32)])
    for place, ((name, layer), colour) in enumerate(zip(cells.items(), (RED, BLUE, GREEN), strict=True)):
        with tt.diagnose.watch(layer) as recording:
            layer(x).output[:, -1].sum().backward()
        mean = tt.diagnose.gradient_flow(recording)[0].profile("h").mean
        heights = [60 - 14 * max(-12, math.log10(value / mean[0])) for value in mean.tolist()]
        for step, (high, low) in enumerate(pairwise(heights)):
            picture.line((480 - 10 * step, high), (470 - 10 * step, low), colour, 2)
        picture.line((510, 70 + 24 * place), (540, 70 + 24 * place), colour, 3)
        picture.text(550, 75 + 24 * place, name)
    picture.text(480, 256, "last step", size=12, anchor="end")
    picture.text(90, 256, f"{steps - 1} steps before", size=12)
    return picture


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
COLOURS = ("#9ecae1", "#a1d99b", "#fdbe85")
PICTURES: tuple[Callable[[], Picture], ...] = (definition, matrix, pooling, block, stacked, wide, dilated)


OTHERS: tuple[Callable[[], Picture], ...] = (ragged, gradients, overview)


def main() -> None:
    docs = Path(__file__).parents[1]
    for pictures, default in ((PICTURES, docs / "convolution"), (OTHERS, docs / "pictures")):
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
        for picture in pictures:
            with torch.no_grad() if picture in {pooling, block} else torch.enable_grad():
                picture().write(folder / f"{picture.__name__}.svg")


if __name__ == "__main__":
    main()
