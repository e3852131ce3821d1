"""``throughtime serve``: predictions over HTTP."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from throughtime._words import counted
from throughtime.data.printable import printable
from throughtime.serve import ServedRuns, ServeOptions, serve


@dataclass(frozen=True)
class ServeCommand:
    """The arguments of the command, as its help describes them."""

    runs: Sequence[Path]
    host: str
    port: int
    threads: int | None
    options: Mapping[str, Any]
    quiet: bool

    def run(self) -> None:
        """Answer requests until a signal comes."""
        options = ServeOptions.from_texts(self.options)
        torch.set_num_threads(max(1, (self.threads or torch.get_num_threads()) // options.workers))
        _log_to_standard_error()
        serve(
            self.runs,
            host=self.host,
            port=self.port,
            options=options,
            started=self._started,
            stopping=lambda: self._say("stopping; accepted requests are answered"),
        )
        self._say("stopped")

    def _started(self, url: str, served: ServedRuns) -> None:
        for run in served.runs.values():
            predictor = run.loaded.predictor
            classes = predictor.task.probability_names
            about = f", {counted(len(classes), 'class', 'classes')}" if classes else ""
            self._say(f"{run.name}: {predictor.task.name} with {predictor.name}{about}, from {run.path}")
        self._say(f"ready on {url} (Ctrl-C stops)")

    def _say(self, line: str) -> None:
        if not self.quiet:
            _print(line)


def _print(line: str) -> None:
    """Print a line; a server goes on if nobody reads its output any more."""
    try:
        print(printable(line), flush=True)  # noqa: T201 - command output
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("throughtime.serve")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    logging.getLogger("uvicorn").addHandler(handler)
