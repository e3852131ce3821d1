"""Checks of the tags and constraints that are given to a CRF."""

import torch
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged import Layout, Ragged


def check_tags(tags: object, emissions: Ragged, num_tags: int) -> Ragged:
    """Return the tags, if there is one of 0 … C − 1 for each token."""
    if not isinstance(tags, Ragged) or tags.dtype != torch.int64 or tags.dim() != 1:
        raise InputTypeError(
            f"CRF takes tags as a Ragged (T,) of int64, got {_kind(tags)}; give the number of one tag for "
            "each token"
        )
    if tags.device != emissions.device:
        raise InputTypeError(
            f"CRF: tags are on {tags.device}, emissions are on {emissions.device}; move one with .to(device)"
        )
    if not tags.layout.same_as(emissions.layout):
        raise ShapeError(
            f"CRF: tags have lengths {tags.lengths.tolist()[:8]}, but emissions have "
            f"{emissions.lengths.tolist()[:8]}; give one tag for each token"
        )
    token = _first((tags.values < 0) | (tags.values >= num_tags))
    if token is not None:
        raise ShapeError(
            f"CRF: tags must be 0 to {num_tags - 1}, but {_place(tags.layout, token)} has tag "
            f"{int(tags.values[token])}; correct the tags, or give the CRF more with num_tags"
        )
    return tags


def check_allowed(tags: Ragged, first: Tensor, allowed: Tensor | None, allowed_start: Tensor | None) -> None:
    """Refuse tags that break a constraint."""
    values, before = tags.values, tags.values.roll(1)
    token = None if allowed_start is None else _first(first & ~allowed_start[values])
    if token is not None:
        raise ShapeError(
            f"CRF: {_place(tags.layout, token)} has tag {int(values[token])}, which allowed_start forbids as "
            "the first tag; correct the tags or the constraint"
        )
    token = None if allowed is None else _first(~first & ~allowed[before, values])
    if token is not None:
        raise ShapeError(
            f"CRF: {_place(tags.layout, token)} has tag {int(values[token])} after tag {int(before[token])}, "
            "which allowed forbids; correct the tags or the constraint"
        )


def check_constraints(num_tags: int, allowed: Tensor | None, allowed_start: Tensor | None) -> None:
    """Refuse constraints of another dtype or shape, and those that no tag sequence of some length meets."""
    if not isinstance(num_tags, int) or isinstance(num_tags, bool) or num_tags < 1:
        raise ShapeError(f"CRF: num_tags must be an integer of at least 1, got {num_tags!r}")
    _check_mask("allowed", allowed, (num_tags, num_tags))
    _check_mask("allowed_start", allowed_start, (num_tags,))
    tag = None if allowed is None else _first(~allowed.any(1))
    if tag is not None:
        raise ShapeError(f"CRF: allowed has no tag that may follow tag {tag}; allow at least one")
    if allowed_start is not None and not bool(allowed_start.any()):
        raise ShapeError("CRF: allowed_start has no tag that may be the first; allow at least one")


def _check_mask(name: str, mask: object, shape: tuple[int, ...]) -> None:
    if mask is None or (isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape == shape):
        return
    raise ShapeError(f"CRF: {name} must be a bool tensor of shape {shape}, got {_kind(mask)}; convert it")


def _kind(value: object) -> str:
    if isinstance(value, Tensor | Ragged):
        return f"a {type(value).__name__} of {value.dtype} and shape {tuple(value.shape)}"
    return type(value).__name__


def _first(broken: Tensor) -> int | None:
    """Return the index of the first True."""
    return int(broken.nonzero()[0]) if bool(broken.any()) else None


def _place(layout: Layout, token: int) -> str:
    return f"step {int(layout.positions[token])} of sequence {int(layout.sequence_ids[token])}"
