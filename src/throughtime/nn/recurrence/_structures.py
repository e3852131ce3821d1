"""Structures of tensors, such as a state (h, c), by `torch.utils._pytree`.

A tensor, and a tuple or list of tensors, are what most calls have; looking them up among the kinds of
structures takes longer than a step of a small cell, so they have a path of their own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

_LEAVES = frozenset({Tensor, torch.nn.Parameter, str, type(None)})
_SEQUENCES = frozenset({tuple, list})


def leaves_of(structure: Any) -> list[Any]:
    """Return the leaves of a structure in order."""
    if type(structure) in _LEAVES:
        return [structure]
    return list(structure) if _is_flat(structure) else pytree.tree_leaves(structure)


def rebuilt(leaves: Sequence[Any], like: Any) -> Any:
    """Return a structure like another one, with other leaves."""
    if type(like) in _LEAVES:
        return leaves[0]
    if _is_flat(like):
        return type(like)(leaves)
    return pytree.tree_unflatten(leaves, pytree.tree_structure(like))


def mapped(function: Callable[[Any], Any], structure: Any) -> Any:
    """Return a structure with the results of a function of the leaves of another one."""
    if type(structure) in _LEAVES:
        return function(structure)
    return rebuilt([function(leaf) for leaf in leaves_of(structure)], structure)


def same_structure(a: Any, b: Any) -> bool:
    """Tell whether two structures differ in nothing but their leaves."""
    if type(a) in _LEAVES and type(b) in _LEAVES:
        return True
    if type(a) is type(b) and _is_flat(a) and _is_flat(b):
        return len(a) == len(b)
    return pytree.tree_structure(a) == pytree.tree_structure(b)


def _is_flat(structure: Any) -> bool:
    """Tell whether this is a tuple or list of leaves."""
    return type(structure) in _SEQUENCES and False not in [type(part) in _LEAVES for part in structure]
