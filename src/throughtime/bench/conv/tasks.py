"""All that the plan asks for, one comparison after the other, each prepared when its turn comes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from throughtime import nn as our_nn
from throughtime.bench._lengths import Lengths, Mode, kinds_of, lengths_of
from throughtime.bench.conv._pair import Pair, pair, ragged_call, same_parameters
from throughtime.bench.conv._plan import Plan, Shape
from throughtime.bench.conv._text_cnn import PaddedTextCNN
from throughtime.bench.conv.growth import GROWING_PEERS, Growing
from throughtime.models import TextCNN
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class Task:
    """One comparison; ``operations`` are multiplications and additions of products over real tokens."""

    part: str
    what: str
    kind: Lengths
    mode: Mode
    peer: str
    operations: float
    prepare: Callable[[], Pair]


def tasks(plan: Plan) -> Iterator[Task]:
    """Yield everything in the plan, always in the same order."""
    parts = {"conv": _conv, "pool": _pool, "norm": _norm, "model": _model, "length": _length}
    for part in plan.parts:
        yield from parts[part](plan)


def _lengths(kind: Lengths, batch: int, steps: int) -> Tensor:
    return lengths_of(kind, batch, steps, torch.Generator().manual_seed(0))


def _values(lengths: Tensor, channels: int) -> Tensor:
    return torch.randn(int(lengths.sum()), channels, generator=torch.Generator().manual_seed(2))


def _conv(plan: Plan) -> Iterator[Task]:
    for shape in plan.shapes:
        for kind, mode in product(kinds_of(shape.batch, plan.kinds), plan.modes):
            lengths = _lengths(kind, shape.batch, shape.steps)
            taps = 2.0 * shape.width * shape.channels * shape.outputs * int(lengths.sum())
            operations = 3 * taps if mode == "training" else taps

            def prepare(shape: Shape = shape, lengths: Tensor = lengths, mode: Mode = mode) -> Pair:
                options = {"padding": "same", "dilation": shape.dilation}
                sizes = (shape.channels, shape.outputs, shape.width)
                ours, theirs = our_nn.Conv1d(*sizes, **options), nn.Conv1d(*sizes, **options)  # type: ignore[arg-type]
                same_parameters(ours, theirs)
                return pair(ours, theirs, _values(lengths, shape.channels), lengths, mode)

            yield Task("conv", str(shape), kind, mode, "torch", operations, prepare)


_POOLED = (Shape(64, 256, 64, 64, 2, 1), Shape(64, 64, 100, 100, 2, 1))


def _pool(plan: Plan) -> Iterator[Task]:
    for shape, name in product(_POOLED, ("max of 2", "max of 3, stride 2", "mean of 2", "max", "mean")):
        for kind, mode in product(plan.kinds, plan.modes):
            lengths = _lengths(kind, shape.batch, shape.steps)

            def prepare(
                name: str = name, channels: int = shape.channels, lengths: Tensor = lengths, mode: Mode = mode
            ) -> Pair:
                return pair(*_pools(name, lengths), _values(lengths, channels), lengths, mode)

            what = f"{name}, B{shape.batch} T{shape.steps} C{shape.channels}"
            yield Task("pool", what, kind, mode, "torch", 0.0, prepare)


def _pools(name: str, lengths: Tensor) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return a pooling of ours, and torch's; over whole sequences that keeps out what is padding."""
    windows = {
        "max of 2": (our_nn.MaxPool1d(2), nn.MaxPool1d(2)),
        "max of 3, stride 2": (our_nn.MaxPool1d(3, 2), nn.MaxPool1d(3, 2)),
        "mean of 2": (our_nn.AvgPool1d(2), nn.AvgPool1d(2)),
    }
    if name in windows:
        return windows[name]
    beyond = torch.arange(int(lengths.max()))[None, None] >= lengths[:, None, None]
    divisor = lengths[:, None].float()
    if name == "max":
        return our_nn.Pool("max"), lambda x: x.masked_fill(beyond, -torch.inf).amax(2)
    return our_nn.Pool("mean"), lambda x: x.masked_fill(beyond, 0).sum(2) / divisor


def _norm(plan: Plan) -> Iterator[Task]:
    for shape in _POOLED:
        for kind, mode in product(plan.kinds, plan.modes):
            lengths = _lengths(kind, shape.batch, shape.steps)

            def prepare(
                channels: int = shape.channels,
                lengths: Tensor = lengths,
                kind: Lengths = kind,
                mode: Mode = mode,
            ) -> Pair:
                ours, theirs = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)
                for module in (ours, theirs):
                    module.train(mode == "training")
                # With unequal lengths torch's statistics include the padding, so only the time is compared.
                same = kind == "equal" or mode == "inference"
                return pair(ours, theirs, _values(lengths, channels), lengths, mode, same=same)

            what = f"BatchNorm, B{shape.batch} T{shape.steps} C{shape.channels}"
            yield Task("norm", what, kind, mode, "torch", 0.0, prepare)


_SENTENCES = (Shape(64, 64, 128, 100, 3, 1), Shape(50, 256, 300, 100, 3, 1))
_WORDS = 10_000


def _model(plan: Plan) -> Iterator[Task]:
    for shape in _SENTENCES:
        for kind, mode in product(plan.kinds, plan.modes):
            lengths = _lengths(kind, shape.batch, shape.steps)

            def prepare(
                shape: Shape = shape, lengths: Tensor = lengths, kind: Lengths = kind, mode: Mode = mode
            ) -> Pair:
                features, channels = shape.channels, shape.outputs
                ours = TextCNN(_WORDS, 6, embedding_size=features, channels=channels, dropout=0.0)
                theirs = PaddedTextCNN(_WORDS, 6, features, channels)
                same_parameters(ours, theirs)
                generator = torch.Generator().manual_seed(2)
                words = torch.randint(1, _WORDS, (int(lengths.sum()),), generator=generator)
                # Torch counts windows that reach into the padding, so results agree for equal lengths only.
                return pair(ours, theirs, words, lengths, mode, same=kind == "equal")

            what = f"TextCNN, B{shape.batch} T{shape.steps} E{shape.channels}, 3 x {shape.outputs}"
            yield Task("model", what, kind, mode, "torch", 0.0, prepare)


# Sequences, and steps of each.
_GROWING = ((1, 64), (1, 256), (1, 1024), (1, 4096), (32, 64), (32, 256), (32, 1024))


class _OfTokens(nn.Module):
    """A layer of ours on a ragged batch, whose output is the tokens alone."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            found = layer(x)
            x = found if isinstance(found, Ragged) else found.output
        return x


def _length(plan: Plan) -> Iterator[Task]:
    """Set a GRU beside two convolutions of as many operations per token, and a MinGRU, as sequences grow."""
    size = 128
    for batch, steps in _GROWING:
        for mode, peer in product(plan.modes, GROWING_PEERS):
            lengths = _lengths("equal", batch, steps)
            products = 2.0 * 3 * 2 * size * size * int(lengths.sum())

            def prepare(lengths: Tensor = lengths, mode: Mode = mode, peer: str = peer) -> Pair:
                convolutions = _OfTokens(*(our_nn.Conv1d(size, size, 3, padding="causal") for _ in range(2)))
                recurrent = _OfTokens(getattr(our_nn, peer)(size, size))
                values = _values(lengths, size)
                return Pair(
                    *(ragged_call(module, values, lengths, mode) for module in (convolutions, recurrent))
                )

            operations = 3 * products if mode == "training" else products
            yield Task("length", str(Growing(batch, steps, size)), "equal", mode, peer, operations, prepare)
