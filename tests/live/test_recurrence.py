"""The live page Recurrence: every section is operated, and its numbers are compared with Python's."""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import throughtime as tt
from tests.live.conftest import LivePage, Section

CLOSE = {"atol": 1e-9, "rtol": 1e-7}


class Network(Section):
    """A section on a network: its weights, its drawn input, and its numbers as tensors."""

    def repeat(self, label: str, key: str, times: int) -> None:
        for _ in range(times):
            self.step(label, key)

    def open(self, summary: str) -> None:
        details = self.root.locator("details", has_text=summary)
        if details.get_attribute("open") is None:
            details.locator("summary").click()

    def setting(self, label: str) -> float:
        return float(self.root.get_by_label(label, exact=True).input_value())

    def settings(self, names: Sequence[str]) -> Tensor:
        return tensor([self.setting(name) for name in names])

    def matrix(self, symbol: str, rows: int, columns: int) -> Tensor:
        """The sliders ``symbol[i][j]``."""
        return torch.stack(
            [self.settings([f"{symbol}[{i}][{j}]" for j in one_to(columns)]) for i in one_to(rows)]
        )

    def drawn(self) -> Tensor:
        """The drawn input."""
        handles = self.root.locator("g[role=slider]")
        return tensor(handles.evaluate_all("all => all.map(each => Number(each.ariaValueNow))"))

    def shown(self, pattern: str, *shape: int) -> Tensor:
        """The numbers whose name is the pattern with indices from 1, such as ``term[{}][{}]``."""
        numbers = self.named("")
        indices = torch.cartesian_prod(*(torch.arange(1, size + 1) for size in shape)).reshape(-1, len(shape))
        return tensor([numbers[pattern.format(*row.tolist())] for row in indices]).reshape(shape)


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def one_to(last: int) -> range:
    return range(1, last + 1)


def equal(actual: Tensor | float, expected: Tensor | float) -> None:
    torch.testing.assert_close(
        torch.as_tensor(actual, dtype=torch.float64),
        torch.as_tensor(expected, dtype=torch.float64).detach(),
        **CLOSE,
    )


def set_weights(layer: nn.Module, **values: Tensor) -> Any:
    """Set parameters of layer 0 and zero the others; return the layer in float64."""
    layer = layer.double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(values.get(name.replace("_l0", ""), torch.zeros_like(parameter)))
    return layer


