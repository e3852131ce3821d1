"""Every layer of the contract and every model under torch.compile(fullgraph=True) and torch.export.

A compiled layer gives the values and gradients of the eager one; an exported program those values for other
numbers of sequences and tokens than it was exported with. What cannot be recorded is refused by name.
"""

import functools
import inspect
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import UnsupportedError

from ..models.named import BUILT
from .contract import CASES, FEATURES

# What cannot be one graph, with what the refusal says.
OF_A_RECURRENCE = "cannot record a Recurrence over a Ragged, whose loop has as many steps"
REFUSED = {"CRF": "cannot record a CRF, whose loop has as many steps"}

# Layers that are an operator of this process, one case of each; the others of these names are in SAME_PATH.
OPERATORS = (
    "Recurrence",
    "LayerNormGRU",
    "LiGRU",
    "IndRNN {'num_layers': 2}",
    "MultiplicativeLSTM {'num_layers': 2}",
    "PeepholeSRU {'num_layers': 2}",
    "RecurrentHighway",
    "SLSTM {'num_layers': 2}",
    "AttentionGRU {}",
)

# The graph has the path of another case, with other numbers or another name of a cell in it. Options that all recurrent
# layers share are taken with the LSTM alone, of two layers and directions; `test_recurrent_autograd` compiles each of
# torch's cells so, and one without biases.
CELLS = ("RNN tanh", "RNN relu", "LSTM projected", "GRU", "MGU", "LayerNormLSTM")
SHARED = ("bias=False", "num_layers=2", "bidirectional=True", "num_layers=2 bidirectional=True")
SAME_PATH = {f"{cell} {option}" for cell in CELLS for option in SHARED} | {
    "MinGRU",
    "MinLSTM",
    "QRNN",
    "SRU",
    "QRNN {'kernel_size': 3, 'pooling': 'ifo', 'num_layers': 2}",
    "Conv1d {'kernel_size': 1}",
    "Conv1d {'kernel_size': 3, 'padding': 'same', 'dilation': 2}",
    "Conv1d {'kernel_size': 2, 'stride': 3, 'dilation': 2}",
    "Conv1d {'kernel_size': 3, 'padding': 'valid', 'groups': 3, 'out_channels': 6}",
    "ConvTranspose1d {'kernel_size': 1}",
    "ConvTranspose1d {'kernel_size': 5, 'padding': 3}",
    "ConvTranspose1d {'kernel_size': 3, 'dilation': 3, 'padding': 4, 'output_padding': 2}",
    "MaxPool1d {'kernel_size': 3, 'stride': 1, 'padding': 1}",
    "MaxPool1d {'kernel_size': 2, 'stride': 3, 'ceil_mode': True}",
    "AvgPool1d {'kernel_size': 3, 'stride': 2, 'padding': 1}",
    "AvgPool1d {'kernel_size': 4, 'stride': 3, 'padding': 2, 'ceil_mode': True}",
    "LSTM bias=False",
    "LSTM num_layers=2",
    "LSTM bidirectional=True",  # with two layers
    "RNN relu",
    "SRU {'hidden_size': 3, 'num_layers': 2, 'bias': False}",
    "Stack",
    "Stack residual",  # with both directions
    "Stack dense",  # with an LSTM, a GRU and a Linear
    "Conv1d {'kernel_size': 3}",
    "Conv1d {'kernel_size': 3, 'padding': 2, 'stride': 2}",  # with groups
    "ConvTranspose1d {'kernel_size': 2, 'stride': 3, 'bias': False}",
    "ConvBlock bare",
    "WideConv",  # causal
    "MaxPool1d {'kernel_size': 3, 'stride': 2, 'dilation': 2, 'padding': 1}",
    "AvgPool1d {'kernel_size': 3, 'stride': 2, 'ceil_mode': True, 'count_include_pad': False}",
    "GroupNorm of one",
    "TemporalBlock of one width",  # in the TCN
    "ResNetBlock of one width",  # in the ResNet
    "GatedBlock linear",
    "Stream of WaveNet",
    *(
        case.name
        for case in CASES
        if case.name.startswith(tuple(name.split()[0] for name in (*OPERATORS, *REFUSED)))
        and case.name not in (*OPERATORS, *REFUSED)
    ),
    # Per step as those of textcnn, fcn, lstm and bilstm; their layers are compiled in models per sequence, or alone.
    *(
        f"{model} step of tokens"
        for model in ("inceptiontime", "resnet", "tcn", "rnn", "gru", "birnn", "bigru")
    ),
}

