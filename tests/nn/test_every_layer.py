"""The same tests for every public layer of throughtime.nn, which the table below lists.

What it makes of sequences is `test_contract.py`'s matter, and the export to ONNX tests/export/test_contract.py's. Here:
the same bits in any batch, copies, precisions, compilers and transforms, and the smallest batches.
"""

import copy
import functools
import inspect
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import ShapeError, UnsupportedError

from . import test_compiled_contract

FEATURES = 4
LENGTHS = [9, 0, 12, 7, 30]


@dataclass(frozen=True)
class Entry:
    """How to make a layer, and an input of so many sequences or rows."""

    make: Callable[[], nn.Module]
    # Of one row; None for a Ragged of tokens.
    shape: tuple[int, ...] | None = None
    # Why a row's result may differ in its last bits with the rows beside it.
    not_the_same_bits: str = ""
    # Why torch.compile makes several graphs of it.
    not_one_graph: str = ""
    # Why it is not compiled here.
    not_compiled: str = ""
    # Why it cannot be pickled, as torch says.
    not_pickled: str = ""
    # Where the layer and its input are; tests/gpu runs these tests on "cuda".
    device: str = "cpu"

    def layer(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        torch.manual_seed(0)
        return self.make().to(self.device, dtype).eval()

    def input(self, lengths: list[int], dtype: torch.dtype = torch.float64) -> Ragged | Tensor:
        generator = torch.Generator().manual_seed(1)
        if self.shape is None:
            values = torch.randn(sum(lengths), FEATURES, generator=generator, dtype=torch.float64)
            return Ragged.from_lengths(values.to(self.device, dtype), lengths)
        rows = torch.randn(len(lengths), *self.shape, generator=generator, dtype=torch.float64)
        return rows.to(self.device, dtype)


def _stream() -> nn.Module:
    return tt.nn.Stream(nn.Sequential(tt.nn.Conv1d(FEATURES, 3, 3, padding="causal"), tt.nn.GRU(3, 5)))


def _residual() -> nn.Module:
    body = tt.nn.Conv1d(FEATURES, FEATURES, 3, padding="same")
    return tt.nn.Residual(body, activation=torch.tanh)


def _learned(layer: tt.nn.MiniRocket) -> tt.nn.MiniRocket:
    layer.learn(Ragged.from_lengths(torch.randn(60, FEATURES), [40, 20]))
    return layer


class _Transition(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.from_x, self.from_h = nn.Linear(FEATURES, 3), nn.Linear(3, 3)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(self.from_x(x) + self.from_h(h))


class _WithMemory(nn.Module):
    """A layer that reads a memory, the same one for each sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = tt.nn.AttentionGRU(FEATURES, 3, 2)
        self.memory = nn.Parameter(torch.randn(5, 2))

    def forward(self, input: Any) -> Any:  # noqa: A002 - as in torch
        return self.layer(input, memory=self.memory.expand(len(input), -1, -1))


def _traced_once(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Make one layer, set anew at each call: its step is traced once for all tests."""

    @functools.cache
    def once() -> tuple[nn.Module, dict[str, Tensor]]:
        layer = make()
        return layer, {name: buffer.clone() for name, buffer in layer.named_buffers()}

    def anew() -> nn.Module:
        layer, buffers = once()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.grad = None
                parameter.requires_grad_().uniform_(-0.5, 0.5)
            for name, buffer in layer.named_buffers():
                buffer.copy_(buffers[name])
        return layer

    return anew


def _cell_entry(make: Callable[[], nn.Module]) -> Entry:
    """A layer of a cell, whose step is written in PyTorch operators."""
    return Entry(_traced_once(make))


TABLE = {
    "AttentionGRU": _cell_entry(_WithMemory),
    "AttentionPool": Entry(lambda: tt.nn.AttentionPool(FEATURES, 5)),
    "AvgPool1d": Entry(lambda: tt.nn.AvgPool1d(3, 2, 1, count_include_pad=False)),
    "Bidirectional": Entry(lambda: tt.nn.Bidirectional(tt.nn.LSTM(FEATURES, 3), merge="mean")),
    "CRF": Entry(lambda: tt.nn.CRF(FEATURES), not_one_graph="so many steps as the longest sequence has"),
    "Conv1d": Entry(lambda: tt.nn.Conv1d(FEATURES, 6, 3, stride=2, padding=1, groups=2)),
    "ConvBlock": Entry(lambda: tt.nn.ConvBlock(FEATURES, 5, 3, norm="batch", pool=2, dropout=0.2)),
    "ConvBlock2d": Entry(
        lambda: tt.nn.ConvBlock2d(2, 3, 3, norm="group", pool=2),
        (2, 8, 8),
        "convolution of images is torch's",
    ),
    "ConvStack": Entry(lambda: tt.nn.ConvStack(FEATURES, [3, 5], 3, dilations=(1, 2), norm="layer")),
    "ConvTranspose1d": Entry(lambda: tt.nn.ConvTranspose1d(FEATURES, 3, 3, stride=2, padding=1)),
    "Dropout": Entry(lambda: tt.nn.Dropout(0.5)),
    "GRU": Entry(lambda: tt.nn.GRU(FEATURES, 3, num_layers=2, bidirectional=True)),
    "GRUCell": Entry(lambda: tt.nn.GRUCell(FEATURES, 3), (FEATURES,)),
    "GatedBlock": Entry(lambda: tt.nn.GatedBlock(FEATURES, 3, 2, dilation=2)),
    "GroupNorm": Entry(lambda: tt.nn.GroupNorm(2, FEATURES)),
    "IndRNN": _cell_entry(lambda: tt.nn.IndRNN(FEATURES, 3)),
    "InstanceNorm1d": Entry(lambda: tt.nn.InstanceNorm1d(FEATURES, affine=True)),
    "Linear": Entry(lambda: tt.nn.Linear(FEATURES, 3)),
    "LSTM": Entry(lambda: tt.nn.LSTM(FEATURES, 3, num_layers=2, bidirectional=True)),
    "LSTMCell": Entry(lambda: tt.nn.LSTMCell(FEATURES, 3), (FEATURES,)),
    "LayerNormGRU": _cell_entry(lambda: tt.nn.LayerNormGRU(FEATURES, 8, bidirectional=True)),
    "LayerNormLSTM": Entry(lambda: tt.nn.LayerNormLSTM(FEATURES, 8)),
    "LiGRU": _cell_entry(lambda: tt.nn.LiGRU(FEATURES, 3, num_layers=2)),
    "LockedDropout": Entry(lambda: tt.nn.LockedDropout(0.5)),
    "MGU": Entry(lambda: tt.nn.MGU(FEATURES, 3)),
    "MinGRU": Entry(lambda: tt.nn.MinGRU(FEATURES, 3, num_layers=2, bidirectional=True)),
    "MinLSTM": Entry(lambda: tt.nn.MinLSTM(FEATURES, 3)),
    "MaxPool1d": Entry(lambda: tt.nn.MaxPool1d(3, 2, 1)),
    "MiniRocket": Entry(lambda: _learned(tt.nn.MiniRocket(FEATURES, 336))),
    "PeepholeSRU": _cell_entry(lambda: tt.nn.PeepholeSRU(FEATURES, 3)),
    "MultiplicativeLSTM": _cell_entry(lambda: tt.nn.MultiplicativeLSTM(FEATURES, 3)),
    "Parallel": Entry(lambda: tt.nn.Parallel(tt.nn.Conv1d(FEATURES, 2, 1), tt.nn.MaxPool1d(3, 1, 1))),
    "Pool": Entry(lambda: tt.nn.Pool("top-k", k=3)),
    "QRNN": Entry(lambda: tt.nn.QRNN(FEATURES, 3, kernel_size=3, pooling="ifo", bidirectional=True)),
    "RNN": Entry(lambda: tt.nn.RNN(FEATURES, 3)),
    "RNNCell": Entry(lambda: tt.nn.RNNCell(FEATURES, 3), (FEATURES,)),
    "Readout": Entry(lambda: tt.nn.Readout(FEATURES, 3)),
    "Recurrence": Entry(lambda: tt.nn.Recurrence(tt.nn.GRUCell(FEATURES, 3))),
    "RecurrentHighway": _cell_entry(lambda: tt.nn.RecurrentHighway(FEATURES, 3, bidirectional=True)),
    "ResNetBlock": Entry(lambda: tt.nn.ResNetBlock(FEATURES, 3, (5, 3))),
    "Residual": Entry(_residual),
    "SLSTM": _cell_entry(lambda: tt.nn.SLSTM(FEATURES, 4, num_layers=2, num_heads=2)),
    "SRU": Entry(lambda: tt.nn.SRU(FEATURES, 3, num_layers=2)),
    "Stack": Entry(
        lambda: tt.nn.Stack(
            tt.nn.LSTM(FEATURES, 6), tt.nn.MinGRU(6, 3), tt.nn.Linear(3, 3), dropout=0.2, residual=True
        )
    ),
    "Stream": Entry(_stream, not_one_graph="the steps that a window waits for depend on the lengths"),
    "TemporalBlock": Entry(
        lambda: tt.nn.TemporalBlock(FEATURES, 3, 2, dilation=2),
        not_pickled="Serialization of parametrized modules is only supported through state_dict",
    ),
    "WideConv": Entry(lambda: tt.nn.WideConv(FEATURES, 2, (1, 2, 5))),
}

# Options that take another path.
VARIANTS = {
    "CRF constrained": Entry(
        lambda: tt.nn.CRF(FEATURES, *tt.nn.bio_constraints(["B-A", "I-A", "B-B", "I-B"])),
        not_one_graph="so many steps as the longest sequence has",
        not_compiled="CRF has the same loop",
    ),
    "Conv1d replicate": Entry(
        lambda: tt.nn.Conv1d(FEATURES, 3, 3, padding="causal", dilation=2, padding_mode="replicate")
    ),
    "ConvBlock group": Entry(lambda: tt.nn.ConvBlock(FEATURES, 4, 3, norm="group", norm_groups=2)),
    "GRU before": Entry(lambda: tt.nn.GRU(FEATURES, 3, reset_after=False, update="new", bias=False)),
    "LSTM peephole": Entry(lambda: tt.nn.LSTM(FEATURES, 3, peephole=True, coupled=True, clip=2.0)),
    "LSTM projected": Entry(lambda: tt.nn.LSTM(FEATURES, 3, proj_size=2)),
    "MiniRocket differences": Entry(
        lambda: _learned(tt.nn.MiniRocket(FEATURES, 1000, differences=True, normalize=True))
    ),
    "Pool mean": Entry(lambda: tt.nn.Pool("mean")),
    "LiGRU layer norm": _cell_entry(lambda: tt.nn.LiGRU(FEATURES, 8, normalization="layer")),
    "Recurrence own": Entry(lambda: tt.nn.Recurrence(_Transition(), state=3)),
    "Recurrence zoneout": Entry(
        lambda: tt.nn.Recurrence(tt.nn.Zoneout(tt.nn.LSTMCell(FEATURES, 3), (0.1, 0.2)))
    ),
    "Recurrence dropout": Entry(
        lambda: tt.nn.Recurrence(tt.nn.RecurrentDropout(tt.nn.GRUCell(FEATURES, 3), x=0.1, h=0.2))
    ),
}

each_layer = pytest.mark.parametrize("entry", [*TABLE.values(), *VARIANTS.values()], ids=[*TABLE, *VARIANTS])


def test_the_table_has_every_public_layer() -> None:
    public = {
        name for name, value in vars(tt.nn).items() if inspect.isclass(value) and not name.startswith("_")
    }
    layers = {name for name in public if issubclass(getattr(tt.nn, name), nn.Module)}
    cells = {name for name in layers if issubclass(getattr(tt.nn, name), tt.nn.Cell)}  # see test_cells.py
    assert layers - cells == set(TABLE)
    for name, entry in TABLE.items():
        layer = entry.make()
        assert type(layer.layer if isinstance(layer, _WithMemory) else layer) is getattr(tt.nn, name)


def _leaves(result: Any) -> list[Tensor]:
    """The floating-point tensors of a result."""
    found = (leaf.values if isinstance(leaf, Ragged) else leaf for leaf in pytree.tree_leaves(result))
    return [leaf for leaf in found if leaf is not None and leaf.is_floating_point()]


def _output(result: Any) -> Any:
    """The output of a pair, h of a cell's (h, c), and anything else as it is."""
    return result[0] if isinstance(result, tuple) else result


def _values(x: Any) -> Tensor:
    return x.values if isinstance(x, Ragged) else x


def _with_values(x: Any, values: Tensor) -> Any:
    return x.with_values(values) if isinstance(x, Ragged) else values


def _weighted(result: Any) -> Tensor:
    """A scalar whose gradient differs for every element."""
    weights = (
        torch.arange(t.numel(), dtype=t.dtype, device=t.device).cos().view(t.shape) for t in _leaves(result)
    )
    return torch.stack([(t * w).sum() for t, w in zip(_leaves(result), weights, strict=True)]).sum()


def _gradients(layer: nn.Module, x: Any) -> list[Tensor]:
    """Gradients of the values and of all parameters that ask for one."""
    values = _values(x).clone().requires_grad_()
    wanted = [values, *(parameter for parameter in layer.parameters() if parameter.requires_grad)]
    return list(torch.autograd.grad(_weighted(layer(_with_values(x, values))), wanted))


def _close(found: Any, expected: Any, **tolerance: float) -> None:
    torch.testing.assert_close(_leaves(found), _leaves(expected), **tolerance)


@each_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_bits_alone_and_in_any_batch(entry: Entry, dtype: torch.dtype) -> None:
    if entry.not_the_same_bits:
        pytest.skip(entry.not_the_same_bits)
    layer, x = entry.layer(dtype), entry.input(LENGTHS, dtype)
    rows = list(_output(layer(x)))
    for b, row in enumerate(rows):
        assert torch.equal(_output(layer(x[[b]]))[0], row)
    order = [3, 0, 4, 2, 1]
    for row, b in zip(_output(layer(x[order])), order, strict=True):
        assert torch.equal(row, rows[b])


# Layers that `test_compiled_contract` compiles, too, for batches of any size: one of each kind, for the sizes of its batch.
FOR_ITS_SIZES = ("Conv1d", "ConvBlock", "GRU", "MiniRocket differences", "Pool")
COMPILED = [
    name
    for name, entry in (TABLE | VARIANTS).items()
    if name in FOR_ITS_SIZES
    or not (entry.not_compiled or type(entry.make()) in test_compiled_contract.compiled_kinds())
]


# Torch's own, where one graph ends and another begins.
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf", "ignore:.torch.jit.script"
)
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_as_one_graph(name: str) -> None:
    entry = (TABLE | VARIANTS)[name]
    torch._dynamo.reset()
    # A loop over the steps is unrolled: few steps, where it is one.
    layer, x = entry.layer(), entry.input([3, 0, 4, 2, 6] if entry.not_one_graph else LENGTHS)
    compiled = torch.compile(layer, backend="eager", fullgraph=not entry.not_one_graph)
    _close(compiled(x), layer(x))


class _OfValues(nn.Module):
    """A layer as a function of plain tensors alone, for sequences of the lengths of an example."""

    def __init__(self, layer: nn.Module, x: Any) -> None:
        super().__init__()
        self.layer, self.x = layer, x

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        return tuple(_leaves(self.layer(_with_values(self.x, values))))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@each_layer
@pytest.mark.parametrize("recorded", [True, False])
def test_traced_by_jit_as_it_computes_or_refused(entry: Entry, recorded: bool) -> None:
    layer, x = entry.layer(), entry.input(LENGTHS)
    model = _OfValues(layer, x).eval()
    with torch.set_grad_enabled(recorded):
        try:
            traced = torch.jit.trace(model, _values(x), check_trace=False)
        except UnsupportedError as error:
            assert "torch.export.export" in str(error)  # noqa: PT017
            return
        other = _values(x).flip(0).cos()
        torch.testing.assert_close(traced(other), model(other))


@each_layer
@pytest.mark.parametrize("recorded", [True, False])
def test_copied_and_pickled_after_use(entry: Entry, recorded: bool) -> None:
    layer, x = entry.layer(), entry.input(LENGTHS)
    # On CUDA, sums over the tokens of a sequence are in any order.
    same = {"rtol": 0.0, "atol": 0.0} if entry.device == "cpu" else {}
    with torch.set_grad_enabled(recorded):
        expected = layer(x)
        twins = [copy.deepcopy(layer)]
        if entry.not_pickled:
            with pytest.raises(RuntimeError, match=entry.not_pickled):
                pickle.dumps(layer)
        else:
            twins.append(pickle.loads(pickle.dumps(layer)))
        for twin in twins:
            _close(twin(x), expected, **same)
            with torch.no_grad():
                for parameter in twin.parameters():
                    parameter.add_(1)
        _close(layer(x), expected, **same)


@each_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_in_other_precisions(entry: Entry, dtype: torch.dtype) -> None:
    layer, x = entry.layer(dtype), entry.input(LENGTHS, dtype)
    found, expected = layer(x), copy.deepcopy(layer).double()(_with_values(x, _values(x).double()))
    assert {leaf.dtype for leaf in _leaves(found)} == {dtype}
    rounding = 16 * torch.finfo(dtype).eps
    _close([leaf.double() for leaf in _leaves(found)], expected, rtol=rounding, atol=rounding)
    assert all(gradient.dtype == dtype and gradient.isfinite().all() for gradient in _gradients(layer, x))


@each_layer
def test_under_autocast(entry: Entry) -> None:
    check_under_autocast(entry, torch.bfloat16)


def check_under_autocast(entry: Entry, dtype: torch.dtype) -> None:
    layer, x = entry.layer(torch.float32), entry.input(LENGTHS, torch.float32)
    with torch.autocast(entry.device, dtype):
        found = layer(x)
        gradients = _gradients(layer, x)
    _close([leaf.float() for leaf in _leaves(found)], layer(x), rtol=0.1, atol=0.1)
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients)


