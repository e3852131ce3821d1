"""Runs PyTorch's own tests of the layers that throughtime replaces, and compares with the known differences.

``python -m tests.upstream.run PYTORCH [FILE…]``, PYTORCH a checkout of PyTorch at about the installed version, FILE one
of `FILES`. Every test runs twice: with torch.nn's own layers, and with those of throughtime in their place. A test
that passes with the first alone is a difference, which `known_differences.toml` must name. Ends with 1 if one is
missing there, or if one stands there that is none any more.
"""
# ruff: noqa: T201 - a program for the terminal

import json
import os
import subprocess
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

from .known import known_differences

FILES = ("nn/test_convolution.py", "nn/test_pooling.py", "test_modules.py", "test_nn.py")
_ROOT = Path(__file__).parents[2]


def outcomes(path: Path, layers: str) -> dict[str, str]:
    """Return how each test of a file ends with the layers of "torch" or of "throughtime"."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "outcomes.json")
        environment = {
            **os.environ,
            "LAYERS": layers,
            "OUTCOMES": str(written),
            "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        options = ["-p", "tests.upstream.replaced_layers", "-c", os.devnull, "-p", "no:cacheprovider"]
        shown = ["--quiet", "--tb=line", "--disable-warnings", f"--rootdir={path.parent}"]
        command = [sys.executable, "-m", "pytest", *options, *shown, str(path)]
        print(f"\n{path.name} with the layers of {layers}", flush=True)
        done = subprocess.run(command, env=environment, check=False)
        if done.returncode > 1 or not written.exists():
            raise SystemExit(
                f"{path} cannot be run: is it of the same version as the installed torch? pytest ended with "
                f"{done.returncode}"
            )
        found: dict[str, str] = json.loads(written.read_text(encoding="utf-8"))
    return found


def main(arguments: list[str]) -> int:
    """Run the tests, print what differs, and return the exit status."""
    if not arguments or not Path(arguments[0], "test").is_dir():
        print("name a folder with PyTorch's source: make test-torch PYTORCH=path/to/pytorch", file=sys.stderr)
        return 2
    reasons = known_differences()
    unknown, over, agreeing, known = [], set(), 0, 0
    for name in arguments[1:] or FILES:
        path = Path(arguments[0], "test", name).resolve()
        torchs = outcomes(path, "torch")
        ours = outcomes(path, "throughtime")
        for test in sorted(test for test, outcome in torchs.items() if outcome == "passed"):
            listed = [pattern for pattern in reasons if fnmatchcase(test, pattern)]
            if ours.get(test) == "passed":
                agreeing += 1
                over |= {f"{pattern} ({test})" for pattern in listed}
            elif listed:
                known += 1
            else:
                unknown.append(f"{name}::{test}")
    print(f"\n{agreeing} tests pass with the layers of torch and of throughtime, {known} differ as known.")
    for title, tests in (("New differences:", unknown), ("Known differences that are none:", sorted(over))):
        if tests:
            print(title, *tests, sep="\n  ")
    return 1 if unknown or over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
