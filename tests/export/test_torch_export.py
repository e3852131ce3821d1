"""Models that `torch.onnx.export` writes with our table of translations give what they give in float64."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import throughtime as tt
from throughtime import Ragged
from throughtime.nn import RecurrentOutput
from throughtime.ops.pool.layer import softmax_over_time

from .runtime import run, session

# torch's own: its tree specs, as torch.export copies them.
pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.`:FutureWarning")

# Ragged with an empty sequence, one alone, all of one length, none with a step, many.
BATCHES = ([4, 0, 7, 1], [3], [5, 5], [0, 0], [2, 9, 3, 1, 1, 6])
FEATURES, TOKENS = 4, 11


def _tensors(result: Any) -> list[torch.Tensor]:
    """What a layer returns, as tensors."""
    if isinstance(result, Ragged):
        return [result.values, result.offsets.diff()]  # torch renames an input that is an output
    if isinstance(result, RecurrentOutput):
        return [*_tensors(result.output), *_tensors(result.state)]
    if isinstance(result, tuple):
        return [tensor for part in result for tensor in _tensors(part)]
    return [result]


class _Each(nn.Module):
    """All layers on the same input, so that one export is enough for them."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)

    def forward(self, x):
        return [tensor for layer in self.layers.values() for tensor in _tensors(layer(x))]


class _Softmax(nn.Module):
    def forward(self, x):
        return softmax_over_time(x.values, x.layout)


class _Wide(nn.Module):
    """Tokens of two dimensions of features, and of none."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        wide, flat = x.with_values(x.values.unflatten(1, (2, -1))), x.with_values(x.values[:, 0])
        return (*_tensors(self.layer(wide)), *_tensors(self.layer(flat)))


class _WithState(nn.Module):
    """A layer with the states, and the context, that it computes from the input."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.pool = layer, tt.nn.Pool("sum")

    def forward(self, x):
        count = self.layer.num_layers * (2 if self.layer.bidirectional else 1)
        h = self.pool(x).tanh().expand(count, -1, -1)
        state = (h, h * 2) if self.layer.spec.has_c else h
        context = {"context": self.pool(x)[:, :2]} if self.layer.context_size else {}
        return self.layer(x, state, **context)


