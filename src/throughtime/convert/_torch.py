"""Conversion to and from the recurrent layers of torch.nn."""

from typing import Any

import torch
from torch import nn

from throughtime.convert._layer import (
    built,
    checked_layer,
    copy_parameters,
    refuse,
    require_values,
)
from throughtime.convert._update import with_old_update
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.recurrent.layer import Recurrent

_TORCH: dict[str, type[nn.RNNBase]] = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


def to_torch(layer: Recurrent) -> nn.RNN | nn.LSTM | nn.GRU:
    """Convert a layer to the equivalent `torch.nn` layer.

    Parameters have the same names as in torch, so a layer without additional options can also be converted by
    its ``state_dict``.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        Layer of `throughtime.nn`; ``update="new"`` is rewritten, see `with_update`.

    Returns
    -------
    torch.nn.RNN, LSTM or GRU
        Layer with copies of the parameters and the same dtype, device and mode.

    Raises
    ------
    InputTypeError
        If it is not a layer of `throughtime.nn`, or its weights have no values.
    ShapeError
        If it has an option that torch does not support.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.GRU(3, 5, update="new")
    >>> x = torch.randn(7, 3)
    >>> torch.allclose(tt.convert.to_torch(layer)(x)[0], layer(x).output, atol=1e-6)
    True
    """
    layer = checked_layer(layer, "to_torch")
    spec, weight = layer.spec, layer.weight_ih_l0
    if spec.kind not in _TORCH:
        raise ShapeError(
            f"to_torch: torch.nn has no layer for the cell {spec.kind}; it has {', '.join(_TORCH)}"
        )
    options = spec.layer_options()
    supported = {"update"} | ({"activations"} if spec.torch_function is not None else set())
    unsupported = spec.options().keys() - supported | {"context_size", "learn_initial_state"}
    unable = dict.fromkeys(
        sorted(unsupported), "which torch.nn does not support; no torch layer computes the same"
    )
    if "activations" in unable:
        unable["activations"] = (
            "which torch.nn does not support: its LSTM and GRU use sigmoid and tanh, its RNN tanh or relu"
        )
    refuse(layer, "to_torch", unable)
    options.pop("update", None)
    if layer.proj_size:
        options["proj_size"] = layer.proj_size
    with torch.random.fork_rng(devices=[]):
        module: Any = _TORCH[spec.kind](**_shared(layer), **options, device=weight.device, dtype=weight.dtype)
    copy_parameters(module, layer.weight_plan.named(with_old_update(layer, "to_torch")))
    converted: nn.RNN | nn.LSTM | nn.GRU = module.train(layer.training)
    return converted


def from_torch(module: nn.RNN | nn.LSTM | nn.GRU) -> Recurrent:
    """Convert a `torch.nn` layer to the equivalent layer of `throughtime.nn`.

    Parameters
    ----------
    module : torch.nn.RNN, LSTM or GRU
        The layer; it is not changed.

    Returns
    -------
    RNN, LSTM or GRU
        Layer with copies of the parameters and the same options, dtype, device and mode.

    Raises
    ------
    InputTypeError
        If it is another module, or its weights have no values.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> module, x = torch.nn.LSTM(3, 5, num_layers=2), torch.randn(7, 3)
    >>> torch.allclose(tt.convert.from_torch(module)(x).output, module(x)[0], atol=1e-6)
    True
    """
    kind = next((kind for kind, torch_class in _TORCH.items() if isinstance(module, torch_class)), None)
    if kind is None:
        raise InputTypeError(f"from_torch takes a torch.nn.RNN, LSTM or GRU, got {type(module).__name__}")
    require_values(module, "from_torch")
    options = {"nonlinearity": module.nonlinearity} if kind == "RNN" else {}
    if module.proj_size:
        options["proj_size"] = module.proj_size
    weight = module.weight_ih_l0
    layer = built(kind, **_shared(module), **options, device=weight.device, dtype=weight.dtype)
    copy_parameters(layer, dict(module.named_parameters()))
    return layer.train(module.training)


def _shared(module: nn.RNNBase) -> dict[str, Any]:
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
    return {name: getattr(module, name) for name in names}