LENGTHS = [31, 33, 30, 35]
OTHER_LENGTHS = ([40, 30, 36], [30, 38, 31, 30, 32, 47])
TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def _series(lengths: list[int]) -> Ragged:
    values = torch.randn(sum(lengths), FEATURES, dtype=torch.float64, requires_grad=True)
    return Ragged.from_lengths(values, lengths)


def _texts(lengths: list[int]) -> Ragged:
    return Ragged.from_lengths(torch.randint(0, 11, (sum(lengths),)), lengths)


def _of_one_length(lengths: list[int]) -> Ragged:
    return _series([12] * len(lengths))


Make, Batch = Callable[[], nn.Module], Callable[[list[int]], Ragged]

MODELS: dict[str, tuple[Make, Batch]] = {
    "TextCNN": (lambda: tt.models.TextCNN(11, 2, embedding_size=4, channels=3), _texts),
    "CharCNN": (lambda: tt.models.CharCNN(11, 2, length=125, channels=3, hidden_size=4), _texts),
    "TCN": (lambda: tt.models.TCN(FEATURES, 2, channels=(3, 3), kernel_size=2), _series),
    "FCN": (lambda: tt.models.FCN(FEATURES, 2, channels=(4, 3, 4)), _series),
    "ResNet": (lambda: tt.models.ResNet(FEATURES, 2, channels=(3,)), _series),
    "InceptionTime": (
        lambda: tt.models.InceptionTime(FEATURES, 2, members=1, depth=3, channels=2, kernel_sizes=(4, 3)),
        _series,
    ),
    "LSTMFCN": (lambda: tt.models.LSTMFCN(FEATURES, 2), _series),
    "LSTMFCN of one length": (lambda: tt.models.LSTMFCN(FEATURES, 2, length=12), _of_one_length),
    "BiLSTM": (lambda: tt.models.BiLSTM(11, 2, embedding_size=4, hidden_size=3), _texts),
    "BiGRU": (lambda: tt.models.BiGRU(11, 2, embedding_size=4, hidden_size=3, pool="last"), _texts),
    "NGrams": (lambda: tt.models.NGrams(11, 2, longest=3, buckets=64), _texts),
    "Rocket": (lambda: tt.models.Rocket(FEATURES, 2, features=84), _series),
    "Blend": (
        lambda: tt.models.Blend(
            [
                [tt.models.TextCNN(11, 2, embedding_size=4, channels=3) for _ in range(2)],
                [tt.models.NGrams(11, 2)],
            ]
        ),
        _texts,
    ),
    "FrameModel": (lambda: tt.models.FrameModel(FEATURES, hidden_size=4, embedding_size=5), _series),
    "LanguageModel": (lambda: tt.models.LanguageModel(11, embedding_size=4, hidden_size=6), _texts),
    "LanguageModel of clusters": (
        lambda: tt.models.LanguageModel(11, embedding_size=4, hidden_size=6, cutoffs=(3,)),
        _texts,
    ),
}
# By name, as the models above are not: with an output for each step, of tokens.
NAMED: dict[str, tuple[Make, Batch]] = {
    text: (built.make, built.batch)
    for text, built in BUILT.items()
    if (built.level == "step" and built.kind == "tokens") or built.name == "forecast"
}
MORE: dict[str, tuple[Make, Batch]] = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(FEATURES), _series),
    "AttentionPool behind a stride": (
        lambda: nn.Sequential(tt.nn.Conv1d(FEATURES, 4, 3, stride=2), tt.nn.AttentionPool(4)),
        _series,
    ),
    "ConvBlock norm=batch": (lambda: tt.nn.ConvBlock(FEATURES, 4, 3, norm="batch"), _series),
    # As the case of this name, with one layer or block of each kind.
    "QRNN {'num_layers': 2, 'bidirectional': True}": (
        lambda: tt.nn.QRNN(FEATURES, 4, kernel_size=3, pooling="ifo", bidirectional=True),
        _series,
    ),
    "Stream of a stack": (
        lambda: tt.nn.Stream(
            nn.Sequential(tt.nn.ConvStack(FEATURES, [4], 3, padding="causal", norm="batch"), nn.Linear(4, 3))
        ),
        _series,
    ),
}
EVERY = {case.name: (case.make, _series) for case in CASES} | MODELS | NAMED | MORE
ALL = {name: made for name, made in EVERY.items() if name not in SAME_PATH}
each = pytest.mark.parametrize("name", [name for name in ALL if name not in REFUSED])
each_exported = pytest.mark.parametrize("name", [name for name in ALL if name not in (*REFUSED, *OPERATORS)])


