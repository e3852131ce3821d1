"""Exported models in ONNX Runtime on padded batches compute the same as ours on ragged batches."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description import Operator, Series

from .runtime import call_of, close, padded, run, session

# Ragged, one sequence alone, all of one length, none with a step.
BATCHES = ([4, 0, 7, 1], [3], [5, 5], [0, 0])


LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": ("scaled_tanh", 1.2, 0.7), "clip": 0.5, "bidirectional": True}),
    ("LSTM", {}),
    ("LSTM", {"bias": False, "batch_first": True}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "dropout": 0.5}),
    ("LSTM", {"peephole": True, "clip": 0.4, "learn_initial_state": True, "num_layers": 2}),
    (
        "LSTM",
        {"coupled": True, "peephole": True, "activations": (("hard_sigmoid", 0.3, 0.4), "elu", "softsign")},
    ),
    ("LSTM", {"context_size": 2, "num_layers": 2, "bidirectional": True, "learn_initial_state": True}),
    ("GRU", {"num_layers": 3}),
    ("GRU", {"reset_after": False, "bidirectional": True, "batch_first": True}),
    ("GRU", {"update": "new", "reset_after": False, "bias": False, "context_size": 3}),
    # Not in ONNX's operators, and so written as loops.
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True, "learn_initial_state": True}),
    ("LSTM", {"proj_size": 3, "peephole": True}),
    ("LSTM", {"cell_clip": 0.1, "clip": 2.0}),
    ("GRU", {"update": "new", "activations": ("softsign", "relu")}),
]


@pytest.mark.parametrize("initial_state", [False, True])
@pytest.mark.parametrize(("name", "options"), LAYERS, ids=str)
def test_a_layer_runs_in_onnxruntime(name: str, options: dict[str, Any], initial_state: bool) -> None:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(3, 4, **options)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    runtime = session(tt.export.onnx(layer, initial_state=initial_state))
    layer.eval()
    for lengths in BATCHES:
        inputs, x, state, given = call_of(layer, lengths, initial_state=initial_state)
        with torch.no_grad():
            output, final = layer(x, state, **given)
        found = run(runtime, **inputs)
        close(found["output"], output.to_padded(length=x.longest + 1, batch_first=layer.batch_first))
        finals = final if name == "LSTM" else (final,)
        for part, expected in zip(("h_n", "c_n"), finals, strict=False):
            close(found[part], expected)


class _Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.stack = nn.Embedding(11, 3), tt.nn.ConvStack(3, [4, 4], 3, norm="batch")
        self.output = nn.Linear(4, 2)

    def describe(self) -> Series:
        return Series.of(embedding=self.embedding, stack=self.stack, output=self.output)

    def forward(self, tokens: Ragged) -> Ragged:
        return self.describe()(tokens)


class _SameLinear(nn.Linear):
    pass


class _Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = tt.nn.Linear(3, 3), tt.nn.Linear(3, 3)

    def describe(self) -> Series:
        return Series((("linear", self.first), ("linear", self.second)))

    def forward(self, x: Ragged) -> Ragged:
        return self.second(self.first(x))


def _trained(model: nn.Module) -> nn.Module:
    """The model with statistics other than the first ones."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return model


