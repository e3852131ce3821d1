"""The command that trains as the best trial did."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from throughtime._options import DeclaredOption
from throughtime.learn.recipe import Recipe


def train_command(data: object, task: str, model: str, options: Mapping[str, Any]) -> str:
    """Return the ``throughtime train`` command for a task, a model and options.

    Examples
    --------
    >>> options = {"target": ("kind",), "dropout": 0.25, "skip_blank": True}
    >>> train_command("my rows.csv", "classification", "textcnn", options)
    "throughtime train 'my rows.csv' --model textcnn --target kind --dropout 0.25 --skip-blank --out RUN"
    """
    words = ["throughtime", "train", str(data)]
    words += [] if task == Recipe().task else ["--task", task]
    words += ["--model", model]
    declared = Recipe(task, model).declared()
    for name, value in options.items():
        words += _words(declared[name], value)
    return shlex.join([*words, "--out", "RUN"])


def _words(option: DeclaredOption, value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield option.flag if value else f"--no-{option.flag.removeprefix('--')}"
        return
    yield option.flag
    yield option.text(value)
