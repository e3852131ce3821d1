"""The contract of every sequence layer: one set of properties, checked for each layer in `CASES`.

A layer that joins throughtime joins this list. What holds:

alone       a sequence gives the same result alone as in any batch, in values and gradients
order       the order of sequences does not matter
empty       zero-length sequences change nothing for the others, and give nothing or zeros themselves
split       a layer with a state, fed in two pieces with the state carried, gives what the whole gives
reference   a sequence alone gives what torch's own layer gives it
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.nn.description.kinds import Stateful

from .blocks import BLOCK_CASES
from .case import FEATURES, Case
from .cell_equations import by_cell
from .crf_enumeration import crf_marginals
from .equations import by_equations
from .scan_equations import by_steps


def output_of(layer: nn.Module, x: Ragged) -> Any:
    """The Ragged or per-sequence Tensor that a layer makes of a batch."""
    result = layer(x)
    return result.output if isinstance(result, tt.nn.RecurrentOutput) else result


def rows(output: Any) -> list[Tensor]:
    """One tensor per sequence, whether the layer keeps time or not."""
    return list(output) if isinstance(output, Ragged) else list(output.unbind(0))


def _by_equations(layer: nn.Module, sequence: Tensor) -> Tensor:
    """Of a layer that torch does not have: its paper's equations, step by step."""
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    zeros = torch.zeros(count, 1, layer.hidden_size, dtype=sequence.dtype)
    state = (zeros, zeros) if layer.spec.has_c else zeros
    rows = by_equations(layer, {}, Ragged.from_list([sequence]), state)
    outputs = [torch.stack([step["h"] for step in sequences[0]]) for sequences in rows[-1]]
    return torch.cat(outputs, 1)


def _torch_recurrent(layer: nn.Module, sequence: Tensor) -> Tensor:
    twin = getattr(nn, type(layer).__name__)(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        bidirectional=layer.bidirectional,
        **({"proj_size": layer.proj_size} if layer.proj_size else {}),
        **({"nonlinearity": layer.nonlinearity} if isinstance(layer, tt.nn.RNN) else {}),
    ).to(sequence.dtype)
    for name, value in layer.named_parameters():
        delattr(twin, name)
        setattr(twin, name, value)  # the very parameters, so that their gradients can be compared
    twin._flat_weights = [getattr(twin, name) for name in twin._flat_weights_names]
    return twin(sequence)[0]


def _torch_conv(layer: nn.Module, sequence: Tensor) -> Tensor | None:
    channels_first = sequence.t()[None]
    windows = layer.windows
    mode = "replicate" if layer.padding_mode == "replicate" else "constant"
    padded = nn.functional.pad(channels_first, (windows.left, windows.right), mode)
    if padded.shape[-1] <= windows.reach:
        return None  # torch refuses, and so do we
    y = nn.functional.conv1d(padded, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)
    return y[0].t()


def _torch_transpose(layer: nn.Module, sequence: Tensor) -> Tensor | None:
    windows, more = layer.windows, layer.output_padding[0]
    if (len(sequence) - 1) * windows.stride + windows.reach + 1 + more <= windows.left + windows.right:
        return None  # torch refuses, and so do we
    y = nn.functional.conv_transpose1d(
        sequence.t()[None],
        layer.weight,
        layer.bias,
        layer.stride,
        layer.padding,
        layer.output_padding,
        layer.groups,
        layer.dilation,
    )
    return y[0].t()


def _torch_block(layer: nn.Module, sequence: Tensor) -> Tensor | None:
    y = _torch_conv(layer.conv, sequence)
    if y is None:
        return None
    y = y.t()[None]
    if layer.norm is not None:
        y = layer.norm(y)
    if layer.activation is not None:
        y = layer.activation(y)
    if layer.pool is not None:
        if y.shape[-1] < layer.pool.kernel_size:
            return None
        y = nn.functional.max_pool1d(y, layer.pool.kernel_size)
    return y[0].t()


def _trained_norm(block: tt.nn.ConvBlock) -> tt.nn.ConvBlock:
    with torch.no_grad():
        block.norm.running_mean.uniform_(-1, 1)
        block.norm.running_var.uniform_(0.5, 2)
        block.norm.weight.uniform_(0.5, 2)
        block.norm.bias.uniform_(-1, 1)
    return block


