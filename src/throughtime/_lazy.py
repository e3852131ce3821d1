"""Public names of the package that need the extra "learn", and are imported when they are used."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

LAZY = {
    **dict.fromkeys(("fit", "load", "Predictor"), "throughtime.learn"),
    "tune": "throughtime.learn.tune",
    **dict.fromkeys(
        ("SequenceAnomalyDetector", "SequenceClassifier", "SequenceRegressor", "SequenceTagger"),
        "throughtime.estimators",
    ),
}
"""The module of each name."""
_WHEN_TRAINING = ("pytorch_lightning", "rich", "safetensors")
"""Libraries of the extra that are imported only when a training begins."""


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
        resolved = getattr(import_module(LAZY[name]), name)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library == "throughtime":
            raise
        raise _missing(name, library) from error
    for library in _WHEN_TRAINING:
        if find_spec(library) is None:
            raise _missing(name, library)
    return resolved


def _missing(name: str, library: str) -> ImportError:
    message = f"throughtime.{name} needs {library}; in a clone of throughtime: pip install '.[learn]'"
    return ImportError(message, name=library)
