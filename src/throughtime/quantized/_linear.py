"""`QuantizedLinear` and `QuantizedReadout`: linear maps with int8 weights."""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.kinds import Tokenwise
from throughtime.nn.inputs.output import unwrapped
from throughtime.nn.readout import Readout
from throughtime.ops.quantized import native
from throughtime.ops.quantized.packing import in_panels, packed, rounded, unpacked, vectors_of
from throughtime.quantized._inference import checked_tokens, frozen
from throughtime.ragged import Ragged


class QuantizedLinear(nn.Module):
    r"""y = b + s ⊙ (a · (q_W q_x)) on every token: a linear layer with int8 weights.

    Every row of W is rounded to integers q_W from −127 to 127 with a scale s = max \|W\| / 127 of its
    own, and every token x to q_x with a scale a = max \|x\| / 127 of its own, which depends on no other
    token. The sum of products is exact. Use `throughtime.quantize` to construct one.

    Parameters
    ----------
    in_features, out_features : int
        D and O.
    bias : bool
        Whether there is b.

    Returns
    -------
    Ragged or Tensor
        (\*, O) float32, of the kind that came in. Tokens with NaN or an infinity give NaN.

    Raises
    ------
    ShapeError, InputTypeError
        If the features or the dtype of the input do not fit.
    UnsupportedError
        If the input requires a gradient.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> _ = torch.manual_seed(0)
    >>> linear, x = tt.nn.Linear(64, 8), torch.randn(5, 64)
    >>> small = tt.quantize(linear)
    >>> small
    QuantizedLinear(in_features=64, out_features=8, bias=True)
    >>> bool((small(x) - linear(x)).abs().max() < 0.02)
    True
    """

    packed_weight: Tensor
    packed_scale: Tensor
    packed_bias: nn.Parameter

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:  # noqa: FBT001, FBT002
        super().__init__()
        self.in_features, self.out_features, self.has_bias = in_features, out_features, bias
        self._pack(torch.zeros(out_features, in_features), None)

    @classmethod
    def of(cls, layer: nn.Linear) -> Self:
        """Return the layer with the weights of a linear layer, rounded."""
        quantized = cls(layer.in_features, layer.out_features, layer.bias is not None)
        quantized._pack(layer.weight.detach(), layer.bias)
        return quantized

    def _pack(self, weight: Tensor, bias: Tensor | None) -> None:
        values, scale = rounded(weight)
        vectors = vectors_of(self.out_features)
        bias = torch.zeros_like(scale) if bias is None else bias.detach()
        self.register_buffer("packed_weight", packed(values[None, :, None], vectors))
        self.register_buffer("packed_scale", in_panels(scale[None], vectors).flatten())
        self.packed_bias = frozen(in_panels(bias[None], vectors).flatten())

    @property
    def weight(self) -> Tensor:
        """The weight (O, D) that the integers stand for, in float32."""
        values = unpacked(self.packed_weight, 1, self.out_features, 1, self.in_features)[0, :, 0]
        return values * self.packed_scale[: self.out_features, None]

    @property
    def bias(self) -> Tensor | None:
        """The bias (O,), None if there is none."""
        return self.packed_bias[: self.out_features] if self.has_bias else None

    def describe(self) -> Tokenwise:
        """Return the description of a layer that processes each step independently."""
        return Tokenwise()

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the linear map of each token."""
        return self._mapped(input)

    def _mapped(self, x: Any) -> Any:
        x = unwrapped(x)
        name = type(self).__name__
        if not isinstance(x, Ragged | Tensor):
            raise InputTypeError(f"{name} takes a Tensor or a Ragged, got {type(x).__name__}")
        tokens = x.values if isinstance(x, Ragged) else x
        if tokens.dim() < (2 if isinstance(x, Ragged) else 1) or tokens.shape[-1] != self.in_features:
            raise ShapeError(
                f"{name} expects {self.in_features} features, got a tensor of shape {tuple(tokens.shape)}"
            )
        rows = checked_tokens(tokens, self.packed_scale, name).reshape(-1, self.in_features)
        y = native.linear(rows, self._weights, self.out_features)
        y = y.view(*tokens.shape[:-1], self.out_features)
        return x.with_values(y) if isinstance(x, Ragged) else y

    @property
    def _weights(self) -> native.PackedMap:
        return native.PackedMap(self.packed_weight, self.packed_scale, self.packed_bias)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.has_bias}"


class QuantizedReadout(QuantizedLinear):
    """`throughtime.nn.Readout` with int8 weights: probabilities of classes at every step.

    Parameters
    ----------
    in_features, out_features, bias
        H, the number of classes C, and whether there is a bias.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> readout = tt.quantize(tt.nn.Readout(8, 2))
    >>> bool((readout(torch.randn(5, 8)).sum(1) - 1).abs().max() < 1e-6)
    True
    """

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the probabilities of the classes at every step."""
        return functional.softmax(self.logits(input), -1)

    def logits(self, h: Any) -> Any:
        """Return b_o + W_oh h_t."""
        return self._mapped(h)

    log_probabilities = Readout.log_probabilities