class Mulberry:
    """The page's random numbers: mulberry32, and Box-Muller for normal ones."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def uniform(self) -> float:
        bits = 0xFFFFFFFF
        self.state = (self.state + 0x6D2B79F5) & bits
        mixed = ((self.state ^ (self.state >> 15)) * (self.state | 1)) & bits
        mixed ^= (mixed + (((mixed ^ (mixed >> 7)) * (mixed | 61)) & bits)) & bits
        return ((mixed ^ (mixed >> 14)) & bits) / 2**32

    def normal(self) -> float:
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        return radius * math.cos(2 * math.pi * self.uniform())

    def normals(self, *shape: int) -> Tensor:
        return tensor([self.normal() for _ in range(math.prod(shape))]).reshape(shape)

    def uniforms(self, *shape: int) -> Tensor:
        return tensor([self.uniform() for _ in range(math.prod(shape))]).reshape(shape)


@pytest.fixture(scope="module")
def section(live_page: LivePage) -> Callable[[str], Network]:
    page = live_page("recurrence").page
    return lambda name: Network(page, name)


def test_general_form(section: Callable[[str], Network]) -> None:
    general = section("general")
    general.choose("f(h, x), the next state", "tanh")
    general.choose("g(h), the output", "sigmoid")
    general.slide("initial state h(0)", 0.5)
    general.repeat("x(2)", "ArrowUp", 3)
    x = general.drawn()
    assert x[1] == pytest.approx(1.6)
    layer = tt.nn.Recurrence(lambda h, x: torch.tanh(0.9 * h + x), torch.sigmoid, state=tensor([0.5]))
    trace = layer.trace(x[:, None])
    equal(general.shown("h[{}]", len(x)), trace.states[0][:, 0])
    equal(general.shown("o[{}]", len(x)), trace.result.output[:, 0])
    general.choose("g reads", "old")  # o(t) = g(h(t−1))
    before = torch.cat([tensor([0.5]), trace.states[0][:-1, 0]])
    equal(general.shown("o[{}]", len(x)), torch.sigmoid(before))
    general.press("Next")
    assert general.setting("step t") == 4
    equal(general.named("")["state"], trace.states[0][3, 0])


def test_input_is_drawn_with_the_pointer(section: Callable[[str], Network]) -> None:
    general = section("general")
    before, drawing = general.drawn(), general.root.locator("svg.signal")
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    general.page.mouse.click(box["x"] + box["width"] * 4.5 / 10, box["y"] + 3)
    after = general.drawn()
    assert after[4] == 2
    assert (after != before).tolist() == [i == 4 for i in range(10)]


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("average", lambda h, x: (h + x) / 2),
        ("sum", lambda h, x: h + x),
        ("maximum", torch.maximum),
        ("parity", lambda h, x: torch.where(x > 0.5, 1 - h, h)),
    ],
)
def test_other_transitions(
    section: Callable[[str], Network], name: str, f: Callable[[Tensor, Tensor], Tensor]
) -> None:
    general = section("general")
    general.choose("f(h, x), the next state", name)
    general.slide("initial state h(0)", 0)
    x = general.drawn()
    layer = tt.nn.Recurrence(f, state=tensor([0.0]))
    equal(general.shown("h[{}]", len(x)), layer(x[:, None]).output[:, 0])


def rnn_of(view: Network, **options: Any) -> Any:
    return set_weights(
        tt.nn.RNN(1, 2, **options),
        weight_hh=view.matrix("W_hh", 2, 2),
        weight_ih=view.matrix("W_hx", 2, 1),
        bias_ih=view.settings(["b_h[1]", "b_h[2]"]),
    )


def readout_of(view: Network) -> Any:
    readout = tt.nn.Readout(2, 2).double()
    with torch.no_grad():
        readout.weight.copy_(view.matrix("W_oh", 2, 2))
        readout.bias.copy_(view.settings(["b_o[1]", "b_o[2]"]))
    return readout


def test_vanilla_rnn(section: Callable[[str], Network]) -> None:
    vanilla = section("vanilla")
    vanilla.slide("W_hh[1][2]", 0.85)
    vanilla.repeat("W_oh[2][1]", "ArrowRight", 2)
    vanilla.slide("b_h[2]", -0.3)
    vanilla.slide("h(0), unit 1", 0.4)
    x, initial = vanilla.drawn(), vanilla.settings(["h(0), unit 1", "h(0), unit 2"])
    assert initial.tolist() == [0.4, 0.0]
    output, _ = rnn_of(vanilla)(x[:, None], initial[None])
    equal(vanilla.shown("h[{}][{}]", len(x), 2), output)
    equal(vanilla.shown("o[{}][{}]", len(x), 2), readout_of(vanilla)(output))


@pytest.mark.parametrize("given", [False, True])
def test_terms_of_the_gradient(section: Callable[[str], Network], given: bool) -> None:
    view = section("bptt")
    view.slide("number of steps T", 5 if given else 3)
    view.switch("h(0) = (0.5, −0.5) in place of zeros", on=given)
    view.open("The weights")
    view.slide("W_hh[2][1]", 0.75)
    x, layer, readout = view.drawn(), rnn_of(view), readout_of(view)
    assert len(x) == (5 if given else 3)
    with tt.diagnose.watch(layer, whole=True) as recording:
        output, _ = layer(x[:, None], tensor([[0.5, -0.5]]) if given else None)
        loss = readout.loss(output[-1:], torch.tensor([1]))
        loss.backward()
    flow = tt.diagnose.gradient_flow(recording)[0]
    terms = torch.stack([flow.weight_term(t) for t in range(len(x))])
    equal(view.shown("term[{}][{}][{}]", len(x), 2, 2), terms)
    equal(view.shown("gradient[{}][{}]", 2, 2), layer.weight_hh_l0.grad)
    equal(view.named("")["loss"], loss)
    torch.testing.assert_close(
        view.shown("finite[{}][{}]", 2, 2), layer.weight_hh_l0.grad, atol=1e-8, rtol=1e-7
    )
    assert view.named("")["difference"] < 1e-8
    view.slide("step t, from T back to 1", 2)
    equal(view.named("")["termNorm"], flow.weight_terms[0][1])
    equal(view.shown("ofH[{}]", 2).norm(), flow.h[0][1])


def test_truncated_windows(section: Callable[[str], Network]) -> None:
    view = section("truncated")
    view.slide("k1, steps between updates", 3)
    view.slide("k2, steps that gradients flow back", 7)
    view.slide("spectral radius ρ", 0.95)
    view.slide("delay: the target is x(t − delay)", 4)
    source, angle = Mulberry(4), math.pi / 9
    x = torch.where(source.uniforms(24) < 0.5, -1.0, 1.0).double()
    turn = tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    layer = set_weights(tt.nn.RNN(1, 2), weight_hh=0.95 * turn, weight_ih=tensor([[0.5], [0.25]]))
    target = torch.cat([torch.zeros(4), x[:-4]]).double()
    tokens, targets = (tt.Ragged.from_list([each[:, None]]) for each in (x, target))
    read = tensor([1.0, -0.5])

    def gradients(windows: Any) -> tuple[list[Tensor], int]:
        """The gradient of each window, and the number of steps that all compute."""
        carried, updates, computed = tt.bptt.Carried(), [], 0
        for window in windows:
            layer.zero_grad()
            with carried.carry(layer, window):
                output = layer(window.of(tokens)).output
            computed += len(output.values)
            error = window.counted(output).values @ read - window.targets(targets).values[:, 0]
            (error.square().sum() / 2).backward()
            updates.append(layer.weight_hh_l0.grad.clone())
        return updates, computed

    (full,), _ = gradients(tt.bptt.windows(tokens, 24))
    updates, computed = gradients(tt.bptt.windows(tokens, 3, 7))
    part = torch.stack(updates).sum(0)
    equal(view.shown("full[{}][{}]", 2, 2), full)
    equal(view.shown("truncated[{}][{}]", 2, 2), part)
    view.slide("window", 4)
    equal(view.shown("update[{}][{}]", 2, 2), updates[3])
    numbers = view.named("")
    assert numbers["computed"] == computed
    equal(numbers["error"], (part - full).norm() / full.norm())
    cosine = functional.cosine_similarity(part.flatten(), full.flatten(), 0)
    equal(numbers["angle"], torch.rad2deg(torch.acos(cosine)))
    view.slide("k1, steps between updates", 9)  # moves k2 along
    assert view.setting("k2, steps that gradients flow back") == 9
    view.slide("k2, steps that gradients flow back", 24)
    view.slide("k1, steps between updates", 24)
    assert view.named("")["error"] == 0
    assert view.named("")["kept"] == 300


@pytest.mark.parametrize(
    ("kind", "radius", "shear"), [("pair", 0.9, 1.0), ("pair", 1.1, 0.0), ("real", 0.95, 3.0)]
)
def test_spectrum(section: Callable[[str], Network], kind: str, radius: float, shear: float) -> None:
    view = section("spectrum")
    view.choose("eigenvalues", kind)
    view.slide("spectral radius ρ", radius)
    view.slide("non-normality", shear)
    view.slide("steps back N", 40)
    view.slide("size of the input", 0.4)
    w = view.shown("W[{}][{}]", 2, 2)
    tokens = 0.4 * Mulberry(7).normals(101)[:41, None]

    def measured(activation: str) -> tuple[Any, Tensor]:
        layer = set_weights(
            tt.nn.RNN(1, 2, nonlinearity=activation), weight_hh=w, weight_ih=tensor([[1.0], [-0.5]])
        )
        with tt.diagnose.watch(layer) as recording:
            (layer(tokens).output[-1] @ tensor([0.6, 0.8])).backward()
        return layer, tt.diagnose.gradient_flow(recording)[0].profile("h").mean

    layer, linear = measured("affine")
    block = tt.diagnose.spectrum(layer)[0]
    numbers = view.named("")
    equal(numbers["radius"], block.spectral_radius)
    assert block.spectral_radius == pytest.approx(radius)
    equal(numbers["sigma"], block.norm)
    equal(numbers["condition"], block.condition_number)
    equal(numbers["ratio"], block.eigenvalue_ratio)
    equal(numbers["linear"], linear[40])
    equal(numbers["linear"], block.prediction(tensor([0.6, 0.8]), 40)[40])
    equal(numbers["tanh"], measured("tanh")[1][40])
    equal(numbers["predicted"], radius**40)
    assert numbers["power[0][1000]"] == pytest.approx(0.999**1000)
    assert numbers["power[1][10000]"] == pytest.approx(1.001**10000)
    said = view.root.locator(".verdict").inner_text()
    assert ("vanishes" if radius < 1 else "explodes") in said
    assert ("Before that it grows" in said) == (radius < 1 and bool(linear[1:41].max() > linear[0]))
    # No other radius changes a ratio.
    view.repeat("spectral radius ρ", "ArrowRight", 5)
    assert view.named("")["radius"] == pytest.approx(radius + 0.05)
    equal(view.named("")["condition"], block.condition_number)
    equal(view.named("")["ratio"], block.eigenvalue_ratio)


def verdict_of(view: Network) -> str:
    return view.root.locator(".verdict").inner_text()


def test_a_jordan_block_grows_linearly(section: Callable[[str], Network]) -> None:
    """Two equal eigenvalues of size 1 and one eigenvector: the norm of the power grows as N."""
    view = section("spectrum")
    view.choose("eigenvalues", "real")
    view.slide("spectral radius ρ", 1)
    view.slide("second eigenvalue q", 1)
    view.slide("non-normality", 4)
    view.slide("steps back N", 40)
    w = view.shown("W[{}][{}]", 2, 2)
    equal(w, tensor([[1.0, -4.0], [0.0, 1.0]]))
    power = torch.linalg.matrix_power(w.T, 40) @ tensor([0.6, 0.8])
    equal(view.named("")["linear"], power.norm())
    assert "grows linearly" in verdict_of(view)
    assert "persists" not in verdict_of(view)
    view.slide("non-normality", 0)  # the identity: two eigenvectors
    assert "persists" in verdict_of(view)
    assert view.named("")["linear"] == pytest.approx(1)
    view.slide("non-normality", 4)
    view.slide("second eigenvalue q", 0.95)
    assert "persists" in verdict_of(view)


def test_the_condition_number_of_a_singular_matrix_is_infinite(section: Callable[[str], Network]) -> None:
    view = section("spectrum")
    view.choose("eigenvalues", "real")
    view.slide("spectral radius ρ", 0.9)
    view.slide("second eigenvalue q", 0)
    view.slide("non-normality", 1.3)
    numbers = view.named("")
    assert numbers["condition"] == numbers["ratio"] == math.inf
    assert numbers["sigma"] == pytest.approx(
        float(torch.linalg.matrix_norm(view.shown("W[{}][{}]", 2, 2), 2))
    )


@pytest.mark.parametrize("radius", [0.9, 1.5])
def test_powers_beyond_float64(section: Callable[[str], Network], radius: float) -> None:
    """Both 10,000-th powers leave float64: the page shows their exponents."""
    view = section("spectrum")
    view.slide("spectral radius ρ", radius)
    text = view.root.locator("data[data-name='power[2][10000]']").inner_text().replace("−", "-")
    expected = Decimal(str(radius)) ** 10000
    assert abs(Decimal(text) / expected - 1) < Decimal("0.001")


def cliff(w: Tensor, b: Tensor) -> Tensor:
    h = torch.full_like(w, 0.5)
    for _ in range(8):
        h = torch.sigmoid(w * h + b)
    return (h - 0.7).square()


def clip_by_norm(points: list[Tensor], limit: float) -> None:
    norm = torch.stack([point.grad for point in points]).norm()
    for point in points:
        point.grad *= min(1.0, limit / float(norm))


def clip_by_value(points: list[Tensor], limit: float) -> None:
    nn.utils.clip_grad_value_(points, limit)


CLIPS: dict[str, Callable[[list[Tensor], float], None]] = {
    "none": lambda points, limit: None,
    "norm": clip_by_norm,
    "value": clip_by_value,
}


def test_norm_as_torch_clips() -> None:
    points = [tensor(0.0), tensor(0.0)]
    gradient = tensor([3.0, -4.0])
    for clip in (clip_by_norm, nn.utils.clip_grad_norm_):
        for point, value in zip(points, gradient, strict=True):
            point.grad = value.clone()
        clip(points, 2.5)
        torch.testing.assert_close(torch.stack([p.grad for p in points]), gradient / 2, atol=0, rtol=1e-6)


@pytest.mark.parametrize("limit", [0.1, 15])
@pytest.mark.parametrize("how", CLIPS)
def test_clipping(section: Callable[[str], Network], how: str, limit: float) -> None:
    view = section("clipping")
    view.slide("limit of the clipping", limit)
    view.slide("start, bias b", -2.87)
    view.slide("steps of gradient descent", 12)
    numbers, steps = view.named(""), []
    points = [tensor(view.setting(label)).requires_grad_() for label in ("start, weight w", "start, bias b")]
    optimizer = torch.optim.SGD(points, view.setting("learning rate"))
    for _ in range(12):
        optimizer.zero_grad()
        loss = cliff(*points)
        loss.backward()
        before = torch.stack([point.grad for point in points])
        CLIPS[how](points, limit)
        steps.append((loss.detach(), before, torch.stack([point.grad for point in points])))
        optimizer.step()
    loss, before, after = steps[0]
    equal(numbers["loss"], loss)
    equal(numbers["norm"], before.norm())
    equal(tensor([numbers[f"{how}.w"], numbers[f"{how}.b"]]), after)
    turned = torch.rad2deg(torch.acos(functional.cosine_similarity(before, after, 0).clamp(max=1)))
    assert numbers[f"{how}.turned"] == pytest.approx(float(turned), abs=1e-4)
    equal(numbers[f"{how}.loss after"], steps[1][0])
    equal(numbers[f"{how}.last loss"], cliff(*points))
    assert (before.norm() > limit) == ("clipping acts" in view.root.locator(".verdict").inner_text())


def toy(target: str) -> tuple[tt.Ragged, Tensor]:
    """The data of the section, 256 sequences of 12 tokens."""
    source = Mulberry(1 if target == "first" else 2)
    rows, targets = [], []
    for _ in range(256):
        sign = -1.0 if source.uniform() < 0.5 else 1.0
        tokens, noise = source.normals(12), source.normal()
        if target == "first":
            tokens = 0.05 * tokens
            tokens[0] = sign
            targets.append(0.85 * sign)
        else:
            tokens = 0.7 * tokens
            targets.append(math.tanh(float(tokens[-1])) + 0.5 * noise)
        rows.append(tokens[:, None])
    return tt.Ragged.from_list(rows), tensor(targets)


class Last(nn.Module):
    """The final state of an RNN with one weight."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.layer = set_weights(tt.nn.RNN(1, 1), weight_hh=tensor([[w]]), weight_ih=tensor([[1.0]]))

    def forward(self, x: tt.Ragged) -> Tensor:
        return self.layer(x).state[0, :, 0]


