"""Names of the package that need the extra are imported when they are used."""

import subprocess
import sys

import pytest

import throughtime as tt

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


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_names_are_listed_and_resolved() -> None:
    assert set(dir(tt)) >= {*NAMES, "Ragged", "nn"}
    assert tt.fit.__module__ == "throughtime.learn.fitting"
    assert tt.SequenceTagger.__name__ == "SequenceTagger"
    with pytest.raises(AttributeError, match="has no attribute 'Sequence'"):
        tt.Sequence  # noqa: B018


def test_listing_imports_no_extra() -> None:
    code = "import sys, throughtime; dir(throughtime); print([m for m in ('sklearn', 'pyarrow', 'pytorch_lightning', 'optuna') if m in sys.modules])"
    assert run(code) == "[]"


@pytest.mark.parametrize("library", ["sklearn", "pyarrow", "pytorch_lightning"])
def test_without_the_extra_the_error_names_what_to_install(library: str) -> None:
    code = f"""
import sys
sys.modules[{library!r}] = None
import throughtime
try:
    throughtime.SequenceClassifier(epochs=1).fit(["good", "bad"] * 10, [1, 0] * 10)
except ImportError as error:
    print(type(error).__name__, error)
"""
    assert run(code) == (
        f"ImportError throughtime.SequenceClassifier needs {library}; in a clone of throughtime: pip install '.[learn]'"
    )
