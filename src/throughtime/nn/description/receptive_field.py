"""`receptive_field`: the field of a model, from the descriptions of its parts."""

import warnings
from typing import Any

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.field import ALL_STEPS, ONE_STEP, ReceptiveField
from throughtime.nn.description.kinds import Layer, NoSequence, Tokenwise
from throughtime.nn.description.lookup import described, description_of
from throughtime.nn.description.parts import Reversed, Series, join


def receptive_field(model: Any) -> ReceptiveField:
    r"""Return which steps of the input an output step can depend on.

    A layer with windows of reach r = dilation · (kernel_size − 1), stride s and left border l takes
    [first, last] with stride j to [first − l · j, last + (r − l) · j] with stride j · s; parts side by side
    see what any of them sees [1]_.

    Parameters
    ----------
    model : Module
        A model of throughtime.models, a layer or block of throughtime.nn, torch's convolution or pooling, any
        `torch.nn.Sequential` of them, or a module with a method ``describe()``, see
        `throughtime.nn.description`. Batch normalisation counts as in evaluation; in training its statistics
        let every output depend on all steps of the batch.

    Returns
    -------
    ReceptiveField
        ``first``, ``last`` and ``stride``, from which ``size``, ``offset`` and ``lookahead`` follow. A
        recurrent layer sees all steps before; what pools or normalises a whole sequence sees all.

    Raises
    ------
    InputTypeError
        If a module has no description, has hooks or overridden methods, or does not read sequences.
    ShapeError
        If parts side by side have different strides.

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
    batch_statistics: list[str] = []
    field = _field_of(model, "", batch_statistics)
    if field.lookahead == 0 and batch_statistics:
        warnings.warn(
            f"receptive_field: {batch_statistics[0]} takes its statistics from all steps of the batch in "
            "training, later ones included; the field is that of evaluation. Call model.eval(), or use "
            "norm='layer' in causal blocks",
            stacklevel=2,
        )
    return field


def _field_of(part: Any, path: str, batch_statistics: list[str]) -> ReceptiveField:
    description = description_of(part, path)
    if isinstance(description, NoSequence):
        raise InputTypeError(f"{described(part, path)} {description.reason}")
    if isinstance(description, Layer):
        if isinstance(description, Tokenwise) and description.batch_statistics:
            batch_statistics.append(described(part, path))
        return description.field
    if isinstance(description, Reversed):
        field = _field_of(description.part, path, batch_statistics)
        if field.stride != 1:
            raise ShapeError(
                f"{described(description.part, path)} has a stride of {field.stride} in reversed time, so "
                "that the steps which an output depends on vary with the length of its sequence"
            )
        return ReceptiveField(-field.last, -field.first, 1)
    fields = [
        (name, _field_of(inner, join(path, name), batch_statistics)) for name, inner in description.parts
    ]
    if not isinstance(description, Series):
        return _joined(fields, path)
    field = ONE_STEP
    for _, after in fields:
        field = field.then(after)
    return field


def _joined(fields: list[tuple[str, ReceptiveField]], path: str) -> ReceptiveField:
    strides = {join(path, name): field.stride for name, field in fields}
    whole = all((field.first, field.last) == (ALL_STEPS.first, ALL_STEPS.last) for _, field in fields)
    if len(set(strides.values())) > 1 and not whole:
        listed = ", ".join(f"{name}: {stride}" for name, stride in strides.items())
        raise ShapeError(f"parallel parts must have the same stride, got {listed}")
    first = min(field.first for _, field in fields)
    last = max(field.last for _, field in fields)
    return ReceptiveField(first, last, fields[0][1].stride)
