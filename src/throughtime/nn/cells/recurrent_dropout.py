"""`RecurrentDropout`: dropout inside a cell, one mask for all steps of a sequence."""

from typing import Any

from throughtime.errors import ShapeError, UnsupportedError
from throughtime.nn.cells.masks import Masks
from throughtime.nn.cells.wrapper import Wrapper
from throughtime.nn.recurrence.cell import Cell, call_step
from throughtime.nn.recurrence.noise import Draws, Noise

_NAMES = ("x", "h", "candidate")


class RecurrentDropout(Wrapper):
    r"""A cell with dropout of the input, of the recurrent connections, or of the candidate.

    In training, with a mask m that is 0 with probability p and else 1 / (1 − p), the cell uses

    ============= ======================================================================================
    ``x``         m ⊙ x_t in place of x_t, the same m at every step [1]_
    ``h``         m ⊙ h_{t−1} in the products with recurrent weights, the same m at every step [1]_;
                  terms that copy h, such as z ⊙ h_{t−1} of a GRU, are not dropped
    ``candidate`` m ⊙ g in place of the candidate g, such as g of an LSTM or n of a GRU [2]_; the same m at
                  every step, or with ``per_step=True`` a new one at each step
    ============= ======================================================================================

    All gates of a step share m (the tied form of [1]_). In evaluation nothing is dropped.

    m is determined by the seed of a sequence: with ``layer(x, state, seeds=…)`` of `Recurrence`, a sequence
    gets the same masks in any batch, alone, and in pieces. Without ``seeds``, each call draws new ones from
    torch's generator.
    See `LockedDropout` and `Dropout` for dropout between layers.

    Parameters
    ----------
    cell : Module
        An RNNCell, LSTMCell or GRUCell of torch.nn or throughtime.nn, or a `Cell` whose ``maskable`` names
        what is dropped.
    x, h, candidate : float
        p, from 0 to below 1.
    per_step
        Whether the candidate has a new mask at every step.

    Raises
    ------
    ShapeError, InputTypeError
        If p is out of range, or ``cell`` is not a cell.
    UnsupportedError
        If the cell does not support a requested mask.

    References
    ----------
    .. [1] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural
       networks", NeurIPS (2016), section 4.
    .. [2] S. Semeniuta, A. Severyn and E. Barth, "Recurrent dropout without memory loss", COLING (2016),
       section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.Recurrence(tt.nn.RecurrentDropout(tt.nn.GRUCell(3, 5), h=0.3, candidate=0.1))
    >>> x = [torch.randn(4, 3), torch.randn(2, 3)]
    >>> batch = layer(tt.Ragged.from_list(x), seeds=[7, 8]).output
    >>> torch.allclose(batch[1], layer(x[1], seeds=[8]).output)
    True
    """

    def __init__(
        self,
        cell: Any,
        *,
        x: float = 0.0,
        h: float = 0.0,
        candidate: float = 0.0,
        per_step: bool = False,
    ) -> None:
        super().__init__(cell)
        cell = self.cell
        self.per_step = per_step
        self.probabilities = dict(zip(_NAMES, (x, h, candidate), strict=True))
        name = type(cell).__name__
        for label, p in self.probabilities.items():
            if not 0 <= p < 1:
                raise ShapeError(f"RecurrentDropout: {label} is a probability, from 0 to below 1; got {p}")
            if p and label != "x" and label not in cell.maskable:
                raise UnsupportedError(
                    f"RecurrentDropout: {name} applies no mask of {label}; it has {sorted(cell.maskable)}"
                )
        if x and type(cell).prepare is not Cell.prepare:
            raise UnsupportedError(
                f"RecurrentDropout: {name} multiplies all tokens before the first step, so x cannot be "
                "dropped in it; use LockedDropout in front of the layer"
            )

    def noise(self, draws: Draws) -> Noise | None:
        """Return the masks by name."""
        sequences, steps = {}, {}
        for number, (name, p) in enumerate(self.probabilities.items()):
            size = self.input_size if name == "x" else self.hidden_size
            if p and name == "candidate" and self.per_step:
                steps[name] = draws.of_steps(number, p, size)
            elif p:
                sequences[name] = draws.of_sequences(number, p, size)
        return Noise(sequences, steps) if sequences or steps else None

    def forward(self, state: Any, x_t: Any, context: Any = None, noise: Noise | None = None) -> Any:
        """Return the cell's next state with the masks applied."""
        masks: dict[str, Any] = {} if noise is None else {**noise.sequences, **noise.steps}
        if "x" in masks:
            x_t = x_t * masks.pop("x")
        return call_step(self.cell, state, x_t, context=context, noise=Masks(**masks) if masks else None)

    def extra_repr(self) -> str:
        """Return the probabilities."""
        parts = [f"{name}={p}" for name, p in self.probabilities.items() if p]
        return ", ".join([*parts, *(["per_step=True"] if self.per_step else [])])
