"""`Trace`: h, c and gates of a recurrent layer at every step, all differentiable."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.nn.inputs.output import RecurrentOutput
from throughtime.nn.trace._pre_activations import pre_activations_of
from throughtime.nn.trace.gradients import DirectionGradients, Recorded
from throughtime.nn.trace.layer_result import LayerResult
from throughtime.nn.trace.reading import Reading
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ragged import Layout, Ragged


@dataclass(frozen=True, repr=False)
class DirectionTrace:
    """What one layer made in one direction: `Ragged` batches of one entry per token.

    Each name is an attribute, too: ``trace[0].h``, and for LSTM ``.c``, ``.input``, ``.forget``,
    ``.candidate``, ``.output``; for GRU ``.reset``, ``.update``, ``.candidate`` and
    ``.recurrent_candidate``, which is W_hn h_{t−1} + b_hn, what the reset gate multiplies (not there with
    ``reset_after=False``, where it multiplies h_{t−1}). ``layer.spec.linear_names`` has those of other cells.

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
    _recorded: Recorded | None = None

    @property
    def pre_activations(self) -> Mapping[str, Ragged]:
        """The gates before their activation and its bound, (T, H) each; for RNN that of "h"."""
        if self._pre_activations is None:
            raise ShapeError("this trace has no pre-activations; use layer.trace(x, pre_activations=True)")
        return self._pre_activations

    @property
    def gradients(self) -> DirectionGradients:
        """What the last backward pass brought to every state and gate at every step."""
        if self._recorded is None:
            raise ShapeError(
                "this trace has no gradients; use layer.trace(x, gradients=True), then call backward() on a "
                "loss computed from the trace"
            )
        return self._recorded.gradients()

    def __getattr__(self, name: str) -> Ragged:
        if not name.startswith("_"):
            for parts in (self.states, self.gates):
                if name in parts:
                    return parts[name]
            raise AttributeError(
                f"this trace has no {name!r}; it has {', '.join([*self.states, *self.gates])}"
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
        directions = self.directions[layer]
        if direction is None and len(directions) > 1:
            raise ShapeError(
                f"the layers of this trace have {len(directions)} directions: "
                f"trace[{layer}, 0] reads forward, trace[{layer}, 1] from the end"
            )
        return directions[direction or 0]

    def __len__(self) -> int:
        return len(self.directions)

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        layers, directions = len(self.directions), len(self.directions[0])
        if layers * directions > 1:
            raise AttributeError(
                f"this trace has {layers} layers of {directions} directions: "
                f"select one with trace[layer, direction].{name}"
            )
        return getattr(self.directions[0][0], name)

    def __repr__(self) -> str:
        return f"Trace({len(self.directions)} layers x {len(self.directions[0])} directions)"


def traced(
    spec: CellSpec,
    result: RecurrentOutput,
    layers: list[LayerResult],
    layout: Layout,
    *,
    read: Layout,
    pre_activations: bool,
    records: list[StepGradients] | None,
) -> Trace:
    """Name what the layers made, for tokens in the order of the layout.

    ``read`` has the sequences that the layers have read: pieces of those of the layout, where flags cut them.
    """
    rows = []
    for number, layer in enumerate(layers):
        outputs = layer.y.chunk(len(layer.directions), 1)
        row = []
        for d, weights in enumerate(layer.directions):
            parts = layer.gates[d].unbind(1)
            states = {"h": outputs[d]}
            if spec.has_c:
                states["c"] = layer.c[d]
            gates = dict(zip(spec.gate_names, parts, strict=False))
            states |= zip(spec.linear_names, parts[len(gates) :], strict=True)
            start = [None if part is None else part[d] for part in (layer.h0, layer.c0)]
            reading = Reading(read, reverse=d == 1)
            before = (
                pre_activations_of(spec, layer.x, start, states, gates, weights, reading)
                if pre_activations
                else {}
            )
            record = None if records is None else records[number]
            row.append(
                DirectionTrace(
                    _ragged(states, layout),
                    _ragged(gates, layout),
                    _ragged(before, layout) if pre_activations else None,
                    None
                    if record is None
                    else Recorded(record, d, spec, reading, layout, states, gates, start[1]),
                )
            )
        rows.append(tuple(row))
    return Trace(result, tuple(rows))


def _ragged(parts: Mapping[str, Tensor], layout: Layout) -> Mapping[str, Ragged]:
    return MappingProxyType(
        {name: Ragged(part, layout.offsets, layout=layout) for name, part in parts.items()}
    )