@functools.cache
def compiled_kinds() -> set[type[nn.Module]]:
    """The classes of the layers and models that are compiled here."""
    return {type(make()) for name, (make, _) in ALL.items() if name not in REFUSED}


def _made(name: str) -> tuple[nn.Module, Batch]:
    torch.manual_seed(0)
    torch._dynamo.reset()
    make, batch = ALL[name]
    module = make().double().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2)
    return module, batch


def _tensors(output: object) -> list[Tensor]:
    leaves = torch.utils._pytree.tree_leaves(output)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _gradients(outputs: list[Tensor], leaves: list[Tensor]) -> list[Tensor | None]:
    """Of a loss in which every element counts differently."""
    real = [output for output in outputs if output.requires_grad]
    weights = [torch.arange(1, y.numel() + 1, dtype=y.dtype).cos().view(y.shape) for y in real]
    loss = torch.stack([(y * weight).sum() for y, weight in zip(real, weights, strict=True)]).sum()
    return list(torch.autograd.grad(loss, leaves, allow_unused=True)) if leaves else []


# Of a number such as eps torch makes a symbol first, and begins again: the same graph in twice the time.
@torch._dynamo.config.patch(specialize_float=True)
@each
def test_compiled_equals_eager(name: str) -> None:
    module, batch = _made(name)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True, dynamic=True)
    for lengths in (LENGTHS, OTHER_LENGTHS[0]):
        x = batch(lengths)
        leaves = [*module.parameters(), *([x.values] if x.values.requires_grad else [])]
        found, expected = _tensors(compiled(x)), _tensors(module(x))
        torch.testing.assert_close(found, expected, **TIGHT)
        torch.testing.assert_close(_gradients(found, leaves), _gradients(expected, leaves), **TIGHT)


@each_exported
def test_exported_equals_eager_for_other_numbers_of_sequences_and_tokens(name: str) -> None:
    module, batch = _made(name)
    sizes = ([{0: torch.export.Dim.DYNAMIC}] * 2,)
    program = torch.export.export(module, (batch(LENGTHS),), dynamic_shapes=sizes).module()
    for lengths in OTHER_LENGTHS:
        x = batch(lengths)
        torch.testing.assert_close(_tensors(program(x)), _tensors(module(x)), **TIGHT)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_one_graph_is_refused_by_name(name: str) -> None:
    module, batch = _made(name)
    with pytest.raises(torch._dynamo.exc.Unsupported, match=REFUSED[name]):
        torch.compile(module, backend="eager", fullgraph=True)(batch(LENGTHS))
    with pytest.raises(UnsupportedError, match=REFUSED[name]):
        torch.export.export(module, (batch(LENGTHS),))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", ["Recurrence", "LiGRU"])
def test_an_operator_of_this_process_is_not_exported(name: str, strict: bool) -> None:
    module, batch = _made(name)
    with pytest.raises((UnsupportedError, torch._dynamo.exc.Unsupported), match=OF_A_RECURRENCE):
        torch.export.export(module, (batch(LENGTHS),), strict=strict)


def test_what_is_left_out_names_cases() -> None:
    assert EVERY.keys() >= SAME_PATH


def test_every_model_is_here() -> None:
    public = {
        kind for kind in vars(tt.models).values() if inspect.isclass(kind) and issubclass(kind, nn.Module)
    }
    assert {type(make()) for make, _ in (MODELS | NAMED).values()} == public - {tt.models.LeNet}


def test_a_model_of_images_compiles_and_exports() -> None:
    torch._dynamo.reset()
    model = tt.models.LeNet(2).double().eval()
    images = torch.randn(3, 1, 28, 28, dtype=torch.float64)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=True)
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module()
    for x in (images, torch.randn(5, 1, 28, 28, dtype=torch.float64)):
        torch.testing.assert_close(compiled(x), model(x), **TIGHT)
        torch.testing.assert_close(program(x), model(x), **TIGHT)


@pytest.mark.parametrize(
    "name", ["Pool max", "LSTM", "ConvBlock", "GroupNorm", "AttentionPool", "TextCNN", "CharCNN", "NGrams"]
)
def test_a_program_for_any_size_takes_one_sequence_and_none(name: str) -> None:
    """Torch leaves sizes of 0 and 1 out unless told otherwise."""
    module, batch = _made(name)
    sizes = ([{0: torch.export.Dim.DYNAMIC}] * 2,)
    with torch.fx.experimental._config.patch(backed_size_oblivious=True):
        program = torch.export.export(module, (batch(LENGTHS),), dynamic_shapes=sizes).module()
    for lengths in ([30], [], [0, 40, 0]):
        x = batch(lengths)
        torch.testing.assert_close(_tensors(program(x)), _tensors(module(x)), **TIGHT)


