"""``results.json``: the results of a finished demo."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from throughtime._fields import Fields
from throughtime.data.files import read_bytes
from throughtime.errors import RunError
from throughtime.report import LogView, ModelRow
from throughtime.training import BLEND

NAME = "results.json"
_LARGEST = 1e15


@dataclass(frozen=True)
class DemoResult:
    """Results of the demo."""

    models: tuple[ModelRow, ...]
    report: Path
    best_run: Path
    precision: float
    """Fraction of replaced operators among the 20 most suspicious, if 1 % of all are replaced."""
    log: LogView
    """The most surprising lines of a log with a fault."""


def read_result(out: Path, plan: Mapping[str, Any]) -> DemoResult | None:
    """Return the result of a finished demo with this plan, or None.

    Raises
    ------
    RunError
        If the file is damaged.
    """
    path = out / NAME
    if not path.exists():
        return None
    try:
        content = json.loads(read_bytes(path))
        if content["plan"] != plan or not (out / "report.html").exists():
            return None
        return DemoResult(
            models=tuple(_row(row) for row in content["models"]),
            report=out / "report.html",
            best_run=out / _folder(content["best_run"], plan),
            precision=_number(content["precision"], "precision"),
            log=Fields(content).fields("log").dataclass(LogView),
        )
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise RunError(f"{path} is damaged ({reason}); delete it and run the demo again") from error


def write_result(out: Path, plan: Mapping[str, Any], result: DemoResult) -> None:
    """Write the file beside, then put it in place."""
    content = {
        "format": "throughtime-demo",
        "version": 1,
        "plan": plan,
        "models": [asdict(row) for row in result.models],
        "best_run": result.best_run.name,
        "precision": result.precision,
        "log": asdict(result.log),
    }
    beside = out / f"{NAME}.part"
    beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    beside.replace(out / NAME)


def _row(content: Mapping[str, Any]) -> ModelRow:
    row = ModelRow(**content)
    if not isinstance(row.name, str):
        raise TypeError(f"the name of a model is {row.name!r}")
    for key, value in asdict(row).items():
        optional = key in {"parameters", "seconds", "tokens_per_second"}
        if key != "name" and not (value is None and optional):
            _number(value, key)
    return row


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST:
        raise ValueError(f"{key} is {value!r}, expected a number")
    return value


def _folder(name: Any, plan: Mapping[str, Any]) -> str:
    names = [*(network["model"] for network in plan["networks"]), BLEND]
    if name not in names:
        raise ValueError(f"best_run is {name!r}, expected one of {', '.join(map(repr, names))}")
    folder: str = name
    return folder