def _models() -> dict[str, nn.Module]:
    sizes: dict[str, Any] = {"embedding_size": 5, "hidden_size": 6}
    wide = tt.nn.WideConv(3, 4, (1, 2, 5), padding="causal", norm="batch", activation=torch.tanh, dilation=2)
    for block in wide.blocks:  # statistics other than the first ones
        block.norm.running_mean.uniform_(-1, 1)
        block.norm.running_var.uniform_(0.5, 2)
    shared = nn.Linear(3, 3)
    other = tt.models.BiLSTM(11, 3, **sizes)
    other.dropout = nn.Tanh()
    return {
        "bilstm": tt.models.BiLSTM(11, 3, **sizes),
        "bilstm-mean": tt.models.BiLSTM(11, 3, pool="mean", num_layers=2, **sizes),
        "bigru-last": tt.models.BiGRU(11, 3, pool="last", **sizes),
        "textcnn": tt.models.TextCNN(11, 3, embedding_size=5, channels=4),
        "textcnn-even": tt.models.TextCNN(11, 2, embedding_size=5, channels=4, kernel_sizes=(2, 6)),
        "tagger": nn.Sequential(nn.Embedding(11, 3), tt.nn.GRU(3, 4, bidirectional=True), nn.Linear(8, 2)),
        "conv": nn.Sequential(wide, tt.nn.Conv1d(12, 4, 3, padding="same", groups=2), nn.Sigmoid()),
        "mixed": nn.Sequential(
            tt.nn.RNN(3, 4), tt.nn.ConvBlock(4, 5, 3, padding=1), tt.nn.Pool("max"), nn.Tanh()
        ),
        "top-k": nn.Sequential(tt.nn.GRU(3, 4), tt.nn.Pool("top-k", k=3), nn.Flatten(), nn.Linear(12, 2)),
        "top-k-rows": nn.Sequential(nn.Linear(3, 4), tt.nn.Pool("top-k", k=9), nn.Linear(4, 2)),
        "std": nn.Sequential(nn.Linear(3, 4), tt.nn.Pool("std"), nn.Flatten()),
        "sum": nn.Sequential(nn.Linear(3, 4), tt.nn.Pool("sum"), nn.Flatten()),
        "probabilities": nn.Sequential(tt.nn.GRU(3, 4), tt.nn.LockedDropout(), tt.nn.Readout(4, 3)),
        "the same module twice": nn.Sequential(shared, nn.Tanh(), shared),
        "another dropout": other,
        "parametrized": nn.Sequential(
            spectral_norm(tt.nn.LSTM(3, 4), "weight_hh_l0"), weight_norm(nn.Linear(4, 3))
        ),
        "weight-norm": tt.nn.ConvBlock(3, 4, 3, padding="causal", norm="batch", weight_norm=True),
        "fcn": _trained(tt.models.FCN(3, 2, channels=(4, 5, 4))),
        "resnet": _trained(tt.models.ResNet(3, 2, channels=(4, 5, 5))),
        "tcn": tt.models.TCN(3, 2, channels=(4, 4, 5), kernel_size=3),
        "lstm-fcn": _trained(tt.models.LSTMFCN(3, 2)),
        "side by side": nn.Sequential(
            tt.nn.Parallel(tt.nn.Conv1d(3, 2, 1), nn.Sequential(tt.nn.GRU(3, 4), nn.BatchNorm1d(4))),
            tt.nn.Residual(nn.Linear(6, 6), activation=torch.tanh),
            tt.nn.Pool("mean"),
            nn.BatchNorm1d(6),
        ),
        "a user's": _trained(_Tagger()),
        "two parts of one path": _Twice(),
        "a subclass that computes the same": nn.Sequential(_SameLinear(3, 4), tt.nn.Pool("max")),
        "nested": nn.Sequential(tt.models.BiGRU(11, 3, **sizes), nn.ReLU(), nn.Linear(3, 2, bias=False)),
    }


@pytest.mark.parametrize("name", _models())
def test_a_model_runs_in_onnxruntime(name: str) -> None:
    torch.manual_seed(0)
    model = _models()[name].train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    runtime = session(tt.export.onnx(model))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    model.eval()
    numbers = runtime.get_inputs()[0].name == "tokens"
    for lengths in BATCHES:
        total = sum(lengths)
        values = torch.randint(0, 11, (total,)) if numbers else torch.randn(total, 3)
        x = Ragged.from_lengths(values, lengths)
        with torch.no_grad():
            expected = model(x)
        inputs = {
            "tokens" if numbers else "x": padded(x, batch_first=True),
            "lengths": torch.tensor(lengths),
        }
        found = run(runtime, **inputs)
        if isinstance(expected, Ragged):
            close(found["output"], expected.to_padded(length=x.longest + 1, batch_first=True))
        else:
            close(found["logits"], expected)


def test_a_top_k_pool_takes_the_first_of_equal_values_and_keeps_infinities() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), tt.nn.Pool("top-k", k=3))
    nn.init.ones_(model[0].weight)
    rows = [[2, 5, 5, 1, 5], [-torch.inf], [0, -torch.inf, 0, -1], []]
    x = Ragged.from_list([torch.tensor(row).view(-1, 1).float() for row in rows])
    found = run(session(tt.export.onnx(model)), x=padded(x, batch_first=True), lengths=x.lengths)
    expected = [[5, 5, 5], [-torch.inf, 0, 0], [0, 0, -1], [0, 0, 0]]
    assert found["logits"][..., 0].tolist() == expected == model(x)[..., 0].tolist()


