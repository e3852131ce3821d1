"""``throughtime train``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from throughtime.cli._ending import end_training, load_lightning, training_into
from throughtime.data.frames import SUFFIXES
from throughtime.data.tables import is_table, read_texts
from throughtime.data.text import split_texts
from throughtime.errors import DataError, RunError, UnsupportedError
from throughtime.training import Metrics, ModelSpec, Run, Settings, fit

TASK = "text"
"""The task in the configuration of runs of this command."""


@dataclass(frozen=True)
class TrainOptions:
    """The options of the command, as its help describes them."""

    data: Path
    out: Path
    text: str | None
    label: str | None
    model: str
    validation: float
    test: float
    epochs: int
    patience: int
    tokens_per_batch: int
    learning_rate: float
    vocabulary: int
    lower_case: bool
    seed: int
    clip: float | None
    clip_value: float | None
    clip_percentile: float | None
    clip_recurrent: float | None
    precision: Literal["float32", "bfloat16"]

    def task(self) -> dict[str, Any]:
        """Return the task of the run, which later commands read."""
        entries = {name: value for name, value in asdict(self).items() if name in _OF_TASK}
        return {"kind": TASK, "data": str(self.data), **entries}

    def settings(self) -> Settings:
        """Return the settings of the training."""
        return Settings(**{name: getattr(self, name) for name in _OF_SETTINGS})

    def resumed_from(self, run: Run, given: frozenset[str]) -> "TrainOptions":
        """Return these options, with those not given on the command line taken from a run."""
        config = run.config
        if config.task.get("kind") != TASK:
            raise RunError(
                f"{run.path} is not a run of throughtime train for text classes; choose another --out"
            )
        saved = {
            "model": config.model.name,
            **{name: run.task_entry(name, *kinds) for name, kinds in _OF_TASK.items()},
            **{name: getattr(config.settings, name) for name in _OF_SETTINGS},
        }
        return replace(self, **{name: value for name, value in saved.items() if name not in given})


_OF_TASK: Mapping[str, tuple[type | None, ...]] = {
    "text": (str, None),
    "label": (str, None),
    "validation": (float, int),
    "test": (float, int),
    "vocabulary": (int,),
    "lower_case": (bool,),
}
_OF_SETTINGS = (
    "epochs",
    "patience",
    "tokens_per_batch",
    "learning_rate",
    "seed",
    "clip",
    "clip_value",
    "clip_percentile",
    "clip_recurrent",
    "precision",
)


def train(options: TrainOptions, *, resume: bool, given: frozenset[str], watch_every: int = 0) -> None:
    """Train on a file or folder and print the results.

    Parameters
    ----------
    options
        Options of the command.
    resume
        Continue the run in ``options.out``.
    given
        Names of the options given on the command line; on resuming, all others are taken from the run.
    watch_every
        See `throughtime.training.fit`.
    """
    with training_into(options.out):
        run = None
        if resume:
            run = Run.open(options.out)
            options = options.resumed_from(run, given)
        else:
            Run.require_free(options.out)  # fail before reading large files
        _check_kind(options)
        source = split_texts(
            read_texts(options.data, options.text, options.label),
            validation=options.validation,
            test=options.test,
            vocabulary=options.vocabulary,
            lower_case=options.lower_case,
            seed=options.seed,
        )
        _require_recurrence(options, watch_every)
        model = ModelSpec(options.model)
        settings = options.settings()
        load_lightning()
        if run is None:
            run = Run.create(
                options.out,
                source=source,
                model=model,
                settings=settings,
                task=options.task(),
                tokenizer_json=source.tokenizer.to_str(pretty=True),
            )
        result = fit(source, model, settings, run, resume=resume, watch_every=watch_every)
        end_training(result, options.out, lambda console, metrics: _print_result(console, metrics, options))


def _check_kind(options: TrainOptions) -> None:
    """Reject a file that this task cannot be trained on; a missing file is reported on reading."""
    data = options.data
    if not data.is_file():
        return
    if is_table(data) and options.label is None:
        raise DataError(f"{data} is a table; name the column with the class: --label COLUMN")
    if data.suffix.lower() in {".txt", ".gz", *SUFFIXES}:
        raise DataError(
            f"{data} is not a table of labelled texts (CSV, TSV, JSONL, Parquet); to train a language or "
            "frame model on it, add --task next"
        )


def _require_recurrence(options: TrainOptions, watch_every: int) -> None:
    for option, wanted in (("--watch-every", watch_every), ("--clip-recurrent", options.clip_recurrent)):
        if wanted and options.model == "textcnn":
            raise UnsupportedError(
                f"{option} needs a recurrent layer, which textcnn lacks; leave it out or change --model"
            )


def _print_result(console: Console, metrics: Metrics, options: TrainOptions) -> None:
    best = metrics.history[(metrics.best_epoch or 1) - 1]
    console.print(f"best epoch {best.epoch}: validation accuracy {100 * best.validation_accuracy:.1f} %")
    if metrics.test is not None:
        console.print(
            f"test accuracy {100 * metrics.test.accuracy:.1f} % on {metrics.test.examples} examples"
        )
    console.print(f"saved in {options.out}; next: throughtime predict {options.out} FILE")
