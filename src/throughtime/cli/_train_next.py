"""``throughtime train --task next``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from throughtime.cli._ending import end_training, load_lightning, training_into
from throughtime.cli._options import option_of
from throughtime.cli._train_task import NEXT, unit_of
from throughtime.data import frames
from throughtime.data.next_step import NextStepSource, cut_text, frame_source, text_source
from throughtime.data.plain_text import read_text
from throughtime.data.symbols import symbol_tokenizer
from throughtime.errors import DataError, RunError
from throughtime.training import Metrics, ModelSpec, Run, Settings, figure, fit
from throughtime.training import processes as several
from throughtime.training.next_step_module import required


@dataclass(frozen=True)
class NextOptions:
    """The options of the command, as its help describes them."""

    data: Path
    out: Path
    unit: Literal["word", "character"] | None
    validation: float
    test: float
    validation_file: Path | None
    test_file: Path | None
    vocabulary: int
    min_count: int
    cell: str
    embedding_size: int | None
    hidden_size: int
    num_layers: int
    dropout: float
    tied: bool
    cutoffs: tuple[int, ...]
    k1: int
    k2: int | None
    streams: int
    epochs: int
    patience: int
    learning_rate: float
    precision: Literal["float32", "bfloat16"]
    seed: int
    clip: float | None
    clip_value: float | None
    clip_percentile: float | None
    clip_recurrent: float | None

    @property
    def of_frames(self) -> bool:
        """Whether the data is frames, by its suffix."""
        return self.data.suffix.lower() in frames.SUFFIXES

    @property
    def text_unit(self) -> Literal["word", "character"]:
        """Unit of a token."""
        return self.unit or "word"

    def task(self) -> dict[str, Any]:
        """Return the task of the run, which later commands read; of files, only the name."""
        content = {name: value for name, value in asdict(self).items() if name in _OF_TASK}
        files = {name: value and value.name for name, value in content.items() if name.endswith("_file")}
        unit = "frame" if self.of_frames else self.text_unit
        return {"kind": NEXT, **content, **files, "unit": unit}

    def model(self) -> ModelSpec:
        """Return the architecture."""
        shared = {name: getattr(self, name) for name in ("cell", "hidden_size", "num_layers", "dropout")}
        if self.of_frames:
            return ModelSpec("frame", {**shared, "embedding_size": self.embedding_size or 0})
        size = self.hidden_size if self.embedding_size is None else self.embedding_size
        options = {"embedding_size": size, "tied": self.tied, "cutoffs": list(self.cutoffs)}
        return ModelSpec("language", {**shared, **options})

    def settings(self) -> Settings:
        """Return the settings of the training."""
        return Settings(monitor="loss", **{name: getattr(self, name) for name in _OF_SETTINGS})

    def resumed_from(self, run: Run, given: frozenset[str]) -> "NextOptions":
        """Return these options, with those not given on the command line taken from a run.

        Raises
        ------
        DataError
            If the run was trained with files that are not given again.
        """
        config = run.config
        for name in ("validation_file", "test_file"):
            file = run.task_entry(name, str, None)
            if file and name not in given:
                raise DataError(
                    f"{run.path} was trained with {option_of(name)} {file}; give the file again to resume"
                )
        saved = {
            **{name: run.task_entry(name, *kinds) for name, kinds in _OF_TASK.items() if str not in kinds},
            **{name: getattr(config.settings, name) for name in _OF_SETTINGS},
            **{name: value for name, value in config.model.options.items() if name != "cutoffs"},
            "cutoffs": _cutoffs(run),
            "unit": None if unit_of(run) == "frame" else unit_of(run),
        }
        return replace(self, **{name: value for name, value in saved.items() if name not in given})


def _cutoffs(run: Run) -> tuple[int, ...]:
    cutoffs = run.config.model.options.get("cutoffs", [])
    if not isinstance(cutoffs, list):
        raise RunError(f"{run.path / 'config.json'} is damaged: cutoffs must be a list, got {cutoffs!r}")
    return tuple(cutoffs)


_OF_TASK: Mapping[str, tuple[type | None, ...]] = {
    "unit": (str,),
    "validation": (float, int),
    "test": (float, int),
    "validation_file": (str, None),
    "test_file": (str, None),
    "vocabulary": (int,),
    "min_count": (int,),
}
_OF_SETTINGS = (
    "k1",
    "k2",
    "streams",
    "epochs",
    "patience",
    "learning_rate",
    "precision",
    "seed",
    "clip",
    "clip_value",
    "clip_percentile",
    "clip_recurrent",
)
_OF_TEXT = ("unit", "validation_file", "test_file", "vocabulary", "min_count", "tied", "cutoffs")


def train_next(options: NextOptions, *, resume: bool, given: frozenset[str], watch_every: int = 0) -> None:
    """Train a language model on a text, or a model of frames, and print the results.

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
        resume = resume or (several.was_restarted() and options.out.exists())
        run = Run.open(options.out) if resume else None
        if run is not None:
            options = options.resumed_from(run, given)
        elif several.process() == 0:
            Run.require_free(options.out)  # fail before reading large files
        model, settings = options.model(), options.settings()
        source = _source(options, given)
        load_lightning()
        if run is None:
            _check(source, model, settings)
            run = _created(options, source, model, settings)
        result = fit(source, model, settings, run, resume=resume, watch_every=watch_every)
        several.leave()
        end_training(
            result, options.out, lambda console, metrics: _print_result(console, metrics, options.out, source)
        )


