"""Descriptions of layers against their behaviour: fields, lengths and streams of every case and model.

tests/export/test_contract.py exports the same cases.
"""

import contextlib
import functools
import inspect
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, NotCausalError, ShapeError, ThroughtimeError
from throughtime.nn.description import NoSequence, Reversed, Series, SideBySide, description_of

from .contract import CASES, FEATURES, output_of, rows

STEPS = 30  # more than any of the windows below


def _down_and_up() -> nn.Module:
    return nn.Sequential(tt.nn.Conv1d(FEATURES, 4, 3, stride=2), tt.nn.ConvTranspose1d(4, 3, 4, 2, 1))


class _UsersModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = tt.nn.Conv1d(FEATURES, 4, 3, padding="causal")
        self.stack = tt.nn.ConvStack(4, [4, 4], 2, padding="causal", norm="layer", activation=torch.tanh)
        self.recurrent, self.output = tt.nn.GRU(4, 4), nn.Linear(4, 2)

    def describe(self) -> Series:
        return Series.of(conv=self.conv, stack=self.stack, recurrent=self.recurrent, output=self.output)

    def forward(self, x: Ragged) -> Ragged:
        return self.output(self.recurrent(self.stack(self.conv(x))))


STEP_OPTIONS: dict[str, dict[str, object]] = {
    **{name: {"hidden_size": 4} for name in ("rnn", "lstm", "gru", "bilstm")},
    "textcnn": {"channels": 4},
    "tcn": {"channels": (4, 4), "kernel_size": 3},
    "fcn": {"channels": (4, 5, 4)},
    "resnet": {"channels": (4, 5)},
    "inceptiontime": {"members": 2, "depth": 3, "channels": 2, "kernel_sizes": (6, 3)},
}
SERIES_MODELS: dict[str, Callable[[], nn.Module]] = {
    "TCN": lambda: tt.models.TCN(FEATURES, 2, channels=(4, 4), kernel_size=3),
    "FCN": lambda: tt.models.FCN(FEATURES, 2, channels=(4, 5, 4)),
    "ResNet": lambda: tt.models.ResNet(FEATURES, 2, channels=(4, 5, 5)),
    "InceptionTime": lambda: tt.models.InceptionTime(
        FEATURES, 2, members=2, depth=3, channels=2, kernel_sizes=(6, 3)
    ),
    "LSTMFCN": lambda: tt.models.LSTMFCN(FEATURES, 2),
    "LSTMFCN of one length": lambda: tt.models.LSTMFCN(FEATURES, 2, length=STEPS),
    "FrameModel": lambda: tt.models.FrameModel(FEATURES, hidden_size=4, num_layers=2, embedding_size=5),
    "ForecastModel": lambda: tt.models.ForecastModel(FEATURES, hidden_size=4, num_layers=2),
    **{
        f"{name} of steps": functools.partial(
            tt.models.build_model,
            name,
            tt.models.ModelInputs(channels=FEATURES),
            2,
            level="step",
            options=options,
        )
        for name, options in STEP_OPTIONS.items()
    },
    "a user's model": _UsersModel,
    "down and up": _down_and_up,
    "body of a TCN": lambda: tt.models.TCN(FEATURES, 2, channels=(4, 4), kernel_size=3).body,
}
TOKEN_MODELS: dict[str, Callable[[], nn.Module]] = {
    "TextCNN": lambda: tt.models.TextCNN(11, 2, embedding_size=4, channels=4),
    "CharCNN": lambda: tt.models.CharCNN(11, 2, length=130, channels=4, hidden_size=4),
    "BiLSTM": lambda: tt.models.BiLSTM(11, 2, embedding_size=4, hidden_size=4),
    "BiGRU": lambda: tt.models.BiGRU(11, 2, embedding_size=4, hidden_size=4, num_layers=2, pool="last"),
    "NGrams": lambda: tt.models.NGrams(11, 2, longest=3, buckets=64),
    "LanguageModel": lambda: tt.models.LanguageModel(11, embedding_size=4, hidden_size=6),
    "LanguageModel of clusters": lambda: tt.models.LanguageModel(
        11, embedding_size=4, hidden_size=6, cutoffs=(3,), tied=False
    ),
}
MAKERS = {case.name: case.make for case in CASES} | SERIES_MODELS
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())