@pytest.mark.parametrize(
    ("target", "w", "verdict"),
    [
        ("first", None, "vanished"),
        ("first", 0.3, "vanished"),
        ("first", 1.5, "minimum"),
        ("last", None, "minimum"),
        ("last", 1.2, "descending"),
    ],
)
def test_minimum(section: Callable[[str], Network], target: str, w: float | None, verdict: str) -> None:
    view = section("minimum")
    if w is None:
        view.root.get_by_role("button").nth(int(target == "last")).click()
    else:
        view.slide(f"weight w ({target} token)", w)
    numbers = view.named("")
    assert w is None or numbers[f"{target}.w"] == w
    (x, y), model = toy(target), Last(numbers[f"{target}.w"])
    value = (model(x) - y).square().mean()
    value.backward()
    equal(numbers[f"{target}.loss"], value)
    equal(numbers[f"{target}.slope"], model.layer.weight_hh_l0.grad.squeeze())
    finding = tt.diagnose.vanished_not_converged(model, x, lambda output: (output - y).square().mean())
    assert (finding is not None) == (verdict == "vanished")
    assert (
        view.root.locator(f"[data-verdict^='{target}.']").get_attribute("data-verdict")
        == f"{target}.{verdict}"
    )
    if verdict == "minimum" and w is None:
        assert abs(numbers[f"{target}.slope"]) < 1e-6
    if finding is not None:
        measured = finding.measured["fraction of the error that they explain"]
        assert numbers[f"{target}.explained"] == pytest.approx(measured, abs=0.05)