def test_the_file_is_the_model_and_says_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "layer.onnx"
    path.write_bytes(b"old")
    model = tt.export.onnx(tt.nn.GRU(3, 4), path, metadata={"classes": '["no", "yes"]'})
    assert path.read_bytes() == model.SerializeToString()
    assert [file.name for file in tmp_path.iterdir()] == ["layer.onnx"]
    meta = session(onnx.load(path)).get_modelmeta()
    assert meta.custom_metadata_map == {"classes": '["no", "yes"]', "throughtime": model.producer_version}
    assert (meta.producer_name, model.producer_version) == ("throughtime", version("throughtime"))


def test_sizes_are_free_and_named() -> None:
    model = tt.export.onnx(tt.nn.LSTM(3, 4, bidirectional=True, batch_first=True))
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {
        "x": ["batch", "length", 3],
        "lengths": ["batch"],
        "output": ["batch", "length", 8],
        "h_n": [2, "batch", 4],
        "c_n": [2, "batch", 4],
    }


class _Own(tt.models.BiLSTM):
    def forward(self, tokens):
        return super().forward(tokens.reverse())


class _OwnLayer(tt.nn.GRU):
    def forward(self, x, hx=None):
        return super().forward(x.reverse(), hx)


class _OwnNorm(nn.BatchNorm1d):
    def forward(self, x):
        return 2 * super().forward(x)


class _OwnConv(tt.nn.Conv1d):
    def forward(self, x):
        return 2 * super().forward(x)


def _hooked() -> nn.Module:
    model = tt.models.BiLSTM(11, 3)
    model.output.register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def _pruned() -> nn.Module:
    model = nn.Sequential(tt.nn.GRU(3, 4))
    prune.l1_unstructured(model[0], "weight_hh_l0", 0.5)
    return model


def _replaced() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4))
    model[0].forward = lambda x: x
    return model


def _block(**parts: nn.Module) -> nn.Module:
    block = tt.nn.ConvBlock(3, 4, 3, padding="same", dropout=0.5)
    for name, part in parts.items():
        setattr(block, name, part)
    return block


def _large() -> nn.Module:
    model = nn.Sequential(nn.Embedding(2, 3))
    model[0].weight = nn.Parameter(torch.zeros(1, 1).expand(2**20, 520))  # 2.03 GiB, of one number in memory
    return model


class _Median(nn.Module):
    def describe(self):
        return tt.nn.Pool("sum").describe()

    def operators(self):
        return (Operator.of("throughtime::median_over_time"),)


def _median() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), _Median())


ACTIVATIONS: list[Any] = [
    nn.CELU(0.7), nn.ELU(0.5), nn.GELU(), nn.GELU("tanh"), nn.GLU(1), nn.Hardshrink(0.3), nn.Hardsigmoid(),
    nn.Hardswish(), nn.Hardtanh(-0.3, 0.5), nn.LeakyReLU(0.2), nn.LogSigmoid(), nn.LogSoftmax(1), nn.Mish(),
    nn.PReLU(), nn.PReLU(4), nn.ReLU(), nn.ReLU6(), nn.SELU(), nn.SiLU(), nn.Sigmoid(),
    nn.Softmax(1), nn.Softmin(-1), nn.Softplus(2.0), nn.Softshrink(0.2), nn.Softsign(), nn.Tanh(), nn.Tanhshrink(),
    nn.Threshold(0.1, -0.5), nn.LayerNorm(4), nn.LayerNorm(4, elementwise_affine=False), nn.RMSNorm(4),
    nn.AlphaDropout(), torch.sin, torch.nn.functional.gelu, torch.nn.functional.normalize,
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda one: getattr(one, "__name__", str(one)))
def test_an_activation_of_steps_and_of_pooled_features(activation: Any) -> None:
    torch.manual_seed(0)
    steps = tt.nn.ConvBlock(3, 4, 1, activation=activation).eval()
    x = Ragged.from_lengths(3 * torch.randn(11, 3), [4, 0, 7])
    found = run(session(tt.export.onnx(steps)), x=padded(x, batch_first=True), lengths=x.lengths)
    with torch.no_grad():
        close(found["output"], steps(x).to_padded(length=8, batch_first=True))
    if isinstance(activation, nn.Module):
        pooled = nn.Sequential(nn.Linear(3, 4), tt.nn.Pool("max"), activation).eval()
        found = run(session(tt.export.onnx(pooled)), x=padded(x, batch_first=True), lengths=x.lengths)
        with torch.no_grad():
            close(found["logits"], pooled(x))


