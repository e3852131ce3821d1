"""Linear recurrences in plain PyTorch, on any device, in about log2(steps) passes over the tokens.

The kernels are tested against it; other devices and torch's function transforms run it.
"""

import torch
from torch import Tensor

from throughtime.ragged import Layout


def linear_scan_reference(
    a: Tensor, b: Tensor, h0: Tensor | None, layout: Layout, *, reverse: bool
) -> tuple[Tensor, Tensor]:
    r"""Return h and its last step, see `throughtime.ops.scan.layer.linear_scan`.

    The steps t − n + 1 … t map h to A ⊙ h + B. Two such maps in a row are again one, so n doubles in each
    pass until it covers every sequence.

    References
    ----------
    .. [1] W. D. Hillis and G. L. Steele, "Data parallel algorithms", Communications of the ACM 29 (1986);
       G. E. Blelloch, "Prefix sums and their applications" (1990), section 1.4, for recurrences.
    """
    steps = _steps(layout, reverse=reverse)
    product, total = a, b
    if h0 is not None:
        first = a * h0.index_select(0, layout.sequence_ids)
        total = total + torch.where(_column(steps == 0, a), first, 0)
    count = 1
    while count < layout.longest:
        rows = _column(steps >= count, a)
        total = torch.where(rows, product * _earlier(total, count, reverse=reverse) + total, total)
        product = torch.where(rows, product * _earlier(product, count, reverse=reverse), product)
        count *= 2
    return total, last_step(total, h0, layout, reverse=reverse)


def before(h: Tensor, h0: Tensor | None, layout: Layout, *, reverse: bool) -> Tensor:
    """Return the state before each step, (T, D): h of the step before it, and h_0 (B, D) before the first."""
    rows = torch.arange(h.shape[0], device=h.device)
    first = h.shape[0] + layout.sequence_ids
    index = torch.where(_steps(layout, reverse=reverse) == 0, first, rows + 1 if reverse else rows - 1)
    return torch.cat((h, _initial(h, h0, layout))).index_select(0, index)


def last_step(h: Tensor, h0: Tensor | None, layout: Layout, *, reverse: bool) -> Tensor:
    """Return the state after each sequence's last step, (B, D); of an empty sequence its h_0."""
    begin, end = layout.offsets[:-1], layout.offsets[1:]
    empty = h.shape[0] + torch.arange(layout.num_sequences, device=h.device)
    index = torch.where(begin == end, empty, begin if reverse else end - 1)
    return torch.cat((h, _initial(h, h0, layout))).index_select(0, index)


def _initial(h: Tensor, h0: Tensor | None, layout: Layout) -> Tensor:
    return h.new_zeros(layout.num_sequences, *h.shape[1:]) if h0 is None else h0


def _steps(layout: Layout, *, reverse: bool) -> Tensor:
    """Return the number of each token's step in the order of the scan, from 0, (T,)."""
    return layout.positions.index_select(0, layout.reversal) if reverse else layout.positions


def _earlier(x: Tensor, count: int, *, reverse: bool) -> Tensor:
    """Return the row of so many steps earlier; what is beyond the end is not used."""
    return x.roll(-count if reverse else count, 0)


def _column(mask: Tensor, like: Tensor) -> Tensor:
    return mask.view(-1, *(1,) * (like.dim() - 1))
