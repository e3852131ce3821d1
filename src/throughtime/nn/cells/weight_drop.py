"""`weight_drop`: dropout of recurrent weights, one mask for a whole call."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.nn.recurrence.cell import Cell
from throughtime.ops.dropout.layer import seeded_dropout

_Module = TypeVar("_Module", bound=nn.Module)


class _WeightDrop(nn.Module):
    """Parametrization: weights times a mask, which stays the same until `draw` is called."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.seed: Tensor | None = None

    def draw(self) -> None:
        """Draw a new mask."""
        self.seed = torch.randint(2**63 - 1, (), device="cpu")

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights with the current mask."""
        if not self.training or not self.p:
            return weight
        if self.seed is None:
            self.draw()
        return seeded_dropout(weight, self.seed, self.p)  # type: ignore[arg-type] # was just drawn

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}"


def weight_drop(layer: _Module, p: float = 0.5, *, name: str = "weight_hh") -> _Module:
    r"""Drop recurrent weights of a layer in training: DropConnect, as in the AWD-LSTM.

    Each call of the layer uses W ⊙ m in place of W, with m 0 with probability p and else 1 / (1 − p), drawn
    once for the call: the same at all steps and in all sequences. In evaluation W is used as it is. ``trace``
    and ``step`` use the mask of the last call.

    The layer is changed in place: its recurrent weights are parametrized (`torch.nn.utils.parametrize`), so
    the parameter W is ``layer.parametrizations.weight_hh_l0.original``, and
    `torch.nn.utils.parametrize.remove_parametrizations` undoes the change. A mask is determined by one seed
    from torch's generator, not by the batch or the number of threads.

    Parameters
    ----------
    layer : Module
        A recurrent layer such as `LSTM`, a `Recurrence`, or a model that contains some: all parameters in it
        whose names begin with ``name`` are parametrized.
    p : float
        Probability of zeros, from 0 to below 1.
    name
        Prefix of the names of the parameters.

    Returns
    -------
    Module
        The layer.

    Raises
    ------
    ShapeError, InputTypeError
        If p is out of range, or no parameter has such a name.
    UnsupportedError
        If the layer is a cell, which is called at every step; pass the `Recurrence` that runs it.

    References
    ----------
    .. [1] S. Merity, N. S. Keskar and R. Socher, "Regularizing and optimizing LSTM language models", ICLR
       (2018), section 2.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer, x = tt.nn.weight_drop(tt.nn.LSTM(3, 5), 0.5), torch.randn(7, 3)
    >>> torch.equal(layer(x).output, layer(x).output)
    False
    >>> int((layer.weight_hh_l0 == 0).sum()) > 0
    True
    """
    if not 0 <= p < 1:
        raise ShapeError(f"weight_drop: p is a probability, from 0 to below 1; got {p}")
    if isinstance(layer, Cell | nn.RNNCellBase):
        raise UnsupportedError(
            f"weight_drop: {type(layer).__name__} is called at every step, each with other weights; "
            "give the layer that runs it, as weight_drop(Recurrence(cell))"
        )
    weights = [
        (module, label)
        for module in layer.modules()
        for label, _ in module.named_parameters(recurse=False)
        if label.startswith(name)
    ]
    if not weights:
        raise InputTypeError(
            f"weight_drop: {type(layer).__name__} has no parameter whose name begins with {name!r}"
        )
    for module, label in weights:
        parametrize.register_parametrization(module, label, _WeightDrop(p))
    layer.register_forward_pre_hook(_draw)
    return layer


def _draw(layer: nn.Module, arguments: Any) -> None:
    """Draw new masks for a call of modules in training mode."""
    del arguments
    for module in layer.modules():
        if isinstance(module, _WeightDrop) and module.training:
            module.draw()
