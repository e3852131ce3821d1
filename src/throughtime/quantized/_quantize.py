"""`quantize`: a copy of a model in which layers have int8 weights."""

import copy
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol, TypeVar, overload, runtime_checkable

import torch
from torch import nn
from torch.nn.utils import parametrize

from throughtime import nn as layers
from throughtime.convert import from_torch
from throughtime.errors import InputTypeError, UnsupportedError
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.ops.quantized.packing import MOST_FACTORS
from throughtime.quantized._conv1d import QuantizedConv1d
from throughtime.quantized._embedding import QuantizedEmbedding
from throughtime.quantized._linear import QuantizedLinear, QuantizedReadout
from throughtime.quantized._recurrent import QuantizedRecurrent

_KIND = "int8"


@runtime_checkable
class Quantizable(Protocol):
    """An object with a model in it, such as `throughtime.Predictor`."""

    def quantize(self, kind: Literal["int8"] = "int8", *, exclude: Iterable[str] = ()) -> Any:
        """Return a copy whose model has int8 weights."""


_Model = TypeVar("_Model", bound=Quantizable)


@overload
def quantize(
    model: nn.Module, kind: Literal["int8"] = "int8", *, exclude: Iterable[str] = ()
) -> nn.Module: ...
@overload
def quantize(model: _Model, kind: Literal["int8"] = "int8", *, exclude: Iterable[str] = ()) -> _Model: ...
def quantize(model: Any, kind: Literal["int8"] = "int8", *, exclude: Iterable[str] = ()) -> Any:
    """Return a copy of a model for inference whose layers have int8 weights.

    `RNN`, `LSTM`, `GRU`, `Conv1d`, `Linear` and `Readout` of `throughtime.nn`, and `RNN`, `LSTM`, `GRU`,
    `Conv1d`, `Linear` and ``Embedding`` of `torch.nn` are replaced. Every row of a weight (the weights of one
    output) has one scale, and every token is rounded to int8 at run time with a scale that depends on this
    token alone. So the result of a sequence has the same bits alone and in any batch, and with any number of
    threads. All other layers stay in float32, such as normalisations, cells and scan layers, and so do
    subclasses of the linear layers. The copy computes no gradients, and its remaining parameters are frozen.

    Parameters
    ----------
    model : Module or Predictor
        In float32 on the CPU. It is not changed.
    kind : str
        "int8".
    exclude : iterable of str
        Names of modules that stay in float32 with everything in them, as ``model.named_modules()`` has them.

    Returns
    -------
    Module or Predictor
        The copy. ``state_dict`` of it can be loaded into another quantized copy of the same model.

    Raises
    ------
    UnsupportedError
        If a layer of these kinds cannot be quantized, such as an LSTM with a projection; the message names
        all of them. If the model has no layer that can be quantized.
    InputTypeError
        If the model is no module, the kind is unknown, or ``exclude`` names no module.

    References
    ----------
    .. [1] B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-
       only inference", CVPR (2018).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> _ = torch.manual_seed(0)
    >>> model = tt.models.BiLSTM(1000, 6).eval()
    >>> small = tt.quantize(model)
    >>> x = tt.Ragged.from_list([torch.tensor([4, 2, 7]), torch.tensor([5])])
    >>> torch.allclose(small(x), model(x), atol=0.02), torch.equal(small(x)[1:], small(x[1:]))
    (True, True)
    >>> def size(model):
    ...     return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    >>> size(model) > 3.5 * size(small)
    True
    """
    if kind != _KIND:
        raise InputTypeError(f"quantize: the kind is {_KIND!r}, got {kind!r}")
    exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    if not isinstance(model, nn.Module):
        if isinstance(model, Quantizable):
            return model.quantize(kind, exclude=exclude)
        raise InputTypeError(f"quantize takes a torch.nn.Module or a Predictor, got {type(model).__name__}")
    kept = _kept(model, exclude)
    _check(model, kept)
    return _replaced(copy.deepcopy(model), kept)


def _kept(model: nn.Module, exclude: tuple[str, ...]) -> set[str]:
    """Return the names of the modules that stay, those inside of them included."""
    names = {name for name, _ in model.named_modules(remove_duplicate=False)}
    if unknown := [name for name in exclude if name not in names]:
        raise InputTypeError(
            f"quantize: exclude names {unknown[0]!r}, which is no module of this {type(model).__name__}; see "
            "model.named_modules()"
        )
    return {name for name in names if any(name == part or name.startswith(f"{part}.") for part in exclude)}