# What does not depend on all that it could depend on, however the weights are, or has a gradient of 0.
NARROWER = {"MiniRocket", "Pool last", "TCN"}


def _made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().double().eval()


def _batch(lengths: list[int], seed: int = 0) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    return Ragged.from_lengths(
        torch.randn(sum(lengths), FEATURES, dtype=torch.float64, generator=generator), lengths
    )


def _is_public_module(kind: object) -> bool:
    return inspect.isclass(kind) and issubclass(kind, nn.Module)


def test_every_public_module_describes_itself() -> None:
    public = [
        kind for names in (tt.nn, tt.models) for kind in vars(names).values() if _is_public_module(kind)
    ]
    silent = {kind.__name__ for kind in public if not callable(getattr(kind, "describe", None))}
    assert silent == set()


def _support(model: nn.Module, x: Ragged) -> list[list[int]]:
    """For every output of one sequence, the input steps on which its gradient depends."""
    values = x.values.clone().requires_grad_()
    outputs = rows(output_of(model, x.with_values(values)))[0]
    outputs = outputs if isinstance(output_of(model, x), Ragged) else outputs[None]
    steps = []
    for output in outputs:
        weights = torch.arange(1, output.numel() + 1, dtype=output.dtype).view(output.shape).sin()
        if not output.requires_grad:
            steps.append([])
            continue
        (gradient,) = torch.autograd.grad((output * weights).sum(), values, retain_graph=True)
        steps.append(gradient.abs().sum(1).nonzero().flatten().tolist())
    return steps


@each_maker
def test_a_field_is_the_gradients_support(make: Callable[[], nn.Module], request) -> None:
    model = _made(make)
    field = tt.nn.receptive_field(model)
    support: dict[int, set[int]] = {}
    ramp = torch.linspace(-9, 9, STEPS, dtype=torch.float64)[:, None]
    # A maximum or a ReLU has no gradient for some steps of one input; maxima lie at the ends of a ramp.
    inputs = [_batch([STEPS], seed) for seed in range(6)]
    ramps = [inputs[0].with_values(inputs[0].values + sign * ramp) for sign in (1, -1)]
    reached = False
    for number, x in enumerate([*inputs, *ramps]):
        for t, steps in enumerate(_support(model, x)):
            first, last = t * field.stride + field.first, t * field.stride + field.last
            assert all(first <= step <= last for step in steps), (t, steps)
            support.setdefault(t, set()).update(steps)
            ends = max(0, math.ceil(max(first, 0))), math.floor(min(last, STEPS - 1))
            reached |= bool(support[t]) and (min(support[t]), max(support[t])) == ends
        if reached and number:
            return
    assert reached or request.node.callspec.id in NARROWER


@each_maker
def test_output_lengths_are_those_of_the_output(make: Callable[[], nn.Module]) -> None:
    model = _made(make)
    lengths = [STEPS, STEPS + 1, STEPS + 2, STEPS + 5]
    if getattr(model, "length", None):
        lengths = [STEPS]
    output = output_of(model, _batch(lengths))
    if isinstance(output, Ragged):
        assert tt.nn.output_lengths(model, lengths).tolist() == output.lengths.tolist()
        assert tt.nn.output_lengths(model, [0]).tolist() == [0]
    else:
        with pytest.raises(ShapeError, match="one value per sequence and no steps"):
            tt.nn.output_lengths(model, lengths)


# Causal, but not on streams, and why.
NOT_STREAMED = {
    "Conv1d {'kernel_size': 3, 'padding': 2, 'stride': 2}": "2 steps of padding at the end",
    "Conv1d {'kernel_size': 3, 'padding': 'causal', 'dilation': 2, 'padding_mode': 'replicate'}": "border is zeros",
    "ConvTranspose1d {'kernel_size': 1}": "spreads each step",
    "ConvTranspose1d {'kernel_size': 3}": "spreads each step",
    "ConvTranspose1d {'kernel_size': 2, 'stride': 3, 'bias': False}": "spreads each step",
    "ConvTranspose1d {'kernel_size': 4, 'stride': 2, 'groups': 3, 'out_channels': 6}": "spreads each step",
}


