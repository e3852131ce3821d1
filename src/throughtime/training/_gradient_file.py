"""The record of gradients that a training leaves, read."""

import json
from pathlib import Path
from typing import Any

NAME = "gradients.jsonl"


def read_gradients(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a `GradientRecorder`'s file, by step; of equal steps the last one.

    A line that a killed training left half written is left out. No file is no record.
    """
    path = Path(path)
    if not path.exists():
        return []
    found = {}
    for line in path.read_text("utf-8").splitlines():
        try:
            record = json.loads(line)
            found[int(record["step"])] = record
        except (ValueError, KeyError, TypeError):
            continue
    return [found[step] for step in sorted(found)]
