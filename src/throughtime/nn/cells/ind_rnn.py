"""`IndRNN` and `IndRNNCell`: recurrent units that are independent of each other."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from throughtime.errors import ShapeError
from throughtime.nn.cells.layer import CellLayer
from throughtime.nn.cells.masks import Masks, masked
from throughtime.nn.cells.parameters import add_parameters, checked_choice, set_uniform
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.recurrence.cell import Cell

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "tanh": torch.tanh}


class IndRNNCell(Cell):
    r"""One step of `IndRNN`, where equations and options are described.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, activation, bound
        As in `IndRNN`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> recurrence = tt.nn.Recurrence(tt.nn.IndRNNCell(3, 5))
    >>> recurrence(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    maskable: frozenset[str] = frozenset({"h"})
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        activation: Literal["relu", "tanh"] = "relu",
        bound: float | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.activation = checked_choice(activation, ("relu", "tanh"), "activation", "IndRNN")
        if bound is not None and not 0 < bound < float("inf"):
            raise ShapeError(f"IndRNN: bound must be finite and above 0, got {bound}")
        self.bound = bound
        shapes = {
            "weight_ih": (hidden_size, input_size),
            "weight_hh": (hidden_size,),
            "bias_ih": (hidden_size,) if bias else None,
        }
        add_parameters(self, shapes, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weights and biases uniformly within ±1/√H, u from 0 to 1 or to the bound."""
        set_uniform(self, self.hidden_size)
        nn.init.uniform_(self.weight_hh, 0, 1 if self.bound is None else min(1, self.bound))

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return diag(u)."""
        return {"h": torch.diag(self._u())}

    def forward(self, state: Tensor, x_t: Tensor, noise: Masks | None = None) -> Tensor:
        """Return h_t of h_{t−1} (n, H) and x_t (n, I)."""
        total = linear(x_t, self.weight_ih, self.bias_ih) + self._u() * masked(state, noise)
        return _ACTIVATIONS[self.activation](total)

    def _u(self) -> Tensor:
        return self.weight_hh if self.bound is None else self.weight_hh.clamp(-self.bound, self.bound)


class IndRNN(CellLayer):
    r"""Independently recurrent network: each unit has one recurrent weight, for its own previous value.

    .. code-block:: text

        h_t = φ(W x_t + b + u ⊙ h_{t−1})

    Units interact only through the next layer, so two or more layers are usual. The gradient through T steps
    of a ReLU unit is at most \|u\|^T, so ``bound`` = 2^{1/T} keeps it at 2 or below [1]_.

    The parameters of a cell are ``weight_ih`` (H, I), ``weight_hh``, u, (H,), initialised uniformly from 0
    to 1 (to ``bound``, if that is less), and ``bias_ih`` (H,).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_layers
        Number of stacked layers.
    bias
        Whether the biases b are present.
    batch_first
        Whether plain tensors are (B, L, I) and not (L, B, I).
    dropout
        Probability of dropout on the output of each layer but the last, in training.
    bidirectional
        Whether a second recurrence runs backward; both outputs are concatenated.
    device, dtype
        Of the parameters. They belong to the cells ``recurrences.l0.f``, ``recurrences.l0_reverse.f``, …
    activation : "relu" or "tanh"
        φ.
    bound
        Bound on \|u\|: each step uses u clamped to ±bound; None for no bound.

    Returns
    -------
    output
        (T, directions · H), h of every step, of the same kind as the input.
    h : Tensor
        (layers · directions, B, H): h of each sequence after its last step.

    Raises
    ------
    ShapeError, InputTypeError
        If an option is outside of its range, or the input or the state does not fit.

    References
    ----------
    .. [1] S. Li, W. Li, C. Cook, C. Zhu and Y. Gao, "Independently recurrent neural network (IndRNN):
       building a longer and deeper RNN", CVPR (2018), equation 2 and section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.IndRNN(3, 5)
    >>> output, h = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        batch_first: bool = False,  # noqa: FBT001, FBT002
        dropout: float = 0.0,
        bidirectional: bool = False,  # noqa: FBT001, FBT002
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        activation: Literal["relu", "tanh"] = "relu",
        bound: float | None = None,
    ) -> None:
        def cell(features: int) -> IndRNNCell:
            return IndRNNCell(
                features,
                hidden_size,
                bias=bias,
                device=device,
                dtype=dtype,
                activation=activation,
                bound=bound,
            )

        sizes, flags = (input_size, hidden_size, num_layers), (bias, batch_first, bidirectional)
        super().__init__(cell, sizes, flags, dropout)
        self.activation = activation
        self.bound = bound

    def describe(self) -> Stateful | WholeSequence:
        """Describe the layer: stateful, or if bidirectional, one that needs whole sequences."""
        return self._description()

    def _options(self) -> dict[str, tuple[Any, Any]]:
        return {"activation": (self.activation, "relu"), "bound": (self.bound, None)}