def _random(module: nn.Module) -> nn.Module:
    """The module with statistics other than the first ones, in evaluation mode."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
    return module.eval()


def _pools() -> dict[str, nn.Module]:
    kinds: dict[str, nn.Module] = {kind: tt.nn.Pool(kind) for kind in ("max", "mean", "std", "last", "sum")}
    kinds |= {"top-k": tt.nn.Pool("top-k", k=3), "attention": tt.nn.AttentionPool(FEATURES)}
    kinds |= {f"wide {name}": _Wide(pool) for name, pool in kinds.items() if name != "attention"}
    return kinds | {"softmax": _Softmax(), "wide softmax": _Wide(_Softmax())}


def _convolutions() -> dict[str, nn.Module]:
    conv = tt.nn.Conv1d
    return {
        "same": conv(FEATURES, 3, 3, padding="same"),
        "causal": conv(FEATURES, 3, 3, padding="causal", dilation=2, bias=False),
        "groups": conv(FEATURES, 6, 4, padding="same", groups=2),
        "strides": conv(FEATURES, 3, 3, stride=2, padding=1),
        "valid": conv(FEATURES, 3, 1, stride=3),
        "replicate": conv(FEATURES, 3, 4, padding=3, stride=2, padding_mode="replicate"),
        "block": tt.nn.ConvBlock(FEATURES, 3, 3, padding="same"),
        "transposed": tt.nn.ConvTranspose1d(FEATURES, 3, 3, stride=2, output_padding=1, padding=1),
        "transposed, longer": tt.nn.ConvTranspose1d(FEATURES, 3, 2, stride=3, output_padding=2),
        "transposed groups": tt.nn.ConvTranspose1d(
            FEATURES, 6, 4, stride=3, groups=2, dilation=2, bias=False
        ),
    }


def _windows() -> dict[str, nn.Module]:
    maximum, mean = tt.nn.MaxPool1d, tt.nn.AvgPool1d
    return {
        "max": maximum(1),
        "max with borders": maximum(3, 2, padding=1, ceil_mode=True),
        "max dilated": maximum(2, 1, padding=1, dilation=2, ceil_mode=True),
        "mean": mean(3, 2, padding=1, ceil_mode=True),
        "mean of real steps": mean(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        "wide": _Wide(maximum(3, 2, padding=1)),
        "wide mean": _Wide(mean(3, 1, padding=1)),
    }


def _norms() -> dict[str, nn.Module]:
    norms = {
        "group": tt.nn.GroupNorm(2, FEATURES),
        "instance": tt.nn.InstanceNorm1d(FEATURES),
        "plain group": tt.nn.GroupNorm(1, FEATURES, affine=False),
        "block": tt.nn.ConvBlock(FEATURES, 3, 3, padding="causal", norm="batch"),
    }
    for norm in norms.values():
        for parameter in norm.parameters():
            nn.init.normal_(parameter)
    return norms


def _recurrent() -> dict[str, nn.Module]:
    sizes: dict[str, Any] = {"input_size": FEATURES, "hidden_size": FEATURES}
    layers = {
        "rnn": tt.nn.RNN(**sizes, nonlinearity=("scaled_tanh", 1.2, 0.7), clip=0.5, bidirectional=True),
        "lstm": tt.nn.LSTM(**sizes, num_layers=2, bidirectional=True),
        "plain lstm": tt.nn.LSTM(**sizes, bias=False),
        "peephole": tt.nn.LSTM(**sizes, peephole=True, learn_initial_state=True),
        "coupled": tt.nn.LSTM(**sizes, coupled=True, peephole=True, clip=0.4),
        "gru": tt.nn.GRU(**sizes, num_layers=2),
        "new": tt.nn.GRU(**sizes, update="new", reset_after=False, bidirectional=True),
        "state": _WithState(tt.nn.LSTM(**sizes, bidirectional=True)),
        # As loops over the equations of their cells.
        "projected": tt.nn.LSTM(**sizes, proj_size=2, bidirectional=True, num_layers=2),
        "bounded": _WithState(tt.nn.LSTM(**sizes, cell_clip=0.2, bidirectional=True)),
        "mgu": tt.nn.MGU(**sizes, bidirectional=True),
        "context": _WithState(tt.nn.GRU(**sizes, bidirectional=True, update="new", context_size=2)),
    }
    for layer in layers.values():
        for parameter in layer.parameters():
            nn.init.normal_(parameter, 0, 0.5)
    return layers


def _models_of_features() -> dict[str, nn.Module]:
    return {
        "tcn": tt.models.TCN(FEATURES, 2, channels=(4, 5)),
        "lstm-fcn": tt.models.LSTMFCN(FEATURES, 2),
        "frames": tt.models.FrameModel(FEATURES, hidden_size=4),
        "fcn": tt.models.FCN(FEATURES, 2, channels=(4, 5, 4)),
        "inception": tt.models.InceptionTime(
            FEATURES, 2, members=1, depth=2, channels=2, kernel_sizes=(4, 3)
        ),
    }


def _models_of_tokens() -> dict[str, nn.Module]:
    sizes: dict[str, Any] = {"embedding_size": 5, "hidden_size": 6}
    return {
        "textcnn": tt.models.TextCNN(TOKENS, 3, embedding_size=5, channels=4, kernel_sizes=(2, 3, 5)),
        "bilstm": tt.models.BiLSTM(TOKENS, 3, **sizes),
        "bigru": tt.models.BiGRU(TOKENS, 3, pool="mean", **sizes),
        "charcnn": tt.models.CharCNN(TOKENS, 2, length=200, channels=2, hidden_size=4),
        "language model": tt.models.LanguageModel(TOKENS, hidden_size=4),
        "top-k": nn.Sequential(
            nn.Embedding(TOKENS, 4), tt.nn.GRU(4, 5), tt.nn.Pool("top-k", k=2), nn.Flatten(), nn.Linear(10, 2)
        ),
    }


OF_FEATURES = {
    "pools": _pools,
    "convolutions": _convolutions,
    "windows": _windows,
    "norms": _norms,
    "recurrent": _recurrent,
    "models": _models_of_features,
}
OPERATORS = {
    "pools": {f"{kind}_over_time" for kind in ("max", "mean", "std", "last", "sum", "top_k", "softmax")},
    "convolutions": {"conv1d", "conv1d_input_gradient"},
    "windows": {"max_over_windows", "mean_over_windows"},
    "norms": {"normalize_sequences", "conv1d"},
    "recurrent": {"recurrent_layer"},
    "models": {"conv1d", "mean_over_time"},
}


def _batch(lengths: list[int], *, tokens: bool) -> Ragged:
    total = sum(lengths)
    values = torch.randint(0, TOKENS, (total,)) if tokens else torch.randn(total, FEATURES)
    return Ragged.from_lengths(values, lengths)


def _exported(model: nn.Module, x: Any, **options: Any) -> torch.onnx.ONNXProgram:
    rows = {0: Dim.DYNAMIC}
    options = {"custom_translation_table": tt.export.onnx_translations(), **options}
    program = torch.onnx.export(
        model, (x,), dynamo=True, verbose=False, dynamic_shapes=([rows, rows],), **options
    )
    assert program is not None
    return program


def _operators_in(program: torch.onnx.ONNXProgram) -> set[str]:
    names = (str(node.target) for node in program.exported_program.graph.nodes)
    return {name.split(".")[1] for name in names if name.startswith("throughtime.")}


def _check(model: _Each, program: torch.onnx.ONNXProgram, *, tokens: bool) -> None:
    runtime, exact = session(program.model_proto), copy.deepcopy(model).double()
    for lengths in BATCHES:
        x = _batch(lengths, tokens=tokens)
        results = run(runtime, x_values=x.values, x_offsets=x.offsets).values()
        with torch.no_grad():
            expected = exact(x if tokens else x.with_values(x.values.double()))
        for result, wanted in zip(results, expected, strict=True):
            torch.testing.assert_close(result.to(wanted.dtype), wanted, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("group", OF_FEATURES)
def test_layers_run_in_onnxruntime(group: str) -> None:
    torch.manual_seed(0)
    model = _Each({name: _random(layer) for name, layer in OF_FEATURES[group]().items()}).eval()
    program = _exported(model, _batch([5, 3, 6, 4], tokens=False))
    assert _operators_in(program) >= OPERATORS[group]
    _check(model, program, tokens=False)


def test_models_of_tokens_run_in_onnxruntime() -> None:
    torch.manual_seed(0)
    model = _Each(_models_of_tokens()).eval()
    program = _exported(model, _batch([5, 3, 6, 4], tokens=True))
    _check(model, program, tokens=True)


def test_the_graph_is_right_before_it_is_optimized() -> None:
    torch.manual_seed(0)
    model = _Each({"lstm": tt.nn.LSTM(FEATURES, 3), "norm": tt.nn.GroupNorm(2, FEATURES)}).eval()
    program = _exported(model, _batch([5, 3, 6, 4], tokens=False), optimize=False)
    _check(model, program, tokens=False)


def test_batches_that_are_joined_keep_a_dynamic_number_of_sequences() -> None:
    parts = tt.nn.Parallel(
        tt.nn.MaxPool1d(3, 1, padding=1), tt.nn.Conv1d(FEATURES, 2, 3, padding="same")
    ).eval()
    rows, x = {0: Dim.DYNAMIC}, _batch([2, 3], tokens=False)
    example = (_batch([5, 3, 6, 4], tokens=False),)
    program = torch.export.export(parts, example, dynamic_shapes=([rows, rows],), strict=False)
    assert torch.equal(program.module()(x).values, parts(x).values)


class _Dense(nn.Module):
    """Recurrent layers on tensors, as torch.nn's."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.layer = tt.nn.LSTM(FEATURES, 3, num_layers=2, bidirectional=True, batch_first=batch_first)

    def forward(self, x):
        return tuple(_tensors(self.layer(x)))


