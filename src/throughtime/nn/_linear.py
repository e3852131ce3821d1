"""`Linear`: torch.nn's linear layer, with bits that do not depend on what else is in the batch."""

from typing import Any

import torch
from torch import nn

from throughtime.errors import KindError
from throughtime.nn._output import unwrapped
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
    ShapeError, KindError
        If the features or the dtype of the input do not fit.

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

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return x Wᵀ + b."""
        return linear_of_tokens(input, self, type(self).__name__)


def linear_of_tokens(x: Any, layer: nn.Linear, name: str) -> Any:
    """Apply a linear layer's map to a tensor or to each token of a ragged batch."""
    x = unwrapped(x)
    if isinstance(x, Ragged):
        return x.with_values(linear(x.values, layer.weight, layer.bias))
    if not isinstance(x, torch.Tensor):
        raise KindError(f"{name} takes a Tensor or a Ragged, got {type(x).__name__}")
    return linear(x, layer.weight, layer.bias)
