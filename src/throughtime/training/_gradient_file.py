"""`GradientRecord`: one line of the file that `GradientRecorder` writes; and the reader of such files."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime._fields import Fields, Number, to_json
from throughtime.data.files import LARGEST
from throughtime.diagnose import GateSaturation, GradientFlow, LayerFlow
from throughtime.errors import RunError
from throughtime.training._files import read_bytes
from throughtime.training._json import json_value

NAME = "gradients.jsonl"

# Profiles are cut to this many steps: figures show no more.
_MOST = 256


@dataclass(frozen=True)
class LayerGradients:
    """Gradient norms of one layer and direction in one training step."""

    name: str
    layer: int
    direction: int
    """0, or 1 for the direction that reads from the end."""
    kind: str
    """Kind of cell, such as LSTM."""
    h: tuple[Number, ...]
    """Mean ‖∂L/∂h‖ by distance from where the layer stops reading; NaN if not finite."""
    saturation: Mapping[str, GateSaturation]
    """By name of the gate."""
    c: tuple[Number, ...] | None = None
    """Mean ‖∂L/∂c‖ of an LSTM."""

    @classmethod
    def of(cls, layer: LayerFlow) -> "LayerGradients":
        """Return the mean norms of a recorded layer."""
        return cls(
            name=layer.name,
            layer=layer.layer,
            direction=layer.direction,
            kind=layer.kind,
            h=_mean(layer, "h"),
            saturation=layer.mean_saturation(),
            c=None if layer.c is None else _mean(layer, "c"),
        )


@dataclass(frozen=True)
class GradientRecord:
    """Gradients of one training step.

    Parameters
    ----------
    step, epoch : int
        Number of the training step and of its epoch, from 0.
    layers : tuple of LayerGradients
        Empty in the last record of a training, which has only norms.
    norms : tuple of float
        Norms of the whole gradient before clipping, at each step since the last record; NaN if not finite.
    loss : float or None
        Of the step; None if it is not finite.
    seconds : float or None
        Time spent on recording, beside the pass itself.
    """

    step: int
    epoch: int
    layers: tuple[LayerGradients, ...]
    norms: tuple[Number, ...] = ()
    loss: float | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values; null for numbers that are not finite."""
        content: dict[str, Any] = to_json(self)
        return content

    @classmethod
    def from_json(cls, content: Any) -> "GradientRecord":
        """Return the record that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing or has the wrong type.
        """
        Fields(content)
        return Fields({"norms": [], **content}).dataclass(cls)


def layer_gradients(flow: GradientFlow) -> tuple[LayerGradients, ...]:
    """Return the layers of a record."""
    return tuple(map(LayerGradients.of, flow.layers))


def read_gradients(path: str | Path) -> list[GradientRecord]:
    """Read the file of a `GradientRecorder`, sorted by step; of records of the same step the last one counts.

    A last line that is not JSON is ignored: the training is still writing it, or was killed while it did. A
    file that does not exist has no records.

    Warns
    -----
    UserWarning
        If another line is not JSON and is ignored; a training that was killed and resumed leaves such lines.

    Raises
    ------
    RunError
        If the file cannot be read, or a line is JSON but not a record.
    """
    path = Path(path)
    if not path.exists():
        return []
    records: dict[int, GradientRecord] = {}
    layers = None
    lines = read_bytes(path, most=LARGEST).removesuffix(b"\n").split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            content = json_value(line.decode())
        except ValueError as error:
            if number < len(lines):
                warnings.warn(
                    f"{path}: line {number} is not JSON ({error}) and is ignored; a killed training leaves "
                    "such a line",
                    stacklevel=2,
                )
            continue
        try:
            record = GradientRecord.from_json(content)
            layers = _require_same(layers, record.layers)
        except ValueError as error:
            raise RunError(f"{path} is damaged in line {number}: {error}; remove that line") from error
        records[record.step] = record
    return [records[step] for step in sorted(records)]


def _mean(layer: LayerFlow, quantity: Any) -> tuple[float, ...]:
    return tuple(layer.profile(quantity, quantiles=()).mean[:_MOST].tolist())


def _require_same(
    known: list[tuple[Any, ...]] | None, layers: tuple[LayerGradients, ...]
) -> list[tuple[Any, ...]] | None:
    """Return the identity of the layers, which must be that of the records before."""
    if not layers:
        return known
    identity = [(layer.name, layer.layer, layer.direction, layer.c is not None) for layer in layers]
    if known is not None and identity != known:
        raise ValueError("its layers differ from those of the lines before")
    return identity