def _recurrent_cases() -> list[Case]:
    cases = []
    options: list[tuple[str, type, dict[str, Any]]] = [
        ("RNN tanh", tt.nn.RNN, {}),
        ("RNN relu", tt.nn.RNN, {"nonlinearity": "relu"}),
        ("LSTM", tt.nn.LSTM, {}),
        ("LSTM projected", tt.nn.LSTM, {"proj_size": 2}),
        ("GRU", tt.nn.GRU, {}),
        ("MGU", tt.nn.MGU, {}),
        ("LayerNormLSTM", tt.nn.LayerNormLSTM, {}),
    ]
    for name, cls, given in options:
        for more in (
            {},
            {"bias": False},
            {"num_layers": 2},
            {"bidirectional": True},
            {"num_layers": 2, "bidirectional": True},
        ):
            label = " ".join([name, *(f"{key}={value}" for key, value in more.items())])
            arguments = {**given, **more}
            cases.append(
                Case(
                    label,
                    lambda cls=cls, arguments=arguments: cls(FEATURES, 4, **arguments),
                    _torch_recurrent if hasattr(nn, cls.__name__) else _by_equations,
                    stateful=not more.get("bidirectional", False),
                )
            )
    return cases


def _scan_cases() -> list[Case]:
    options: list[tuple[type, dict[str, Any]]] = [
        *((cls, {}) for cls in (tt.nn.MinGRU, tt.nn.MinLSTM, tt.nn.QRNN, tt.nn.SRU)),
        (tt.nn.MinGRU, {"num_layers": 2, "bidirectional": True, "activation": "tanh"}),
        (tt.nn.MinLSTM, {"num_layers": 2, "bias": False, "activation": "identity"}),
        (tt.nn.QRNN, {"kernel_size": 3, "pooling": "ifo", "num_layers": 2}),
        (tt.nn.QRNN, {"kernel_size": 1, "pooling": "f", "bias": False}),
        (tt.nn.QRNN, {"num_layers": 2, "bidirectional": True}),
        (tt.nn.SRU, {"num_layers": 2, "bidirectional": True}),
        (tt.nn.SRU, {"hidden_size": FEATURES, "num_layers": 2, "bias": False}),
    ]
    return [
        Case(
            f"{cls.__name__} {given}" if given else cls.__name__,
            lambda cls=cls, given=given: cls(FEATURES, **{"hidden_size": 4, **given}),
            by_steps,
            stateful=not given.get("bidirectional", False),
        )
        for cls, given in options
    ]


