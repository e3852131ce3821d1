"""How recurrent weights begin: forget biases, orthogonal recurrences, time constants drawn for a task."""

import math
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.recurrent.cells import CELLS, spec_of_cell
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.ops.recurrent.spec import CellSpec

__all__ = ["chrono_", "forget_bias_", "orthogonal_"]

_Layer = TypeVar("_Layer", bound=nn.Module)


def forget_bias_(layer: _Layer, value: float = 1.0) -> _Layer:
    """Set what the forget gates of an LSTM begin with, so that c is kept at first.

    Of the two biases of a gate, b_ih gets the value and b_hh zeros; nothing else changes.

    Parameters
    ----------
    layer : LSTM or LSTMCell
        Every layer and direction of it; not one with ``coupled`` gates, which have no forget bias.
    value
        Of the sum of both biases.

    Returns
    -------
    Module
        The layer.

    Raises
    ------
    InputTypeError, ShapeError
        If it is another layer, or has no biases.

    References
    ----------
    .. [1] F. Gers et al., "Learning to forget", Neural Computation 12 (2000); R. Jozefowicz et al., "An
       empirical exploration of recurrent network architectures", ICML (2015).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.init.forget_bias_(tt.nn.LSTM(3, 2), 1.0)
    >>> (layer.bias_ih_l0 + layer.bias_hh_l0)[2:4]
    tensor([1., 1.], grad_fn=<SliceBackward0>)
    """
    spec = _spec_of(layer, "forget_bias_")
    blocks = spec.row_blocks
    if spec.keeping_biases.get("forget") != 1:
        options = ", ".join(f"{name}={value}" for name, value in spec.layer_options().items())
        raise InputTypeError(
            "forget_bias_ is for LSTM and LSTMCell, whose forget gate has a separate bias, got "
            f"{type(layer).__name__}({options}); see chrono_"
        )
    with torch.no_grad():
        for parts in _biased(layer, "forget_bias_"):
            _set(parts, blocks.index("forget"), len(blocks), value)
    return layer


def orthogonal_(layer: _Layer, gain: float = 1.0, *, generator: torch.Generator | None = None) -> _Layer:
    """Make each gate's square block of W_hh orthogonal: all its singular values are ``gain``.

    Parameters
    ----------
    layer : RNN, LSTM, GRU or a cell
        Every layer, direction and gate of it; not one with a projection, whose blocks are not square.
    gain
        See above.
    generator : torch.Generator, optional
        Where random numbers come from.

    Returns
    -------
    Module
        The layer.

    Raises
    ------
    InputTypeError, ShapeError
        If it is another layer, or one with a projection.

    References
    ----------
    .. [1] A. Saxe, J. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in
       deep linear neural networks", ICLR (2014).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> w = tt.nn.init.orthogonal_(tt.nn.GRU(3, 4)).weight_hh_l0[:4]
    >>> torch.allclose(w @ w.T, torch.eye(4), atol=1e-6)
    True
    """
    _spec_of(layer, "orthogonal_")
    if getattr(layer, "proj_size", 0):
        raise ShapeError("orthogonal_: W_hh of a layer with proj_size has no square blocks")
    with torch.no_grad():
        for name in _names(layer, "weight_hh"):
            for block in getattr(layer, name).split(layer.hidden_size):
                nn.init.orthogonal_(block, gain, generator=generator)
    return layer


def chrono_(layer: _Layer, longest: float, *, generator: torch.Generator | None = None) -> _Layer:
    r"""Draw the biases of the gates that keep a state, for dependencies of up to ``longest`` steps.

    A gate that stays at σ(b) forgets with a time constant of about 1 + exp(b) steps, so drawn are
    b = log u with u uniform in [1, longest − 1]: LSTM, b_f = b and b_i = −b; coupled LSTM, where f = 1 − i,
    b_i = −b; GRU, whose z keeps the old value, b_z = b, and with ``update="new"`` b_z = −b. The other biases
    become zeros.

    Parameters
    ----------
    layer : LSTM, GRU, LSTMCell or GRUCell
        Every layer and direction of it.
    longest
        T_max, in steps, at least 2.
    generator : torch.Generator, optional
        Where random numbers come from.

    Returns
    -------
    Module
        The layer.

    Raises
    ------
    InputTypeError, ShapeError
        If it is another layer, has no biases, or ``longest`` is below 2.

    References
    ----------
    .. [1] C. Tallec and Y. Ollivier, "Can recurrent neural networks warp time?", ICLR (2018), equation 16.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.init.chrono_(tt.nn.LSTM(3, 50), longest=100)
    >>> forget = layer.bias_ih_l0[50:100]
    >>> bool(forget.min() >= 0), bool(forget.max() <= torch.tensor(99.0).log())
    (True, True)
    """
    spec = _spec_of(layer, "chrono_")
    blocks = spec.row_blocks
    if not spec.keeping_biases:
        raise InputTypeError(f"chrono_ is for layers with gates, LSTM and GRU, got {type(layer).__name__}")
    if not longest >= 2 or math.isinf(longest):
        raise ShapeError(f"chrono_: dependencies of `longest` steps, at least 2, got {longest}")
    with torch.no_grad():
        for parts in _biased(layer, "chrono_"):
            size = len(parts[0]) // len(blocks)
            drawn = torch.rand(size, generator=generator, dtype=parts[0].dtype) * (longest - 2) + 1
            b = drawn.log().to(parts[0].device)
            for place in range(len(blocks)):
                _set(parts, place, len(blocks), 0.0)
            for gate, sign in spec.keeping_biases.items():
                _set(parts, blocks.index(gate), len(blocks), sign * b)
    return layer


def _spec_of(layer: nn.Module, function: str) -> CellSpec:
    if isinstance(layer, Recurrent):
        return layer.spec
    if isinstance(layer, CELLS):
        return spec_of_cell(layer)
    raise InputTypeError(
        f"{function} is for the recurrent layers and cells of tt.nn, got {type(layer).__name__}"
    )


def _names(layer: nn.Module, part: str) -> list[str]:
    if isinstance(layer, Recurrent):
        return [f"{part}{names[0].removeprefix('weight_ih')}" for names in layer._all_weights]  # noqa: SLF001
    return [part]


def _biased(layer: nn.Module, function: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Return both biases of every layer and direction."""
    if not layer.bias:
        raise ShapeError(f"{function} sets biases, and this {type(layer).__name__} has none: bias=False")
    pairs = zip(_names(layer, "bias_ih"), _names(layer, "bias_hh"), strict=True)
    return ((getattr(layer, a), getattr(layer, b)) for a, b in pairs)


def _set(parts: tuple[Tensor, Tensor], block: int, count: int, value: Any) -> None:
    """Give one of ``count`` gates this total bias."""
    size = len(parts[0]) // count
    rows = slice(block * size, (block + 1) * size)
    parts[0][rows] = value
    parts[1][rows] = 0.0
