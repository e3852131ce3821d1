"""Names of the package that need the extra are imported when they are used."""

import functools
import subprocess
import sys

import pytest

import throughtime as tt

LIBRARIES = ("sklearn", "pyarrow", "pytorch_lightning")
NAMES = {
    "Predictor",
    "SequenceAnomalyDetector",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTagger",
    "fit",
    "load",
    "tune",
}


# A child has what its parent has imported, and misses one library.
CODE = f"""
import os, sys
import throughtime
dir(throughtime)
print([name for name in {LIBRARIES} if name in sys.modules], flush=True)
for library in {LIBRARIES}:
    if os.fork():
        os.wait()
        continue
    sys.modules[library] = None
    try:
        throughtime.SequenceClassifier(epochs=1).fit(["good", "bad"] * 10, [1, 0] * 10)
    except ImportError as error:
        print(type(error).__name__, error, flush=True)
    os._exit(0)
"""


@functools.cache
def said() -> list[str]:
    """Return what a new process prints: what it has imported, and a line for each library that a child misses."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_names_are_listed_and_resolved() -> None:
    assert set(dir(tt)) >= {*NAMES, "Ragged", "nn"}
    assert tt.fit.__module__ == "throughtime.learn.fitting"
    assert tt.SequenceTagger.__name__ == "SequenceTagger"
    with pytest.raises(AttributeError, match="has no attribute 'Sequence'"):
        tt.Sequence  # noqa: B018


def test_listing_imports_no_extra() -> None:
    assert said()[0] == "[]"


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_the_extra_the_error_names_what_to_install(library: str) -> None:
    assert said()[1 + LIBRARIES.index(library)] == (
        f"ImportError throughtime.SequenceClassifier needs {library}; in a clone of throughtime: pip install '.[learn]'"
    )