def test_strides_windows_and_transposed_convolutions_carry_the_lengths() -> None:
    torch.manual_seed(0)
    down = tt.nn.ConvStack(3, [4, 4], 3, norm="group", norm_groups=2, pool=2, activation=nn.SiLU())
    model = nn.Sequential(
        down,
        tt.nn.Parallel(tt.nn.Conv1d(4, 3, 3, stride=2, padding=1), tt.nn.AvgPool1d(2, ceil_mode=True)),
        tt.nn.ConvTranspose1d(7, 4, 4, 2, 1),
        tt.nn.GRU(4, 3, bidirectional=True),
        tt.nn.Conv1d(6, 4, 3, padding=1, padding_mode="replicate"),
    ).eval()
    with_pool = nn.Sequential(*model, tt.nn.AttentionPool(4), nn.Linear(4, 2)).eval()
    runtimes = session(tt.export.onnx(model, intermediates=True)), session(tt.export.onnx(with_pool))
    for lengths in ([40, 0, 11, 18], [10]):
        x = Ragged.from_lengths(torch.randn(sum(lengths), 3), lengths)
        inputs = {"x": padded(x, batch_first=True), "lengths": x.lengths}
        found, pooled = (run(runtime, **inputs) for runtime in runtimes)
        with torch.no_grad():
            expected = model(x)
            close(pooled["logits"], with_pool(x))
            blocks = model[0].blocks[0](x)
        close(found["output"], expected.to_padded(batch_first=True))
        close(found["0.blocks.0.dropout" if "0.blocks.0.dropout" in found else "0.blocks.0.pool"],
              blocks.to_padded(batch_first=True))  # fmt: skip
        assert found["output_lengths"].tolist() == expected.lengths.tolist()


