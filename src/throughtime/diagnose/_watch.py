"""`watch`: records the gradients of a backward pass in the recurrent layers of a model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from throughtime.errors import UnsupportedError
from throughtime.nn.inputs.resets import Pieces
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
    """One layer and direction of one run, its tokens in the order of ``read``; tensors are detached.

    ``place`` holds the row of each token in the tensors of the run; None if the order is the same. ``read``
    has the sequences that the loop has read: of a call with reset flags the pieces of those in ``sequences``.
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
    sequences: Layout

    def ordered(self, values: Tensor) -> Tensor:
        """Return rows in the order of ``read``."""
        return values if self.place is None else values.index_select(0, self.place.to(values.device))

    @property
    def h(self) -> Tensor:
        """(T, P)."""
        y = self.record.made[0]
        return self.ordered(y.chunk(self.directions, 1)[self.direction])

    @property
    def h_before(self) -> Tensor:
        """(T, P): h before each step."""
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
        """Number of directions of the layer."""
        return len(self.record.made[2])


@dataclass
class Watch:
    """The recording of `watch`: runs of recurrent layers, and after a backward pass their gradients."""

    names: Mapping[nn.Module, str]
    whole: bool = False
    _runs: list[
        tuple[str, CellSpec, Layout, Tensor | None, list[LayerResult], list[StepGradients], Pieces | None]
    ] = field(default_factory=list)

    def saw(
        self,
        module: Recurrent,
        steps: Steps,
        layers: list[LayerResult],
        records: list[StepGradients],
        pieces: Pieces | None,
    ) -> None:
        """Record a run; called by the layers."""
        layout, place = _ragged_order(steps)
        self._runs.append((self.names[module], module.spec, layout, place, layers, records, pieces))

    def directions(self) -> list[DirectionRun]:
        """Return every layer and direction of every run with a backward pass.

        Raises
        ------
        UnsupportedError
            If there is none.
        """
        runs = [
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
                layout if pieces is None else pieces.whole,
            )
            for name, spec, layout, place, layers, records, pieces in self._runs
            for number, (layer, record) in enumerate(zip(layers, records, strict=True))
            if record.filled
            for direction in range(len(layer.directions))
        ]
        if not runs:
            raise UnsupportedError(
                f"no backward pass was recorded ({len(self._runs)} forward passes of {len(self.names)} "
                "recurrent layers): run the model and call loss.backward() inside `with watch(model)`, "
                "in eager mode"
            )
        return runs

    def clear(self) -> None:
        """Discard all recorded runs and free their memory."""
        self._runs.clear()


@contextmanager
def watch(model: nn.Module, *, whole: bool = False) -> Iterator[Watch]:
    """Record the gradients of recurrent layers while this thread runs a model inside the block.

    Results do not change. The backward pass additionally stores the norms of the gradients of every state and
    pre-activation at every step, which it computes anyway. On other devices than the CPU, recorded layers are
    computed on the CPU, and what is recorded is returned to the device.

    Parameters
    ----------
    model : Module
        Contains `throughtime.nn.RNN`, `LSTM` or `GRU`.
    whole
        Whether to store the gradients themselves beside their norms, which takes about twice the memory that
        the layer itself saves for its backward pass.

    Yields
    ------
    Watch
        For `gradient_flow`, `lyapunov_exponents` and `first_not_finite`.

    Raises
    ------
    UnsupportedError
        If the model has no recurrent layer.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.nn.LSTM(3, 5)
    >>> with tt.diagnose.watch(model) as recording:
    ...     model(torch.randn(7, 3)).output[-1].sum().backward()
    >>> tt.diagnose.gradient_flow(recording).layers[0].h
    Ragged(lengths=[7], features=(), dtype=float32)
    """
    names = {module: name or type(module).__name__ for name, module in model.named_modules()}
    layers = {module: name for module, name in names.items() if isinstance(module, Recurrent)}
    if not layers:
        kinds = sorted({type(module).__name__ for module in model.modules()})
        raise UnsupportedError(
            f"this model has no recurrent layer (it has {', '.join(kinds[:8])}); watch records the layers "
            "tt.nn.RNN, LSTM and GRU"
        )
    recording = Watch({module: names[module] for module in layers}, whole)
    with attached(layers, "_watchers", recording):
        yield recording


def _ragged_order(steps: Steps) -> tuple[Layout, Tensor | None]:
    """Return the layout of the sequences end to end, and the row of each of their tokens."""
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
