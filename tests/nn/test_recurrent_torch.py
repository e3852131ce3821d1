"""Our recurrent layers against torch's own, with torch's weights: outputs, states and all gradients."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

import throughtime as tt
from throughtime import Ragged

from .recurrent import LAYERS, fresh, gradients, leaves, name_of, twins

# Torch says so of itself.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
DRAWS, CHUNK = 500, 50


@pytest.fixture(scope="module")
def module_db(tmp_path_factory: pytest.TempPathFactory) -> list[tuple]:
    path = tmp_path_factory.mktemp("torch") / "samples.pt"
    script = Path(__file__).with_name("module_db.py")
    subprocess.run([sys.executable, str(script), str(path)], check=True)
    return torch.load(path, weights_only=False)


def _agree(ours: nn.Module, torchs: nn.Module, arguments: tuple) -> None:
    """The same call of both gives the same kind, numbers and gradients."""
    results, found = [], []
    for layer in (ours, torchs):
        given = tuple(fresh(argument) for argument in arguments)
        result = layer(*given)
        results.append(result)
        found.append((leaves(result), gradients(leaves(result), [*leaves(given), *layer.parameters()])))
    first, second = (result[0] if isinstance(result, tuple) else result for result in results)
    assert type(first) is type(second)
    torch.testing.assert_close(found[0], found[1], **CLOSE)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"])
def test_every_sample_of_torchs_module_db(name: str, module_db: list[tuple]) -> None:
    samples = [sample for sample in module_db if sample[0] == name]
    assert samples
    for _, training, args, kwargs, inputs, given in samples:
        assert not given
        ours, torchs = twins(name, *args, **kwargs)
        _agree(ours.train(training), torchs.train(training), tuple(inputs))


def _drawn(draw: random.Random) -> tuple[str, dict[str, Any]]:
    name = draw.choice(["RNN", "LSTM", "GRU"])
    options: dict[str, Any] = {
        "input_size": draw.choice([1, 2, 3, 5, 8, 17]),
        "hidden_size": draw.randint(1, 70),
        "num_layers": draw.choice([1, 1, 2, 3]),
        "bias": draw.random() < 0.8,
        "batch_first": draw.random() < 0.5,
        "bidirectional": draw.random() < 0.5,
    }
    if name == "RNN":
        options["nonlinearity"] = draw.choice(["tanh", "relu"])
    if name == "LSTM" and options["hidden_size"] > 1 and draw.random() < 0.4:
        options["proj_size"] = draw.randint(1, options["hidden_size"] - 1)
    return name, options


def _drawn_input(draw: random.Random, options: dict[str, Any]) -> tuple[Any, int | None]:
    """An input of some kind, and how many sequences it has (None where it has no batch dimension)."""
    features, batch, length = options["input_size"], draw.randint(1, 7), draw.randint(1, 9)
    kind = draw.choice(["unbatched", "batched", "batched", "strided", "packed", "packed sorted"])
    if kind == "unbatched":
        return torch.randn(length, features, dtype=torch.float64), None
    if kind == "packed":
        lengths = [draw.randint(1, length) for _ in range(batch)]
        sequences = [torch.randn(n, features, dtype=torch.float64) for n in lengths]
        return pack_sequence(sequences, enforce_sorted=False), batch
    if kind == "packed sorted":
        lengths = sorted((draw.randint(1, length) for _ in range(batch)), reverse=True)
        return pack_padded_sequence(
            torch.randn(lengths[0], batch, features, dtype=torch.float64), lengths
        ), batch
    shape = (batch, length) if options["batch_first"] else (length, batch)
    if kind == "batched":
        return torch.randn(*shape, features, dtype=torch.float64), batch
    wide = torch.randn(*shape[::-1], 2 * features + 1, dtype=torch.float64)
    return wide.transpose(0, 1)[..., 1::2], batch


def _drawn_state(draw: random.Random, name: str, options: dict[str, Any], batch: int | None) -> Any:
    if draw.random() < 0.5:
        return None
    count = options["num_layers"] * (2 if options["bidirectional"] else 1)
    middle = () if batch is None else (batch,)
    size = options.get("proj_size", 0) or options["hidden_size"]
    h = torch.randn(count, *middle, size, dtype=torch.float64)
    if name != "LSTM":
        return h
    return h, torch.randn(count, *middle, options["hidden_size"], dtype=torch.float64)


@pytest.mark.parametrize("start", range(0, DRAWS, CHUNK))
def test_random_layers_and_inputs(start: int) -> None:
    for seed in range(start, start + CHUNK):
        draw = random.Random(seed)
        torch.manual_seed(seed)
        name, options = _drawn(draw)
        x, batch = _drawn_input(draw, options)
        ours, torchs = twins(name, **options)
        try:
            _agree(ours, torchs, (x, _drawn_state(draw, name, options, batch)))
        except AssertionError as error:
            raise AssertionError(f"draw {seed}: {name}({options}) on {type(x).__name__}: {error}") from None


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=name_of)
def test_every_hidden_size(name: str, options: dict[str, Any]) -> None:
    for hidden in range(options.get("proj_size", 0) + 1, 71):
        torch.manual_seed(hidden)
        ours, torchs = twins(name, 3, hidden, bidirectional=True, **options)
        x = pack_sequence([torch.randn(n, 3, dtype=torch.float64) for n in (4, 2, 1)])
        _agree(ours, torchs, (x, None))


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=name_of)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_ragged_with_empty_sequences_equals_torch_on_each_alone(
    name: str, options: dict[str, Any], bidirectional: bool
) -> None:
    torch.manual_seed(0)
    ours, torchs = twins(name, 3, 5, num_layers=2, bidirectional=bidirectional, **options)
    lengths = [0, 4, 1, 0, 7, 0]
    x = Ragged.from_lengths(torch.randn(12, 3, dtype=torch.float64, requires_grad=True), lengths)
    count = 2 * (2 if bidirectional else 1)
    sizes = (options.get("proj_size", 5), 5) if name == "LSTM" else (5,)
    state = tuple(torch.randn(count, 6, size, dtype=torch.float64, requires_grad=True) for size in sizes)
    output, final = ours(x, state if name == "LSTM" else state[0])
    finals = final if name == "LSTM" else (final,)
    rows: list[Tensor] = []
    ends: list[list[Tensor]] = [[] for _ in finals]
    for b, sequence in enumerate(x):
        alone = tuple(part[:, b] for part in state)
        if len(sequence):
            y, end = torchs(sequence, alone if name == "LSTM" else alone[0])
            alone = end if name == "LSTM" else (end,)
            rows.append(y)
        for kept, part in zip(ends, alone, strict=True):
            kept.append(part)
    expected = [torch.cat(rows), *(torch.stack(kept, 1) for kept in ends)]
    found = [output.values, *finals]
    torch.testing.assert_close(found, expected, **CLOSE)
    inputs = [x.values, *state]
    torch.testing.assert_close(
        gradients(found, [*inputs, *ours.parameters()]),
        gradients(expected, [*inputs, *torchs.parameters()]),
        **CLOSE,
    )


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=name_of)
def test_float32_is_as_near_to_float64_as_plain_torch_is(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    ours, torchs = twins(name, 16, 32, dtype=torch.float32, num_layers=2, bidirectional=True, **options)
    exact, _ = twins(name, 16, 32, num_layers=2, bidirectional=True, **options)
    exact.load_state_dict(torchs.state_dict())
    x = torch.randn(30, 4, 16)

    def run(layer: nn.Module, x: Tensor) -> list[Tensor]:
        x = fresh(x)
        results = leaves(layer(x))
        return [part.detach().double() for part in [*results, *gradients(results, [x, *layer.parameters()])]]

    for found, plain, right in zip(run(ours, x), run(torchs, x), run(exact, x.double()), strict=True):
        scale = float(right.abs().max())
        allowed = 2 * float((plain - right).abs().max()) + 1e-6 * scale
        assert float((found - right).abs().max()) <= allowed


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_batches_without_tokens_have_gradients_of_zero(name: str) -> None:
    layer = getattr(tt.nn, name)(3, 4, num_layers=2, bidirectional=True).double()
    for x in (
        torch.empty(0, 3),
        torch.empty(0, 2, 3),
        torch.empty(5, 0, 3),
        torch.empty(0, 0, 3),
        Ragged.empty(3),
        Ragged.from_lengths(torch.empty(0, 3), [0, 0]),
    ):
        given = fresh(x.double())
        result = layer(given)
        total = sum(part.sum() for part in leaves(result))
        found = torch.autograd.grad(total, [*leaves(given), *layer.parameters()])
        assert not any(gradient.any() for gradient in found)
        assert all(not part.any() for part in leaves(result.state))


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_nan_and_inf_pass_through_as_in_torch(name: str) -> None:
    torch.manual_seed(0)
    ours, torchs = twins(name, 3, 20)
    for value in (torch.nan, torch.inf, -torch.inf):
        x = torch.randn(6, 2, 3, dtype=torch.float64)
        x[2, 0, 1] = value
        torch.testing.assert_close(leaves(ours(x)), leaves(torchs(x)), equal_nan=True)


def test_initialisation_and_state_dict_are_torchs() -> None:
    for name, options in LAYERS:
        torch.manual_seed(7)
        ours = getattr(tt.nn, name)(3, 5, num_layers=2, bidirectional=True, **options)
        torch.manual_seed(7)
        torchs = getattr(nn, name)(3, 5, num_layers=2, bidirectional=True, **options)
        assert list(ours.state_dict()) == list(torchs.state_dict())
        for found, expected in zip(ours.parameters(), torchs.parameters(), strict=True):
            assert torch.equal(found, expected)
        torchs.load_state_dict(ours.state_dict())
        assert repr(ours) == repr(torchs)


def _autocast_dtypes(layer: nn.Module, *arguments: Any) -> list[torch.dtype]:
    with torch.autocast("cpu", torch.bfloat16):
        return [part.dtype for part in leaves(layer(*arguments))]


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=name_of)
@pytest.mark.parametrize("kind", ["unbatched", "batched", "packed"])
def test_autocast_gives_the_dtypes_of_torch_and_numbers_near_float32(
    name: str, options: dict[str, Any], kind: str
) -> None:
    torch.manual_seed(0)
    ours, torchs = twins(name, 3, 4, dtype=torch.float32, **options)
    for dtype in (torch.float32, torch.bfloat16):
        x: Any = torch.randn(5, 3) if kind == "unbatched" else torch.randn(5, 2, 3)
        x = x.to(dtype)
        if kind == "packed":
            x = pack_padded_sequence(x, [5, 3])
        middle = () if kind == "unbatched" else (2,)
        for state_dtype in (None, torch.float32, torch.bfloat16):
            state = None
            if state_dtype is not None:
                h = torch.zeros(1, *middle, options.get("proj_size", 4), dtype=state_dtype)
                state = (h, torch.zeros(1, *middle, 4, dtype=state_dtype)) if name == "LSTM" else h
            assert _autocast_dtypes(ours, x, state) == _autocast_dtypes(torchs, x, state)
        with torch.autocast("cpu", torch.bfloat16):
            found = leaves(ours(x))
        plain = x._replace(data=x.data.float()) if kind == "packed" else x.float()
        for part, expected in zip(found, leaves(ours(plain)), strict=True):
            torch.testing.assert_close(part.float(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_autocast_gives_the_dtypes_of_torchs_cells(name: str) -> None:
    ours, torchs = twins(name, 3, 4, dtype=torch.float32)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(2, 3, dtype=dtype)
        for state_dtype in (None, torch.float32, torch.bfloat16):
            h = None if state_dtype is None else torch.zeros(2, 4, dtype=state_dtype)
            state = (h, h) if h is not None and name == "LSTMCell" else h
            assert _autocast_dtypes(ours, x, state) == _autocast_dtypes(torchs, x, state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_half_precision_has_float32_states_inside(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(3, 4, num_layers=1).to(dtype)
    wide = getattr(tt.nn, name)(3, 4, num_layers=1)
    wide.load_state_dict(layer.state_dict())
    x = torch.randn(6, 2, 3, dtype=dtype, requires_grad=True)
    result = leaves(layer(x))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        expected_result = leaves(wide(x.detach().float()))
    for part, expected in zip(result, expected_result, strict=True):
        assert part.dtype == dtype
        assert torch.equal(part, expected.to(dtype))
    found = torch.autograd.grad(sum(part.sum() for part in result), [x, *layer.parameters()])
    assert all(gradient.dtype == dtype and gradient.isfinite().all() for gradient in found)
