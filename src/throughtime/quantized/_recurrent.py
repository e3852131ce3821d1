"""`QuantizedRecurrent`: RNN, LSTM and GRU with int8 weights."""

from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError, UnsupportedError
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.inputs.output import RecurrentOutput, unwrapped
from throughtime.nn.inputs.resets import flags_by_row, flags_of_step
from throughtime.nn.inputs.tokens import checked, like_input, tokens_of
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.nn.recurrent.stack import over_layers
from throughtime.nn.recurrent.state import Sizes, batched_state, like_state
from throughtime.ops.dropout.layer import dropout
from throughtime.ops.quantized.native import PackedDirection, recurrent_layer
from throughtime.ops.quantized.packing import (
    Rounded,
    from_panels,
    in_panels,
    packed,
    rounded,
    unpacked,
    vectors_of,
)
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.quantized._inference import check_inference, checked_tokens, frozen

_PARTS = PackedDirection._fields
# Rows of W_ih in the order in which the kernel of a cell reads them; those of W_hh are as in torch.
_INPUT_GATES = {"LSTM": (0, 1, 2, 3), "GRU": (2, 0, 1), "RNN": (0,)}


class QuantizedRecurrent(nn.Module):
    r"""`throughtime.nn.RNN`, `LSTM` or `GRU` with int8 weights, for inference.

    Every row of W_ih and W_hh is rounded with a scale of its own, and so is every token x_t and every state
    h_{t−1}, see `QuantizedLinear`; sums of products are exact, and gates, c and h are float32. So a sequence
    has the same bits alone and in any batch. Use `throughtime.quantize` to construct one.

    Parameters
    ----------
    spec
        The cell, ``spec`` of a `throughtime.nn.LSTM` for example, without options.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As in `throughtime.nn.LSTM`.

    Raises
    ------
    ShapeError, InputTypeError
        If the input or the state does not fit.
    UnsupportedError
        If the input or the state requires a gradient.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> _ = torch.manual_seed(0)
    >>> lstm, x = tt.nn.LSTM(32, 64), torch.randn(7, 2, 32)
    >>> small = tt.quantize(lstm)
    >>> small
    QuantizedLSTM(32, 64)
    >>> bool((small(x).output - lstm(x).output).abs().max() < 0.01)
    True
    """

    def __init__(
        self,
        spec: CellSpec,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = (
            bias,
            batch_first,
            dropout,
            bidirectional,
        )
        gates = len(spec.row_blocks)
        names = [tuple(f"packed_{name}_{suffix}" for name in _PARTS) for suffix, _ in self._places()]
        count = 2 if bidirectional else 1
        self._names = [names[first : first + count] for first in range(0, len(names), count)]
        for suffix, inputs in self._places():
            rows = gates * hidden_size
            self._pack(suffix, torch.zeros(rows, inputs), torch.zeros(rows, hidden_size), None)

    @classmethod
    def of(cls, layer: Recurrent) -> Self:
        """Return the layer with the weights of a recurrent layer, rounded."""
        quantized = cls(
            layer.spec,
            layer.input_size,
            layer.hidden_size,
            layer.num_layers,
            bias=layer.bias,
            batch_first=layer.batch_first,
            dropout=layer.dropout,
            bidirectional=layer.bidirectional,
        )
        for suffix, _ in quantized._places():
            ih, hh = (getattr(layer, f"weight_{part}_{suffix}").detach() for part in ("ih", "hh"))
            biases = [getattr(layer, f"bias_{part}_{suffix}").detach() for part in ("ih", "hh") if layer.bias]
            quantized._pack(suffix, ih, hh, biases or None)
        return quantized

    def _places(self) -> Iterator[tuple[str, int]]:
        """Yield the suffix of torch's names and the number of inputs of each layer and direction."""
        ends = ("", "_reverse") if self.bidirectional else ("",)
        for layer in range(self.num_layers):
            for end in ends:
                yield f"l{layer}{end}", self.hidden_size * len(ends) if layer else self.input_size

    def _pack(self, suffix: str, ih: Tensor, hh: Tensor, biases: list[Tensor] | None) -> None:
        blocks, order = len(self.spec.row_blocks), list(_INPUT_GATES[self.spec.kind])
        vectors = vectors_of(self.hidden_size) if blocks == 1 else 1
        both = [torch.zeros(len(ih))] * 2 if biases is None else biases

        def panels(rows: Tensor) -> Tensor:
            return in_panels(rows.view(blocks, self.hidden_size), vectors).flatten()

        parts: dict[str, Tensor | None] = {"bias_late": None}
        for name, matrix, rows in (("ih", ih, order), ("hh", hh, list(range(blocks)))):
            values, scale = rounded(matrix)
            values = values.view(blocks, self.hidden_size, 1, -1)[rows]
            parts[name] = packed(values, vectors)
            parts[f"{name}_scale"] = panels(scale.view(blocks, -1)[rows])
        b_ih, b_hh = (bias.view(blocks, -1) for bias in both)
        total = b_ih + b_hh
        if self.spec.kind == "GRU":
            total = torch.cat([total[:2], b_ih[2:]])
            parts["bias_late"] = in_panels(b_hh[2:], vectors).flatten()
        self.register_parameter(f"packed_bias_{suffix}", frozen(panels(total[order])))
        for name, part in parts.items():
            self.register_buffer(f"packed_{name}_{suffix}", part)

    def rounded_weights(self, suffix: str) -> tuple[Rounded, Rounded]:
        """Return W_ih (G·H, I) and W_hh (G·H, H) of a layer and direction, such as "l0", as integers."""
        direction, blocks = self._direction(suffix), len(self.spec.row_blocks)
        inputs = dict(self._places())[suffix]
        order = torch.tensor(_INPUT_GATES[self.spec.kind]).argsort()

        def rows(weight: Tensor, scale: Tensor, features: int) -> tuple[Tensor, Tensor]:
            values = unpacked(weight, blocks, self.hidden_size, 1, features)[:, :, 0]
            return values, from_panels(scale.view(len(weight), -1), blocks, self.hidden_size)

        ih = [part[order].flatten(0, 1) for part in rows(direction.ih, direction.ih_scale, inputs)]
        hh = [part.flatten(0, 1) for part in rows(direction.hh, direction.hh_scale, self.hidden_size)]
        return Rounded(*ih), Rounded(*hh)

    def _direction(self, suffix: str) -> PackedDirection:
        return PackedDirection(*(getattr(self, f"packed_{name}_{suffix}") for name in _PARTS))

    def _layers(self) -> list[tuple[PackedDirection, ...]]:
        """Return the weights of each layer and its directions. A call looks them up once."""
        tensors: dict[str, Any] = {**self._buffers, **self._parameters}
        return [
            tuple([PackedDirection(*[tensors[name] for name in names]) for names in layer])
            for layer in self._names
        ]

    def describe(self) -> Stateful | WholeSequence:
        """Return the recurrence; with both directions it reads whole sequences."""
        if self.bidirectional:
            return WholeSequence("reads from the end, too")
        return Stateful(self, self.step)

    def forward(
        self,
        input: Any,  # noqa: A002 - torch's name
        hx: Any = None,
        *,
        context: Any = None,
        reset: Any = None,
    ) -> RecurrentOutput:
        """Return ``output, state`` as `throughtime.nn.LSTM.forward` does; there is no context."""
        name = self._get_name()
        if context is not None:
            raise UnsupportedError(f"{name} takes no context; use the float32 layer")
        layers = self._layers()
        scale = layers[0][0].ih_scale
        x = checked(unwrapped(input), self.input_size, scale, name)
        tokens, steps = tokens_of(x, batch_first=self.batch_first)
        if reset is not None:
            steps = steps._replace(reset=flags_by_row(reset, x, name))
        h0, c0 = batched_state(hx, x, steps.batch, self._sizes, scale, name)
        check_inference(name, h0, c0)
        tokens = checked_tokens(tokens, scale, name)
        h0, c0 = (part if part is None else part.float() for part in (h0, c0))

        def run(
            directions: tuple[PackedDirection, ...], x: Tensor, h: Tensor | None, c: Tensor | None
        ) -> tuple[Tensor, Tensor, Tensor | None]:
            return recurrent_layer(x, steps, self.spec, h, c, directions, self.hidden_size)

        def dropped(y: Tensor) -> Tensor:
            return dropout(y, self.dropout, self.training) if self.dropout else y

        y, h_n, c_n = over_layers(layers, tokens, h0, c0, run, dropped)
        h_n = like_state(h_n, x)
        return RecurrentOutput(like_input(y, x), h_n if c_n is None else (h_n, like_state(c_n, x)))

    @property
    def _sizes(self) -> Sizes:
        count = self.num_layers * (2 if self.bidirectional else 1)
        return Sizes(count, self.hidden_size, self.hidden_size if self.spec.has_c else 0)

    def step(
        self, x_t: Tensor, state: Any = None, *, context: Any = None, reset: Any = None
    ) -> tuple[Tensor, Any]:
        """Run one step of a stream, (B, I) or (I,), as `throughtime.nn.LSTM.step` does."""
        name = self._get_name()
        if self.bidirectional:
            raise ShapeError(
                f"{name}.step: a bidirectional layer reads from the end, too, which a stream does not have "
                "yet; use bidirectional=False, or call the layer on whole sequences"
            )
        if not isinstance(x_t, Tensor) or x_t.dim() not in {1, 2}:
            kind = f"shape {tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
            raise ShapeError(f"{name}.step takes one token (I,), or one of each stream (B, I), got {kind}")
        flags = None if reset is None else flags_of_step(reset, x_t.shape[:-1], name)
        x = x_t.unsqueeze(0)
        sequence = x.transpose(0, 1) if self.batch_first and x_t.dim() == 2 else x
        if flags is not None:
            flags = flags.view(sequence.shape[:-1])
        output, state = self(sequence, state, context=context, reset=flags)
        return output.reshape(*x_t.shape[:-1], -1), state

    def trace(self, *_arguments: Any, **_options: Any) -> Any:
        """Refuse: gates are not kept.

        Raises
        ------
        UnsupportedError
            Always.
        """
        raise UnsupportedError(f"{self._get_name()} keeps no gates; trace the float32 layer instead")

    def _get_name(self) -> str:
        return f"Quantized{self.spec.kind}"

    extra_repr = nn.RNNBase.extra_repr
    proj_size = 0
