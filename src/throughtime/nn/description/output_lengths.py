"""`output_lengths`: how many steps a model makes of sequences of given lengths."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.kinds import Layer, NoSequence, WholeSequence
from throughtime.nn.description.lookup import described, description_of
from throughtime.nn.description.parts import Reversed, Series, join


def output_lengths(model: Any, lengths: Tensor | Sequence[int]) -> Tensor:
    """Return how many steps a model makes of sequences of these lengths, without running it.

    Parameters
    ----------
    model : Module
        As for `receptive_field`.
    lengths : Tensor or sequence of int
        (B,) int64.

    Returns
    -------
    Tensor
        (B,) int64; 0 for an empty sequence, and for one that is too short, which the model refuses.

    Raises
    ------
    ShapeError
        If the model pools over time, so that it has one value for each sequence, or if parts side by side
        make different lengths of a sequence.
    InputTypeError
        If a module has no description, has hooks or overridden methods, or does not read sequences.

    Examples
    --------
    >>> import throughtime as tt
    >>> tt.nn.output_lengths(tt.nn.ConvStack(4, [8, 8], 3, pool=2), [20, 7, 0])
    tensor([5, 1, 0])
    """
    steps = torch.as_tensor(lengths, dtype=torch.int64)
    return _lengths_of(model, steps, "")


def _lengths_of(part: Any, lengths: Tensor, path: str) -> Tensor:
    description = description_of(part, path)
    if isinstance(description, NoSequence):
        raise InputTypeError(f"{described(part, path)} {description.reason}")
    if isinstance(description, WholeSequence) and description.pools:
        raise ShapeError(
            f"{described(part, path)} {description.reason}: there is one value per sequence and no steps"
        )
    if isinstance(description, Layer):
        return description.output_lengths(lengths)
    if isinstance(description, Reversed):
        return _lengths_of(description.part, lengths, path)
    if isinstance(description, Series):
        for name, inner in description.parts:
            lengths = _lengths_of(inner, lengths, join(path, name))
        return lengths
    (first, expected), *others = (
        (join(path, name), _lengths_of(inner, lengths, join(path, name))) for name, inner in description.parts
    )
    for name, part_lengths in others:
        if not torch.equal(part_lengths, expected):
            raise ShapeError(
                f"parallel parts give different lengths for {lengths.tolist()[:8]}: {first} gives "
                f"{expected.tolist()[:8]}, {name} gives {part_lengths.tolist()[:8]}"
            )
    return expected
