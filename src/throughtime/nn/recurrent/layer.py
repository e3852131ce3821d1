"""What `RNN`, `LSTM` and `GRU` share: torch.nn's parameters and results, and every state in reach."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import RecurrentOutput, unwrapped
from throughtime.nn.inputs.precision import precision
from throughtime.nn.inputs.resets import Pieces, flags_by_row, flags_of_step, pieces_of
from throughtime.nn.inputs.tokens import Input, checked, from_ragged, like_input, ragged_of, tokens_of
from throughtime.nn.recurrent._context import checked_context
from throughtime.nn.recurrent._fast_path import quick_call, quick_step
from throughtime.nn.recurrent._pieces import begun_states, ended_states
from throughtime.nn.recurrent.attached import CarriesState, Watchable
from throughtime.nn.recurrent.carrying import Carrier, carrier_of, states_after
from throughtime.nn.recurrent.stack import StackResult, run_stack
from throughtime.nn.recurrent.state import Sizes, batched_state, like_state
from throughtime.nn.recurrent.watched import recurrent_runs
from throughtime.nn.recurrent.watching import watcher_of
from throughtime.nn.recurrent.weights import plan_of_layer
from throughtime.nn.trace.trace import Trace, traced
from throughtime.ops.recurrent.bounds import bound_of
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps, host_lengths
from throughtime.ragged import Layout

LAYERS: dict[str, type["Recurrent"]] = {}
"""The layer of each kind of cell, by `CellSpec.kind`."""


class Recurrent(CarriesState, Watchable, nn.RNNBase):
    """What recurrent layers share: torch's parameters under torch's base class, and our loop.

    They are not instances of `torch.nn.LSTM` and its like, because torch.compile refuses all of those.
    """

    no_bounds = ""
    spec_class: ClassVar[type[CellSpec]]
    """What describes the cell; a subclass that sets it is the layer of that kind."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "spec_class" in cls.__dict__:
            LAYERS[cls.spec_class.kind] = cls

    def __init__(
        self,
        spec: CellSpec,
        mode: str,
        sizes: tuple[int, int, int],
        flags: tuple[bool, bool, bool],
        dropout: float,
        proj_size: int = 0,
        *,
        context_size: int = 0,
        learn_initial_state: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make torch's parameters for input, hidden and layers, then those of the options.

        ``flags`` are bias, batch_first and bidirectional.
        """
        if context_size < 0:
            raise ShapeError(
                f"{type(self).__name__}: context_size is the size of a vector, got {context_size}"
            )
        self.spec = spec
        self.context_size, self.learn_initial_state = context_size, learn_initial_state
        bias, batch_first, bidirectional = flags
        super().__init__(
            mode, *sizes, bias, batch_first, dropout, bidirectional, proj_size, device=device, dtype=dtype
        )
        self.weight_plan = plan_of_layer(self, spec, context_size)
        self._add_parameters(device, dtype)

    def _add_parameters(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Make the parameters that torch's layers do not have, and those that have another shape."""

        def fresh(*shape: int) -> nn.Parameter:
            # As torch begins all of its own.
            return nn.Parameter(
                torch.empty(shape, device=device, dtype=dtype).uniform_(-1, 1)
                / math.sqrt(max(self.hidden_size, 1))
            )

        for place in self.weight_plan.places:
            for name, shape in place.shapes.items():
                if name not in self._parameters or getattr(self, name).shape != shape:
                    self.register_parameter(name, fresh(*shape))
        if self.learn_initial_state:
            for name, size in self._state_sizes().items():
                shape = (len(self._all_weights), size)
                self.register_parameter(
                    f"initial_{name}", nn.Parameter(torch.zeros(shape, device=device, dtype=dtype))
                )
        self._set_initial_values()

    def _set_initial_values(self) -> None:
        """Set the parameters that do not begin at random."""
        for place in self.weight_plan.places:
            for name, own in zip(place.own, self.spec.own_parameters.values(), strict=True):
                if own.initial is not None:
                    nn.init.constant_(getattr(self, name), own.initial)
        if self.learn_initial_state:
            for name in self._state_sizes():
                nn.init.zeros_(getattr(self, f"initial_{name}"))

    @property
    def _output_size(self) -> int:
        return (self.proj_size or self.hidden_size) * (2 if self.bidirectional else 1)

    def _state_sizes(self) -> dict[str, int]:
        sizes = {"h": self.proj_size or self.hidden_size}
        return {**sizes, "c": self.hidden_size} if self.spec.has_c else sizes

    def bound_gradients(self, *, value: float | None = None, norm: float | None = None) -> None:
        """Clip gradients inside the recurrence: as they pass from each step to the one before it.

        What the backward pass hands on of ∂L/∂h_t, and of ∂L/∂c_t, is bounded; the share of it that a step's
        own output adds is not. The forward pass, parameters and state dicts are those of before. A bounded
        gradient cannot be differentiated: a second derivative, or a transform of torch.func, raises
        `throughtime.errors.UnsupportedError`.

        Parameters
        ----------
        value
            Bound on each entry; None for none.
        norm
            Bound on the norm of the gradient of h and of c per sequence, applied after ``value``; None for
            none. Without either, gradients pass unbounded again.

        Raises
        ------
        ShapeError
            If a bound is not above zero.

        References
        ----------
        .. [1] A. Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850 (2013),
           section 2.1, bounds gradients within the network by value; R. Pascanu et al., "On the difficulty of
           training recurrent neural networks", ICML (2013), the norm of the whole.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> layer = tt.nn.RNN(3, 5)
        >>> layer.bound_gradients(norm=1.0)
        >>> layer(torch.randn(7, 3)).output.sum().backward()
        """
        name = type(self).__name__
        self.spec = replace(
            self.spec,
            gradient_value=bound_of(value, "value", name),
            gradient_norm=bound_of(norm, "norm", name),
        )

    def recurrent_blocks(self) -> dict[tuple[int, int], dict[str, Tensor]]:
        """Return the blocks of W_hh by gate, for each layer and direction; none with a projection."""
        if self.proj_size:
            return {}
        directions = 2 if self.bidirectional else 1
        return {
            divmod(place, directions): dict(
                zip(self.spec.row_blocks, getattr(self, names[1]).split(self.hidden_size), strict=True)
            )
            for place, names in enumerate(self._all_weights)
        }

    def reset_parameters(self) -> None:
        """Reset all parameters: uniform within ±1/√H as in torch, a learned initial state to zeros."""
        super().reset_parameters()
        if "weight_plan" in self.__dict__:  # torch's constructor calls this before the other parameters exist
            self._set_initial_values()

    def flatten_parameters(self) -> None:
        """Put parameters into one block, in the layout cuDNN expects; only for cells that torch has."""
        if self.spec.torch_function is not None:
            super().flatten_parameters()

    def extra_repr(self) -> str:
        """Return the arguments that are not defaults."""
        options = {} if self.spec.torch_function is not None else self.spec.layer_options()  # as in torch
        parts = [
            super().extra_repr(),
            *(f"{name}={value!r}" for name, value in options.items()),
            self.context_size and f"context_size={self.context_size}",
            self.learn_initial_state and "learn_initial_state=True",
        ]
        return ", ".join(part for part in parts if isinstance(part, str) and part)

    def describe(self) -> Stateful | WholeSequence:
        """Return how the layer passes on its state; with both directions it reads whole sequences."""
        if self.bidirectional:
            return WholeSequence("reads from the end, too")
        return Stateful(self, self.step)

    def operators(self) -> tuple[Operator, ...]:
        """Return the layer itself, which exporters know as one operator for each layer of the stack."""
        return (Operator.of("throughtime::recurrent_layer", layer=self),)

    def forward(
        self,
        input: Any,  # noqa: A002 - torch's names
        hx: Any = None,
        *,
        context: Any = None,
        reset: Any = None,
    ) -> RecurrentOutput:
        """Return ``output, state``; a state of None is zeros.

        Parameters
        ----------
        input : Tensor, PackedSequence or Ragged
            (L, I), (L, B, I) or, with ``batch_first``, (B, L, I); or tokens (T, I).
        hx
            The state: h of shape (layers · directions, B, H), for LSTM the pair (h, c); without B for (L, I).
            None is zeros, or the learned initial state.
        context : Tensor
            (B, context_size), or (context_size,) for (L, I): added to the gates of every step, with weights
            of its own.
        reset : Tensor, PackedSequence or Ragged
            bool, one flag for each token, of the same kind as the input and without its features: (L, B),
            (B, L) with ``batch_first``, (L,), or a Ragged (T,) of the same lengths. Where it is true, the
            state before that token is the default initial state (zeros, or the learned one), so earlier
            tokens have no influence; results are bit for bit those of the sequence split there. A flag at the
            first token of a sequence overrides ``hx`` for this sequence. The returned state is that after the
            last token. The backward direction has the same boundaries: it starts from ``hx`` at the last
            token, and restarts after each flagged token.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> layer, x = tt.nn.GRU(3, 5), torch.randn(7, 2, 3)
        >>> reset = torch.zeros(7, 2, dtype=torch.bool)
        >>> reset[4, 1] = True  # a new episode begins at step 4 of the second sequence
        >>> output, h = layer(x, reset=reset)
        >>> torch.equal(output[4:, 1], layer(x[4:, 1]).output)
        True
        """
        x = unwrapped(input)
        quick = quick_call(self, x, hx, reset) if context is None else None
        if quick is not None:
            return quick
        x = self._checked(x)
        if reset is not None and self._cuts():
            return self._in_ragged_order(x, hx, context, reset)[0]
        tokens, steps = tokens_of(x, batch_first=self.batch_first)
        if reset is not None:
            steps = steps._replace(reset=flags_by_row(reset, x, type(self).__name__))
        result, _ = self._run(x, tokens, steps, hx, context, lambda y: like_input(y, x))
        return result

    def trace(
        self,
        x: Any,
        state: Any = None,
        *,
        context: Any = None,
        reset: Any = None,
        pre_activations: bool = False,
        gradients: bool = False,
    ) -> Trace:
        """Run as ``layer(x, state)`` does, and return every h, c and gate of every layer and direction.

        Parameters
        ----------
        x, state, context, reset
            As in a call.
        pre_activations
            If True, the trace also has the gates before their activation.
        gradients
            If True, the backward pass stores the gradient of every state and gate at every step in
            ``trace[layer, direction].gradients``.

        Returns
        -------
        Trace
            ``trace.result`` is what the call returns; ``trace[layer, direction]`` has the states and gates
            as `Ragged`, differentiable.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> layer = tt.nn.LSTM(3, 5)
        >>> trace = layer.trace(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
        >>> trace.c
        Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
        >>> trace.forget[0][3].sum().backward()  # the forget gate, fourth step of the first sequence
        >>> deep = tt.nn.GRU(3, 5, num_layers=2, bidirectional=True)
        >>> deep.trace(torch.randn(7, 3))[1, 0].update
        Ragged(lengths=[7], features=(5,), dtype=float32, requires_grad=True)
        """
        x = self._checked(unwrapped(x))
        records = [StepGradients() for _ in range(self.num_layers)] if gradients else None
        result, stack, layout, pieces = self._in_ragged_order(
            x, state, context, reset, save=True, records=records
        )
        return traced(
            self.spec,
            result,
            stack.layers,
            layout,
            read=layout if pieces is None else pieces.layout,
            pre_activations=pre_activations,
            records=records,
        )

    def step(
        self, x_t: Tensor, state: Any = None, *, context: Any = None, reset: Any = None
    ) -> tuple[Tensor, Any]:
        """Run one step of a stream.

        Parameters
        ----------
        x_t : Tensor
            (B, I), one token of each of B streams, or (I,) of one.
        state
            State returned by the previous step; None for the first step. Shaped as in a call, without B for
            (I,).
        context
            As in a call, the same at every step.
        reset : Tensor or bool
            bool (B,), or one flag for (I,): streams that restart from the initial state at this token.

        Returns
        -------
        y_t : Tensor
            (B, H) or (H,): h of the last layer.
        state
            For the next step.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> layer, x, state = tt.nn.GRU(3, 5), torch.randn(4, 3), None
        >>> for x_t in x:
        ...     y_t, state = layer.step(x_t, state)
        >>> torch.allclose(y_t, layer(x).output[-1], atol=1e-6)
        True
        """
        name = type(self).__name__
        if self.bidirectional:
            raise ShapeError(
                f"{name}.step: a bidirectional layer reads from the end, too, which a stream does not have "
                "yet; use bidirectional=False, or call the layer on whole sequences"
            )
        if reset is not None:
            state = self._restarted(x_t, state, reset)
        quick = quick_step(self, x_t, state) if context is None else None
        if quick is not None:
            return quick
        self._check_step(x_t)
        x = self._checked(x_t.unsqueeze(0))
        tokens, steps = tokens_of(x, batch_first=False)
        result, _ = self._run(x, tokens, steps, state, context, lambda y: y)
        return (result.output[0] if x_t.dim() == 1 else result.output), result.state

    def _check_step(self, x_t: Any) -> None:
        if not isinstance(x_t, Tensor) or x_t.dim() not in {1, 2}:
            kind = f"shape {tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
            name = type(self).__name__
            raise ShapeError(f"{name}.step takes one token (I,), or one of each stream (B, I), got {kind}")

    def _restarted(self, x_t: Any, state: Any, reset: Any) -> Any:
        """Return the state of a step, the initial one for the streams whose flag is true."""
        self._check_step(x_t)
        flags = flags_of_step(reset, x_t.shape[:-1], type(self).__name__)
        if state is None:
            return None
        x = self._checked(x_t.unsqueeze(0))
        batch = x_t.shape[0] if x_t.dim() == 2 else 1
        name, sizes = type(self).__name__, self._sizes
        parts = []
        for part, learned in zip(
            batched_state(state, x, batch, sizes, self._weight, name), self._learned_state(batch), strict=True
        ):
            if part is not None:
                initial = torch.zeros_like(part) if learned is None else learned.to(part.dtype)
                parts.append(like_state(torch.where(flags.view(-1, 1), initial, part), x))
        return tuple(parts) if self.spec.has_c else parts[0]

    def _cuts(self) -> bool:
        """Tell whether reset flags cut sequences into pieces, and are not left to the loop over time.

        The loop knows states of zeros alone, torch's fused layers no flags, and diagnoses read pieces.
        """
        elsewhere = not (self._weight.is_cpu or torch.compiler.is_compiling())
        return self.learn_initial_state or elsewhere or watcher_of(self) is not None

    def _in_ragged_order(
        self,
        x: Input,
        state: Any,
        context: Any,
        reset: Any,
        *,
        save: bool = False,
        records: list[StepGradients] | None = None,
    ) -> tuple[RecurrentOutput, StackResult, Layout, Pieces | None]:
        """Run on sequences end to end, in the order of the caller."""
        name = type(self).__name__
        pieces = None
        if reset is not None:
            pieces = pieces_of(reset, x, batch_first=self.batch_first, layer=name)
        ragged = ragged_of(x, batch_first=self.batch_first)
        tokens, steps = tokens_of(ragged, batch_first=False)
        result, stack = self._run(
            x,
            tokens,
            steps,
            state,
            context,
            lambda y: from_ragged(y, x, batch_first=self.batch_first),
            as_given=True,
            save=save,
            records=records,
            pieces=pieces,
        )
        return result, stack, ragged.layout, pieces

    def _checked(self, x: Any) -> Input:
        return checked(x, self.input_size, self._weight, type(self).__name__)

    @property
    def _weight(self) -> Tensor:
        """One of the parameters, for its dtype and device."""
        weight: Tensor = getattr(self, self._all_weights[0][0])
        return weight

    def _run(
        self,
        x: Input,
        tokens: Tensor,
        steps: Steps,
        state: Any,
        context: Any,
        wrap: Callable[[Tensor], Any],
        *,
        as_given: bool = False,
        save: bool = False,
        records: list[StepGradients] | None = None,
        pieces: Pieces | None = None,
    ) -> tuple[RecurrentOutput, StackResult]:
        """Run on tokens; ``x`` is the input they came from, whose kind decides on the shape of states.

        ``as_given``: the sequences of the tokens are in the order of the caller.
        """
        name, weight, whole = type(self).__name__, self._weight, steps
        h0, c0 = batched_state(state, x, steps.batch, self._sizes, weight, name, as_given=as_given)
        if state is None:
            h0, c0 = self._learned_state(steps.batch)
        carrier = carrier_of(self) if state is None else None
        if carrier is not None:
            h0, c0 = self._continued(carrier, x, steps.batch, h0, c0)
        watcher = watcher_of(self)
        if watcher is not None and records is None:
            records = [StepGradients(whole=watcher.whole) for _ in range(self.num_layers)]
        context = checked_context(context, x, steps.batch, self.context_size, weight, name, as_given=as_given)
        if pieces is not None:
            steps = pieces.steps
            h0, c0 = self._begun(pieces, h0, c0)
            context = None if context is None else pieces.of_sequences(context)
        dtypes = precision(
            self.spec,
            tokens,
            h0,
            c0,
            fused=isinstance(x, Tensor),
            projected=self.proj_size > 0,
        )
        stack = run_stack(
            self,
            self.spec.in_bfloat16 if dtypes.bfloat16 else self.spec,
            _to(tokens, dtypes.compute),
            steps,
            _to(h0, dtypes.compute),
            _to(c0, dtypes.compute),
            _to(context, dtypes.compute),
            save=save or (carrier is not None and carrier.after is not None),
            records=records,
        )
        if watcher is not None and records is not None:
            watcher.saw(self, partial(recurrent_runs, self.spec, steps, stack.layers, records, pieces))
        if pieces is not None:
            h_n, c_n = (
                ended_states(pieces, part, bidirectional=self.bidirectional)
                for part in (stack.h_n, stack.c_n)
            )
            stack = stack._replace(h_n=h_n, c_n=c_n)
        if carrier is not None:
            carrier.end(self, host_lengths(whole), self._states_after(carrier.after, whole, stack))
        h_n = like_state(_to(stack.h_n, dtypes.h), x, as_given=as_given)
        output = wrap(_to(stack.y, dtypes.h))
        if not self.spec.has_c:
            return RecurrentOutput(output, h_n), stack
        c_n = like_state(_to(stack.c_n, dtypes.c), x, as_given=as_given)
        return RecurrentOutput(output, (h_n, c_n)), stack

    @property
    def _sizes(self) -> Sizes:
        sizes = self._state_sizes()
        return Sizes(len(self._all_weights), sizes["h"], sizes.get("c", 0))

    def _learned_state(self, batch: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the initial h and c (layers · directions, B, ·), None for zeros."""
        if not self.learn_initial_state:
            return None, None
        h, c = (
            getattr(self, f"initial_{part}").unsqueeze(1).expand(-1, batch, -1)
            if part in self._state_sizes()
            else None
            for part in ("h", "c")
        )
        return h, c

    def _continued(
        self, carrier: Carrier, x: Input, batch: int, h0: Tensor | None, c0: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the states (layers, B, ·) where streams stopped, given those where a new stream begins."""
        if isinstance(x, PackedSequence):
            name = type(self).__name__
            raise InputTypeError(
                f"{name}: states are carried for Ragged and Tensor inputs, not PackedSequence"
            )
        layers, sizes = len(self._all_weights), self._state_sizes().values()
        initial = [
            self._weight.new_zeros(batch, layers, size) if part is None else part.transpose(0, 1)
            for part, size in zip((h0, c0), sizes, strict=False)
        ]
        begun = carrier.begin(self, initial)
        if begun is None:
            return h0, c0
        h, *c = (part.transpose(0, 1).contiguous() for part in begun)
        return h, c[0] if c else None

    def _states_after(self, after: int | None, steps: Steps, stack: StackResult) -> list[Tensor]:
        """Return the states (B, layers, ·) after so many steps; None for all."""
        if after is None:
            finals = (stack.h_n, stack.c_n) if self.spec.has_c else (stack.h_n,)
            return [part.transpose(0, 1) for part in finals]
        parts = [[layer.y for layer in stack.layers]]
        if self.spec.has_c:
            parts.append([layer.c[0] for layer in stack.layers])
        return [torch.stack([states_after(part, steps, after) for part in of], 1) for of in parts]

    def _begun(
        self, pieces: Pieces, h0: Tensor | None, c0: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the states before each piece, of those before each sequence."""
        initial = self._learned_state(pieces.count)
        return begun_states(pieces, h0, initial[0], bidirectional=self.bidirectional), begun_states(
            pieces, c0, initial[1], bidirectional=self.bidirectional
        )


def _to(tensor: Any, dtype: torch.dtype) -> Any:
    return tensor if tensor is None or tensor.dtype == dtype else tensor.to(dtype)