@each_maker
def test_a_model_without_lookahead_runs_on_streams(make: Callable[[], nn.Module], request) -> None:
    model, name = _made(make), request.node.callspec.id
    x, stream, outputs = _batch([STEPS, STEPS - 2]), tt.nn.Stream(model), []
    state, rest = None, x
    try:
        for steps in ([4, 1], [0, 3], [1, 5], [100, 100]):
            head, rest = rest.split_time(steps)
            y, state = stream(head, state)
            outputs.append(y)
    except NotCausalError as error:
        if name in NOT_STREAMED:
            assert NOT_STREAMED[name] in str(error)  # noqa: PT017
        else:
            assert tt.nn.receptive_field(model).last > 0
        return
    assert name not in NOT_STREAMED
    whole = output_of(model, x)
    found = Ragged.cat_time(outputs)
    assert found.lengths.tolist() == whole.lengths.tolist()
    torch.testing.assert_close(found.values, whole.values, rtol=1e-10, atol=1e-10)


@each_maker
def test_a_composition_computes_what_the_module_does(make: Callable[[], nn.Module]) -> None:
    model = _made(make)
    description = description_of(model)
    if isinstance(description, Series | SideBySide | Reversed):
        x = _batch([STEPS, STEPS if getattr(model, "length", None) else STEPS + 3])
        _equal(description(x), output_of(model, x))


@pytest.mark.parametrize("make", TOKEN_MODELS.values(), ids=TOKEN_MODELS.keys())
def test_models_of_tokens(make: Callable[[], nn.Module]) -> None:
    model = _made(make)
    x = Ragged.from_lengths(torch.randint(0, 11, (16,)), [9, 0, 7])
    description, field = description_of(model), tt.nn.receptive_field(model)
    output = output_of(model, x)
    if isinstance(description, Series):
        _equal(description(x), output)
    if not isinstance(output, Ragged):
        assert (field.first, field.last) == (-math.inf, math.inf)
        with pytest.raises(NotCausalError):
            tt.nn.Stream(model)(x)
        return
    assert (field.first, field.last, field.stride) == (-math.inf, 0, 1)
    assert tt.nn.output_lengths(model, x.lengths).tolist() == [9, 0, 7]
    stream, (head, rest) = tt.nn.Stream(model), x.split_time(4)
    first, state = stream(head)
    second, _ = stream(rest, state)
    torch.testing.assert_close(Ragged.cat_time([first, second]).values, output.values)


def _equal(found: Ragged | Tensor, expected: Ragged | Tensor) -> None:
    for a, b in zip(rows(found), rows(expected), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tt.models.LeNet(2),
        lambda: tt.nn.ConvBlock2d(FEATURES, 4, 3),
        lambda: tt.nn.RNNCell(FEATURES, 4),
        lambda: tt.nn.LSTMCell(FEATURES, 4),
        lambda: tt.nn.GRUCell(FEATURES, 4),
    ],
)
def test_what_has_no_steps_is_refused_by_name(make: Callable[[], nn.Module]) -> None:
    model = make()
    assert isinstance(description_of(model), NoSequence)
    for ask in ASK:
        with pytest.raises(
            InputTypeError, match=rf"0 \({type(model).__name__}\) (reads images|runs one step)"
        ):
            ask(nn.Sequential(model))


ASK: list[Callable[[nn.Module], object]] = [
    tt.nn.receptive_field,
    lambda model: tt.nn.output_lengths(model, [4]),
    lambda model: tt.nn.Stream(model)(Ragged.from_lengths(torch.randn(4, FEATURES), [4])),
]


class _OtherForward(tt.nn.Linear):
    def forward(self, x):
        return x.reverse()


class _OtherTorchForward(nn.Identity):
    def forward(self, x):
        return x.reverse()


class _OtherSequential(nn.Sequential):
    def forward(self, x):
        return x.reverse()


class _OtherLogits(tt.nn.Readout):
    def logits(self, h):
        return h.reverse()


class _Nothing(nn.Module):
    def forward(self, x):
        return x


def _hooked(kind: str) -> nn.Module:
    layer = tt.nn.Linear(FEATURES, FEATURES)
    getattr(layer, f"register_forward_{kind}")(lambda *given: None)
    return layer