def _check(source: NextStepSource, model: ModelSpec, settings: Settings) -> None:
    """Raise the errors of the training before the run is created."""
    k1, streams = required(settings)
    source.pairs(source.training, streams, k1)
    with torch.device("meta"):
        model.build(source.vocabulary_size, 0)


def _created(options: NextOptions, source: NextStepSource, model: ModelSpec, settings: Settings) -> Run:
    """Create the run, in one process of several."""
    several.join()
    if several.process() == 0:
        tokenizer = source.vocabulary and symbol_tokenizer(source.vocabulary, options.text_unit)
        Run.create(
            options.out,
            source=source,
            model=model,
            settings=settings,
            task=options.task(),
            tokenizer_json=tokenizer.to_str(pretty=True) if tokenizer else None,
        )
    several.wait_for_all()
    return Run.open(options.out)


def _source(options: NextOptions, given: frozenset[str]) -> NextStepSource:
    if options.of_frames:
        for name in _OF_TEXT:
            if name in given:
                raise DataError(
                    f"{option_of(name)} applies to text, but {options.data} holds frames; leave it out"
                )
        fractions = {"validation": options.validation, "test": options.test}
        return frame_source(frames.read_frames(options.data, **fractions, seed=options.seed))
    for file in (options.validation_file, options.test_file):
        if file is not None and file.suffix.lower() in frames.SUFFIXES:
            raise DataError(f"{file} holds frames, but {options.data} is a text; give a text file")
    texts, names = _texts(options)
    return text_source(
        texts, options.text_unit, vocabulary=options.vocabulary, min_count=options.min_count, names=names
    )


def _texts(options: NextOptions) -> tuple[list[str], list[str]]:
    """Return the texts for training, validation and test, from separate files or cut off the end."""
    name, files = str(options.data), (options.validation_file, options.test_file)
    # With a separate file, nothing is cut off.
    validation, test = (
        0.0 if file else fraction
        for file, fraction in zip(files, (options.validation, options.test), strict=True)
    )
    first, second, *third = cut_text(read_text(options.data), options.text_unit, validation, test)
    texts, names = [first], [name]
    for file, cut, purpose in zip(files, ([second], third), ("validation", "test"), strict=True):
        if file is not None:
            texts.append(read_text(file))
            names.append(str(file))
        elif cut:
            texts += cut
            names.append(f"{name}, its end for {purpose},")
    return texts, names


def _print_result(console: Console, metrics: Metrics, out: Path, source: NextStepSource) -> None:
    best = metrics.history[(metrics.best_epoch or 1) - 1]
    console.print(f"best epoch {best.epoch}: validation {figure(best.validation_loss, source.unit)}")
    if metrics.test is not None:
        loss = figure(metrics.test.loss, source.unit)
        console.print(f"test {loss} on {metrics.test.examples} {source.unit}s")
    console.print(f"saved in {out}; next: throughtime sample {out}")


def require_next(run: Run) -> None:
    """Reject runs of other tasks.

    Raises
    ------
    RunError
        If the run is not one of ``throughtime train --task next``.
    """
    if run.config.task.get("kind") != NEXT:
        raise RunError(f"{run.path} is not a run of throughtime train --task next; give one that is")
