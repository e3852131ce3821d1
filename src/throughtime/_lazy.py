"""Public names of the package that need the extra "learn", and are imported when they are used."""

from importlib import import_module
from typing import Any

LAZY = {
    **dict.fromkeys(("fit", "load", "Predictor"), "throughtime.learn"),
    **dict.fromkeys(
        ("SequenceAnomalyDetector", "SequenceClassifier", "SequenceRegressor", "SequenceTagger"),
        "throughtime.estimators",
    ),
}
"""The module of each name."""


def lazy_name(name: str) -> Any:
    """Return a name of `LAZY`.

    Raises
    ------
    AttributeError
        If it is none.
    ImportError
        If a library of the extra is not installed.
    """
    if name not in LAZY:
        raise AttributeError(f"module 'throughtime' has no attribute {name!r}")
    try:
        return getattr(import_module(LAZY[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "throughtime":
            raise
        raise ImportError(
            f"throughtime.{name} needs {error.name}, which is not installed: pip install 'throughtime[learn]'",
            name=error.name,
        ) from error
