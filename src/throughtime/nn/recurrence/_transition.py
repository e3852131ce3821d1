"""What a user's transition gets and gives, looked at: states, tokens, and where they differ."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.inputs.precision import under_autocast
from throughtime.nn.inputs.tokens import Input
from throughtime.nn.recurrence._structures import leaves_of, rebuilt, same_structure
from throughtime.ragged import Ragged


def check_input(x: Any) -> Input:
    """Return the input if it is of a kind that a recurrence reads."""
    if isinstance(x, Ragged | PackedSequence) or (isinstance(x, Tensor) and x.dim() in {2, 3}):
        found: Input = x
        return found
    kind = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
    raise InputTypeError(
        "Recurrence takes a Ragged, a PackedSequence, or a tensor (L, I), (L, B, I) or, with batch_first, "
        f"(B, L, I); got {kind}"
    )


def begin(initial: list[Tensor], names: Any, state: Any, batch: int, *, unbatched: bool) -> Any:
    """Return the state before the first step, each leaf (B, …); ``names`` has the structure of a state."""
    if state is None:
        return rebuilt([leaf.expand(batch, *leaf.shape) for leaf in initial], names)
    if not same_structure(state, names):
        structures = map(pytree.tree_structure, (state, names))
        raise InputTypeError(
            "Recurrence: the state is {}, expected {}, as the initial state is".format(
                *map(_described, structures)
            )
        )
    parts = []
    for number, (leaf, like) in enumerate(zip(leaves_of(state), initial, strict=True)):
        expected = tuple(like.shape) if unbatched else (batch, *like.shape)
        if not isinstance(leaf, Tensor) or leaf.shape != expected:
            kind = f"shape {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else type(leaf).__name__
            raise ShapeError(
                f"Recurrence: {_leaf(number, initial)} has {kind}, expected a tensor of shape {expected}"
            )
        parts.append(leaf.unsqueeze(0) if unbatched else leaf)
    return rebuilt(parts, names)


def check_next(before: Any, after: Any) -> Any:
    """Return the next state if it is like the one before; under autocast in the dtype that it had."""
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return _checked(before, after, "the state")
    if not same_structure(before, after):
        structures = map(pytree.tree_structure, (after, before))
        raise InputTypeError("Recurrence: f returned {}, expected {}".format(*map(_described, structures)))
    old = leaves_of(before)
    parts = [
        _checked(a, b, _leaf(i, old)) for i, (a, b) in enumerate(zip(old, leaves_of(after), strict=True))
    ]
    return rebuilt(parts, before)


def _checked(before: Tensor, after: Any, name: str) -> Tensor:
    if not isinstance(after, Tensor):
        raise InputTypeError(f"Recurrence: f returned {type(after).__name__} for {name}, expected a tensor")
    if after.shape != before.shape:
        raise ShapeError(
            f"Recurrence: f returned shape {tuple(after.shape)} for {name}, got shape {tuple(before.shape)}; "
            "the next state must have the shape of the previous one"
        )
    if after.device != before.device:
        raise InputTypeError(f"Recurrence: f returned {name} on {after.device}, got it on {before.device}")
    if after.dtype != before.dtype:
        if not under_autocast(before.device):
            raise InputTypeError(
                f"Recurrence: f returned {after.dtype} for {name}, got {before.dtype}; the next state must "
                "have the dtype of the previous one"
            )
        return after.to(before.dtype)
    return after


def check_rows(leaves: list[Any], rows: int, function: str, what: str) -> None:
    """Check the result of a function that must act on each row independently."""
    for leaf in leaves:
        if not isinstance(leaf, Tensor) or leaf.dim() < 1 or leaf.shape[0] != rows:
            kind = f"shape {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else type(leaf).__name__
            raise ShapeError(
                f"Recurrence: {function} was given {rows} {what}, and returned {kind}; it must return one "
                "row for each of them"
            )


def _leaf(number: int, leaves: list[Any]) -> str:
    return "the state" if len(leaves) == 1 else f"part {number} of the state"


def _described(structure: pytree.TreeSpec) -> str:
    dummy = pytree.tree_unflatten([torch.Tensor] * structure.num_leaves, structure)
    return str(pytree.tree_map(lambda _: "Tensor", dummy)).replace("'Tensor'", "Tensor")