LSTM_ROWS = ["i, input gate", "f, forget gate", "g, candidate", "o, output gate"]


@pytest.mark.parametrize("preset", ["typical", "count", "latch"])
def test_lstm(section: Callable[[str], Network], preset: str) -> None:
    view = section("lstm")
    view.choose("what it does", preset)
    view.slide("U of f, forget gate", 0.75)
    view.repeat("W of g, candidate", "ArrowLeft", 2)
    w, u, b = (view.settings([f"{symbol} of {gate}" for gate in LSTM_ROWS]) for symbol in "WUb")
    layer = set_weights(tt.nn.LSTM(1, 1), weight_ih=w[:, None], weight_hh=u[:, None], bias_ih=b)
    x = view.drawn()
    trace = layer.trace(x[:, None], gradients=True)
    trace.result.output[-1].sum().backward()
    gates = {
        "i": trace.input,
        "f": trace.forget,
        "g": trace.candidate,
        "o": trace.output,
        "c": trace.c,
        "h": trace.h,
    }
    for name, values in gates.items():
        equal(view.shown(name + "[{}]", len(x)), values[0][:, 0])
    gradients = trace.gradients
    parts = {
        "ofC": gradients.c,
        "along": gradients.c_along_c,
        "through": gradients.c_through_h,
        "ofH": gradients.h,
    }
    for name, values in parts.items():
        equal(view.shown(name + "[{}]", len(x)), values[0][:, 0])
    forget = trace.forget[0][:, 0]
    equal(view.named("")["path.c"], forget[1:].prod())
    # Through h alone: the product of ∂h(t)/∂h(t−1) with c(t−1) held.
    path = tensor(1.0)
    cell = tt.nn.LSTMCell(1, 1).double()
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            parameter.copy_(getattr(layer, f"{name}_l0"))
    for t in range(1, len(x)):
        h = trace.h[0][t - 1 : t].detach().requires_grad_()
        after, _ = cell(x[t : t + 1, None], (h, trace.c[0][t - 1 : t].detach()))
        path = path * torch.autograd.grad(after, h)[0].squeeze()
    equal(view.named("")["path.h"], path.abs())
    view.slide("step t", 6)
    equal(view.named("")["c"], trace.c[0][5, 0])


