"""`Recurrence`: the general recurrent network, with a user-defined transition and read-out."""

import math
from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from throughtime.errors import InputTypeError
from throughtime.nn.description.kinds import Stateful
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import RecurrentOutput, unwrapped
from throughtime.nn.inputs.resets import flags_of_step, pieces_of
from throughtime.nn.inputs.tokens import Input, from_ragged, is_unbatched, like_input, ragged_of, tokens_of
from throughtime.nn.recurrence._bounds import with_bounded_gradients
from throughtime.nn.recurrence._cell_transition import call_cell, is_cell, size_of
from throughtime.nn.recurrence._compiled import CompiledLoop
from throughtime.nn.recurrence._loop import LoopParts, loop_states
from throughtime.nn.recurrence._placed import placed
from throughtime.nn.recurrence._program import CHOICES, Native
from throughtime.nn.recurrence._quick import plain_tokens, quick_states
from throughtime.nn.recurrence._structures import leaves_of, mapped, rebuilt
from throughtime.nn.recurrence._transition import begin, check_input, check_next, check_rows
from throughtime.nn.recurrence._transitions import Transitions
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrence.names import Names, names_of
from throughtime.nn.recurrence.step_inputs import StepInputs, UndrawnNoise, checked_constants
from throughtime.nn.recurrence.trace import Kept, RecurrenceTrace
from throughtime.nn.recurrence.watched import TracedRun, order_of
from throughtime.nn.recurrent.attached import CarriesState, Watchable
from throughtime.nn.recurrent.carrying import carrier_of, states_after
from throughtime.nn.recurrent.cells import blocks_of_cell
from throughtime.nn.recurrent.watching import watcher_of
from throughtime.ops.recurrent.bounds import bound_of
from throughtime.ops.recurrent.steps import Steps, dense_steps, host_lengths
from throughtime.ragged import refuse_tracing