@pytest.mark.parametrize("batch_first", [True, False])
def test_layers_on_tensors_run_in_onnxruntime(batch_first: bool) -> None:
    torch.manual_seed(0)
    model = _Dense(batch_first).eval()
    program = torch.onnx.export(
        model,
        (torch.randn(5, 6, FEATURES),),
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: Dim.DYNAMIC, 1: Dim.DYNAMIC},),
        custom_translation_table=tt.export.onnx_translations(),
    )
    assert program is not None
    runtime, exact = session(program.model_proto), copy.deepcopy(model).double()
    for sizes in ((2, 7), (1, 1), (4, 3)):
        x = torch.randn(*sizes, FEATURES)
        for result, wanted in zip(run(runtime, x=x).values(), exact(x.double()), strict=True):
            torch.testing.assert_close(result.double(), wanted, rtol=1e-5, atol=2e-6)


# ------------------------------------------------------------------------------- what has no form in ONNX


class _Calls(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def _reasons(error: BaseException | None) -> str:
    """The messages of an error and of all that it came from."""
    return "" if error is None else f"{error}\n{_reasons(error.__cause__)}"


def _failure(model: nn.Module, **options: Any) -> str:
    with pytest.raises(torch.onnx.OnnxExporterError) as error:
        _exported(model.eval(), _batch([5, 3, 6, 4], tokens=False), **options)
    return _reasons(error.value)


def test_an_operator_that_is_not_in_the_table_is_named() -> None:
    table = tt.export.onnx_translations()
    del table[torch.ops.throughtime.max_over_time.default]
    message = _failure(tt.nn.Pool("max"), custom_translation_table=table)
    assert "No ONNX function found for <OpOverload(op='throughtime.max_over_time'" in message


def test_a_part_of_a_gradient_is_named() -> None:
    rows = _Calls(lambda x: torch.ops.throughtime.max_over_time_rows(x.values, x.offsets))
    assert (
        "throughtime::max_over_time_rows has no form in ONNX: it is part of a gradient; export the forward pass"
        in _failure(rows)
    )


def test_options_and_cells_that_onnx_does_not_have_are_named() -> None:
    bounded = tt.nn.LSTM(FEATURES, 4, cell_clip=1.0, context_size=FEATURES)
    with_context = _Calls(lambda x: bounded(x, context=tt.nn.Pool("sum")(x)))
    assert "recurrent_layer: to_onnx: this LSTM uses cell_clip" in _failure(_Values(with_context))
    assert "ONNX has no operator for the cell LayerNormLSTM" in _failure(
        _Values(tt.nn.LayerNormLSTM(FEATURES, 4))
    )


def test_tokens_of_integers_are_refused() -> None:
    numbers = _Calls(lambda x: tt.nn.Pool("last")(x.with_values(x.values.long())))
    assert "last_over_time: the tokens are int64, expected floating-point numbers" in _failure(numbers)


def test_what_onnx_does_not_return_is_named() -> None:
    def gates(x):
        layer = torch.ops.throughtime.recurrent_layer
        weights = [torch.ones(4 * 3, FEATURES), torch.ones(4 * 3, 3), *[None] * 12]
        return layer(x.values, x.offsets, None, 0, x.offsets.shape[0] - 1, 0, "LSTM", None, None, *weights)[4]

    assert "recurrent_layer: gates of every step have no form in ONNX" in _failure(_Calls(gates))


def test_reset_flags_are_refused() -> None:
    layer = tt.nn.GRU(FEATURES, 3)
    flagged = _Calls(lambda x: layer(x, reset=x.with_values(x.values[:, 0] > 0)).output)
    assert "recurrent_layer: reset flags are not exported" in _failure(flagged)


class _Values(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x).output.values


def test_every_registered_operator_is_translated_or_refused() -> None:
    key = "CompositeExplicitAutograd"
    names = {name.partition("::") for name in torch._C._dispatch_get_registrations_for_dispatch_key(key)}
    registered = {name for library, _, name in names if library == "throughtime"}
    assert len(registered) > 20
    names = [operator.name().partition("::") for operator in tt.export.onnx_translations()]
    assert {name for library, _, name in names if library == "throughtime"} == registered
    refused = {
        name
        for name in registered
        if re.search(r"gradient$|backward$|_rows$|_taps$|^(dropout|linear_scan|recurrence|rocket)$", name)
    }
    assert refused - {"conv1d_input_gradient"} == registered - set.union(*OPERATORS.values())
