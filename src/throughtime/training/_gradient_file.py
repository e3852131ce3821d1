"""The record of gradients that a training leaves, read."""

import math
import warnings
from pathlib import Path
from typing import Any

from throughtime.data.files import LARGEST
from throughtime.errors import RunError
from throughtime.training._fields import Fields
from throughtime.training._files import read_bytes
from throughtime.training._json import json_value

NAME = "gradients.jsonl"


def read_gradients(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a `GradientRecorder`'s file, by step; of equal steps the last one.

    A last line that is not JSON is left out: the training is writing it, or was killed then. No file is no
    record.

    Warns
    -----
    UserWarning
        If another line is not JSON and is left out, as where a killed training was resumed.

    Raises
    ------
    RunError
        If the file cannot be read, or a line of it is JSON but no such record.
    """
    path = Path(path)
    if not path.exists():
        return []
    found: dict[int, dict[str, Any]] = {}
    layers = None
    lines = read_bytes(path, most=LARGEST).removesuffix(b"\n").split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            content = json_value(line.decode())
        except ValueError as error:
            if number < len(lines):
                warnings.warn(
                    f"{path}: line {number} is not JSON ({error}) and is left out; a killed training leaves "
                    "such a line",
                    stacklevel=2,
                )
            continue
        try:
            record = _record(content)
            layers = _same(layers, record["layers"])
        except ValueError as error:
            raise RunError(f"{path} is damaged in line {number}: {error}; remove that line") from error
        found[record["step"]] = record
    return [found[step] for step in sorted(found)]


def _record(content: Any) -> dict[str, Any]:
    """Return a record, of which everything that is read later on is there."""
    fields = Fields(content)
    record = {**content, "step": fields.whole("step"), "epoch": fields.whole("epoch")}
    record["layers"] = [
        _layer(layer, f"layers.{number}.") for number, layer in enumerate(fields.items("layers"))
    ]
    if "norms" in content:
        record["norms"] = _numbers(fields, "norms")
    if record["layers"]:
        fields.number("seconds")
    return record


def _layer(content: Any, place: str) -> dict[str, Any]:
    fields = Fields(content, place)
    fields.text("name"), fields.text("kind"), fields.whole("layer"), fields.whole("direction")
    gates = fields.fields("saturation")
    for gate in fields.mapping("saturation"):
        gates.fields(gate).share("closed"), gates.fields(gate).share("open")
    return {**content, **{state: _numbers(fields, state) for state in ("h", "c") if state in content}}


def _numbers(fields: Fields, key: str) -> list[float]:
    """Return a list of numbers, NaN where null stands for one that was not finite."""
    return [math.nan if number is None else number for number in fields.numbers_or_null(key)]


def _same(before: list[Any] | None, layers: list[dict[str, Any]]) -> list[Any] | None:
    """Return which layers these are, and compare them with those of the records before."""
    if not layers:
        return before
    now = [[layer["name"], layer["layer"], layer["direction"], "c" in layer] for layer in layers]
    if before is not None and now != before:
        raise ValueError("its layers are others than those of the lines before")
    return now