@pytest.mark.parametrize(
    "name",
    [
        "fcn sequence of tokens",
        "bilstm step of series",
    ],
)
def test_extra_features_are_a_second_input_of_a_program(name: str) -> None:
    torch._dynamo.reset()
    model, batch = BUILT[name].make(extra=2), BUILT[name].batch
    inputs = batch(LENGTHS), torch.randn(len(LENGTHS), 2, dtype=torch.float64)
    sizes = ([{0: torch.export.Dim.DYNAMIC}] * 2, {0: torch.export.Dim.DYNAMIC})
    program = torch.export.export(model, inputs, dynamic_shapes=sizes).module()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=True)
    for lengths in OTHER_LENGTHS:
        x, extra = batch(lengths), torch.randn(len(lengths), 2, dtype=torch.float64)
        torch.testing.assert_close(_tensors(program(x, extra)), _tensors(model(x, extra)), **TIGHT)
        torch.testing.assert_close(_tensors(compiled(x, extra)), _tensors(model(x, extra)), **TIGHT)


class _Reversed(nn.Module):
    def forward(self, x: Ragged, scale: Tensor) -> tuple[Ragged, dict[str, Ragged]]:
        return x.reverse(), {"scaled": x * scale}


def test_a_saved_program_takes_and_returns_batches() -> None:
    tokens, sequences = torch.export.Dim("tokens", min=2), torch.export.Dim("offsets", min=3)
    sizes = {"x": [{0: tokens}, {0: sequences}], "scale": None}
    x = _series(LENGTHS).detach()
    program = torch.export.export(_Reversed(), (x, torch.tensor(2.0).double()), dynamic_shapes=sizes)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for lengths in OTHER_LENGTHS:
        x = _series(lengths).detach()
        backwards, named = loaded(x, torch.tensor(3.0).double())
        assert isinstance(backwards, Ragged)
        assert torch.equal(backwards, x.reverse())
        assert torch.equal(named["scaled"], 3 * x)


def test_a_program_names_its_inputs_by_the_parts_of_a_batch() -> None:
    program = torch.export.export(tt.nn.Pool("max"), (_series(LENGTHS).detach(),))
    assert list(program.graph_signature.user_inputs) == ["input_values", "input_offsets"]


def test_a_series_of_another_length_is_refused_when_the_graph_runs() -> None:
    module, _ = _made("LSTMFCN of one length")
    compiled = torch.compile(module, backend="eager", fullgraph=True, dynamic=True)
    with pytest.raises(RuntimeError, match="a sequence has other steps than length=12"):
        compiled(_series([12, 11, 13]))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # Inductor's own
@pytest.mark.parametrize("name", ["MaxPool1d {'kernel_size': 2}", "Pool max", "GroupNorm"])
def test_inductor_gives_the_same(name: str) -> None:
    module, batch = _made(name)
    compiled = torch.compile(module, fullgraph=True, dynamic=True)
    x = batch(LENGTHS)
    found, expected = _tensors(compiled(x)), _tensors(module(x))
    torch.testing.assert_close(found, expected, **TIGHT)
    torch.testing.assert_close(_gradients(found, [x.values]), _gradients(expected, [x.values]), **TIGHT)


def test_a_block_in_training_updates_its_statistics_in_a_graph() -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    block, twin = (tt.nn.ConvBlock(FEATURES, 4, 3, norm="batch").double() for _ in range(2))
    twin.load_state_dict(block.state_dict())
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True, dynamic=True)
    for lengths in (LENGTHS, OTHER_LENGTHS[0]):
        x = _series(lengths)
        found, expected = _tensors(compiled(x)), _tensors(twin(x))
        torch.testing.assert_close(found, expected, **TIGHT)
        gradients = [_gradients(y, list(one.parameters())) for y, one in ((found, block), (expected, twin))]
        torch.testing.assert_close(*gradients, **TIGHT)
        torch.testing.assert_close(block.state_dict(), twin.state_dict(), **TIGHT)


def test_locked_dropout_is_exported_in_training_for_any_number_of_sequences() -> None:
    sizes = ([{0: torch.export.Dim.DYNAMIC}] * 2,)
    drop = tt.nn.LockedDropout(0.5)
    program = torch.export.export(drop, (_series(LENGTHS).detach(),), dynamic_shapes=sizes).module()
    x = _series(OTHER_LENGTHS[1]).detach()
    for sequence in program(x.with_values(torch.ones_like(x.values))):
        assert ((sequence == 0) | (sequence == 2)).all()
        assert (sequence == sequence[:1]).all()