@pytest.mark.parametrize(
    ("preset", "cells"),
    [
        ("latch", [0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1]),
        ("count", [0, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3]),
        ("remember", [0, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]),
    ],
)
def test_presets_do_what_they_say(section: Callable[[str], Network], preset: str, cells: list[int]) -> None:
    """The cell state over an input with repeated ones and a −1, up to the gates' finite slope."""
    view = section("lstm")
    view.press("Reset")
    view.choose("what it does", preset)
    x = view.drawn()
    assert x.tolist() == [0, 1, 0, 1, 0, 0, -1, 0, 0, 1, 0, 0]
    unit = math.tanh(1) if preset == "remember" else 1
    torch.testing.assert_close(view.shown("c[{}]", 12), unit * tensor(cells), atol=0.05, rtol=0)


def test_forget_halves_at_every_step(section: Callable[[str], Network]) -> None:
    view = section("lstm")
    view.press("Reset")
    view.choose("what it does", "forget")
    x, cells = view.drawn(), view.shown("c[{}]", 12)
    torch.testing.assert_close(cells[1:], cells[:-1] / 2 + x[1:].tanh(), atol=0.01, rtol=0)


@pytest.mark.parametrize(("name", "layer"), [("lstm", tt.nn.LSTM), ("gru", tt.nn.GRU)])
def test_parameter_counts(section: Callable[[str], Network], name: str, layer: type[nn.Module]) -> None:
    view = section(name)
    view.slide("inputs D", 33)
    view.slide("hidden units H", 21)
    plain, gated = (sum(p.numel() for p in kind(33, 21).parameters()) for kind in (tt.nn.RNN, layer))
    numbers = view.named("")
    assert numbers["parameters.RNN"] == plain
    assert numbers[f"parameters.{name.upper()}"] == gated
    assert numbers[f"factor.{name.upper()}"] == gated / plain == {"lstm": 4, "gru": 3}[name]


