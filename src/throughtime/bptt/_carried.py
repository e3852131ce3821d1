"""`Carried`: the recurrent state of each stream, carried from one window to the next."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from throughtime.bptt._windows import Window
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.nn.inputs.tokens import Input
from throughtime.nn.recurrent.attached import attached
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.nn.recurrent.stack import StackResult
from throughtime.ops.recurrent.steps import Steps, host_lengths, rows

_VERSION = 1


class Carried:
    """The detached states of all recurrent layers of a model, one for each stream.

    Streams are identified by numbers. Within ``with carried.carry(model, ids)``, every recurrent layer that
    is called without a state starts each sequence from the last state of its stream (a new stream from the
    initial state), and stores the new last state. So the model needs no code for states, streams may end and
    new ones start, and the order in a batch does not matter.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer, x = tt.nn.GRU(3, 5), tt.Ragged.from_list([torch.randn(9, 3), torch.randn(4, 3)])
    >>> carried, outputs = tt.bptt.Carried(), []
    >>> for window in tt.bptt.windows(x, k1=4):
    ...     with carried.carry(layer, window):
    ...         outputs.append(layer(window.of(x)).output)
    >>> whole = layer(x).output
    >>> torch.equal(outputs[1][0], whole[0][4:8])
    True
    """

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        # For each layer h, and c for LSTM, each (layers, N, size).
        self._states: dict[str, tuple[Tensor, ...]] = {}

    @property
    def ids(self) -> list[int]:
        """The streams with a stored state."""
        return list(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __copy__(self) -> "Carried":
        """Return an independent copy that shares the tensors, which are never changed in place."""
        new = Carried()
        new._rows, new._states = dict(self._rows), dict(self._states)
        return new

    @contextmanager
    def carry(
        self, model: nn.Module, streams: Window | Tensor | Iterable[int], *, after: int | None = None
    ) -> Iterator[None]:
        """Continue the streams in the layers of a model, for calls in this thread.

        Parameters
        ----------
        model : Module
            Model with unidirectional layers `throughtime.nn.RNN`, `LSTM` or `GRU`; each runs once.
        streams : Window, Tensor or iterable of int
            The stream of each sequence in the batch, or the window to run.
        after
            Number of steps after which the state is stored; all by default, or ``after`` of the window.

        Raises
        ------
        UnsupportedError, ShapeError, InputTypeError
            If the model has no recurrent layer, or a bidirectional one; if the batch size differs from the
            number of streams; if a stored state has the shape of another model.
        """
        if isinstance(streams, Window):
            after = streams.after if after is None else after
            streams = streams.ids
        ids = [int(i) for i in (streams.tolist() if isinstance(streams, Tensor) else streams)]
        if len(set(ids)) != len(ids):
            raise ShapeError("two sequences of one batch cannot be the same stream; give different ids")
        if after is not None and after < 0:
            raise ShapeError(f"after is a number of steps, at least 0; got {after}")
        layers = {
            module: name or type(module).__name__
            for name, module in model.named_modules()
            if isinstance(module, Recurrent)
        }
        if not layers:
            raise UnsupportedError(
                f"{type(model).__name__} has no recurrent layer of throughtime.nn whose state could be "
                "carried; call it without carry"
            )
        for module, name in layers.items():
            if module.bidirectional:
                raise UnsupportedError(
                    f"{name} is bidirectional, so its state cannot be carried to the next window; "
                    "use bidirectional=False"
                )
        run = _Run(self, ids, after, layers)
        with attached(layers, "_carriers", run):
            yield
        run.commit()

    def reset(self, ids: Iterable[int] | None = None) -> None:
        """Remove the states of these streams, or of all; streams without a state are ignored."""
        removed = set(self._rows) if ids is None else set(ids)
        remaining = {i: row for i, row in self._rows.items() if i not in removed}
        index = torch.tensor(list(remaining.values()), dtype=torch.int64)
        self._states = {
            name: tuple(part.index_select(1, index.to(part.device)) for part in parts)
            for name, parts in self._states.items()
        }
        self._rows = {i: row for row, i in enumerate(remaining)}
        if not remaining:
            self._states = {}

    def state_dict(self) -> dict[str, Any]:
        """Return streams and states as tensors, for saving."""
        return {
            "version": _VERSION,
            "ids": torch.tensor(self.ids, dtype=torch.int64),
            "states": {name: [part.clone() for part in parts] for name, parts in self._states.items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; a model of other sizes raises an error when it runs.

        Raises
        ------
        InputTypeError, ShapeError
            If ``saved`` is not a result of `state_dict`.
        """
        if not isinstance(saved, Mapping) or saved.get("version") != _VERSION:
            raise InputTypeError(
                f"saved is not the state of a throughtime.bptt.Carried of version {_VERSION}; give the "
                "result of state_dict()"
            )
        ids = [int(i) for i in saved["ids"].tolist()]
        states = {name: tuple(part.clone() for part in parts) for name, parts in saved["states"].items()}
        for name, parts in states.items():
            for part in parts:
                if part.dim() != 3 or part.shape[1] != len(ids):
                    raise ShapeError(
                        f"the state of {name} has shape {tuple(part.shape)}, "
                        f"expected (layers, {len(ids)}, size); give the result of state_dict()"
                    )
        self._rows, self._states = {i: row for row, i in enumerate(ids)}, states

    def _lookup(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Return a mask of the streams with a stored state, and their rows (0 for the others)."""
        mask = torch.tensor([i in self._rows for i in ids], dtype=torch.bool)
        index = torch.tensor([self._rows.get(i, 0) for i in ids], dtype=torch.int64)
        return mask, index

    def _store(self, ids: list[int], states: Mapping[str, tuple[Tensor, ...]]) -> None:
        """Write new states to the rows of their streams."""
        mask, index = self._lookup(ids)
        new_ids = [i for i in ids if i not in self._rows]
        for name, parts in states.items():
            old = self._states.get(name)
            stored = []
            for number, part in enumerate(parts):
                if old is None:
                    # Earlier streams that this layer did not process start from zeros.
                    table = part.new_zeros(part.shape[0], len(self._rows), part.shape[2])
                else:
                    table = old[number].to(part.device, copy=True)  # those of a saved state are on the CPU
                existing = mask.to(part.device)
                table[:, index.to(part.device)[existing]] = part[:, existing]
                stored.append(torch.cat([table, part[:, ~existing]], 1))
            self._states[name] = tuple(stored)
        for name, parts in self._states.items():
            if name not in states:
                # A layer that did not run starts the new streams from zeros.
                self._states[name] = tuple(
                    torch.cat([part, part.new_zeros(part.shape[0], len(new_ids), part.shape[2])], 1)
                    for part in parts
                )
        for i in new_ids:
            self._rows[i] = len(self._rows)


class _Run:
    """One forward pass with carried states; the new states are stored if it raises no exception."""

    def __init__(
        self, carried: Carried, ids: list[int], after: int | None, names: Mapping[Recurrent, str]
    ) -> None:
        self.carried, self.ids, self.after, self.names = carried, ids, after, names
        self.final: dict[str, tuple[Tensor, ...]] = {}
        self.advanced = torch.zeros(0, dtype=torch.bool)

    @property
    def looks_inside(self) -> bool:
        return self.after is not None

    def begin(
        self, module: Recurrent, x: Input, steps: Steps, h0: Tensor | None, c0: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        name = self.names[module]
        if isinstance(x, PackedSequence):
            raise InputTypeError(
                f"{name}: states are carried for Ragged batches and tensors, not PackedSequence"
            )
        if name in self.final:
            raise UnsupportedError(
                f"{name} runs twice in one forward pass, so its carried state is ambiguous; pass it a state"
            )
        if steps.batch != len(self.ids):
            raise ShapeError(
                f"{name} got {steps.batch} sequences for {len(self.ids)} streams; give one id per sequence"
            )
        stored = self.carried._states.get(name)  # noqa: SLF001 - a helper of Carried
        if stored is None:
            return h0, c0
        mask, index = self.carried._lookup(self.ids)  # noqa: SLF001
        sizes = module._state_sizes()  # noqa: SLF001
        states: list[Tensor | None] = []
        for initial, part, (letter, size) in zip((h0, c0), stored, sizes.items(), strict=False):
            if part.shape[0] != module.num_layers or part.shape[2] != size or len(stored) != len(sizes):
                raise ShapeError(
                    f"the carried {letter} of {name} has {part.shape[0]} layers of {part.shape[2]} units, "
                    f"but this layer has {module.num_layers} of {size}; carry states of one architecture"
                )
            weight = module._weight  # noqa: SLF001
            carried = part.index_select(1, index.to(part.device)).to(weight.device, weight.dtype)
            start = torch.zeros_like(carried) if initial is None else initial
            states.append(torch.where(mask.to(weight.device)[None, :, None], carried, start))
        return states[0], states[1] if len(states) == 2 else None

    def end(self, module: Recurrent, steps: Steps, stack: StackResult) -> None:
        name, has_c = self.names[module], module.spec.has_c
        lengths = host_lengths(steps)
        counts = lengths if self.after is None else lengths.clamp(max=self.after)
        # The state of a stream without steps is not stored, so a new one starts from the initial state later.
        self.advanced = counts > 0
        if self.after is None:
            self.final[name] = tuple(
                part.detach() for part in ((stack.h_n, stack.c_n) if has_c else (stack.h_n,))
            )
            return
        # Of a sequence without steps any row will do, as it is not stored.
        index = rows(steps, torch.arange(steps.batch), (counts - 1).clamp(min=0)).to(stack.y.device)
        parts = []
        for number in range(len(module.spec.states)):
            layers = []
            for layer in stack.layers:
                states = layer.c[0] if number else layer.y
                layers.append(
                    states.index_select(0, index)
                    if len(states)
                    else states.new_zeros(steps.batch, states.shape[-1])
                )
            parts.append(torch.stack(layers).detach())
        self.final[name] = tuple(parts)

    def commit(self) -> None:
        if not self.advanced.any():
            return
        index = self.advanced.nonzero().flatten()
        ids = [self.ids[row] for row in index.tolist()]
        states = {
            name: tuple(part.index_select(1, index.to(part.device)) for part in parts)
            for name, parts in self.final.items()
        }
        self.carried._store(ids, states)  # noqa: SLF001
