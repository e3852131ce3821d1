"""`Carried`: the recurrent state of each stream, carried from one window to the next."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.bptt._streams import StreamStates
from throughtime.bptt._windows import Window
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.nn.recurrent.attached import CarriesState, attached

_VERSION = 2


class Carried:
    """The detached states of all recurrent layers of a model, one for each stream.

    Streams are identified by numbers. Within ``with carried.carry(model, ids)``, every recurrent layer that
    is called without a state starts each sequence from the last state of its stream (a new stream from the
    initial state), and stores the new last state. So the model needs no code for states, streams may end and
    new ones start, and the order in a batch does not matter. A state is what the layer returns as one: a
    tensor, a pair, or for `throughtime.nn.Recurrence` any structure of tensors.

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
        self._layers: dict[str, StreamStates] = {}

    @property
    def ids(self) -> list[int]:
        """The streams with a stored state."""
        return list(dict.fromkeys(i for layer in self._layers.values() for i in layer.rows))

    def __len__(self) -> int:
        return len(self.ids)

    def __copy__(self) -> "Carried":
        """Return an independent copy that shares the tensors, which are never changed in place."""
        new = Carried()
        new._layers = dict(self._layers)
        return new

    @contextmanager
    def carry(
        self, model: nn.Module, streams: Window | Tensor | Iterable[int], *, after: int | None = None
    ) -> Iterator[None]:
        """Continue the streams in the layers of a model, for calls in this thread.

        Parameters
        ----------
        model : Module
            Model with unidirectional recurrent layers of `throughtime.nn`, of any kind; each runs once.
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
        layers = _layers_of(model)
        run = _Run(self._layers, ids, after, layers)
        with attached(layers, "_carriers", run):
            yield
        self._layers |= run.layers()

    def reset(self, ids: Iterable[int] | None = None) -> None:
        """Remove the states of these streams, or of all; streams without a state are ignored."""
        removed = set(self.ids if ids is None else ids)
        remaining = {name: layer.without(removed) for name, layer in self._layers.items()}
        self._layers = {name: layer for name, layer in remaining.items() if layer.rows}

    def state_dict(self) -> dict[str, Any]:
        """Return streams and states as tensors, for saving."""
        return {
            "version": _VERSION,
            "layers": {
                name: {
                    "ids": torch.tensor(list(layer.rows), dtype=torch.int64),
                    "state": [part.clone() for part in layer.parts],
                }
                for name, layer in self._layers.items()
            },
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; a model of other sizes raises an error when it runs.

        Raises
        ------
        InputTypeError, ShapeError
            If ``saved`` is not a result of `state_dict`.
        """
        version = saved.get("version") if isinstance(saved, Mapping) else None
        if version != _VERSION:
            raise InputTypeError(
                f"saved is not the state of a throughtime.bptt.Carried of version {_VERSION}; give the "
                "result of state_dict()"
            )
        self._layers = {name: _loaded(name, layer) for name, layer in saved["layers"].items()}


def _loaded(name: str, layer: Mapping[str, Any]) -> StreamStates:
    ids = [int(i) for i in layer["ids"].tolist()]
    for part in layer["state"]:
        if part.dim() < 1 or part.shape[0] != len(ids):
            raise ShapeError(
                f"the state of {name} has shape {tuple(part.shape)}, expected ({len(ids)}, …), one row for "
                "each stream; give the result of state_dict()"
            )
    return StreamStates.of(ids, [part.clone() for part in layer["state"]])


def _layers_of(model: nn.Module) -> dict[CarriesState, str]:
    """Return the recurrent layers of a model with their names."""
    names = {module: name or type(module).__name__ for name, module in model.named_modules()}
    layers = {module: name for module, name in names.items() if isinstance(module, CarriesState)}
    if not layers:
        raise UnsupportedError(
            f"{type(model).__name__} has no recurrent layer of throughtime.nn whose state could be "
            "carried; call it without carry"
        )
    for module, name in names.items():
        parts = [part for part in module.modules() if isinstance(part, CarriesState)]
        if parts and getattr(module, "bidirectional", False):
            raise UnsupportedError(
                f"{name} is bidirectional, so its state cannot be carried to the next window; "
                "use bidirectional=False"
            )
    return layers


class _Run:
    """One forward pass with carried states: the `Carrier` of its layers."""

    def __init__(
        self,
        stored: Mapping[str, StreamStates],
        ids: list[int],
        after: int | None,
        names: Mapping[CarriesState, str],
    ) -> None:
        self.after = after
        self._stored, self._ids, self._names = stored, ids, names
        self._new: dict[str, tuple[Tensor, list[Tensor]]] = {}

    def begin(self, layer: nn.Module, initial: Sequence[Tensor]) -> list[Tensor] | None:
        name = self._name(layer)
        if name in self._new:
            raise UnsupportedError(
                f"{name} runs twice in one forward pass, so its carried state is ambiguous; pass it a state"
            )
        if len(initial[0]) != len(self._ids):
            raise ShapeError(
                f"{name} got {len(initial[0])} sequences for {len(self._ids)} streams; "
                "give one id per sequence"
            )
        stored = self._stored.get(name)
        if stored is None:
            return None
        had, has = (
            ", ".join(str(tuple(part.shape[1:])) for part in parts) for parts in (stored.parts, initial)
        )
        if had != has:
            raise ShapeError(
                f"the carried state of {name} has the shape {had} for each stream, but this layer has {has}; "
                "carry states of one architecture"
            )
        return stored.begin(self._ids, initial)

    def end(self, layer: nn.Module, lengths: Tensor, state: Sequence[Tensor]) -> None:
        self._new[self._name(layer)] = lengths, [part.detach() for part in state]

    def layers(self) -> dict[str, StreamStates]:
        """Return the states of the layers that ran, of the streams that have advanced and of those before."""
        new = {name: self._advanced(*ended) for name, ended in self._new.items()}
        return {
            name: self._stored[name].with_states(states) if name in self._stored else states
            for name, states in new.items()
            if states.rows
        }

    def _advanced(self, lengths: Tensor, state: list[Tensor]) -> StreamStates:
        """Return the states of the streams that have steps: others start from the initial state later."""
        advanced = [i for i, length in zip(self._ids, lengths.tolist(), strict=True) if length]
        return StreamStates.of(self._ids, state).selected(advanced if self.after != 0 else [])

    def _name(self, layer: nn.Module) -> str:
        return self._names[layer]  # type: ignore[index]
