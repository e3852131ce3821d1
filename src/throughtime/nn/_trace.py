"""`Trace`: every h, c and gate that a recurrent layer has made, each differentiable."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from throughtime.errors import ShapeError
from throughtime.nn._output import RecurrentOutput
from throughtime.nn._stack import LayerResult, weights_of
from throughtime.ops.steps import Weights
from throughtime.ragged import Layout, Ragged

# Names of the gates in torch's order of rows.
_GATES = {"LSTM": ("input", "forget", "candidate", "output"), "GRU": ("reset", "update", "candidate")}


@dataclass(frozen=True, repr=False)
class DirectionTrace:
    """What one layer made in one direction: `Ragged` batches of one entry per token.

    Each name is an attribute, too: ``trace[0].h``, and for LSTM ``.c``, ``.input``, ``.forget``,
    ``.candidate``, ``.output``; for GRU ``.reset``, ``.update``, ``.candidate`` and
    ``.recurrent_candidate``, which is W_hn h_{t−1} + b_hn, what the reset gate multiplies.

    Parameters
    ----------
    states : mapping of str to Ragged
        h (T, H), (T, P) where the layer projects; for LSTM c (T, H); for GRU recurrent_candidate (T, H).
    gates : mapping of str to Ragged
        The gates after their activation, (T, H) each; an RNN has none.
    """

    states: Mapping[str, Ragged]
    gates: Mapping[str, Ragged]
    _pre_activations: Mapping[str, Ragged] | None = None

    @property
    def pre_activations(self) -> Mapping[str, Ragged]:
        """The gates before their activation, (T, H) each; for RNN that of "h"."""
        if self._pre_activations is None:
            raise ShapeError(
                "this trace has no pre-activations: ask for them, layer.trace(x, pre_activations=True)"
            )
        return self._pre_activations

    def __getattr__(self, name: str) -> Ragged:
        if not name.startswith("_"):
            for parts in (self.states, self.gates):
                if name in parts:
                    return parts[name]
            raise AttributeError(
                f"no {name!r} in this trace; there are {', '.join([*self.states, *self.gates])}"
            )
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"DirectionTrace({', '.join([*self.states, *self.gates])})"


@dataclass(frozen=True, repr=False)
class Trace:
    """Every state and gate of every layer and direction, as ``layer.trace(x)`` returns them.

    ``trace[layer]`` or ``trace[layer, direction]`` is one layer's `DirectionTrace`; of a module of one
    layer and one direction, its names are attributes of the trace itself (``trace.c``). Values are always
    `Ragged`, sequences in the order of the input, and the graph reaches every one of them: a loss may use
    any state or gate at any step. They keep the dtype in which the loop ran.

    Parameters
    ----------
    result : RecurrentOutput
        What ``layer(x)`` would have returned.
    directions : tuple of tuple of DirectionTrace
        One tuple for each layer, with one entry for each direction.
    """

    result: RecurrentOutput
    directions: tuple[tuple[DirectionTrace, ...], ...]

    def __getitem__(self, place: int | tuple[int, int]) -> DirectionTrace:
        layer, direction = place if isinstance(place, tuple) else (place, None)
        found = self.directions[layer]
        if direction is None and len(found) > 1:
            raise ShapeError(
                f"the layers of this trace have {len(found)} directions: trace[{layer}, 0] reads forward, "
                f"trace[{layer}, 1] from the end"
            )
        return found[direction or 0]

    def __len__(self) -> int:
        return len(self.directions)

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        layers, directions = len(self.directions), len(self.directions[0])
        if layers * directions > 1:
            raise AttributeError(
                f"this trace has {layers} layers of {directions} directions: "
                f"say which one's {name!r} with trace[layer, direction].{name}"
            )
        return getattr(self.directions[0][0], name)

    def __repr__(self) -> str:
        return f"Trace({len(self.directions)} layers x {len(self.directions[0])} directions)"


def traced(
    module: nn.RNNBase,
    result: RecurrentOutput,
    layers: list[LayerResult],
    layout: Layout,
    *,
    pre_activations: bool,
) -> Trace:
    """Name what the layers made, for tokens in the order of the layout."""
    rows = []
    for number, layer in enumerate(layers):
        count = layer.gates.shape[0]
        outputs = layer.y.chunk(count, 1)
        row = []
        for d in range(count):
            states, gates = _named(
                module.mode, outputs[d], layer.c[d] if module.mode == "LSTM" else None, layer.gates[d]
            )
            before = None
            if pre_activations:
                weights = weights_of(module, number, d, layer.x.dtype)
                h0 = None if layer.h0 is None else layer.h0[d]
                previous = _previous(outputs[d], h0, layout, reverse=d == 1)
                before = _pre_activations(module.mode, layer.x, previous, states, gates, weights)
            row.append(
                DirectionTrace(
                    _ragged(states, layout),
                    _ragged(gates, layout),
                    None if before is None else _ragged(before, layout),
                )
            )
        rows.append(tuple(row))
    return Trace(result, tuple(rows))


def _named(
    mode: str, h: Tensor, c: Tensor | None, gates: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    states = {"h": h}
    if c is not None:
        states["c"] = c
    parts = gates.unbind(1)
    if mode == "GRU":
        states["recurrent_candidate"] = parts[3]
    return states, dict(zip(_GATES.get(mode, ()), parts, strict=False))


def _previous(h: Tensor, h0: Tensor | None, layout: Layout, *, reverse: bool) -> Tensor:
    """Return h_{t−1} of every token, in the direction of reading."""
    if h0 is None:
        h0 = h.new_zeros(len(layout), h.shape[1])
    first = (
        layout.offsets[1:].index_select(0, layout.sequence_ids) - 1
        if reverse
        else layout.offsets[:-1].index_select(0, layout.sequence_ids)
    )
    here = torch.arange(h.shape[0], device=h.device)
    before = here + 1 if reverse else here - 1
    place = torch.where(here == first, layout.sequence_ids, before + len(layout))
    return torch.cat([h0, h]).index_select(0, place)


def _pre_activations(
    mode: str,
    x: Tensor,
    previous: Tensor,
    states: Mapping[str, Tensor],
    gates: Mapping[str, Tensor],
    weights: Weights,
) -> dict[str, Tensor]:
    with torch.autocast(x.device.type, enabled=False):
        from_x = linear(x, weights.ih, weights.bias_ih)
        if mode == "GRU":
            size = 2 * states["recurrent_candidate"].shape[1]
            bias = None if weights.bias_hh is None else weights.bias_hh[:size]
            r_and_z = from_x[:, :size] + linear(previous, weights.hh[:size], bias)
            n = from_x[:, size:] + gates["reset"] * states["recurrent_candidate"]
            return dict(zip(_GATES["GRU"], (*r_and_z.chunk(2, 1), n), strict=True))
        total = from_x + linear(previous, weights.hh, weights.bias_hh)
    if mode == "LSTM":
        return dict(zip(_GATES["LSTM"], total.chunk(4, 1), strict=True))
    return {"h": total}


def _ragged(parts: Mapping[str, Tensor], layout: Layout) -> Mapping[str, Ragged]:
    return MappingProxyType(
        {name: Ragged(part, layout.offsets, layout=layout) for name, part in parts.items()}
    )