class _WithMemory(nn.Module):
    """A layer that reads a memory, which the contract has no argument for: the same one for each sequence."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.layer = tt.nn.AttentionGRU(FEATURES, 4, 2, **options)
        self.memory = nn.Parameter(torch.randn(5, 2))

    def forward(
        self, x: Ragged, state: Tensor | None = None, reset: Ragged | None = None
    ) -> tt.nn.RecurrentOutput:
        return self.layer(x, state, reset=reset, memory=self.memory.expand(len(x), -1, -1))

    def step(self, x_t: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.layer.step(x_t, state, memory=self.memory.expand(len(x_t), -1, -1))

    def describe(self) -> Any:
        description = self.layer.describe()
        return Stateful(self, self.step) if isinstance(description, Stateful) else description


@functools.cache
def _once(make: Callable[[], nn.Module]) -> nn.Module:
    return make()


def _set_anew(make: Callable[[], nn.Module]) -> nn.Module:
    """Return one layer with new parameters: it is traced once for all examples."""
    layer = _once(make)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.grad = None
            parameter.uniform_(-0.5, 0.5)
    return layer


def _cell_cases() -> list[Case]:
    options: list[tuple[type, dict[str, Any]]] = [
        (tt.nn.LayerNormGRU, {}),
        (tt.nn.LayerNormGRU, {"num_layers": 2, "separate": False, "bidirectional": True}),
        (tt.nn.LayerNormGRU, {"bias": False}),
        (tt.nn.LiGRU, {}),
        (tt.nn.LiGRU, {"num_layers": 2, "bidirectional": True, "normalization": "layer"}),
        (tt.nn.LiGRU, {"normalization": None, "activation": "tanh", "num_layers": 2}),
        (tt.nn.LiGRU, {"bias": False}),
        (tt.nn.IndRNN, {"num_layers": 2}),
        (tt.nn.IndRNN, {"activation": "tanh", "bound": 0.5, "bias": False, "bidirectional": True}),
        (tt.nn.MultiplicativeLSTM, {"num_layers": 2}),
        (tt.nn.MultiplicativeLSTM, {"bias": False, "bidirectional": True}),
        (tt.nn.PeepholeSRU, {"num_layers": 2}),
        (tt.nn.PeepholeSRU, {"bias": False, "bidirectional": True}),
        (tt.nn.RecurrentHighway, {}),
        (tt.nn.RecurrentHighway, {"depth": 3, "coupled": False, "num_layers": 2, "bidirectional": True}),
        (tt.nn.RecurrentHighway, {"depth": 1, "bias": False}),
        (tt.nn.SLSTM, {"num_layers": 2}),
        (tt.nn.SLSTM, {"num_heads": 2, "forget": "exp", "bidirectional": True}),
        (tt.nn.SLSTM, {"bias": False}),
    ]
    memory: list[dict[str, Any]] = [
        {},
        {"num_layers": 2, "bidirectional": True, "score": "dot"},
        {"bias": False},
    ]
    return [
        *(
            Case(
                f"{cls.__name__} {given}" if given else cls.__name__,
                functools.partial(_set_anew, functools.partial(cls, FEATURES, 4, **given)),
                by_cell,
                stateful=not given.get("bidirectional", False),
            )
            for cls, given in options
        ),
        *(
            Case(
                f"AttentionGRU {given}",
                functools.partial(_set_anew, functools.partial(_WithMemory, **given)),
                lambda layer, x: by_cell(layer.layer, x, layer.memory),
                stateful=not given.get("bidirectional", False),
            )
            for given in memory
        ),
    ]


def _conv_cases() -> list[Case]:
    options: list[dict[str, Any]] = [
        {"kernel_size": 1},
        {"kernel_size": 3},
        {"kernel_size": 4, "padding": "same"},
        {"kernel_size": 3, "padding": "same", "dilation": 2},
        {"kernel_size": 3, "padding": "causal", "dilation": 3, "bias": False},
        {"kernel_size": 3, "padding": 2, "stride": 2},
        {"kernel_size": 4, "padding": "same", "padding_mode": "replicate"},
        {"kernel_size": 3, "padding": "causal", "dilation": 2, "padding_mode": "replicate"},
        {"kernel_size": 2, "stride": 3, "dilation": 2},
        {"kernel_size": 3, "padding": "valid", "groups": FEATURES, "out_channels": 6},
        {"kernel_size": 3, "padding": 1, "stride": 2, "groups": FEATURES, "out_channels": 3},
    ]
    return [
        Case(
            f"Conv1d {given}",
            lambda given=given: tt.nn.Conv1d(FEATURES, **{"out_channels": 5, **given}),
            _torch_conv,
        )
        for given in options
    ]


def _transpose_cases() -> list[Case]:
    options: list[dict[str, Any]] = [
        {"kernel_size": 1},
        {"kernel_size": 3},
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
        {"kernel_size": 2, "stride": 3, "bias": False},
        {"kernel_size": 3, "dilation": 3, "padding": 4, "output_padding": 2},
        {"kernel_size": 4, "stride": 2, "groups": FEATURES, "out_channels": 2 * FEATURES},
        {"kernel_size": 5, "padding": 3},
    ]
    return [
        Case(
            f"ConvTranspose1d {given}",
            lambda given=given: tt.nn.ConvTranspose1d(FEATURES, **{"out_channels": 5, **given}),
            _torch_transpose,
        )
        for given in options
    ]


def _gru_by_hand() -> tt.nn.Recurrence:
    cell = nn.GRUCell(FEATURES, 4)
    return tt.nn.Recurrence(_Swapped(cell), state=4)


class _Swapped(nn.Module):
    """f(h, x) of torch's cells, which take x first."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return self.cell(x, h)