@each_layer
def test_with_frozen_parameters(entry: Entry) -> None:
    layer, x = entry.layer(), entry.input(LENGTHS)
    expected = _gradients(layer, x)[0]
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    torch.testing.assert_close(_gradients(layer, x), [expected])
    assert not any(leaf.requires_grad for leaf in _leaves(layer(x)))


@each_layer
def test_the_input_by_its_name(entry: Entry) -> None:
    layer, x = entry.layer(), entry.input(LENGTHS)
    _close(layer(input=x), layer(x), rtol=0, atol=0)


@each_layer
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("lengths", [[], [0, 0]], ids=["none", "empty"])
def test_an_empty_batch_has_gradients_of_zero(entry: Entry, training: bool, lengths: list[int]) -> None:
    if entry.shape is not None and lengths:
        pytest.skip("rows of a tensor have no lengths")
    layer, x = entry.layer().train(training), entry.input(lengths)
    assert len(_output(layer(x))) == len(lengths)
    assert not any(gradient.any() for gradient in _gradients(layer, x))
    with torch.autocast(entry.device, torch.bfloat16):  # convolutions hand bfloat16 to parameters in float32
        layer = entry.layer(torch.float32).train(training)
        of_none, of_some = (_leaves(layer(entry.input(one, torch.float32))) for one in ([], LENGTHS))
    assert [leaf.dtype for leaf in of_none] == [leaf.dtype for leaf in of_some]


