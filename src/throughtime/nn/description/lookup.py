"""Finds the description of a module, and refuses modules of which it may not hold.

A description is that of a class. It does not hold for a subclass that computes something else, nor for a
module with hooks or with a ``forward`` of its own.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize

from throughtime.errors import InputTypeError
from throughtime.nn.description.kinds import Layer, Tokenwise
from throughtime.nn.description.operator import Operator
from throughtime.nn.description.parts import Composition, OfTokens
from throughtime.nn.description.torch_layers import DESCRIPTIONS, OPERATORS

Description = Layer | Composition

# Methods of torch.nn.Module that decide what a call computes. Its others may differ in a subclass.
_COMPUTE = {"forward", "__call__", "_call_impl", "_wrapped_call_impl", "__getattr__", "__getattribute__"}
_FREE = (set(dir(nn.Module)) - _COMPUTE) | {"reset_parameters", "__constants__"}
# Of torch.nn.RNNBase, which our layers do not call and torch's subclasses override.
_FREE |= {"check_forward_args", "permute_hidden"}
# What layers write into their repr.
_FREE |= {"_options"}


def described(part: Any, path: str) -> str:
    """Return the path and class of a part, for messages."""
    kind = type(part).__name__ if isinstance(part, nn.Module) else getattr(part, "__name__", repr(part))
    return f"{path} ({kind})" if path else kind


def description_of(part: Any, path: str = "") -> Description:
    """Return what a part of a model states about itself.

    Parameters
    ----------
    part : Module, description or callable
        A callable that is neither is a function that treats each step alone.
    path : str
        Its place in the model, for messages.

    Raises
    ------
    InputTypeError
        If a module has no description, or has hooks or overridden methods, so that it may not hold.
    """
    if isinstance(part, nn.Module):
        base = _class_with("describe", part, path)
        if base is None:
            raise InputTypeError(
                f"{described(part, path)}: this module has no description; give it a method describe(), see "
                "throughtime.nn.description, or build it from layers of throughtime.nn in "
                "Sequential, ConvStack, WideConv or Residual"
            )
        return DESCRIPTIONS[base](part) if base in DESCRIPTIONS else part.describe()  # type: ignore[operator]
    if isinstance(part, Description):
        return part
    if not callable(part):
        raise InputTypeError(f"{described(part, path)} is neither a module nor a function")
    return Tokenwise()


def operators_of(part: Any, path: str = "") -> Sequence[Operator] | None:
    """Return the operators that a part calls in evaluation mode, None if it does not state them.

    Raises
    ------
    InputTypeError
        If a module has hooks or overridden methods, so that they may be others.
    """
    if not isinstance(part, nn.Module):
        function = part.function if isinstance(part, OfTokens) else part
        stated = OPERATORS.get(function) if isinstance(function, Hashable) else None
        return None if stated is None else stated(function)
    base = _class_with("operators", part, path)
    if base is None:
        return None
    return OPERATORS[base](part) if base in OPERATORS else part.operators()  # type: ignore[operator]


def check_untouched(module: nn.Module, path: str) -> None:
    """Raise an error for a module whose hooks or replaced methods invalidate its description.

    Raises
    ------
    InputTypeError
        If it has a forward hook, or a ``forward`` of its own; the message names it.
    """
    state = vars(module)
    if "forward" in state:
        raise InputTypeError(
            f"{described(module, path)}: its forward was replaced, so the description of its class does not "
            "apply; write a class with this forward and a method describe()"
        )
    if state["_forward_hooks"] or state["_forward_pre_hooks"]:
        raise InputTypeError(
            f"{described(module, path)} has a forward hook, which its description does not include; remove "
            "it first (pruning by torch.nn.utils.prune.remove, weight normalization by remove_weight_norm)"
        )
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:  # noqa: SLF001
        raise InputTypeError(
            f"{described(module, path)}: there is a forward hook for all modules "
            "(torch.nn.modules.module.register_module_forward_hook), which descriptions do not include; "
            "remove it first"
        )


def _class_with(method: str, module: nn.Module, path: str) -> type | None:
    """Return the class whose method, or entry in our tables, holds for a module; None if there is none."""
    check_untouched(module, path)
    kind = type(module)
    if "parametrizations" in vars(module)["_modules"]:
        kind = parametrize.type_before_parametrizations(module)
    base: type | None
    base, overridden = _definition(kind, method)
    if base is not None and overridden:
        raise InputTypeError(
            f"{described(module, path)} overrides {', '.join(overridden)} of {base.__name__}, whose "
            f"{method}() may not hold for it; give {kind.__name__} a {method}() of its own, see "
            "throughtime.nn.description"
        )
    return base


# A constant of the class: torch.compile need not look inside.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _definition(kind: type, method: str) -> tuple[type | None, tuple[str, ...]]:
    """Return the nearest class of the MRO that defines a method, and what a subclass overrides of it."""
    return _found(kind, method)


@lru_cache(maxsize=1024)
def _found(kind: type, method: str) -> tuple[type | None, tuple[str, ...]]:
    table: dict[Any, Callable[[Any], Any]] = DESCRIPTIONS if method == "describe" else OPERATORS
    for place, base in enumerate(kind.__mro__):
        if method in vars(base) or base in table:
            names = {name for subclass in kind.__mro__[:place] for name in vars(subclass)} - _FREE
            return base, tuple(sorted(name for name in names if hasattr(base, name)))
    return None, ()