def _stack(*, residual: bool = False, dense: bool = False, bidirectional: bool = False) -> tt.nn.Stack:
    """Layers of three kinds and sizes."""
    lstm = tt.nn.LSTM(FEATURES, 4, bidirectional=bidirectional)
    made = 8 if bidirectional else 4
    gru = tt.nn.GRU(made + FEATURES * dense, made)
    last = tt.nn.QRNN((2 * made + FEATURES) if dense else made, 5)
    return tt.nn.Stack(lstm, gru, last, residual=residual, dense=dense)


def _deviation(x: Tensor) -> Tensor:
    """The biased standard deviation over the steps; of one step, the gradient of torch is NaN."""
    return x.std(0, correction=0) if len(x) > 1 else x[0] * 0


CASES = [
    *_recurrent_cases(),
    *_scan_cases(),
    *_cell_cases(),
    Case("Recurrence", _gru_by_hand, stateful=True),
    Case("Stack", lambda: _stack(), stateful=True),
    Case("Stack residual", lambda: _stack(residual=True), stateful=True),
    Case("Stack dense", lambda: _stack(dense=True), stateful=True),
    Case(
        "Stack of LSTM, GRU and Linear",
        lambda: tt.nn.Stack(
            tt.nn.LSTM(FEATURES, 4, bidirectional=True), tt.nn.GRU(8, 5), tt.nn.Linear(5, 5), residual=True
        ),
    ),
    Case(
        "Stack dense of LSTM, GRU and Linear",
        lambda: tt.nn.Stack(
            tt.nn.LSTM(FEATURES, 4), tt.nn.GRU(FEATURES + 4, 5), tt.nn.Linear(FEATURES + 9, 2), dense=True
        ),
    ),
    Case("Stack of both directions", lambda: _stack(residual=True, bidirectional=True)),
    Case("Bidirectional", lambda: tt.nn.Bidirectional(tt.nn.LSTM(FEATURES, 4), merge="mean")),
    Case("Bidirectional Conv1d", lambda: tt.nn.Bidirectional(tt.nn.Conv1d(FEATURES, 4, 3, padding="causal"))),
    Case("Readout", lambda: tt.nn.Readout(FEATURES, 4), lambda layer, x: layer.logits(x).softmax(-1)),
    Case("CRF", lambda: tt.nn.CRF(FEATURES), crf_marginals),
    Case(
        "Linear",
        lambda: tt.nn.Linear(FEATURES, 4),
        lambda layer, x: nn.functional.linear(x, layer.weight, layer.bias),
    ),
    *_conv_cases(),
    *_transpose_cases(),
    Case("ConvBlock", lambda: tt.nn.ConvBlock(FEATURES, 5, 3), _torch_block),
    Case(
        "ConvBlock whole",
        lambda: _trained_norm(
            tt.nn.ConvBlock(
                FEATURES, 5, 3, padding="same", norm="batch", activation=nn.GELU(), pool=2, dropout=0.5
            )
        ),
        _torch_block,
    ),
    Case("ConvBlock bare", lambda: tt.nn.ConvBlock(FEATURES, 5, 2, activation=None, pool=3), _torch_block),
    Case(
        "WideConv",
        lambda: tt.nn.WideConv(FEATURES, 4, (1, 2, 5)),
        lambda layer, x: torch.cat([_torch_block(block, x) for block in layer.blocks], 1),
    ),
    Case("WideConv causal", lambda: tt.nn.WideConv(FEATURES, 4, (2, 3), padding="causal", dilation=2)),
    Case("Dropout", lambda: tt.nn.Dropout(0.5), lambda _, x: x),
    Case("LockedDropout", lambda: tt.nn.LockedDropout(0.5), lambda _, x: x),
    Case("Pool max", lambda: tt.nn.Pool("max"), lambda _, x: x.max(0).values),
    Case("Pool mean", lambda: tt.nn.Pool("mean"), lambda _, x: x.mean(0)),
    Case("Pool std", lambda: tt.nn.Pool("std"), lambda _, x: _deviation(x)),
    Case("Pool last", lambda: tt.nn.Pool("last"), lambda _, x: x[-1]),
    Case("MiniRocket", lambda: tt.nn.MiniRocket(FEATURES, 84)),
    *BLOCK_CASES,
]
