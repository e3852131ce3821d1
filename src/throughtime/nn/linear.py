"""`Linear`: torch.nn's linear layer, with bits that do not depend on what else is in the batch."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.kinds import Tokenwise
from throughtime.nn.description.operator import Operator
from throughtime.nn.description.torch_layers import linear_operators
from throughtime.nn.inputs.output import unwrapped
from throughtime.nn.inputs.tokens import check_dtype_and_device
from throughtime.ops.linear import linear
from throughtime.ragged import Ragged


class Linear(nn.Linear):
    r"""y = x Wᵀ + b on every token, with the same bits alone and in any batch.

    It is `torch.nn.Linear` with another matrix product. Torch's may sum a row in another order when more rows
    come with it, or when another number of threads runs, so that a sequence's result differs in its last
    digits from batch to batch. Here each row is summed in one order. This holds for float32 and float64 on a
    CPU, outside of torch.compile, function transforms and autocast, which use torch's product.

    Parameters
    ----------
    in_features, out_features : int
        D and O.
    bias : bool
        Whether there is b.
    device, dtype
        Of the parameters.

    Returns
    -------
    Ragged or Tensor
        (\*, O), of the kind that came in.

    Raises
    ------
    ShapeError, InputTypeError
        If the features, the dtype or the device of the input do not fit, or tokens have no features.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer, x = tt.nn.Linear(4, 2), tt.Ragged.from_lengths(torch.randn(5, 4), [3, 2])
    >>> layer(x)
    Ragged(lengths=[3, 2], features=(2,), dtype=float32, requires_grad=True)
    >>> torch.equal(layer(x)[1], layer(x[1]))
    True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)

    def describe(self) -> Tokenwise:
        """Return the description of a layer that processes each step independently."""
        return Tokenwise()

    def operators(self) -> tuple[Operator, ...]:
        """Return the matrix product."""
        return linear_operators(self)

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return x Wᵀ + b."""
        return linear_of_tokens(input, self, type(self).__name__)


def linear_of_tokens(x: Any, layer: nn.Linear, name: str) -> Any:
    """Apply a linear layer's map to a tensor or to each token of a ragged batch."""
    x = unwrapped(x)
    if not isinstance(x, Ragged | torch.Tensor):
        raise InputTypeError(f"{name} takes a Tensor or a Ragged, got {type(x).__name__}")
    if isinstance(x, Ragged) and x.values.dim() < 2:
        return functional.linear(x, layer.weight, layer.bias)  # type: ignore[arg-type]  # refused, as of torch.nn.Linear
    if x.dim() == 0 or x.shape[-1] != layer.in_features:
        kind = "a Ragged" if isinstance(x, Ragged) else "a tensor"
        raise ShapeError(f"{name} expects {layer.in_features} features, got {kind} of shape {tuple(x.shape)}")
    tokens = x.values if isinstance(x, Ragged) else x
    check_dtype_and_device(tokens, layer.weight, "the input", name)
    y = linear(tokens, layer.weight, layer.bias)
    return x.with_values(y) if isinstance(x, Ragged) else y
