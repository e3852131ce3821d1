"""`RNNCell`, `LSTMCell` and `GRUCell`: torch.nn's cells, by the step of our loop."""

from typing import Any

from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn.description.kinds import NoSequence
from throughtime.nn.inputs.precision import precision
from throughtime.nn.inputs.tokens import check_dtype_and_device
from throughtime.nn.recurrent._fast_path import quick_cell
from throughtime.nn.recurrent.gru import GRUSpec
from throughtime.nn.recurrent.lstm import LSTMSpec
from throughtime.nn.recurrent.rnn import RNNSpec
from throughtime.nn.recurrent.state import checked_parts
from throughtime.nn.recurrent.weights import plan_of_cell
from throughtime.ops.recurrent.activations import Activation
from throughtime.ops.recurrent.layer import recurrent_layer
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import dense_steps

_RNN = {name: RNNSpec((Activation(name),)) for name in ("tanh", "relu")}
_LSTM, _GRU = LSTMSpec(), GRUSpec()

_ONE_STEP = NoSequence("runs one step of a sequence; Recurrence(cell) runs all of them")


def spec_of_cell(cell: nn.RNNCellBase) -> CellSpec:
    """Return what a cell computes, torch's or one of ours."""
    if isinstance(cell, nn.LSTMCell):
        return _LSTM
    if isinstance(cell, nn.GRUCell):
        return _GRU
    return _RNN[str(cell.nonlinearity)]


def _step(module: nn.RNNCellBase, spec: CellSpec, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Return h and c of one step for (B, I) or (I,); c is empty or None but for LSTM."""
    quick = quick_cell(module, spec, x, state)
    if quick is not None:
        return quick
    name = type(module).__name__
    if not isinstance(x, Tensor) or x.dim() not in {1, 2} or x.shape[-1] != module.input_size:
        kind = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ShapeError(
            f"{name} takes one token ({module.input_size},) or (B, {module.input_size}), got {kind}"
        )
    check_dtype_and_device(x, module.weight_ih, "the input", name)
    tokens = x if x.dim() == 2 else x.unsqueeze(0)
    parts: list[Tensor | None] = [None, None]
    if state is not None:
        for i, part in enumerate(checked_parts(state, pair=spec.has_c, layer=name)):
            expected = (*x.shape[:-1], module.hidden_size)
            if part.shape != expected:
                raise ShapeError(
                    f"{name}: {('h_0', 'c_0')[i]} has shape {tuple(part.shape)}, expected {tuple(expected)}"
                )
            check_dtype_and_device(part, module.weight_ih, ("h_0", "c_0")[i], name)
            parts[i] = part.view(1, tokens.shape[0], module.hidden_size)
    dtypes = precision(spec, tokens, *parts, fused=False, projected=False)

    def wide(tensor: Any) -> Any:
        return tensor if tensor is None or tensor.dtype == dtypes.compute else tensor.to(dtypes.compute)

    (weights,) = plan_of_cell(module, spec).weights(module, dtypes.compute)
    _, h, c, _, _ = recurrent_layer(
        wide(tokens),
        dense_steps(tokens.shape[0], 1, batch_first=False),
        spec.in_bfloat16 if dtypes.bfloat16 else spec,
        wide(parts[0]),
        wide(parts[1]),
        weights,
    )
    shape = (*x.shape[:-1], module.hidden_size)
    return h.view(shape).to(dtypes.h), c.view(shape).to(dtypes.c) if spec.has_c else c


class RNNCell(nn.RNNCell):
    r"""One step of an Elman RNN: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu in place of tanh.

    Parameters
    ----------
    input_size, hidden_size, bias, nonlinearity
        As in `torch.nn.RNNCell`, whose parameters and names it has.

    Returns
    -------
    Tensor
        h', (B, H), or (H,) for a token (I,).

    Raises
    ------
    ShapeError, InputTypeError
        If the input or the state does not fit; the message names both sides.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> tt.nn.RNNCell(3, 5)(torch.randn(2, 3)).shape
    torch.Size([2, 5])
    """

    def describe(self) -> NoSequence:
        """State that a cell has no steps."""
        return _ONE_STEP

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # noqa: A002 - torch's names
        """Return the next h; a state of None is zeros."""
        return _step(self, spec_of_cell(self), input, hx)[0]


class LSTMCell(nn.LSTMCell):
    r"""One step of an LSTM, see `LSTM` for the equations.

    Parameters
    ----------
    input_size, hidden_size, bias
        As in `torch.nn.LSTMCell`, whose parameters and names it has.

    Returns
    -------
    tuple of Tensor
        h' and c', (B, H) each, or (H,) for a token (I,).

    Raises
    ------
    ShapeError, InputTypeError
        If the input or the state does not fit; the message names both sides.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> cell, state = tt.nn.LSTMCell(3, 5), None
    >>> for x in torch.randn(4, 2, 3):
    ...     state = cell(x, state)
    >>> state[1].shape
    torch.Size([2, 5])
    """

    def describe(self) -> NoSequence:
        """State that a cell has no steps."""
        return _ONE_STEP

    def forward(
        self,
        input: Tensor,  # noqa: A002 - torch's names
        hx: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the next h and c; a state of None is zeros."""
        return _step(self, spec_of_cell(self), input, hx)


class GRUCell(nn.GRUCell):
    r"""One step of a gated recurrent unit, see `GRU` for the equations.

    Parameters
    ----------
    input_size, hidden_size, bias
        As in `torch.nn.GRUCell`, whose parameters and names it has.

    Returns
    -------
    Tensor
        h', (B, H), or (H,) for a token (I,).

    Raises
    ------
    ShapeError, InputTypeError
        If the input or the state does not fit; the message names both sides.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> tt.nn.GRUCell(3, 5)(torch.randn(3)).shape
    torch.Size([5])
    """

    def describe(self) -> NoSequence:
        """State that a cell has no steps."""
        return _ONE_STEP

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # noqa: A002 - torch's names
        """Return the next h; a state of None is zeros."""
        return _step(self, spec_of_cell(self), input, hx)[0]


CELLS = (RNNCell, LSTMCell, GRUCell)


def blocks_of_cell(cell: nn.RNNCellBase) -> dict[str, Tensor]:
    """Return the blocks (H, H) of W_hh of a cell by gate."""
    blocks = cell.weight_hh.split(cell.hidden_size)
    return dict(zip(spec_of_cell(cell).row_blocks, blocks, strict=True))
