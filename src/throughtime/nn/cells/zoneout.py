"""`Zoneout`: units of the state randomly keep their previous value."""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.errors import ShapeError, UnsupportedError
from throughtime.nn.cells.wrapper import Wrapper
from throughtime.nn.recurrence.cell import call_step
from throughtime.nn.recurrence.noise import Draws, Noise

_OF_CELL = 0  # branch of the random numbers for the wrapped cell; those of the states are 1, 2, …


class Zoneout(Wrapper):
    r"""A cell whose units randomly keep their previous value.

    In training, each unit of a state s keeps its value with probability p at each step::

        s_t = m_t ⊙ s_{t−1} + (1 − m_t) ⊙ s̃_t,   m_t ∈ {0, 1}, 1 with probability p

    s̃_t is the next state of the wrapped cell. In evaluation m_t is replaced by its expectation, p.

    m_t is determined by the seed of a sequence and the number of the step: with ``layer(x, state, seeds=…)``
    of `Recurrence`, a sequence gets the same masks in any batch, alone, and in two pieces if ``first_step=``
    is passed to the second call. Without ``seeds``, each call draws new ones from torch's generator.

    Parameters
    ----------
    cell : Module
        A `Cell`, or an RNNCell, LSTMCell or GRUCell of torch.nn or throughtime.nn.
    p : float or tuple of float
        Probability for all states, or one for each, such as ``(0.05, 0.5)`` for h and c of an LSTM; from 0 to
        1.

    Raises
    ------
    ShapeError, InputTypeError
        If p is not a probability, or its length is not the number of states, or ``cell`` is not a cell.
    UnsupportedError
        If p is above 0 for a state that shares its scale with others: c, n and m of `SLSTM`.

    References
    ----------
    .. [1] D. Krueger, T. Maharaj, J. Kramár, M. Pezeshki, N. Ballas, N. R. Ke, A. Goyal, Y. Bengio,
       A. Courville and C. Pal, "Zoneout: regularizing RNNs by randomly preserving hidden activations",
       ICLR (2017), section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> cell = tt.nn.Zoneout(tt.nn.LSTMCell(3, 5), (0.05, 0.5))
    >>> layer, x = tt.nn.Recurrence(cell), torch.randn(7, 3)
    >>> torch.equal(layer(x, seeds=[11]).output, layer(x, seeds=[11]).output)
    True
    """

    def __init__(self, cell: Any, p: float | tuple[float, ...]) -> None:
        super().__init__(cell)
        cell = self.cell
        self.p = p
        names = cell.state_names
        probabilities = tuple(p) if isinstance(p, tuple | list) else (p,) * len(names)
        if len(probabilities) != len(names):
            raise ShapeError(
                f"Zoneout: p has {len(probabilities)} probabilities, expected {len(names)}, of "
                f"{', '.join(names)}"
            )
        for name, probability in zip(names, probabilities, strict=True):
            if not 0 <= probability <= 1:
                raise ShapeError(f"Zoneout: p is a probability, from 0 to 1; got {probability} for {name}")
            if probability and name in cell.scaled_together:
                others, usable = ", ".join(cell.scaled_together), (probability, *[0.0] * (len(names) - 1))
                raise UnsupportedError(
                    f"Zoneout: {others} of this cell have meaning together alone, so {name} cannot keep its "
                    f"old value by itself; use p={usable}"
                )
        self.probabilities = probabilities

    def noise(self, draws: Draws) -> Noise | None:
        """Return, for each token and state, a row that is 0 where m is 1, and the wrapped cell's noise."""
        sizes = [_size(leaf) for leaf in pytree.tree_leaves(self.initial_state)]
        masks = tuple(
            draws.of_steps(number, p, size)
            for number, (p, size) in enumerate(zip(self.probabilities, sizes, strict=True), 1)
            if 0 < p < 1
        )
        inner = self.cell.noise(draws.branch(_OF_CELL))
        if inner is None:
            return Noise((), (masks, ())) if masks else None
        return Noise(inner.sequences, (masks, (inner.steps,)))

    def forward(self, state: Any, x_t: Any, context: Any = None, noise: Noise | None = None) -> Any:
        """Return the wrapped cell's next state, with the previous value where m is 1."""
        masks: list[Tensor] = []
        inner = None
        if noise is not None:
            masks = list(noise.steps[0])
            inner = Noise(noise.sequences, noise.steps[1][0]) if noise.steps[1] else None
        after, structure = pytree.tree_flatten(call_step(self.cell, state, x_t, context=context, noise=inner))
        before = pytree.tree_leaves(state)
        return pytree.tree_unflatten(
            [
                self._mixed(p, old, new, masks)
                for p, old, new in zip(self.probabilities, before, after, strict=True)
            ],
            structure,
        )

    def _mixed(self, p: float, old: Tensor, new: Tensor, masks: list[Tensor]) -> Tensor:
        """Return the next value of one leaf, with the next mask."""
        if p in {0, 1}:
            return old if p else new
        if not self.training:
            return p * old + (1 - p) * new
        return torch.where(masks.pop(0) == 0, old, new)

    def extra_repr(self) -> str:
        """Return the probabilities."""
        return f"p={self.p}"


def _size(leaf: Any) -> int:
    """Return the entries of a leaf of a state's description."""
    return leaf if isinstance(leaf, int) else leaf.numel()