def _check(model: nn.Module, kept: set[str]) -> None:
    candidates = [
        (name, module)
        for name, module in model.named_modules()
        if name not in kept and _quantizer(module) is not None
    ]
    reasons = [
        (name, type(module).__name__, why)
        for name, module in candidates
        if (why := _reason(module)) is not None
    ]
    if reasons:
        listed = "; ".join(f"{name or 'the model'} ({kind}): {why}" for name, kind, why in reasons)
        raise UnsupportedError(f"quantize: {listed}. Name such layers in exclude= to leave them in float32")
    if not candidates:
        raise UnsupportedError(
            f"quantize: {type(model).__name__} has no layer with an int8 form (RNN, LSTM, GRU, Conv1d, "
            "Linear, Embedding) that is not excluded"
        )


def _replaced(model: nn.Module, kept: set[str]) -> nn.Module:
    """Replace the layers of a model; one that is in several places is one object again."""
    done: dict[nn.Module, nn.Module] = {}
    for name, module in list(model.named_modules(remove_duplicate=False)):
        build = None if name in kept else _quantizer(module)
        if build is None:
            continue
        if module not in done:
            done[module] = build(module).train(module.training)
        if not name:
            return done[module]
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, done[module])
    return model.requires_grad_(requires_grad=False)


def _quantizer(module: nn.Module) -> Callable[[Any], nn.Module] | None:
    """Return what makes the int8 form of a layer, None for layers that stay as they are."""
    kind = type(module)
    if parametrize.is_parametrized(module):
        kind = parametrize.type_before_parametrizations(module)
    if isinstance(module, Recurrent):
        return QuantizedRecurrent.of
    if isinstance(module, nn.RNNBase):
        return _of_torch
    if isinstance(module, nn.Conv1d):
        return QuantizedConv1d.of
    exact: dict[type, Callable[[Any], nn.Module]] = {
        nn.Linear: QuantizedLinear.of,
        layers.Linear: QuantizedLinear.of,
        layers.Readout: QuantizedReadout.of,
        nn.Embedding: QuantizedEmbedding.of,
    }
    return exact.get(kind)


def _of_torch(layer: nn.RNN | nn.LSTM | nn.GRU) -> QuantizedRecurrent:
    return QuantizedRecurrent.of(from_torch(layer))


_RECURRENT = (layers.RNN, layers.LSTM, layers.GRU, nn.RNN, nn.LSTM, nn.GRU)
_KERNELS = {"lstm", "gru", "rnn_tanh", "rnn_relu"}


def _reason(module: Any) -> str | None:
    """Return why a layer has no int8 form, None if it has one."""
    tensors = list(module.parameters(recurse=False)) or list(module.parameters())
    if any(tensor.dtype != torch.float32 or not tensor.is_cpu for tensor in tensors):
        return f"weights are {tensors[0].dtype} on {tensors[0].device}; move the model with .float().cpu()"
    if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):  # noqa: SLF001 - torch's
        return "has a forward hook or a forward of its own; remove it"
    if isinstance(module, nn.RNNBase):
        return _reason_of_recurrent(module)
    if isinstance(module, nn.Conv1d):
        return _reason_of_convolution(module)
    if isinstance(module, nn.Linear):
        return _reason_of_sum(module.in_features)
    return "has max_norm" if module.max_norm is not None else None


def _plain_type(module: nn.Module) -> type:
    return (
        parametrize.type_before_parametrizations(module)
        if parametrize.is_parametrized(module)
        else type(module)
    )


def _reason_of_recurrent(layer: Any) -> str | None:
    if _plain_type(layer) not in _RECURRENT:
        return "this kind of cell, or a subclass, has no int8 form"
    for option in ("proj_size", "context_size", "learn_initial_state"):
        if getattr(layer, option, 0):
            return f"{option} has no int8 form"
    if isinstance(layer, Recurrent):
        native = layer.spec.native
        if native is None or native.kernel not in _KERNELS:
            options = ", ".join(layer.spec.layer_options()) or layer.spec.name
            return f"options of the cell ({options}) have no int8 form"
    return _reason_of_sum(max(layer.input_size, 2 * layer.hidden_size))


def _reason_of_convolution(conv: Any) -> str | None:
    if _plain_type(conv) not in {nn.Conv1d, layers.Conv1d}:
        return "a subclass of Conv1d, which may compute something else"
    if conv.groups != 1:
        return f"groups={conv.groups} has no int8 form"
    if conv.padding_mode not in {"zeros", "replicate"}:
        return f"padding_mode={conv.padding_mode!r} has no int8 form"
    return _reason_of_sum(conv.in_channels)


def _reason_of_sum(factors: int) -> str | None:
    return f"sums over more than {MOST_FACTORS} features" if factors > MOST_FACTORS else None
