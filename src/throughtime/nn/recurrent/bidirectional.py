"""`Bidirectional`: any sequence layer in both directions."""

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.nn.description.parts import Reversed, SideBySide
from throughtime.nn.inputs.output import RecurrentOutput, unwrapped
from throughtime.nn.inputs.resets import check_takes_reset, pieces_of, reversed_flags
from throughtime.nn.inputs.tokens import Input, from_ragged, ragged_of
from throughtime.nn.recurrent.bounding import BoundsParts
from throughtime.ragged import Ragged

Merge = Literal["concat", "sum", "mean"]


class Bidirectional(BoundsParts):
    """Two layers over the same sequences, the second from each one's own end; outputs merged at every step.

    For every layer that keeps the number of steps: those of throughtime, and your own that map a `Ragged` to
    a `Ragged`, or to the pair of one and a state. (`RNN`, `LSTM` and `GRU` have ``bidirectional=True``,
    which is the same in one call.)

    Parameters
    ----------
    forward_layer : Module
        Reads from the start.
    backward_layer : Module, optional
        Reads from the end. By default a copy of the first with parameters of its own, made anew by the
        ``reset_parameters`` of each of its parts.
    merge : "concat", "sum" or "mean"
        What becomes of the two outputs of a step.

    Returns
    -------
    output
        Of the kind that came in; with "concat" features side by side.
    state : tuple
        The states of both layers, if they have one: so for these the result is a `RecurrentOutput`.

    Raises
    ------
    UnsupportedError, ShapeError, InputTypeError
        If a part with parameters has no ``reset_parameters``; if a layer changes the number of steps, or the
        two outputs have other features and are to be added.

    References
    ----------
    .. [1] M. Schuster and K. Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on Signal
       Processing 45 (1997).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.Bidirectional(tt.nn.GRU(3, 5), merge="sum")
    >>> output, (forward, backward) = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    bidirectional = True

    def __init__(
        self, forward_layer: nn.Module, backward_layer: nn.Module | None = None, *, merge: Merge = "concat"
    ) -> None:
        super().__init__()
        if merge not in {"concat", "sum", "mean"}:
            raise ShapeError(f"Bidirectional: merge is 'concat', 'sum' or 'mean', got {merge!r}")
        for layer in (forward_layer, backward_layer):
            if layer is not None and not isinstance(layer, nn.Module):
                raise InputTypeError(f"Bidirectional takes modules, got {type(layer).__name__}")
        self.forward_layer = forward_layer
        self.backward_layer = _anew(forward_layer) if backward_layer is None else backward_layer
        self.merge = merge

    def extra_repr(self) -> str:
        """Return how outputs are merged."""
        return f"merge={self.merge!r}"

    def describe(self) -> SideBySide:
        """Return both layers, the second in reversed time."""
        parts = (("forward_layer", self.forward_layer), ("backward_layer", Reversed(self.backward_layer)))
        return SideBySide(parts, self._joined)

    def _joined(self, outputs: list[Ragged]) -> Ragged:
        return outputs[0].with_values(self._merged(*outputs))

    def forward(self, input: Any, state: Any = None, *, reset: Any = None) -> Any:  # noqa: A002 - torch's name
        """Return the merged output, or the pair of it and both states.

        Parameters
        ----------
        input : Ragged, Tensor or PackedSequence
            What both layers read.
        state
            A pair of states, None for none.
        reset : Ragged, Tensor or PackedSequence
            bool, one flag for each token, of the same kind as the input: where both layers restart, see
            `throughtime.nn.LSTM.forward`. For layers whose call takes ``reset``.
        """
        x = unwrapped(input)
        if not isinstance(x, Ragged | Tensor | PackedSequence):
            kind = type(x).__name__
            raise InputTypeError(f"Bidirectional takes a Ragged, a Tensor or a PackedSequence, got {kind}")
        if state is not None and (not isinstance(state, tuple | list) or len(state) != 2):
            raise InputTypeError(
                f"Bidirectional takes a pair of states, one for each layer, got {type(state).__name__}"
            )
        first = getattr(self.forward_layer, "batch_first", False)
        ragged = ragged_of(x, batch_first=first)
        outputs, states = [], []
        for layer, read, initial, flags in zip(
            (self.forward_layer, self.backward_layer),
            (ragged, ragged.reverse()),
            (None, None) if state is None else state,
            self._flags(reset, x, batch_first=first),
            strict=True,
        ):
            result_of_layer = layer(read, *([] if initial is None else [initial]), **flags)
            output, end, stateful = _taken_apart(result_of_layer)
            outputs.append(_checked(output, read, type(layer).__name__))
            states.append((end, stateful))
        merged = self._merged(outputs[0], outputs[1].reverse())
        result = from_ragged(merged, x, batch_first=first)
        if not any(stateful for _, stateful in states):
            return result
        return RecurrentOutput(result, tuple(end for end, _ in states))

    def _flags(
        self, reset: Any, x: Input, *, batch_first: bool
    ) -> tuple[dict[str, Ragged], dict[str, Ragged]]:
        """Return the arguments of each layer for its reset flags."""
        if reset is None:
            return {}, {}
        for layer in (self.forward_layer, self.backward_layer):
            check_takes_reset(layer, "Bidirectional")
        flags = pieces_of(reset, x, batch_first=batch_first, layer="Bidirectional").flags
        return {"reset": flags}, {"reset": reversed_flags(flags)}

    def _merged(self, a: Ragged, b: Ragged) -> Tensor:
        if self.merge == "concat":
            return torch.cat([a.values, b.values], -1)
        if a.values.shape != b.values.shape:
            raise ShapeError(
                f"Bidirectional: outputs of {tuple(a.values.shape[1:])} and {tuple(b.values.shape[1:])} "
                "features cannot be added; use merge='concat'"
            )
        total = a.values + b.values
        return total if self.merge == "sum" else total / 2


def _taken_apart(result: Any) -> tuple[Any, Any, bool]:
    if isinstance(result, tuple) and len(result) == 2:
        return result[0], result[1], True
    return result, None, False


def _checked(output: Any, read: Ragged, layer: str) -> Ragged:
    if not isinstance(output, Ragged):
        kind = type(output).__name__
        raise InputTypeError(f"Bidirectional: {layer} returned a {kind} for a Ragged, expected a Ragged")
    # Graphs of torch.compile do not look at lengths.
    same_lengths = output.layout is read.layout or torch.compiler.is_compiling()
    if not same_lengths and not torch.equal(output.lengths, read.lengths):
        raise ShapeError(
            f"Bidirectional: {layer} returned sequences with {output.lengths.tolist()[:8]} steps for inputs "
            f"with {read.lengths.tolist()[:8]}; only layers that keep the number of steps can be merged"
        )
    return output


def _anew(layer: nn.Module) -> nn.Module:
    """Return a copy whose parameters were made anew."""
    other = copy.deepcopy(layer)
    for name, module in other.named_modules():
        if not any(True for _ in module.parameters(recurse=False)):
            continue
        reset = getattr(module, "reset_parameters", None)
        if not callable(reset):
            raise UnsupportedError(
                f"Bidirectional: {name or type(module).__name__} has parameters, but no reset_parameters, so "
                "a second layer cannot be created; give both: Bidirectional(forward_layer, backward_layer)"
            )
        reset()
    return other