def test_a_series_of_another_length_than_the_model_reads_gives_nan() -> None:
    model = tt.models.LSTMFCN(3, 2, length=12).eval()
    runtime = session(tt.export.onnx(model))
    lengths = torch.tensor([12, 9, 12])
    found = run(runtime, x=torch.randn(3, 13, 3), lengths=lengths)["logits"]
    assert found.isnan().all(1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (lambda: tt.nn.LSTM(3, 4).double(), InputTypeError, "weight_ih_l0 is torch.float64"),
        (
            lambda: nn.Sequential(nn.LSTM(3, 4)),
            InputTypeError,
            r"0 \(LSTM\): this module has no description.*describe\(\)",
        ),
        (lambda: _Own(11, 3), InputTypeError, "^_Own overrides forward of _Recurrent"),
        (
            lambda: nn.Sequential(nn.Linear(3, 3), tt.nn.Stream(tt.nn.GRU(3, 3))),
            InputTypeError,
            r"1 \(Stream\) keeps its state between calls; export its model",
        ),
        (lambda: nn.Sequential(nn.Tanh()), InputTypeError, "nothing says what it reads"),
        (
            lambda: nn.Sequential(tt.nn.GRU(3, 4), tt.nn.Pool("max"), tt.nn.GRU(4, 4)),
            ShapeError,
            "2 needs a value for every step",
        ),
        (
            lambda: nn.Sequential(nn.Linear(3, 3), tt.nn.GRU(3, 4, context_size=2)),
            ShapeError,
            "1 needs a context",
        ),
        (
            lambda: tt.nn.Parallel(tt.nn.Conv1d(3, 4, 3), tt.nn.Conv1d(3, 4, 3, padding=1)),
            ShapeError,
            "Parallel: parts side by side make 0 and 1 steps of 1; give them the same stride and padding",
        ),
        (
            lambda: nn.Sequential(tt.nn.ConvBlock(3, 4, 1, activation=torch.erfinv)),
            InputTypeError,
            "0.activation does not run on rows of .* torch function 'erfinv' does not support a Ragged",
        ),
        (lambda: nn.Sequential(nn.Embedding(11, 3, max_norm=1.0)), ShapeError, "max_norm"),
        (
            lambda: nn.Sequential(nn.Linear(3, 4), tt.nn.InstanceNorm1d(4, track_running_stats=True)),
            ShapeError,
            "InstanceNorm1d on a Ragged uses each sequence's own statistics",
        ),
        (
            lambda: _block(norm=_OwnNorm(4)),
            InputTypeError,
            r"norm \(_OwnNorm\) overrides forward of BatchNorm1d",
        ),
        (
            lambda: _block(norm=nn.BatchNorm1d(4, affine=False)),
            ShapeError,
            "running statistics and a learned scale",
        ),
        (
            lambda: _block(norm=nn.BatchNorm1d(4, track_running_stats=False)),
            ShapeError,
            "running statistics and a learned scale",
        ),
        (
            lambda: _block(conv=_OwnConv(3, 4, 3, padding="same")),
            InputTypeError,
            r"conv \(_OwnConv\) overrides forward of Conv1d",
        ),
        (
            lambda: _block(conv=nn.Conv1d(3, 4, 3, padding=1)),
            InputTypeError,
            "conv is a Conv1d, which has no form",
        ),
        (
            lambda: tt.nn.Conv1d(3, 4, 3, padding="same", padding_mode="reflect"),
            ShapeError,
            "Conv1d: a convolution with padding_mode 'reflect' does not run on ragged batches; use 'zeros'",
        ),
        (lambda: _OwnLayer(3, 4), InputTypeError, "^_OwnLayer overrides forward of Recurrent"),
        (_hooked, InputTypeError, r"output \(Linear\) has a forward hook"),
        (_pruned, InputTypeError, r"0 \(GRU\) has a forward hook.*prune.remove"),
        (_replaced, InputTypeError, r"0 \(Linear\): its forward was replaced"),
        (
            _median,
            InputTypeError,
            "1: the operator throughtime::median_over_time has no form.*::max_over_time",
        ),
        (lambda: tt.nn.LSTM(3, 4, device="meta"), InputTypeError, "weight_ih_l0 is on the device meta"),
        (
            lambda: nn.Sequential(nn.LazyLinear(3)),
            InputTypeError,
            "0 is a LazyLinear, whose weights have no shape yet",
        ),
        (_large, ShapeError, "have 2.0 GiB, and one ONNX file holds less than 2 GiB"),
        (lambda: nn.Linear(3, 4, dtype=torch.complex64), InputTypeError, "weight is torch.complex64"),
        (
            lambda: nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 3)),
            ShapeError,
            "1 reads 4 features, but gets 3",
        ),
        (lambda: nn.Sequential(nn.Linear(3, 3), tt.nn.GRU(4, 3)), ShapeError, "1 reads 4 features, but"),
        (
            lambda: nn.Sequential(nn.Linear(3, 3), tt.nn.Conv1d(4, 3, 1)),
            ShapeError,
            "1 reads 4 features, but",
        ),
        (lambda: _block(norm=nn.BatchNorm1d(5)), ShapeError, "norm reads 5 features, but gets 4"),
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.Embedding(4, 3)), ShapeError, "1 reads token numbers"),
        (
            lambda: nn.Sequential(tt.nn.Pool("max"), nn.Embedding(4, 3)),
            ShapeError,
            "0 reads features, but gets token numbers",
        ),
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.Flatten()), ShapeError, "1: a Flatten is exported behind"),
    ],
)
def test_what_cannot_be_exported_is_named(model: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        tt.export.onnx(model())


def test_an_initial_state_is_a_layers() -> None:
    with pytest.raises(ShapeError, match="not for a TextCNN"):
        tt.export.onnx(tt.models.TextCNN(11, 2), initial_state=True)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        tt.export.onnx(tt.nn.GRU(3, 4), tmp_path / "none" / "layer.onnx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        tt.export.onnx(tt.nn.GRU(3, 4), tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
