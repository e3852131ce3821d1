"""`Stack`: layers of any kind and size one after the other, with residual or dense connections."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.nn.description.kinds import Tokenwise
from throughtime.nn.description.lookup import description_of
from throughtime.nn.description.merges import Added, concatenated
from throughtime.nn.description.parts import Series, SideBySide
from throughtime.nn.dropout import Dropout
from throughtime.nn.inputs.output import RecurrentOutput, unwrapped
from throughtime.nn.inputs.resets import check_takes_reset, takes_reset
from throughtime.nn.inputs.tokens import Input, from_ragged, like_input, ragged_of
from throughtime.nn.linear import Linear
from throughtime.nn.recurrent.bounding import BoundsParts
from throughtime.ragged import Ragged

_Role = Literal["recurrent", "token", "other"]


@dataclass(frozen=True)
class StackTrace:
    """What `Stack.trace` returns.

    Parameters
    ----------
    result : RecurrentOutput
        What the call returns.
    layers : tuple
        The trace of each layer; None for layers without one, such as `Linear`.
    """

    result: RecurrentOutput
    layers: tuple[Any, ...]

    def __getitem__(self, number: int) -> Any:
        return self.layers[number]


class Stack(BoundsParts):
    r"""Layers of any kind and size one after the other, as one recurrent layer: state, step, trace and reset.

    With layers f_1 … f_n on an input y_0, and dropout d between layers (not before the first)::

        y_k = f_k(d(y_{k−1}))                                            plain
        y_k = f_k(d(y_{k−1})) + P_k y_{k−1}                              residual=True
        y_k = f_k(d([y_0, y_1, …, y_{k−1}]))                             dense=True

    The output is y_n. P_k is the identity where f_k keeps the number of features, and otherwise a linear
    projection without bias, as in [1]_, stored in ``shortcuts`` under the index of its layer, from "0". In a
    dense stack f_k reads the concatenated features of the input and of all previous outputs, y_0 first [2]_.

    Parameters
    ----------
    \*layers : Module
        Recurrent layers (such as `RNN`, `LSTM`, `GRU` and `LiGRU`), scan layers (such as `MinGRU`),
        `Recurrence`, `Bidirectional` and other stacks; and stateless layers that keep the number of steps:
        `Linear`, `torch.nn.LayerNorm`, `Conv1d`. Layers that read several steps, such as convolutions, are
        called with a `Ragged`.
    dropout
        Probability of dropout on the input of each layer but the first, in training.
    residual
        Whether the input of each layer is added to its output.
    dense
        Whether each layer reads the input and the outputs of all previous layers.

    Returns
    -------
    output
        Output of the last layer, of the same kind as the input.
    state : list
        The state of each layer, as that layer returns it; None for stateless layers.

    Raises
    ------
    ShapeError, InputTypeError
        If layers do not fit each other or the input, or a state does not fit the stack. If a layer of a
        residual stack changes the number of features, but has no attribute for it, the error is raised by the
        call.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR (2016),
       equation 2.
    .. [2] G. Huang, Z. Liu, L. van der Maaten and K. Q. Weinberger, "Densely connected convolutional
       networks", CVPR (2017), equation 2; A. Graves, "Generating sequences with recurrent neural networks",
       arXiv:1308.0850 (2013), section 2, for recurrent layers.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> stack = tt.nn.Stack(tt.nn.LSTM(3, 8), tt.nn.GRU(8, 8), tt.nn.Linear(8, 5), dropout=0.2, residual=True)
    >>> x = tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])
    >>> output, state = stack(x)
    >>> output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    >>> [type(part).__name__ for part in state]
    ['tuple', 'Tensor', 'NoneType']
    >>> dense = tt.nn.Stack(tt.nn.GRU(3, 8), tt.nn.GRU(3 + 8, 6), tt.nn.GRU(3 + 8 + 6, 4), dense=True)
    >>> y_t, state = dense.step(torch.randn(2, 3))
    """

    def __init__(
        self, *layers: nn.Module, dropout: float = 0.0, residual: bool = False, dense: bool = False
    ) -> None:
        super().__init__()
        if not layers:
            raise ShapeError("Stack: give at least one layer")
        for layer in layers:
            if not isinstance(layer, nn.Module):
                raise InputTypeError(f"Stack takes modules, got {type(layer).__name__}")
        if residual and dense:
            raise ShapeError("Stack: choose residual=True or dense=True, not both")
        self.layers = nn.ModuleList(layers)
        self.between = Dropout(dropout)
        self.residual, self.dense = residual, dense
        self.batch_first = _batch_first(layers)
        self._roles = tuple(_role(layer) for layer in layers)
        sizes = [_sizes(layer) if residual else None for layer in layers]
        # Layers that keep the number of features need no projection.
        self.shortcuts = nn.ModuleDict(
            {
                str(number): _projection(layers[number], *size)
                for number, size in enumerate(sizes)
                if size is not None and size[0] != size[1]
            }
        )

    def extra_repr(self) -> str:
        """Return the connections."""
        return ", ".join(f"{name}=True" for name in ("residual", "dense") if getattr(self, name))

    def __len__(self) -> int:
        return len(self.layers)

    def describe(self) -> Series:
        """Return the layers with their connections."""
        parts: list[tuple[str, Any]] = []
        for number, layer in enumerate(self.layers):
            name = f"layers.{number}"
            dropped = number and self.between.p
            body = Series((("between", self.between), ("", layer))) if dropped else layer
            if self.residual:
                shortcut = (f"shortcuts.{number}", self._shortcut(number))
                parts.append(("", SideBySide(((name, body), shortcut), Added("Stack"))))
            elif self.dense and number + 1 < len(self.layers):
                parts.append(("", SideBySide((("", nn.Identity()), (name, body)), concatenated)))
            else:
                parts.append((name, body))
        return Series(tuple(parts))

    def forward(self, input: Any, state: Any = None, *, reset: Any = None) -> RecurrentOutput:  # noqa: A002 - torch's name
        """Return ``output, state``.

        Parameters
        ----------
        input : Ragged, Tensor or PackedSequence
            Input of the first layer; plain tensors are (L, B, I), (B, L, I) if the layers have
            ``batch_first``, or (L, I).
        state : list
            The state of each layer, or None for its initial state; None for all initial states.
        reset : Ragged, Tensor or PackedSequence
            bool, one flag for each token, of the same kind as the input: where all layers restart, see
            `throughtime.nn.LSTM.forward`. Layers that read several steps and take no flags, such as
            convolutions, raise an error.
        """
        x = _checked(unwrapped(input))
        flags = self._flags(reset)

        def call(number: int, read: Any, begin: Any) -> tuple[Any, Any]:
            return self._call(number, read, begin, flags)

        return self._run(x, state, call)

    def trace(self, x: Any, state: Any = None, *, reset: Any = None) -> StackTrace:
        """Run as ``stack(x, state, reset=reset)`` does, and return the traces of the layers that have one.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> stack = tt.nn.Stack(tt.nn.LSTM(3, 8), tt.nn.MinGRU(8, 5))
        >>> stack.trace(torch.randn(7, 3))[0].forget
        Ragged(lengths=[7], features=(8,), dtype=float32, requires_grad=True)
        """
        flags = self._flags(reset)
        traces: list[Any] = []

        def call(number: int, read: Any, begin: Any) -> tuple[Any, Any]:
            layer: Any = self.layers[number]
            traces.append(layer.trace(read, begin, **flags) if hasattr(layer, "trace") else None)
            if traces[-1] is None:
                return self._call(number, read, begin, flags)
            result = traces[-1].result
            return result.output, result.state

        result = self._run(_checked(unwrapped(x)), state, call)
        return StackTrace(result, tuple(traces))

    def step(self, x_t: Tensor, state: Any = None, *, reset: Any = None) -> tuple[Tensor, list[Any]]:
        """Run one step of a stream.

        Parameters
        ----------
        x_t : Tensor
            (B, I), one token of each of B streams, or (I,) of one.
        state
            State returned by the previous step; None for the first step.
        reset : Tensor or bool
            bool (B,), or one flag for (I,): streams that restart from the initial state at this token.

        Returns
        -------
        y_t : Tensor
            (B, O) or (O,).
        state
            For the next step.

        Raises
        ------
        UnsupportedError
            If a layer reads several steps and is not recurrent; use `Stream` for such a stack.
        """
        flags = self._flags(reset)

        def call(number: int, read: Any, begin: Any) -> tuple[Any, Any]:
            layer: Any = self.layers[number]
            if self._roles[number] == "token":
                return layer(read), None
            if not hasattr(layer, "step") or self._roles[number] == "other":
                name = type(layer).__name__
                raise UnsupportedError(
                    f"Stack.step: layer {number} ({name}) has no step; run tt.nn.Stream(stack), which "
                    "keeps the steps that its windows need, or call the stack on whole sequences"
                )
            stepped: tuple[Any, Any] = layer.step(read, begin, **flags)
            return stepped

        output, states = self._run(x_t, state, call)
        return output, states

    def _run(self, x: Any, state: Any, call: Callable[[int, Any, Any], tuple[Any, Any]]) -> RecurrentOutput:
        states, ends = self._states(state), []
        read = y = x
        for number, begin in enumerate(states):
            dropped = _of_values(self.between, read) if number and self.between.p else read
            y, end = call(number, dropped, begin)
            if self.residual:
                y = self._added(number, y, _of_values(self._shortcut(number), read))
            read = _of_values(_side_by_side, read, y) if self.dense else y
            ends.append(end)
        return RecurrentOutput(y, ends)

    def _call(self, number: int, x: Any, state: Any, flags: dict[str, Any]) -> tuple[Any, Any]:
        layer, role = self.layers[number], self._roles[number]
        if role == "token":
            return _of_values(layer, x), None
        if role == "recurrent":
            output, end = layer(x, state, **flags)
            return output, end
        ragged = ragged_of(x, batch_first=self.batch_first)
        y = unwrapped(layer(ragged))
        if not isinstance(y, Ragged) or not y.layout.same_as(ragged.layout):
            raise ShapeError(
                f"Stack: layer {number} ({type(layer).__name__}) changes the number of steps; a stack has "
                "one number of steps, use padding='same' or 'causal'"
            )
        return from_ragged(y.values, x, batch_first=self.batch_first), None

    def _flags(self, reset: Any) -> dict[str, Any]:
        """Return the arguments of layers for their reset flags."""
        if reset is None:
            return {}
        for layer, role in zip(self.layers, self._roles, strict=True):
            if role == "other":
                check_takes_reset(layer, "Stack")
        return {"reset": reset}

    def _states(self, state: Any) -> Sequence[Any]:
        count = len(self.layers)
        if state is None:
            return [None] * count
        if not isinstance(state, list | tuple) or len(state) != count:
            got = f"{len(state)} of them" if isinstance(state, list | tuple) else type(state).__name__
            raise InputTypeError(f"Stack takes a list of {count} states, one for each layer, got {got}")
        return state

    def _shortcut(self, number: int) -> nn.Module:
        return self.shortcuts[str(number)] if str(number) in self.shortcuts else nn.Identity()

    def _added(self, number: int, y: Any, shortcut: Any) -> Any:
        before, after = _values(shortcut).shape[-1], _values(y).shape[-1]
        if before != after:
            raise ShapeError(
                f"Stack: layer {number} ({type(self.layers[number]).__name__}) maps {before} features to "
                f"{after}, which cannot be added; put a Linear before it, "
                "or use residual=False"
            )
        return _of_values(torch.add, y, shortcut)


def _side_by_side(*parts: Tensor) -> Tensor:
    return torch.cat(parts, -1)


def _of_values(function: Callable[..., Any], x: Any, *others: Any) -> Any:
    """Apply a function of tokens to the values of inputs of the same kind."""
    values = function(*(_values(part) for part in (x, *others)))
    return values if isinstance(x, Tensor) else like_input(values, x)


def _values(x: Any) -> Tensor:
    values: Tensor = x if isinstance(x, Tensor) else x.data if isinstance(x, PackedSequence) else x.values
    return values


def _checked(x: Any) -> Input:
    if not isinstance(x, Ragged | Tensor | PackedSequence):
        raise InputTypeError(f"Stack takes a Ragged, a Tensor or a PackedSequence, got {type(x).__name__}")
    return x


def _role(layer: nn.Module) -> _Role:
    if takes_reset(layer):
        return "recurrent"
    try:
        return "token" if isinstance(description_of(layer), Tokenwise) else "other"
    except InputTypeError:  # it has no description
        return "other"


def _batch_first(layers: Sequence[nn.Module]) -> bool:
    flags = {bool(layer.batch_first) for layer in layers if hasattr(layer, "batch_first")}
    if len(flags) > 1:
        raise ShapeError("Stack: some layers have batch_first=True and others not; give all of them the same")
    return True in flags


def _sizes(layer: Any) -> tuple[int, int] | None:
    """Return the numbers of input and output features of a layer, None if it has no attributes for them."""
    names = ("input_size", "in_features", "in_channels")
    inputs = next((getattr(layer, name) for name in names if hasattr(layer, name)), None)
    outputs = getattr(layer, "out_features", getattr(layer, "out_channels", None))
    if hasattr(layer, "hidden_size"):
        outputs = (getattr(layer, "proj_size", 0) or layer.hidden_size) * (1 + bool(layer.bidirectional))
    return None if inputs is None or outputs is None else (inputs, outputs)


def _projection(layer: nn.Module, inputs: int, outputs: int) -> Linear:
    like = next(layer.parameters())
    return Linear(inputs, outputs, bias=False, device=like.device, dtype=like.dtype)
