"""`watch`: records what a backward pass brings to the recurrent layers of a model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from throughtime.errors import UnsupportedError
from throughtime.nn.recurrent.attached import attached
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.nn.trace.layer_result import LayerResult
from throughtime.nn.trace.reading import Reading
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import RAGGED, Steps, host_lengths, rows
from throughtime.ops.recurrent.weights import Weights
from throughtime.ragged import Layout


@dataclass(frozen=True)
class DirectionRun:
    """One layer and direction in one run, its tokens in the order of ``read``; tensors are without a graph.

    ``place`` says where each of these tokens lies in what the run made, None for where it is.
    """

    name: str
    layer: int
    direction: int
    spec: CellSpec
    read: Reading
    weights: Weights
    h0: Tensor | None
    c0: Tensor | None
    x: Tensor
    record: StepGradients
    place: Tensor | None

    def ordered(self, values: Tensor) -> Tensor:
        """Bring rows into the order of ``read``."""
        return values if self.place is None else values.index_select(0, self.place)

    @property
    def h(self) -> Tensor:
        """(T, P)."""
        y = self.record.made[0]
        return self.ordered(y.chunk(self.directions, 1)[self.direction])

    @property
    def h_before(self) -> Tensor:
        """(T, P): what each step began with."""
        return self.read.before(self.h, self.h0)

    @property
    def c(self) -> Tensor | None:
        """(T, H) of an LSTM."""
        return self.ordered(self.record.made[1][self.direction]) if self.spec.has_c else None

    @property
    def gates(self) -> Tensor:
        """(T, S, H)."""
        return self.ordered(self.record.made[2][self.direction])

    def gradient(self, part: Tensor) -> Tensor:
        """Return this direction's rows of a recorded gradient (D, T, …)."""
        return self.ordered(part[self.direction])

    @property
    def directions(self) -> int:
        """How many directions the layer has."""
        return len(self.record.made[2])


@dataclass
class Watch:
    """What `watch` has seen: the runs of every recurrent layer, and after a backward pass their gradients."""

    names: Mapping[nn.Module, str]
    whole: bool = False
    _runs: list[tuple[str, CellSpec, Layout, Tensor | None, list[LayerResult], list[StepGradients]]] = field(
        default_factory=list
    )

    def saw(
        self, module: Recurrent, steps: Steps, layers: list[LayerResult], records: list[StepGradients]
    ) -> None:
        """Take note of a run; the layers call it."""
        layout, place = _ragged_order(steps)
        self._runs.append((self.names[module], module.spec, layout, place, layers, records))

    def directions(self) -> list[DirectionRun]:
        """Return every layer and direction of every run that a backward pass has gone through.

        Raises
        ------
        UnsupportedError
            If there is none.
        """
        found = [
            DirectionRun(
                f"{name}[{number}]" if len(layers) > 1 else name,
                number,
                direction,
                spec,
                Reading(layout, reverse=direction == 1),
                _detached(layer.directions[direction]),
                None if layer.h0 is None else layer.h0[direction].detach(),
                None if layer.c0 is None else layer.c0[direction].detach(),
                layer.x.detach(),
                record,
                place,
            )
            for name, spec, layout, place, layers, records in self._runs
            for number, (layer, record) in enumerate(zip(layers, records, strict=True))
            if record.filled
            for direction in range(len(layer.directions))
        ]
        if not found:
            seen = f"{len(self._runs)} runs" if self._runs else "no run"
            raise UnsupportedError(
                f"no backward pass has gone through a recurrent layer ({seen} of {len(self.names)} layers "
                "seen): run the model and call loss.backward() inside `with watch(model)`, in eager mode on "
                "the CPU"
            )
        return found

    def clear(self) -> None:
        """Forget what was seen, and the memory that it holds."""
        self._runs.clear()


@contextmanager
def watch(model: nn.Module, *, whole: bool = False) -> Iterator[Watch]:
    """Record recurrent layers while this thread runs a model forward and backward inside the block.

    The layers compute what they always do, by the same loop; the backward pass also writes down what it holds
    anyway: norms of the gradient of every state and pre-activation at every step.

    Parameters
    ----------
    model : Module
        With `throughtime.nn.RNN`, `LSTM` or `GRU` somewhere in it.
    whole
        Whether the gradients themselves are kept beside their norms; that takes memory, about twice what the
        layer itself keeps.

    Yields
    ------
    Watch
        For `gradient_flow` and the others.

    Raises
    ------
    UnsupportedError
        If there is no recurrent layer in the model.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.nn.LSTM(3, 5)
    >>> with tt.diagnose.watch(model) as seen:
    ...     model(torch.randn(7, 3)).output[-1].sum().backward()
    >>> tt.diagnose.gradient_flow(seen).layers[0].h
    Ragged(lengths=[7], features=(), dtype=float32)
    """
    names = {module: name or type(module).__name__ for name, module in model.named_modules()}
    layers = {module: name for module, name in names.items() if isinstance(module, Recurrent)}
    if not layers:
        kinds = sorted({type(module).__name__ for module in model.modules()})
        raise UnsupportedError(
            f"there is no recurrent layer in this model (it has {', '.join(kinds[:8])}): the gradients of "
            "every step come from tt.nn.RNN, LSTM and GRU"
        )
    seen = Watch({module: names[module] for module in layers}, whole)
    with attached(layers, "_watchers", seen):
        yield seen


def _ragged_order(steps: Steps) -> tuple[Layout, Tensor | None]:
    """Return the sequences as they lie end to end, and where each token of that order is."""
    if steps.order == RAGGED and steps.index is not None:
        return Layout(steps.index), None
    lengths = host_lengths(steps)
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    layout = Layout(offsets)
    sequence = layout.sequence_ids
    step = torch.arange(int(offsets[-1])) - offsets[sequence]
    return layout, rows(steps, sequence, step)


def _detached(weights: Weights) -> Weights:
    return Weights(*(None if part is None else part.detach() for part in weights))  # type: ignore[arg-type]