class Recurrence(CarriesState, Watchable):
    r"""A recurrent network by its definition: h_t = f(h_{t−1}, x_t), o_t = g(h_t).

    f and g are modules or functions on batches: f takes a state whose leaves are (n, …) and one token of each
    of n sequences, and returns the next state; g is applied to the states of all steps at once. Nothing is
    padded, so the cost is proportional to the number of tokens.

    f is traced at the first call: its operations become a program that the native loop runs forward and
    backward, without a compiler. Terms that depend on x alone, such as W x + b, are computed for all tokens
    at once before the loop. Parameters and tensors that f reads may change between calls. An f that cannot be
    traced (branches on values, random numbers, an operator without a native implementation) runs step by step
    in Python, which is much slower; a warning names the reason. On a GPU every f runs in Python, without a
    warning. Under `torch.compile` a call is one operator of the graph, which runs f as an eager call does, if
    f is a module; other calls on a `Ragged` run between two graphs, or with ``fullgraph=True`` raise torch's
    error with the reason.

    Parameters
    ----------
    f : Module or callable
        Maps (state, x_t) to the next state, of the same structure, shapes, dtype and device. Alternatively a
        cell of `torch.nn` or of `throughtime.nn`, which then runs in the native loop, or a
        `throughtime.nn.Cell`. Parameters that a plain function reads are not registered in this module: use a
        module, or pass them to the optimizer yourself.
    g : Module or callable, optional
        Function of the state that returns the output, independently for each row; by default the identity.
    state
        The initial state of one sequence, for calls without a state: an integer n for zeros (n,), a tensor, a
        `torch.nn.Parameter` if it is learned, or any tuple, list or dict of these. Optional for cells, which
        define their own.
    prepare : Module or callable, optional
        Maps tokens (T, …) to (T, …), or to a tuple, list or dict of such tensors. It is applied to all tokens
        at once, and f receives prepare(x)_t in place of x_t. Use it for operations that combine tokens, such
        as batch normalisation; operations on single tokens are moved out of the loop automatically.
    batch_first
        Whether plain tensors are (B, L, I) and not (L, B, I).
    native : {"auto", "require", "never"}
        "auto": run f in the native loop if it can be traced, else in Python with a warning. "require": raise
        an error if it cannot be traced. "never": always run in Python.

    Returns
    -------
    output
        g of every step's state, of the same kind as the input.
    state
        The state after the last step of each sequence; for an empty sequence, its initial state.

    Raises
    ------
    ShapeError, InputTypeError
        If f returns another structure, shape, dtype or device than that of its state, if g or prepare return
        another number of rows, or if the state of a call does not fit.
    UnsupportedError
        With ``native="require"``, if f cannot be traced. The message names the reason and the line of f.

    References
    ----------
    .. [1] I. Goodfellow, Y. Bengio and A. Courville, "Deep Learning" (2016), equation 10.5.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from torch import nn
    >>> from_x, from_h = nn.Linear(3, 5), nn.Linear(5, 5, bias=False)
    >>> layer = tt.nn.Recurrence(lambda h, x: torch.tanh(from_x(x) + from_h(h)), state=5)
    >>> output, h = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(0, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 0, 2], features=(5,), dtype=float32, requires_grad=True), (3, 5))
    """

    no_bounds = ""

    def __init__(
        self,
        f: Callable[[Any, Any], Any],
        g: Callable[[Any], Any] | None = None,
        *,
        state: Any = None,
        prepare: Callable[[Any], Any] | None = None,
        batch_first: bool = False,
        native: Native = "auto",
    ) -> None:
        super().__init__()
        for name, function in (("f", f), ("g", g), ("prepare", prepare)):
            if (function is None and name == "f") or not (function is None or callable(function)):
                kind = type(function).__name__
                raise InputTypeError(f"Recurrence: {name} is a module or a function, got {kind}")
        if native not in CHOICES:
            raise InputTypeError(f"Recurrence: native is one of {', '.join(CHOICES)}, got {native!r}")
        if isinstance(f, Cell):
            state = f.initial_state if state is None else state
            g = f.read_out if g is None else g
            overridden = type(f).prepare is not Cell.prepare
            prepare = f.prepare if overridden and prepare is None else prepare
        self.f, self.g, self.prepare = f, g, prepare
        self.batch_first = batch_first
        self._cell = is_cell(f) and prepare is None
        self._draws = isinstance(f, Cell) and type(f).noise is not Cell.noise
        zeros = torch.zeros(0)
        if is_cell(f):
            zeros = f.weight_ih.detach()[:0]
            state = size_of(f) if state is None else state
            f = partial(call_cell, f)
        elif isinstance(f, Cell):
            zeros = next(f.parameters(), zeros).detach().flatten()[:0]
        if state is None:
            raise InputTypeError(
                "Recurrence: state is missing; give the initial state, such as state=5 for five zeros (it is "
                "optional only for cells of torch.nn and tt.nn)"
            )
        leaves, structure = pytree.tree_flatten(state)
        self._transitions = Transitions(f, native, len(leaves))
        self._names = [f"initial_{number}" for number in range(len(leaves))]
        # The state with names in place of tensors: a TreeSpec is not meant to be copied.
        self._named_state = pytree.tree_unflatten(self._names, structure)
        module: Any = self.f if isinstance(self.f, nn.Module) else None
        self._compiled = (
            None if module is None else CompiledLoop(module, self._transitions, self._named_state)
        )
        for name, leaf in zip(self._names, leaves, strict=True):
            self._add_initial(name, leaf, zeros)

    def _add_initial(self, name: str, leaf: Any, zeros: Tensor) -> None:
        if isinstance(leaf, nn.Parameter):
            self.register_parameter(name, leaf)
        elif isinstance(leaf, Tensor):
            self.register_buffer(name, leaf)
        elif isinstance(leaf, int) and not isinstance(leaf, bool) and leaf >= 0:
            self.register_buffer(name, zeros.new_zeros(leaf), persistent=False)
        else:
            raise InputTypeError(
                "Recurrence: state must be a number of zeros, a tensor, a Parameter, or a structure of "
                f"these, got {leaf!r}"
            )

    @property
    def native(self) -> Native:
        """Where f runs; may be set."""
        return self._transitions.native

    @native.setter
    def native(self, native: Native) -> None:
        self._transitions.native = native

    @property
    def initial_state(self) -> Any:
        """The state that a sequence begins with, in its structure, without a dimension for sequences."""
        return pytree.tree_map(lambda name: getattr(self, name), self._named_state)

    @property
    def draws_noise(self) -> bool:
        """Whether a call draws random numbers: in training, if f is a cell with noise."""
        return self._draws and self.f.training  # type: ignore[attr-defined]

    def recurrent_blocks(self) -> dict[tuple[int, int], dict[str, Tensor]]:
        """Return the blocks that a cell states; none for other transitions."""
        blocks = self.f.recurrent_blocks() if isinstance(self.f, Cell) else {}
        blocks = blocks_of_cell(self.f) if is_cell(self.f) else blocks
        return {(0, 0): blocks} if blocks else {}

    def transition(self, state: Any, x_t: Any) -> Any:
        """Return the state after one step of n sequences, in Python."""
        return self._transitions.f(state, x_t)

    def operators(self) -> tuple[Operator, ...]:
        """Return the layer itself, whose functions an exporter reads."""
        return (Operator.of("throughtime.nn.Recurrence", layer=self),)

    def describe(self) -> Stateful:
        """Return how the layer passes on its state."""
        return Stateful(self, self.step)

    def bound_gradients(self, *, value: float | None = None, norm: float | None = None) -> None:
        """Clip gradients inside the recurrence: as they pass from each step to the one before it.

        What the backward pass hands on of the gradient of each leaf of the state is bounded, per sequence;
        the share of it that a step's own output adds is not. See `throughtime.nn.LSTM.bound_gradients`.

        Parameters
        ----------
        value
            Bound on each entry; None for none.
        norm
            Bound on the norm of each leaf's gradient, applied after ``value``; None for none. Without either,
            gradients pass unbounded again.

        Raises
        ------
        ShapeError
            If a bound is not above zero.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> cell = torch.nn.GRUCell(3, 5)
        >>> layer = tt.nn.Recurrence(lambda h, x: cell(x, h), state=5)
        >>> layer.bound_gradients(norm=1.0)
        >>> layer(torch.randn(7, 3)).output.sum().backward()
        """
        bounds = bound_of(value, "value", "Recurrence"), bound_of(norm, "norm", "Recurrence")
        self._transitions.bounds = bounds if min(bounds) < math.inf else None

    def forward(
        self,
        input: Any,  # noqa: A002 - torch's name
        state: Any = None,
        *,
        reset: Any = None,
        context: Any = None,
        seeds: Any = None,
        first_step: Any = 0,
    ) -> RecurrentOutput:
        """Return ``output, state``.

        Parameters
        ----------
        input : Ragged, Tensor or PackedSequence
            Tokens (T, …); plain tensors (L, B, I), or (B, L, I) with ``batch_first``, or (L, I).
        state
            In the structure of the initial state, each leaf (B, …), without B for (L, I); None for the
            initial one.
        reset : Ragged, Tensor or PackedSequence
            bool, one flag for each token, of the same kind as the input and without its features: (T,),
            (L, B), (B, L) with ``batch_first``, (L,). Where it is true, the state before that token is the
            initial state of this module, as if the sequence were split there; a flag at the first token
            overrides ``state``. See `throughtime.nn.LSTM.forward`.
        context
            Tensors (B, …), without B for (L, I), one row for each sequence: f is then called as
            f(state, x_t, context=rows).
        seeds : Tensor or sequence of int
            (B,), for cells that draw random numbers in training, such as `throughtime.nn.Zoneout`. The
            numbers of a sequence depend only on its seed and the number of the step, not on the rest of the
            batch. By default seeds are drawn from torch's generator at every call.
        first_step : int or Tensor
            Number of the first step, one for all sequences or (B,): how many steps with the same seeds
            preceded this call. A reset changes neither seeds nor step numbers.
        """
        if not torch.compiler.is_compiling():
            result = self._quick(input, state) if reset is None and context is None else None
            if result is not None:
                return result
            refuse_tracing("a Recurrence")
        x = check_input(unwrapped(input))
        tokens, steps, wrap = placed(x, batch_first=self.batch_first, end_to_end=reset is not None)
        states, final = self._run(x, tokens, steps, state, reset, (context, seeds, first_step))
        return self._result(states, final, wrap, unbatched=is_unbatched(x))

    def _quick(self, x: Any, state: Any) -> RecurrentOutput | None:
        """Return the result of a call that only runs a known program, None for the general path."""
        if (
            self._watchers is not None
            or self._carriers is not None
            or self.prepare is not None
            or self._cell
            or (self._draws and self.f.training)  # type: ignore[attr-defined]
        ):
            return None
        read = plain_tokens(x, batch_first=self.batch_first)
        if read is None:
            return None
        tokens, steps = read
        begun = self._begun(state, steps.batch, unbatched=False)
        results = quick_states(self._transitions, tokens, steps, begun)
        if results is None:
            return None
        states, final = map(tuple, results) if type(begun) is tuple else [part[0] for part in results]
        return self._result(states, final, partial(like_input, x=x), unbatched=False)

    def trace(
        self,
        x: Any,
        state: Any = None,
        *,
        reset: Any = None,
        context: Any = None,
        seeds: Any = None,
        first_step: Any = 0,
        gradients: bool = False,
    ) -> RecurrenceTrace:
        """Run as a call does, and return the state after every step, differentiable.

        Values inside of a step that f names with `throughtime.nn.record` are returned at every step, too.

        Parameters
        ----------
        x, state, reset, context, seeds, first_step
            As in a call.
        gradients
            Whether ``trace.gradients`` will have the gradient of every state and recorded value at every
            step, after ``backward()`` of a loss computed from the result.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> cell = torch.nn.GRUCell(3, 5)
        >>> layer = tt.nn.Recurrence(lambda h, x: cell(x, h), state=5)
        >>> layer.trace(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])).states
        Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
        """
        x = check_input(unwrapped(x))
        ragged = ragged_of(x, batch_first=self.batch_first)
        tokens, steps = tokens_of(ragged, batch_first=False)
        kept = Kept(gradients=gradients)
        states, final = self._run(x, tokens, steps, state, reset, (context, seeds, first_step), kept)
        result = self._result(
            states,
            final,
            lambda part: from_ragged(part, x, batch_first=self.batch_first),
            unbatched=is_unbatched(x),
        )
        return RecurrenceTrace(
            result,
            pytree.tree_map(ragged.with_values, states),
            MappingProxyType({name: ragged.with_values(value) for name, value in kept.values.items()}),
            partial(kept.of_tokens, ragged.with_values) if gradients else None,
            kept,
        )

    def step(
        self,
        x_t: Any,
        state: Any = None,
        *,
        reset: Any = None,
        context: Any = None,
        seeds: Any = None,
        first_step: Any = 0,
    ) -> tuple[Any, Any]:
        """Run one step of a stream.

        Parameters
        ----------
        x_t : Tensor
            (B, …), one token of each of B streams.
        state
            State returned by the previous step; None for the first step.
        reset : Tensor
            bool (B,): streams that restart from the initial state at this token.
        context, seeds, first_step
            As in a call; ``first_step`` is the number of this step.

        Returns
        -------
        o_t, state
            g of the next state, and the next state.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> cell = torch.nn.GRUCell(3, 5)
        >>> layer, state = tt.nn.Recurrence(lambda h, x: cell(x, h), state=5), None
        >>> for x_t in torch.randn(4, 2, 3):
        ...     o_t, state = layer.step(x_t, state)
        """
        if not isinstance(x_t, Tensor) or x_t.dim() < 1:
            kind = f"shape {tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
            raise InputTypeError(
                f"Recurrence.step takes one token of each stream, a tensor (B, …), got {kind}"
            )
        before = self._begun(state, x_t.shape[0], unbatched=False)
        carrier = carrier_of(self) if state is None else None
        if carrier is not None:
            before = rebuilt(carrier.begin(self, leaves_of(before)) or leaves_of(before), before)
        if reset is not None:
            before = self._restarted(before, flags_of_step(reset, x_t.shape[:1], "Recurrence"))
        token = x_t if self.prepare is None else self.prepare(x_t)
        if self._transitions.bounds is not None:
            before = with_bounded_gradients(before, self._transitions.bounds)
        steps = dense_steps(len(x_t), 1, batch_first=False)
        inputs = self._inputs(steps, before, context, seeds, first_step, unbatched=False)
        inputs = None if inputs is None else inputs.drawn(self.f, steps, before)
        after = check_next(before, self._transitions.step(before, token, inputs))
        if carrier is not None:
            carrier.end(self, host_lengths(steps), leaves_of(after))
        return (after if self.g is None else self.g(after)), after

    def _begun(self, state: Any, batch: int, *, unbatched: bool) -> Any:
        initial = [getattr(self, name) for name in self._names]
        return begin(initial, self._named_state, state, batch, unbatched=unbatched)

    def _restarted(self, state: Any, flags: Tensor) -> Any:
        """Return the initial state where a flag is true."""
        initial = self._begun(None, len(flags), unbatched=False)
        return pytree.tree_map(
            lambda first, part: torch.where(
                flags.view(-1, *(1,) * (part.dim() - 1)), first.to(part.dtype), part
            ),
            initial,
            state,
        )

    def _inputs(
        self, steps: Steps, state: Any, context: Any, seeds: Any, first_step: Any, *, unbatched: bool
    ) -> StepInputs | None:
        """Return the context and noise that steps read besides states and tokens, or None."""
        if context is None and not self.draws_noise:
            return None
        if context is not None:
            context = checked_constants(context, steps.batch, unbatched=unbatched)
        undrawn = UndrawnNoise(seeds, first_step) if self.draws_noise else None
        inputs = StepInputs(context, undrawn=undrawn)
        return inputs if torch.compiler.is_compiling() else inputs.drawn(self.f, steps, state)

    def _run(
        self,
        x: Input,
        tokens: Tensor,
        steps: Steps,
        state: Any,
        reset: Any,
        step_inputs: tuple[Any, Any, Any],
        trace: Kept | None = None,
    ) -> tuple[Any, Any]:
        """Return the state after every step, (T, …) in the order of the tokens, and each sequence's last.

        ``step_inputs`` are context, seeds and the number of the first step; ``trace`` gets recorded values.
        """
        begun = self._begun(state, steps.batch, unbatched=is_unbatched(x))
        carrier, watcher = carrier_of(self) if state is None else None, watcher_of(self)
        if watcher is not None:
            trace = Kept(gradients=True) if trace is None else trace
            trace.with_gradients = True
            watcher.saw(self, partial(self._runs, steps, tokens, trace))
        if carrier is None:
            return self._over_pieces(x, tokens, steps, begun, reset, step_inputs, trace)
        begun = rebuilt(carrier.begin(self, leaves_of(begun)) or leaves_of(begun), begun)
        states, final = self._over_pieces(x, tokens, steps, begun, reset, step_inputs, trace)
        after = carrier.after
        ended = final if after is None else mapped(lambda part: states_after(part, steps, after), states)
        carrier.end(self, host_lengths(steps), leaves_of(ended))
        return states, final

    def _runs(self, steps: Steps, tokens: Tensor, kept: Kept) -> list[TracedRun]:
        """Return the run of a call, for who watches it."""
        if kept.run is None:
            return []
        return [TracedRun(self.names, order_of(steps, kept.run.steps), 0, 0, tokens, kept)]

    @property
    def names(self) -> Names:
        """The names of the kind of cell, of its states and of its gates."""
        return names_of(self.f, len(self._names))

    def _over_pieces(
        self,
        x: Input,
        tokens: Tensor,
        steps: Steps,
        begun: Any,
        reset: Any,
        step_inputs: tuple[Any, Any, Any],
        trace: Kept | None,
    ) -> tuple[Any, Any]:
        """Run sequences from their states, cut into pieces where there are reset flags."""
        inputs = self._inputs(steps, begun, *step_inputs, unbatched=is_unbatched(x))
        if reset is None:
            return self._loop(tokens, steps, begun, inputs, trace)
        pieces = pieces_of(reset, x, batch_first=self.batch_first, layer="Recurrence")
        initial = self._begun(None, pieces.count, unbatched=False)
        begun = pytree.tree_map(pieces.begun, begun, initial)
        inputs = None if inputs is None else inputs.of_pieces(pieces.of_sequences)
        states, final = self._loop(tokens, pieces.steps, begun, inputs, trace)
        return states, pytree.tree_map(pieces.ended, final)

    def _loop(
        self, tokens: Tensor, steps: Steps, state: Any, inputs: StepInputs | None, trace: Kept | None
    ) -> tuple[Any, Any]:
        """Return the state after every step, (T, …) in the order of the tokens, and each sequence's last."""
        parts = LoopParts(self.f, self.prepare, self._transitions, self._compiled, is_cell=self._cell)
        return loop_states(parts, tokens, steps, state, inputs, trace)

    def _result(
        self, states: Any, final: Any, wrap: Callable[[Tensor], Any], *, unbatched: bool
    ) -> RecurrentOutput:
        output = states if self.g is None else self.g(states)
        if self.g is not None:
            check_rows(leaves_of(output), leaves_of(states)[0].shape[0], "g", "states")
        if unbatched:
            final = mapped(lambda part: part.squeeze(0), final)
        return RecurrentOutput(mapped(wrap, output), final)
