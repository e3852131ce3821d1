"""`Summary`: the metrics of a trained model beside those of baselines, with notes on what to do."""

from dataclasses import dataclass, replace
from typing import Any, Self

from throughtime._fields import Fields, Number, to_json
from throughtime._options import named
from throughtime.baselines import advice, beats, fit_baselines
from throughtime.learn.auto import planned, read_outcome
from throughtime.learn.bounded import in_memory, score_of
from throughtime.learn.prepared import Prepared
from throughtime.learn.recipe import Recipe
from throughtime.tasks import METRICS, SequenceTask
from throughtime.training import ModelSpec, Run, Score

NAME = "summary.json"


@dataclass(frozen=True)
class BaselineScore:
    """A baseline and its metrics on the same examples as those of the model."""

    name: str
    score: Score
    seconds: Number
    """Time to fit it."""
    rows: int
    """Number of training rows that it was fitted to."""
    reads_inputs: bool | None = None
    """Whether its outputs depend on the inputs; None if unknown, in files of older versions."""


@dataclass(frozen=True)
class Summary:
    """The metrics of a model and of its baselines on the test examples, or without any on validation.

    Parameters
    ----------
    part : str
        "test" or "validation".
    metric : str
        The metric by which models are compared.
    score : Score
        Of the model.
    baselines : tuple of BaselineScore
        Of baselines that were fitted to the same training rows, the best last.
    notes : tuple of str
        What was noticed, such as rows that are in two parts.
    advice : tuple of str
        What to try if the model does not beat all baselines.
    """

    part: str
    metric: str
    score: Score
    baselines: tuple[BaselineScore, ...] = ()
    notes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def best_baseline(self) -> BaselineScore | None:
        """The baseline with the best value of the metric."""
        known = [baseline for baseline in self.baselines if self.metric in baseline.score.figures]
        sign = 1 if METRICS[self.metric].better == "higher" else -1
        return max(known, key=lambda baseline: sign * baseline.score[self.metric], default=None)

    @property
    def beats_baselines(self) -> bool:
        """Whether the model is better than every baseline."""
        best = self.best_baseline
        return best is None or beats(self.score.figures, best.score.figures, self.metric)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        content: dict[str, Any] = to_json(self)
        return content

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the summary that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing or has the wrong type.
        """
        return Fields(content, "summary.").dataclass(cls)


def summarize(prepared: Prepared, run: Run, *, baselines: bool = True) -> Summary | None:
    """Return the metrics of a finished run beside those of baselines; None for language and frame models."""
    metrics, task = run.metrics, run.task
    part = "test" if metrics.test is not None else "validation"
    score = metrics.test or metrics.validation
    if not isinstance(task, SequenceTask) or score is None:
        return None
    source = prepared.source
    examples = source.test if part == "test" else source.validation
    parts = in_memory(source.training(0)), in_memory(source.validation)
    fitted = fit_baselines(prepared.task, *parts) if baselines else ()  # type: ignore[arg-type]
    scores = []
    for baseline in fitted:
        measured = score_of(baseline, examples)
        scores.append(
            BaselineScore(baseline.name, measured, baseline.seconds, baseline.rows, baseline.reads_inputs)
        )
    monitor = run.config.settings.monitor
    if monitor is None or monitor not in score.figures:
        monitor = task.compared_by(score.figures)
    summary = Summary(part, monitor, score, tuple(scores), prepared.notes)
    if summary.beats_baselines:
        return summary
    best = next(
        b for b in fitted if summary.best_baseline is not None and b.name == summary.best_baseline.name
    )
    tips = advice(
        task,
        run.config.model.name,
        best,
        members=_members(run.config.model),
        inputs=prepared.inputs,
        words=_words_without_vectors(prepared.recipe),
        examples=_trained_examples(prepared, run),
        epochs=None if run.config.model.is_blend else run.config.settings.epochs,
        best_epoch=metrics.best_epoch or 1,
    )
    plan = planned(run)
    more = () if plan is None or plan.is_whole else (f"give the training more time ({named('budget')})",)
    return replace(summary, advice=(*more, *tips))


def _members(model: ModelSpec) -> list[str]:
    """Return the names of the models of a blend; none for a single model."""
    return [member["name"] for member in model.options["members"]] if model.is_blend else []


def _trained_examples(prepared: Prepared, run: Run) -> int:
    """Return how many examples the model was trained on: of a blend of folds, those of validation, too."""
    outcome = read_outcome(run)
    folds = outcome is not None and outcome.folds > 1
    return len(prepared.source.training(0)) + (len(prepared.source.validation) if folds else 0)


def _words_without_vectors(recipe: Recipe) -> bool:
    """Return whether the model reads words of a text, and no pretrained vectors of them."""
    inputs = recipe.inputs
    return bool(recipe.columns.text) and inputs.tokenizer == "words" and inputs.vectors is None


def write_summary(run: Run, summary: Summary) -> None:
    """Write the summary into the folder of the run."""
    run.write_json(NAME, summary.to_json())


def read_summary(run: Run) -> Summary | None:
    """Return the summary in the folder of a run; None if there is none.

    Raises
    ------
    RunError
        If the file is damaged.
    """
    return run.read_as(NAME, Summary.from_json)
