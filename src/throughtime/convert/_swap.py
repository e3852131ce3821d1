"""`swap_` and `unswap_`: the layers of a model become ours, and torch's again, with the same parameters."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from throughtime import nn as layers
from throughtime.convert._swap_classes import (
    OURS,
    TORCH,
    added_attributes,
    added_names,
    plain_class,
    set_class,
)
from throughtime.convert._swap_report import KeptLayer, SwappedLayer, SwapReport
from throughtime.errors import InputTypeError
from throughtime.nn.recurrent.layer import Recurrent

_MARK = "_is_swapped"
"""Attribute of a module that `swap_` has changed, for `unswap_`; copies and pickles keep it."""


def swap_(model: nn.Module) -> SwapReport:
    """Replace the layers of torch.nn in a model by those of throughtime, in place.

    RNN, LSTM, GRU, their cells, Conv1d, ConvTranspose1d, MaxPool1d, AvgPool1d, GroupNorm and InstanceNorm1d
    become layers of `throughtime.nn` with the same names. The module objects stay, and only their class
    changes. So parameters, shared parameters, buffers, hooks, parametrizations, weight normalisation,
    pruning, ``requires_grad``, dtype, device and mode are unchanged, and optimizers remain valid. In addition
    to tensors and packed sequences, the layers take a `Ragged`. Embedding, BatchNorm1d, LayerNorm and Linear
    of torch.nn take a `Ragged` already and are not changed.

    Results are equal up to rounding, with these differences:

    - RNN, LSTM and GRU are not instances of `torch.nn.RNN`, `torch.nn.LSTM` and `torch.nn.GRU`, but of
      `torch.nn.RNNBase`; code that branches on the class of a layer takes another branch.
    - They return a named tuple with the same two elements.
    - Dropout between their layers uses other random numbers, drawn from the same generator.
    - In half precision on a CPU they compute in float32 and round once.
    - torch.jit.script and torch.fx.symbolic_trace refuse the layers.

    Call it before `torch.compile`; a model that was compiled before is compiled again.

    Parameters
    ----------
    model : torch.nn.Module
        Any module, also a single layer. As with ``model.parameters()``, modules in plain lists or dicts are
        not found.

    Returns
    -------
    SwapReport
        The swapped layers, and those that were not swapped with the reason: subclasses, which may compute
        something else; lazy layers without parameters; quantised and scripted layers; layers whose
        ``forward`` was replaced; kinds of layers that throughtime does not have.

    Raises
    ------
    InputTypeError
        If ``model`` is not a module.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from torch.nn.utils.rnn import pack_sequence
    >>> model = torch.nn.Sequential(torch.nn.LSTM(3, 5, bidirectional=True))
    >>> x = pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    >>> before = model(x)[0].data
    >>> tt.convert.swap_(model)
    swapped (1):
      0  torch.nn.LSTM -> throughtime.nn.LSTM
    >>> torch.allclose(model(x)[0].data, before, atol=1e-6)
    True
    >>> tt.convert.unswap_(model)
    swapped (1):
      0  throughtime.nn.LSTM -> torch.nn.LSTM
    """
    return _change(model, "swap_", _is_candidate, _reason_to_keep, _to_ours)


def unswap_(model: nn.Module) -> SwapReport:
    """Restore the layers of torch.nn that `swap_` has replaced, in place.

    The module objects and parameters stay, with all changes since, such as trained values. Layers of
    throughtime that the model had before `swap_` are not changed.

    Parameters
    ----------
    model : torch.nn.Module
        A model after `swap_`, or a copy of it.

    Returns
    -------
    SwapReport
        The restored layers, and those that could not be restored with the reason, such as bounds on
        gradients, which torch.nn does not have.

    Raises
    ------
    InputTypeError
        If ``model`` is not a module.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(3, 5, 3), tt.nn.GroupNorm(1, 5))
    >>> report = tt.convert.swap_(model)
    >>> tt.convert.unswap_(model)
    swapped (1):
      0  throughtime.nn.Conv1d -> torch.nn.Conv1d
    """
    return _change(model, "unswap_", _was_swapped, _reason_to_stay, _to_torch)


def _change(
    model: object,
    function: str,
    is_candidate: Callable[[nn.Module], bool],
    reason: Callable[[Any], str | None],
    change: Callable[[nn.Module], None],
) -> SwapReport:
    """Change the candidates that have no reason against it; all reasons are determined first."""
    if not isinstance(model, nn.Module):
        raise InputTypeError(f"{function} takes a torch.nn.Module, got {type(model).__name__}")
    candidates = [(name, module) for name, module in model.named_modules() if is_candidate(module)]
    reasons = [reason(module) for _, module in candidates]
    swapped, kept = [], []
    for (name, module), why in zip(candidates, reasons, strict=True):
        before = _full_name(module)
        if why is None:
            change(module)
            swapped.append(SwappedLayer(name, before, _full_name(module)))
        else:
            kept.append(KeptLayer(name, before, why))
    return SwapReport(tuple(swapped), tuple(kept))


def _to_ours(module: nn.Module) -> None:
    ours = OURS[plain_class(module)]
    attributes = added_attributes(module, ours)
    set_class(module, ours)
    module.__dict__.update(attributes, **{_MARK: True})


def _to_torch(module: nn.Module) -> None:
    ours = plain_class(module)
    for name in (*added_names(ours), _MARK):
        del module.__dict__[name]
    set_class(module, TORCH[ours])


def _full_name(module: nn.Module) -> str:
    """Return the public name of a class, without its parametrizations."""
    cls = plain_class(module)
    if isinstance(module, torch.jit.ScriptModule):
        return f"scripted {module.original_name}"
    packages = {nn: "torch.nn", layers: "throughtime.nn"}
    public = (name for package, name in packages.items() if getattr(package, cls.__name__, None) is cls)
    return f"{next(public, cls.__module__)}.{cls.__qualname__}"


_NO_WINDOWS = "throughtime.nn has no layer with windows of variable size"
_WITHOUT_COUNTERPART: dict[type[nn.Module], str] = {
    nn.AdaptiveAvgPool1d: _NO_WINDOWS,
    nn.AdaptiveMaxPool1d: _NO_WINDOWS,
    nn.LPPool1d: "throughtime.nn has no pooling by a power mean",
    nn.MaxUnpool1d: "throughtime.nn has no inverse of a pooling",
}
_OF_THIS_KIND = (*OURS, *_WITHOUT_COUNTERPART, nn.RNNBase, nn.RNNCellBase)
_NAMES = {cls.__name__ for cls in OURS}


def _is_candidate(module: nn.Module) -> bool:
    """Tell whether this is a layer of a kind that is swapped, and not one of ours already."""
    if isinstance(module, (*TORCH, Recurrent)):
        return False
    return isinstance(module, _OF_THIS_KIND) or _name_in_torch(module) in _NAMES


def _name_in_torch(module: nn.Module) -> str | None:
    """Return the class's name if it is a scripted or quantised layer, or another one of torch's."""
    if isinstance(module, torch.jit.ScriptModule):
        return str(module.original_name)
    return type(module).__name__ if type(module).__module__.startswith("torch.") else None


def _reason_to_keep(module: Any) -> str | None:
    cls = plain_class(module)
    if cls in OURS:
        return _reason_in_object(module, cls)
    if cls in _WITHOUT_COUNTERPART:
        return _WITHOUT_COUNTERPART[cls]
    if isinstance(module, torch.jit.ScriptModule):
        return "compiled by torch.jit; swap the layers before torch.jit.script or trace"
    if isinstance(module, LazyModuleMixin):
        return "its parameters have no shape before the first call; call the model once, then swap"
    base = next((base for base in cls.__mro__ if base in _OF_THIS_KIND), None)
    if base is None:
        return "a class with the name of a torch.nn layer, but not that class"
    return f"a subclass of torch.nn.{base.__name__}, which may compute something else"


def _reason_in_object(module: nn.Module, cls: type[nn.Module]) -> str | None:
    """Return the reason in this object, not in its class, why it cannot be swapped."""
    names = {*module.__dict__, *module._parameters, *module._buffers, *module._modules}  # noqa: SLF001 - torch's
    if "forward" in names:
        return "its forward was replaced on the object; swap before, or restore it"
    ours = OURS[cls]
    conflicts = names & {*(set(dir(ours)) - set(dir(cls))), *added_names(ours)}
    if conflicts:
        return f"it has an attribute {min(conflicts)!r}, which layers of throughtime.nn use themselves"
    if issubclass(ours, Recurrent) and any(
        tensor.is_complex() for tensor in module.parameters(recurse=False)
    ):
        return "its parameters are complex numbers, which recurrent layers of throughtime.nn do not take"
    return None


def _was_swapped(module: nn.Module) -> bool:
    return _MARK in module.__dict__


def _reason_to_stay(module: Any) -> str | None:
    ours = plain_class(module)
    if ours not in TORCH:
        return f"its class is {ours.__name__} now, not the one that swap_ set"
    if issubclass(ours, Recurrent):
        return _reason_of_options(module)
    return "its padding is causal, which torch.nn does not have" if getattr(module, "causal", False) else None


def _reason_of_options(layer: Recurrent) -> str | None:
    if layer.spec.torch_function is None:
        return (
            "it bounds gradients, which torch.nn does not; call layer.bound_gradients() without bounds first"
        )
    if layer._watchers is not None or layer._carriers is not None:  # noqa: SLF001 - as in other packages
        return "a block that watches it or carries its states is open; call unswap_ after the block"
    return None