def gru_weights(view: Network) -> dict[str, Tensor]:
    rows = [f"{gate}, unit {unit}" for gate in "rzn" for unit in (1, 2)]
    w, first, second, c = (
        view.settings([f"{symbol} of {row}" for row in rows]) for symbol in ("W", "U1", "U2", "C")
    )
    return {
        "weight_ih": w[:, None],
        "weight_hh": torch.stack([first, second], 1),
        "weight_context": c[:, None],
    }


def compare_gru(view: Network, side: str, layer: Any, x: Tensor, context: Tensor | None) -> None:
    trace = layer.trace(x[:, None], context=context, gradients=True)
    trace.result.output[-1].sum().backward()
    gates = {"r": trace.reset, "z": trace.update, "n": trace.candidate, "h": trace.h}
    for name, values in (gates | {"ofH": trace.gradients.h}).items():
        equal(view.shown(f"{side}.{name}" + "[{}][{}]", len(x), 2), values[0])


def test_gru(section: Callable[[str], Network]) -> None:
    view = section("gru")
    view.slide("context s", -0.7)
    view.slide("U1 of n, unit 2", 0.9)
    view.repeat("x(3)", "ArrowDown", 2)
    x, values = view.drawn(), gru_weights(view)
    lecture = tt.nn.GRU(1, 2, bias=False, reset_after=False, update="new", context_size=1)
    compare_gru(view, "left", set_weights(lecture, **values), x, tensor([-0.7]))
    compare_gru(view, "right", set_weights(tt.nn.GRU(1, 2), **values), x, None)
    assert view.named("")["difference"] > 0.1
    # The other two combinations.
    view.choose("reset gate acts (left)", "after")
    view.choose("reset gate acts (right)", "before")
    mixed = tt.nn.GRU(1, 2, update="new", context_size=1)
    compare_gru(view, "left", set_weights(mixed, **values), x, tensor([-0.7]))
    compare_gru(view, "right", set_weights(tt.nn.GRU(1, 2, reset_after=False), **values), x, None)
    view.choose("reset gate acts (left)", "before")
    view.switch("context (right)", on=True)
    view.switch("negate the weights of z", on=True)
    assert view.named("")["difference"] < 1e-14
    view.choose("z is the weight of (right)", "new")
    assert view.named("")["difference"] > 0.1


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_bidirectional(section: Callable[[str], Network], cell: str) -> None:
    view = section("bidirectional")
    view.choose("cell", cell)
    view.slide("w of the forward layer", -0.4)
    view.slide("w of the backward layer", 1.1)
    view.slide("changed token j", 3)
    view.slide("change of x(j)", -0.35)
    layer = getattr(tt.nn, cell)(1, 1, bidirectional=True).double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            w = 1.1 if name.endswith("reverse") else -0.4
            parameter.fill_({"weight_ih": 1.0, "weight_hh": w}.get(name.split("_l0")[0], 0.0))
            if cell == "LSTM" and name.startswith("bias_ih"):
                parameter[1] = 1.0
    x = view.drawn()
    output, state = layer(x[:, None])
    state = state[0] if cell == "LSTM" else state
    moved = x.clone()
    moved[2] -= 0.35
    change = layer(moved[:, None]).output - output
    for place, side in enumerate(("forward", "backward")):
        equal(view.shown(side + "[{}]", 7), output[:, place])
        equal(view.shown(side + ".change[{}]", 7), change[:, place])
        equal(view.named("")[f"{side}.final"], state[place, 0])
    assert view.shown("forward.change[{}]", 7).ne(0).tolist() == [False] * 2 + [True] * 5
    assert view.shown("backward.change[{}]", 7).ne(0).tolist() == [True] * 3 + [False] * 4
    view.slide("step t", 5)
    seen = view.root.locator(".token").evaluate_all("all => all.map(each => each.dataset.seen)")
    assert seen == ["→"] * 4 + ["→←"] + ["←"] * 2


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_influence(section: Callable[[str], Network], direction: str) -> None:
    view = section("influence")
    view.slide("number of steps T", 30)
    view.slide("factor of W_hh", 1.5)
    view.slide("bias of the gate that keeps the state", 2)
    view.slide("seed of the weights", 3)
    view.choose("direction", direction)
    numbers, tokens = view.named(""), Mulberry(99).normals(100, 4)[:30]

    def gradient(kind: type[nn.Module], gates: int, seed: int, x: Tensor) -> Tensor:
        source, rows = Mulberry(seed), gates * 16
        ih, hh, b = (0.25 * (2 * source.uniforms(*shape) - 1) for shape in ((rows, 4), (rows, 16), (rows,)))
        if gates > 1:
            b[16:32] += 2
        layer = set_weights(kind(4, 16), weight_ih=ih, weight_hh=1.5 * hh, bias_ih=b)
        leaf = x.clone().requires_grad_()
        layer(leaf).output[-1].sum().backward()
        return leaf.grad

    for name, kind, gates in (("RNN", tt.nn.RNN, 1), ("LSTM", tt.nn.LSTM, 4), ("GRU", tt.nn.GRU, 3)):
        total = torch.zeros_like(tokens)
        if direction != "backward":
            total += gradient(kind, gates, 30, tokens)
        if direction != "forward":
            total += gradient(kind, gates, 31, tokens.flip(0)).flip(0)
        norms = total.norm(dim=1)
        equal(numbers[f"{name}.first"], norms[0])
        equal(numbers[f"{name}.last"], norms[-1])
        equal(numbers[f"{name}.last ten"], norms[-10:].sum() / norms.sum())
        equal(numbers[f"{name}.first ten"], norms[:10].sum() / norms.sum())


