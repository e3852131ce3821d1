"""What a server says about a model: its task, the columns that it reads, and an example of a row."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from throughtime._fields import to_json
from throughtime.learn import Predictor
from throughtime.serve.rows import columns_of
from throughtime.serve.served_run import ServedRun


def model_card(run: ServedRun) -> dict[str, Any]:
    """Return the card of a model as JSON values."""
    predictor = run.loaded.predictor
    return {
        "model": run.name,
        "task": predictor.task.name,
        "architecture": predictor.name,
        "parameters": sum(parameter.numel() for parameter in predictor.model.parameters()),
        "classes": list(predictor.task.probability_names),
        "columns": _column_kinds(predictor),
        "streams": run.loaded.can_stream,
        "example": {"rows": [_example_row(predictor)]},
        "test": _test_metrics(predictor),
        "weights": run.loaded.weights,
        "loaded": run.loaded.at.isoformat(timespec="seconds"),
        "throughtime": version("throughtime"),
        "limits": to_json(run.options),
    }


def _column_kinds(predictor: Predictor) -> Mapping[str, str]:
    columns = predictor.recipe.columns
    kinds = {
        "text": columns.text,
        "tokens": columns.tokens,
        "series": columns.series,
        "number": columns.numeric,
    }
    return {name: kind for kind, names in kinds.items() for name in names}


def _example_row(predictor: Predictor) -> dict[str, Any]:
    kinds = _column_kinds(predictor)
    channels = predictor.encoder.shape.get("channels", 1)
    several = len(predictor.recipe.columns.series) == 1 and channels > 1
    series = [[0.5] * channels, [0.25] * channels] if several else [0.5, 0.25, 1.0]
    values = {"text": "some text", "tokens": ["some", "tokens"], "series": series, "number": 1.0}
    return {name: values[kinds[name]] for name in columns_of(predictor.recipe.columns)}


def _test_metrics(predictor: Predictor) -> dict[str, float]:
    test = predictor.metrics.test
    if test is None:
        return {}
    return {name: test.figures[name] for name in predictor.task.headline if name in test.figures}
