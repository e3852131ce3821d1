"""`Stream`: many sequences that arrive piece by piece, with the states of all of them in one batch."""

import threading
from collections.abc import Hashable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from throughtime._lazy import lazy_name
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.streaming.causal import check_causal
from throughtime.nn.streaming.stream import run_pooled
from throughtime.ragged import Ragged
from throughtime.streaming.slots import Slots, Template
from throughtime.streaming.source import ModuleSource, Source

_VERSION = 1


class Stream:
    r"""A causal model on many sequences that arrive piece by piece, such as the sessions of a service.

    Sequences join and leave at any time. Each call of `push` takes the next steps of any of them, runs the
    model once on all, and returns the predictions so far. The states of all sequences are rows of
    preallocated tensors: memory and time do not grow with the length of a sequence. Predictions have the same
    bits as those for whole sequences, whatever is pushed together and in pieces of any length, where the
    layers promise so (all but ``Pool("std")`` and `AttentionPool`, which agree up to rounding).

    Parameters
    ----------
    model : Module, Predictor or path
        A module in evaluation mode with a description (see `throughtime.nn.description`) that needs no
        future steps; or a trained predictor, or the folder of its run, which takes raw chunks.

    Raises
    ------
    NotCausalError
        If a layer needs future steps, such as a bidirectional one; the message names it with its path.
    InputTypeError
        If a layer has no description, or the model is in training mode.
    UnsupportedError
        If the inputs of a predictor cannot be read piece by piece; the message says why.
    RunError
        If the folder holds no usable run.

    Notes
    -----
    A module with an output for each sequence returns the output (N,) so far; one with an output for each step
    returns those (n, N) of the new steps, which may be none. A predictor returns a dict as one row of
    `Predictor.predictions`.

    All methods may be called from several threads: a lock of the object runs one call after the other. If a
    call raises an error, no sequence has changed.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.LSTMModel(vocabulary_size=10, outputs=2).eval()
    >>> stream = tt.Stream(model)
    >>> a, b = stream.open("a"), stream.open("b")
    >>> _ = stream.push({"a": torch.tensor([1, 2, 3]), "b": torch.tensor([4])})
    >>> last = stream.push({"a": torch.tensor([5])})["a"]
    >>> whole = model(tt.Ragged.from_list([torch.tensor([1, 2, 3, 5])]))
    >>> torch.equal(last, whole[0]), torch.equal(stream.close("a"), whole[0]), list(stream)
    (True, True, ['b'])
    """

    def __init__(self, model: "nn.Module | Source | str | Path") -> None:
        self._source = _source_of(model)
        check_causal(self._source.model)
        self._device = next((weight.device for weight in self._source.model.parameters()), None)
        self._lock = threading.RLock()
        self._numbers = count()
        self._rows: dict[Hashable, int | None] = {}  # None until the first push
        self._kept: dict[Hashable, Any] = {}
        self._slots: Slots | None = None
        self._empty: Tensor | None = None
        if self._source.empty is not None:
            self._allocate(self._source.empty.to(self._device))

    def open(self, key: Hashable = None) -> Hashable:
        """Let a new sequence join.

        Parameters
        ----------
        key : hashable, optional
            Its name; an integer is chosen if it is None.

        Returns
        -------
        hashable
            The key.

        Raises
        ------
        ShapeError
            If a sequence with this key is open.
        InputTypeError
            If the key is not hashable.
        """
        with self._lock:
            if key is None:
                key = next(number for number in self._numbers if number not in self._rows)
            if key in self:
                raise ShapeError(f"stream {key!r} is already open; close it first, or use another key")
            self._rows[key], self._kept[key] = None, self._source.begin()
            return key

    def push(self, chunks: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        r"""Read the next steps of some of the sequences, and return the predictions so far.

        Parameters
        ----------
        chunks : mapping
            The next steps of each sequence by its key, any number of steps, also 0: a tensor, array or list
            (n, C) or, of tokens, (n,); for a predictor of texts a text, a list of tokens or of token numbers.

        Returns
        -------
        dict
            For each key of ``chunks``: the output so far, the outputs of the new steps, or for a predictor
            the columns of its predictions by name; see the notes of `Stream`.

        Raises
        ------
        ShapeError
            If there is no open sequence of a key, or steps have other features than those before.
        InputTypeError
            If steps have another dtype than those before, or a chunk has the wrong type.
        DataError
            If a predictor cannot read a chunk.
        """
        with self._lock:
            if not chunks:
                return {}
            for key in chunks.keys() - self._rows.keys():
                self._require_open(key)
            kept = [self._kept[key] for key in chunks]
            steps, kept = self._source.encode(chunks, kept, self._empty)
            answers = self._run(list(chunks), steps)
            self._kept.update(zip(chunks, kept, strict=True))
            return dict(zip(chunks, answers, strict=True))

    def close(self, key: Hashable) -> Any:
        """End a sequence, and return its last answer.

        What a predictor still keeps of it, such as the last word of a text, is read first. The answer is that
        of a `push` of these steps. It is None if no steps of any sequence have been pushed to a module, which
        tells neither its features nor its dtype.

        Raises
        ------
        ShapeError
            If there is no open sequence of this key.
        DataError
            If a predictor cannot read what it keeps; the sequence stays open, see `discard`.
        """
        with self._lock:
            self._require_open(key)
            steps = self._source.finish(key, self._kept[key])
            if steps is None and self._empty is not None:
                steps = Ragged.from_lengths(self._empty, [0])
            answer = None if steps is None else self._run([key], steps)[0]
            self._forget(key)
            return answer

    def discard(self, key: Hashable) -> None:
        """End a sequence without an answer: what a predictor still keeps of it is not read.

        Raises
        ------
        ShapeError
            If there is no open sequence of this key.
        """
        with self._lock:
            self._require_open(key)
            self._forget(key)

    def state(self, key: Hashable) -> Any:
        """Return a copy of the state of the model after the steps of a sequence so far.

        Returns
        -------
        state
            As `throughtime.nn.Stream` returns it for one sequence, and states of the layers that pool; None
            before the first push.

        Raises
        ------
        ShapeError
            If there is no open sequence of this key.
        """
        with self._lock:
            self._require_open(key)
            return None if self._slots is None else self._slots.read(self._rows_of(self._slots, [key]))

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all open sequences, for ``torch.save``; see `load_state_dict`.

        Returns
        -------
        dict
            "version" (1), "keys", "kept" (what is kept of each beside the state of the model), "empty" (steps
            of length 0), and "state" (the tensors of the states of all keys).
        """
        with self._lock:
            keys, slots = list(self._rows), self._slots
            return {
                "version": _VERSION,
                "keys": keys,
                "kept": [self._kept[key] for key in keys],
                "empty": self._empty,
                "state": [] if slots is None else slots.leaves(self._rows_of(slots, keys)),
            }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Replace all open sequences by those of a `state_dict` of the same model.

        Raises
        ------
        ShapeError
            If the content is not that of a `state_dict`, or of another architecture.
        """
        with self._lock:
            keys, kept, empty = _checked(state_dict)
            slots = None if empty is None else _slots_of(self._source.model, empty, keys, state_dict["state"])
            self._rows = dict(zip(keys, range(len(keys)) if slots else (None for _ in keys), strict=True))
            self._kept = dict(zip(keys, kept, strict=True))
            self._slots, self._empty = slots, empty

    def __len__(self) -> int:
        """Return the number of open sequences."""
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        """Return whether a sequence is open."""
        try:
            return key in self._rows
        except TypeError:
            raise InputTypeError(
                f"a key of a stream is hashable, got a {type(key).__name__}; use a string or a number"
            ) from None

    def __iter__(self) -> Iterator[Hashable]:
        """Iterate over the keys of the sequences that were open at this moment."""
        with self._lock:
            return iter(list(self._rows))

    def __repr__(self) -> str:
        """Return the model and the number of open sequences."""
        return f"Stream({type(self._source.model).__name__}, open={len(self)})"

    def _require_open(self, key: Hashable) -> None:
        if key not in self:
            raise ShapeError(
                f"stream {key!r} is not open: it was never opened, or has been closed; open it with open(key)"
            )

    def _run(self, keys: list[Hashable], steps: Ragged) -> list[Any]:
        """Run the model on the next steps of sequences, keep the states, and return the answers."""
        if self._device not in {None, steps.device}:
            steps = steps.to(self._device)
        slots = self._allocate(steps.values)
        rows = self._rows_of(slots, keys)
        with torch.no_grad():
            outputs, state = run_pooled(self._source.model, steps, slots.read(rows))
            answers = self._source.answers(outputs)
            slots.write(rows, state)
        return answers

    def _allocate(self, steps: Tensor) -> Slots:
        """Return the rows for states, of which the first steps tell the sizes."""
        if self._slots is None:
            empty = steps.new_empty(0, *steps.shape[1:])
            self._slots = Slots(Template.of(self._source.model, empty))
            self._empty = empty
        return self._slots

    def _rows_of(self, slots: Slots, keys: list[Hashable]) -> list[int]:
        """Return the rows of sequences; those without one get one."""
        without = [key for key in keys if self._rows[key] is None]
        if without:
            self._rows.update(zip(without, slots.take(len(without)), strict=True))
        return [self._rows[key] for key in keys]  # type: ignore[misc]

    def _forget(self, key: Hashable) -> None:
        row = self._rows.pop(key)
        del self._kept[key]
        if row is not None and self._slots is not None:
            self._slots.release(row)


def _source_of(model: Any) -> Source:
    if isinstance(model, nn.Module):
        return ModuleSource(model)
    if isinstance(model, str | Path):
        model = lazy_name("load")(model)
    if hasattr(model, "stream_source"):
        source: Source = model.stream_source()
        return source
    raise InputTypeError(
        f"Stream takes a module, a Predictor or the folder of a run, got a {type(model).__name__}"
    )


def _checked(state_dict: Mapping[str, Any]) -> tuple[list[Hashable], list[Any], Tensor | None]:
    """Return the keys, what is kept of them, and steps of length 0."""
    missing = {"version", "keys", "kept", "empty", "state"} - set(state_dict)
    if missing or len(state_dict["keys"]) != len(state_dict["kept"]):
        what = f"no entry {sorted(missing)[0]!r}" if missing else "not as many keys as entries of 'kept'"
        raise ShapeError(f"the state of a Stream has {what}; give what Stream.state_dict() returned")
    if state_dict["version"] != _VERSION:
        raise ShapeError(
            f"the state of a Stream has version {state_dict['version']}, expected {_VERSION}; use the "
            "version of throughtime that saved it"
        )
    return list(state_dict["keys"]), list(state_dict["kept"]), state_dict["empty"]


def _slots_of(model: nn.Module, empty: Tensor, keys: list[Hashable], leaves: list[Tensor]) -> Slots:
    """Return rows with these states, in their order."""
    slots = Slots(Template.of(model, empty))
    rows = slots.take(len(keys))
    expected = [(leaf.shape, leaf.dtype) for leaf in slots.leaves(rows)]
    if [(leaf.shape, leaf.dtype) for leaf in leaves] != expected:
        raise ShapeError(
            f"the state has tensors {_shapes(leaves)}, expected {_shapes(slots.leaves(rows))}; use that of a "
            "model of the same architecture"
        )
    slots.write(rows, leaves)
    return slots


def _shapes(leaves: list[Tensor]) -> str:
    return ", ".join(str(tuple(leaf.shape)) for leaf in leaves) or "none"