def test_padding(section: Callable[[str], Network]) -> None:
    view = section("padding")
    sizes = {"A": 9, "B": 5, "C": 11, "D": 1}
    for name, size in sizes.items():
        view.slide(f"length of {name}", size)
    view.slide("value of the padding", -0.5)
    view.slide("weight w", 0.7)
    view.slide("bias b", 0.2)
    layer = set_weights(
        tt.nn.RNN(1, 1), weight_hh=tensor([[0.7]]), weight_ih=tensor([[1.0]]), bias_ih=tensor([0.2])
    )
    values = torch.round(Mulberry(12).normals(4, 12), decimals=1)
    ragged = tt.Ragged.from_list([row[:size, None] for row, size in zip(values, sizes.values(), strict=True)])
    padded = torch.full((11, 4, 1), -0.5, dtype=torch.float64)
    for k, size in enumerate(sizes.values()):
        padded[:size, k, 0] = values[k, :size]
    output, state = layer(ragged)
    padded_output, padded_state = layer(padded)
    numbers = view.named("")
    for k, name in enumerate(sizes):
        equal(numbers[f"{name}.final"], state[0, k, 0])
        equal(numbers[f"{name}.final padded"], padded_state[0, k, 0])
        equal(numbers[f"{name}.mean"], output[k].mean())
        equal(numbers[f"{name}.mean padded"], padded_output[:, k].mean())
    assert numbers["total"] == len(ragged.values) == 26
    assert numbers["wasted"] == pytest.approx(1 - 26 / 44)


