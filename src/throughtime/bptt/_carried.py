"""`Carried`: where each stream stopped, so that its next window goes on from there."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from throughtime.bptt._windows import Window
from throughtime.errors import KindError, ShapeError, UnsupportedError
from throughtime.nn.inputs.tokens import Input
from throughtime.nn.recurrent.attached import attached
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.nn.recurrent.stack import StackResult
from throughtime.ops.recurrent.steps import Steps, host_lengths, rows

_VERSION = 1


class Carried:
    """The states of a model's recurrent layers, one for each stream, without a graph.

    Streams are known by numbers. Inside of ``with carried.carry(model, ids)`` every recurrent layer that is
    given no state begins each sequence where the stream of that number stopped, a new one as it always does,
    and leaves behind where it stopped now. So models need not know of states, streams may end and others
    join, and the order in a batch does not matter.

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
        # By layer: h, and c of an LSTM, each (layers, N, size).
        self._states: dict[str, tuple[Tensor, ...]] = {}

    @property
    def ids(self) -> list[int]:
        """The streams that are known."""
        return list(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __copy__(self) -> "Carried":
        """Return one that begins where this one is, and goes on without it; no tensor is copied."""
        new = Carried()
        new._rows, new._states = dict(self._rows), dict(self._states)
        return new

    @contextmanager
    def carry(
        self, model: nn.Module, streams: Window | Tensor | Iterable[int], *, after: int | None = None
    ) -> Iterator[None]:
        """Let the layers of a model go on where their streams stopped, in calls of this thread.

        Parameters
        ----------
        model : Module
            With `throughtime.nn.RNN`, `LSTM` or `GRU` in it, in one direction each; each runs once.
        streams : Window, Tensor or iterable of int
            Which stream each sequence of the batch is, or the window that is run.
        after
            After how many steps of the run the state is taken that is left behind; all of them by default.
            A window knows.

        Raises
        ------
        UnsupportedError, ShapeError, KindError
            If there is no such layer, or one that cannot go on; if the batch has another size than
            ``streams``; if a state was made by a model of other sizes.
        """
        if isinstance(streams, Window):
            after = streams.after if after is None else after
            streams = streams.ids
        ids = [int(i) for i in (streams.tolist() if isinstance(streams, Tensor) else streams)]
        if len(set(ids)) != len(ids):
            raise ShapeError("two sequences of one batch cannot be the same stream; ids must differ")
        if after is not None and after < 0:
            raise ShapeError(f"a state is taken after so many steps, at least 0; got {after}")
        layers = {
            module: name or type(module).__name__
            for name, module in model.named_modules()
            if isinstance(module, Recurrent)
        }
        if not layers:
            raise UnsupportedError("there is no recurrent layer in this model, so nothing is carried")
        for module, name in layers.items():
            if module.bidirectional:
                raise UnsupportedError(
                    f"{name} reads from the end, too, and cannot go on where a window stopped; "
                    "use bidirectional=False"
                )
        run = _Run(self, ids, after, layers)
        with attached(layers, "_carriers", run):
            yield
        run.commit()

    def reset(self, ids: Iterable[int] | None = None) -> None:
        """Let these streams, or all, begin anew; those that are not known do so anyway."""
        gone = set(self._rows) if ids is None else set(ids)
        kept = {i: row for i, row in self._rows.items() if i not in gone}
        place = torch.tensor(list(kept.values()), dtype=torch.int64)
        self._states = {
            name: tuple(part.index_select(1, place.to(part.device)) for part in parts)
            for name, parts in self._states.items()
        }
        self._rows = {i: row for row, i in enumerate(kept)}
        if not kept:
            self._states = {}

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain tensors, to be saved."""
        return {
            "version": _VERSION,
            "ids": torch.tensor(self.ids, dtype=torch.int64),
            "states": {name: [part.clone() for part in parts] for name, parts in self._states.items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned; a model of other sizes is refused when it runs.

        Raises
        ------
        KindError, ShapeError
            If this is not such a state.
        """
        if not isinstance(saved, Mapping) or saved.get("version") != _VERSION:
            raise KindError("this is not the state of a throughtime.bptt.Carried of this version")
        ids = [int(i) for i in saved["ids"].tolist()]
        states = {name: tuple(part.clone() for part in parts) for name, parts in saved["states"].items()}
        for name, parts in states.items():
            for part in parts:
                if part.dim() != 3 or part.shape[1] != len(ids):
                    raise ShapeError(
                        f"the state of {name} has shape {tuple(part.shape)}, "
                        f"expected (layers, {len(ids)}, size)"
                    )
        self._rows, self._states = {i: row for row, i in enumerate(ids)}, states

    def _known(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Return which of these streams are known, and their rows (0 for the others)."""
        known = torch.tensor([i in self._rows for i in ids], dtype=torch.bool)
        place = torch.tensor([self._rows.get(i, 0) for i in ids], dtype=torch.int64)
        return known, place

    def _store(self, ids: list[int], states: Mapping[str, tuple[Tensor, ...]]) -> None:
        """Put new states in the rows of their streams."""
        known, place = self._known(ids)
        fresh = [i for i in ids if i not in self._rows]
        for name, parts in states.items():
            old = self._states.get(name)
            stored = []
            for number, part in enumerate(parts):
                if old is None:
                    # Streams that this layer has not seen are as if they had not begun.
                    table = part.new_zeros(part.shape[0], len(self._rows), part.shape[2])
                else:
                    table = old[number].clone()
                where = known.to(part.device)
                table[:, place.to(part.device)[where]] = part[:, where]
                stored.append(torch.cat([table, part[:, ~where]], 1))
            self._states[name] = tuple(stored)
        for name, parts in self._states.items():
            if name not in states:
                # A layer that did not run has not begun with the new streams.
                self._states[name] = tuple(
                    torch.cat([part, part.new_zeros(part.shape[0], len(fresh), part.shape[2])], 1)
                    for part in parts
                )
        for i in fresh:
            self._rows[i] = len(self._rows)


class _Run:
    """One forward pass of a model whose layers go on; what they leave is stored when it has ended well."""

    def __init__(
        self, carried: Carried, ids: list[int], after: int | None, names: Mapping[Recurrent, str]
    ) -> None:
        self.carried, self.ids, self.after, self.names = carried, ids, after, names
        self.left: dict[str, tuple[Tensor, ...]] = {}
        self.moved = torch.zeros(0, dtype=torch.bool)

    @property
    def looks_inside(self) -> bool:
        return self.after is not None

    def begin(
        self, module: Recurrent, x: Input, steps: Steps, h0: Tensor | None, c0: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        name = self.names[module]
        if isinstance(x, PackedSequence):
            raise KindError(f"{name}: states are carried for Ragged batches and tensors, not PackedSequence")
        if name in self.left:
            raise UnsupportedError(
                f"{name} runs twice in one pass, so it is not clear which state goes on; "
                "give it a state yourself"
            )
        if steps.batch != len(self.ids):
            raise ShapeError(f"{name} got {steps.batch} sequences for {len(self.ids)} streams")
        stored = self.carried._states.get(name)  # noqa: SLF001 - two halves of one thing
        if stored is None:
            return h0, c0
        known, place = self.carried._known(self.ids)  # noqa: SLF001
        sizes = module._state_sizes()  # noqa: SLF001
        found: list[Tensor | None] = []
        for given, part, (letter, size) in zip((h0, c0), stored, sizes.items(), strict=False):
            if part.shape[0] != module.num_layers or part.shape[2] != size or len(stored) != len(sizes):
                raise ShapeError(
                    f"the carried {letter} of {name} has {part.shape[0]} layers of {part.shape[2]} units, "
                    f"this layer has {module.num_layers} of {size}: it is the state of another architecture"
                )
            weight = module._weight  # noqa: SLF001
            went_on = part.index_select(1, place.to(part.device)).to(weight.device, weight.dtype)
            fresh = torch.zeros_like(went_on) if given is None else given
            found.append(torch.where(known.to(weight.device)[None, :, None], went_on, fresh))
        return found[0], found[1] if len(found) == 2 else None

    def end(self, module: Recurrent, steps: Steps, stack: StackResult) -> None:
        name, has_c = self.names[module], module.spec.has_c
        lengths = host_lengths(steps)
        taken = lengths if self.after is None else lengths.clamp(max=self.after)
        # A stream without a step is where it was: one that has not begun begins as all do, next time.
        self.moved = taken > 0
        if self.after is None:
            self.left[name] = tuple(
                part.detach() for part in ((stack.h_n, stack.c_n) if has_c else (stack.h_n,))
            )
            return
        place = rows(steps, torch.arange(steps.batch), (taken - 1).clamp(min=0)).to(stack.y.device)
        begun = (taken > 0).to(stack.y.device)[None, :, None]
        parts = []
        for number in range(len(module.spec.states)):
            layers = []
            for layer in stack.layers:
                values = (layer.y, layer.c)[number]
                own = values[0] if number else values
                initial = (layer.h0, layer.c0)[number]
                start = own.new_zeros(steps.batch, own.shape[-1]) if initial is None else initial[0]
                last = own.index_select(0, place) if len(own) else start
                layers.append(torch.where(begun[0], last, start))
            parts.append(torch.stack(layers).detach())
        self.left[name] = tuple(parts)

    def commit(self) -> None:
        if not self.moved.any():
            return
        moved = self.moved.nonzero().flatten()
        ids = [self.ids[row] for row in moved.tolist()]
        left = {
            name: tuple(part.index_select(1, moved.to(part.device)) for part in parts)
            for name, parts in self.left.items()
        }
        self.carried._store(ids, left)  # noqa: SLF001
