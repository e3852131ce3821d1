"""`Pool`: one vector for each whole sequence."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn._output import as_ragged
from throughtime.ops.pool import last_step, max_over_time, mean_over_time
from throughtime.ragged import Layout

_KINDS: dict[str, Callable[[Tensor, Layout], Tensor]] = {
    "max": max_over_time,
    "mean": mean_over_time,
    "last": last_step,
}


class Pool(nn.Module):
    r"""Reduce every sequence to one vector: its maximum, its mean, or its last step.

    max: y_d = max_t x[t, d]; mean: y_d = (1/L) Σ_t x[t, d]; last: y = x[L − 1]. An empty sequence gives
    zeros.

    Parameters
    ----------
    kind : "max", "mean" or "last"
        Which reduction.

    Returns
    -------
    Tensor
        (B, \*D), an ordinary tensor: there is no time left.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_list([torch.tensor([[1.], [3.], [2.]]), torch.empty(0, 1)])
    >>> tt.nn.Pool("max")(x), tt.nn.Pool("last")(x)
    (tensor([[3.],
            [0.]]), tensor([[2.],
            [0.]]))
    """

    def __init__(self, kind: Literal["max", "mean", "last"]) -> None:
        super().__init__()
        if kind not in _KINDS:
            raise ShapeError(f"Pool: kind is one of {', '.join(_KINDS)}; got {kind!r}")
        self.kind = kind

    def forward(self, x: Any) -> Tensor:
        r"""Return (B, \*D)."""
        x = as_ragged(x, "Pool")
        return _KINDS[self.kind](x.values, x.layout)

    def extra_repr(self) -> str:
        """Name the reduction."""
        return repr(self.kind)
