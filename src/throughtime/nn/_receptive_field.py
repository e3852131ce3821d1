"""`receptive_field`: which steps of the input an output step can depend on."""

import math
import warnings
from typing import Any, NamedTuple

from torch import nn

from throughtime.errors import ShapeError
from throughtime.nn._leaves import described, is_recurrent, is_tokenwise, reads_all, unknown, windows_seen
from throughtime.nn._norm import takes_batch_statistics
from throughtime.nn._parts import Series, SideBySide, join, parts_of


class ReceptiveField(NamedTuple):
    """Output step t sees the input steps t · stride + first to t · stride + last, and no others.

    With gaps, as dilation may leave them, not all of these. ``-inf`` and ``inf`` stand for the beginning and
    the end of the sequence.
    """

    first: float
    last: float
    stride: int

    @property
    def size(self) -> float:
        """Steps from the first to the last that is seen."""
        return self.last - self.first + 1

    @property
    def offset(self) -> float:
        """The input step at which the window of output step 0 begins; below 0 it begins in the border."""
        return self.first

    @property
    def lookahead(self) -> float:
        """Steps after t · stride that are seen; 0 for a causal model."""
        return max(0, self.last)


def receptive_field(model: Any) -> ReceptiveField:
    r"""Return which steps of the input an output step can depend on.

    A layer with windows of reach r = dilation · (kernel_size − 1), stride s and left border l takes
    [first, last] with stride j to [first − l · j, last + (r − l) · j] with stride j · s; parts side by side
    see what any of them sees [1]_.

    Parameters
    ----------
    model : Module
        A layer or block of throughtime.nn, torch's convolution or pooling, or any `torch.nn.Sequential`,
        `ConvStack`, `WideConv` or `Residual` of them. Batch normalisation counts as in evaluation; in
        training its statistics let every output depend on all steps of the batch.

    Returns
    -------
    ReceptiveField
        ``first``, ``last`` and ``stride``, from which ``size``, ``offset`` and ``lookahead`` follow. A
        recurrent layer sees all steps before; what pools or normalises a whole sequence sees all.

    Raises
    ------
    ShapeError
        If a module in it is not known, or parts side by side have different strides.

    Warns
    -----
    UserWarning
        If the field has no later steps, but batch normalisation in training mode lets them in.

    References
    ----------
    .. [1] A. Araujo, W. Norris and J. Sim, "Computing receptive fields of convolutional neural networks",
       Distill (2019), equations 1 to 8.

    Examples
    --------
    >>> import throughtime as tt
    >>> stack = tt.nn.ConvStack(4, [8, 8, 8], 3, dilations=tt.nn.dilation_schedule(3), padding="causal")
    >>> field = tt.nn.receptive_field(stack)
    >>> field
    ReceptiveField(first=-14, last=0, stride=1)
    >>> field.size, field.lookahead
    (15, 0)
    """
    field = _seen_by(model, ReceptiveField(0, 0, 1), "")
    if field.lookahead == 0 and isinstance(model, nn.Module):
        _warn_of_batch_statistics(model)
    return field


def _warn_of_batch_statistics(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if takes_batch_statistics(module):
            warnings.warn(
                f"receptive_field: {described(module, name)} takes its statistics from all steps of the "
                "batch in training, later ones included; the field is that of evaluation. Call model.eval(), "
                "or use norm='layer' in causal blocks",
                stacklevel=3,
            )
            return


def _seen_by(part: Any, before: ReceptiveField, path: str) -> ReceptiveField:
    """Return what a part sees of the input, whose own input sees ``before``."""
    structure = parts_of(part)
    if isinstance(structure, Series):
        for name, inner in structure.parts:
            before = _seen_by(inner, before, join(path, name))
        return before
    if isinstance(structure, SideBySide):
        fields = [(name, _seen_by(inner, before, join(path, name))) for name, inner in structure.parts]
        return _joined(fields, path)
    return _leaf(part, before, path)


def _leaf(layer: Any, before: ReceptiveField, path: str) -> ReceptiveField:
    windows = windows_seen(layer)
    if windows is not None:
        first = before.first - windows.left * before.stride
        last = before.last + (windows.reach - windows.left) * before.stride
        return ReceptiveField(first, last, before.stride * windows.stride)
    if reads_all(layer) is not None:
        return before._replace(first=-math.inf, last=math.inf)
    if is_recurrent(layer):
        return before._replace(first=-math.inf)
    if is_tokenwise(layer):
        return before
    raise unknown(layer, path)


def _joined(fields: list[tuple[str, ReceptiveField]], path: str) -> ReceptiveField:
    strides = {name: field.stride for name, field in fields}
    if len(set(strides.values())) > 1:
        told = ", ".join(f"{described(None, join(path, n)).split(' ')[0]}: {s}" for n, s in strides.items())
        raise ShapeError(f"parts side by side need one stride, got {told}")
    first = min(field.first for _, field in fields)
    last = max(field.last for _, field in fields)
    return ReceptiveField(first, last, fields[0][1].stride)