def greedy(jobs: list[tuple[int, set[int]]], processors: int) -> int:
    """Return the time in which processors do jobs that wait for others, one unit each, as early as they can."""
    done: dict[int, int] = {}
    time, waiting = 0, list(range(len(jobs)))
    while waiting:
        ready = [job for job in waiting if all(done.get(other, time) < time for other in jobs[job][1])]
        for job in ready[:processors]:
            done[job] = time
        waiting = [job for job in waiting if job not in done]
        time += 1
    return time


@pytest.mark.parametrize(
    ("steps", "hidden", "processors", "layers"), [(8, 4, 16, 1), (6, 5, 3, 2), (5, 3, 32, 4)]
)
def test_costs(
    section: Callable[[str], Network], steps: int, hidden: int, processors: int, layers: int
) -> None:
    view = section("costs")
    view.slide("number of steps T", steps)
    view.slide("outputs per step H", hidden)
    view.slide("processors P", processors)
    view.slide("convolution layers", layers)
    size = steps * hidden
    rnn = [(k, {k // hidden * hidden - 1 - i for i in range(hidden) if k >= hidden}) for k in range(size)]
    cnn = [(k, {k // size * size - 1 - i for i in range(size) if k >= size}) for k in range(layers * size)]
    numbers = view.named("")
    assert numbers["rnn.time"] == greedy(rnn, processors)
    assert numbers["cnn.time"] == greedy(cnn, processors)
    assert numbers["ratio"] == pytest.approx(greedy(rnn, processors) / greedy(cnn, processors))


def test_measured_costs(section: Callable[[str], Network]) -> None:
    view = section("costs")
    view.press("Measure both in this browser")
    assert view.named("")["measured.rnn"] > 0
    assert view.named("")["measured.cnn"] > 0


def test_reset(section: Callable[[str], Network]) -> None:
    view = section("bidirectional")
    view.press("Reset")
    before = view.named("")
    view.slide("w of the forward layer", 1.35)
    assert view.named("") != before
    view.press("Reset")
    assert view.named("") == before
    assert view.setting("w of the forward layer") == 0.8