def _hooked_block() -> nn.Module:
    block = tt.nn.ConvBlock(FEATURES, FEATURES, 3, padding="causal")
    block.register_forward_hook(lambda module, inputs, output: output.reverse())
    return block


def _replaced() -> nn.Module:
    layer = tt.nn.Linear(FEATURES, FEATURES)
    layer.forward = lambda x: x.reverse()
    return layer


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _OtherForward(FEATURES, 2), r"1 \(_OtherForward\) overrides forward of Linear"),
        (_OtherTorchForward, r"1 \(_OtherTorchForward\) overrides forward of Identity"),
        (lambda: _OtherSequential(nn.ReLU()), r"1 \(_OtherSequential\) overrides forward of Sequential"),
        (lambda: _OtherLogits(FEATURES, 2), r"1 \(_OtherLogits\) overrides logits of Readout"),
        (_Nothing, r"1 \(_Nothing\)"),
        (lambda: _hooked("hook"), r"1 \(Linear\) has a forward hook"),
        (lambda: _hooked("pre_hook"), r"1 \(Linear\) has a forward hook"),
        (_hooked_block, r"1 \(ConvBlock\) has a forward hook"),
        (_replaced, r"1 \(Linear\): its forward was replaced"),
    ],
)
def test_a_description_that_may_not_hold_is_refused_by_name(
    make: Callable[[], nn.Module], words: str
) -> None:
    model = nn.Sequential(tt.nn.Linear(FEATURES, FEATURES), make()).eval()
    for ask in ASK:
        with pytest.raises(InputTypeError, match=words):
            ask(model)


def test_hooks_of_all_modules_are_refused() -> None:
    handle = nn.modules.module.register_module_forward_hook(lambda *given: None)
    with contextlib.closing(_Closing(handle.remove)):
        for ask in ASK:
            with pytest.raises(InputTypeError, match="forward hook for all modules"):
                ask(tt.nn.Linear(FEATURES, FEATURES))


class _Closing:
    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close


def test_a_subclass_that_computes_the_same_keeps_its_description() -> None:
    class Own(tt.nn.TemporalBlock):
        def __init__(self) -> None:
            super().__init__(FEATURES, 4, 3)

        def extra_repr(self) -> str:
            return "own"

    assert tt.nn.receptive_field(Own()) == tt.nn.receptive_field(tt.nn.TemporalBlock(FEATURES, 4, 3))


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_a_border_of_other_steps_is_not_causal(mode: str) -> None:
    for conv in (
        nn.Conv1d(FEATURES, 2, 3, padding=2, padding_mode=mode),
        tt.nn.Conv1d(FEATURES, 2, 3, padding="causal", padding_mode=mode),
    ):
        field = tt.nn.receptive_field(conv.double())
        values = torch.randn(1, FEATURES, 9, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(conv(values)[0, :, 0].sum(), values)
        later = gradient[0].abs().sum(0).nonzero().flatten().max()
        assert field.first <= 0 < later <= field.last


def test_fields_of_softmax_depend_on_its_dimension() -> None:
    assert tt.nn.receptive_field(nn.Softmax(-1)) == (0, 0, 1)
    assert tt.nn.receptive_field(nn.Softmax(0)).size == math.inf


def test_parts_of_different_lengths_or_strides_are_named() -> None:
    uneven = tt.nn.Parallel(tt.nn.Conv1d(FEATURES, 2, 3), tt.nn.Conv1d(FEATURES, 2, 2))
    with pytest.raises(ShapeError, match=r"branches\.0 gives \[3\], branches\.1 gives \[4\]"):
        tt.nn.output_lengths(uneven, [5])
    strided = tt.nn.Bidirectional(tt.nn.Conv1d(FEATURES, 2, 3, stride=2))
    with pytest.raises(ShapeError, match=r"backward_layer \(Conv1d\) has a stride of 2 in reversed time"):
        tt.nn.receptive_field(strided)


def test_refusals_are_errors_of_ours() -> None:
    with pytest.raises(ThroughtimeError, match="neither a module nor a function"):
        tt.nn.receptive_field(3)