@each_layer
def test_a_sequence_of_one_step(entry: Entry) -> None:
    layer, x = entry.layer(), entry.input([1])
    try:
        found = layer(x)
    except ShapeError as error:
        assert re.search(r": sequence 0 has 1 step, and a window spans", str(error))  # noqa: PT017
        return
    assert all(leaf.isfinite().all() for leaf in _leaves(found))
    assert all(gradient.isfinite().all() for gradient in _gradients(layer, x))
    _close(_output(layer(entry.input([1, 1])))[:1], _output(found))


@each_layer
def test_gradients_of_each_example_by_vmap(entry: Entry) -> None:
    layer, x = entry.layer(), entry.input([7, 9])
    parameters = dict(layer.named_parameters())
    examples = torch.stack([_values(x), _values(x).flip(0), _values(x).cos()])

    def loss(parameters: dict[str, Tensor], values: Tensor) -> Tensor:
        return _weighted(torch.func.functional_call(layer, parameters, (_with_values(x, values),)))

    found = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)), in_dims=(None, 0))(parameters, examples)
    for place, values in enumerate(examples):
        expected = _gradients(layer, _with_values(x, values))
        single = [found[1][place], *(found[0][name][place] for name in parameters)]
        torch.testing.assert_close(single, expected)


# Torch's own, at the first forward-mode derivative.
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
@each_layer
def test_forward_mode(entry: Entry) -> None:
    layer, x = entry.layer(), entry.input(LENGTHS)
    tangent = _values(x).sin()

    def run(values: Tensor) -> Tensor:
        return _weighted(layer(_with_values(x, values)))

    _, found = torch.func.jvp(run, (_values(x),), (tangent,))
    torch.testing.assert_close(found, (_gradients(layer, x)[0] * tangent).sum())
