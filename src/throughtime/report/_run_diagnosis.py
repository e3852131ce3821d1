"""`RunDiagnosis`: the diagnosis of a trained model together with the results of its training."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from throughtime._fields import Fields, Number, Positive, Share, to_json
from throughtime.diagnose import Diagnosis, Finding
from throughtime.tasks import Quality
from throughtime.training import EpochMetrics, GradientRecord


@dataclass(frozen=True)
class BagOfWordsScore:
    """Accuracy and mean cross-entropy of a bag of words on the same examples."""

    accuracy: Share
    loss: float
    training_rows: int
    """Number of training rows."""
    fitted_to: int
    """Number of training rows that the bag of words was fitted to."""


@dataclass(frozen=True)
class ClassifierQuality(Quality):
    """The quality of a classifier on labelled examples, beside a bag of words.

    Parameters
    ----------
    loss : float
        Mean cross-entropy in nats.
    rows : int
        Number of examples.
    bag_of_words : BagOfWordsScore or None
        Fitted to the training rows of the run, if these are known.
    no_bag_of_words : str or None
        Why there is no comparison with a bag of words.
    """

    loss: float
    rows: Positive
    bag_of_words: BagOfWordsScore | None = None
    no_bag_of_words: str | None = None


@dataclass(frozen=True)
class NextStepQuality:
    """The quality of a language or frame model on the step after each sequence."""

    loss: float
    """Mean loss in nats."""
    accuracy: Share
    figure: str
    """The loss as perplexity, bits per character or negative log-likelihood."""


@dataclass(frozen=True)
class RunDiagnosis:
    """A `Diagnosis` with what is known of the model's quality and training; the page shows both.

    Parameters
    ----------
    diagnosis : Diagnosis
        Of the best model on one batch.
    parameters : int or None
        Number of parameters of the model.
    quality : ClassifierQuality, NextStepQuality or None
        Quality on all examples.
    history : tuple of EpochMetrics
        Of the training.
    training : tuple of GradientRecord
        Recorded by ``train --watch-every``.
    norms : tuple of float
        Norms of the gradient before clipping, at every training step.
    clip : float or None
        Maximum norm of the training.
    """

    diagnosis: Diagnosis
    parameters: int | None = None
    quality: ClassifierQuality | NextStepQuality | None = None
    history: tuple[EpochMetrics, ...] = ()
    training: tuple[GradientRecord, ...] = ()
    norms: tuple[Number, ...] = ()
    clip: float | None = None

    @property
    def no_problems(self) -> str | None:
        """The sentence that no gradient problems were found; None if there are some."""
        about = {finding.about for finding in self.diagnosis.findings}
        if "gradients" in about:
            return None
        judged = "" if "accuracy" in about else " (accuracy is not judged here)"
        return f"No gradient problems found{judged}."

    def with_findings(self, more: Iterable[Finding]) -> "RunDiagnosis":
        """Return this diagnosis with more findings, sorted by severity."""
        return replace(self, diagnosis=self.diagnosis.with_findings(more))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: those of the diagnosis, and beside them the other fields."""
        others = {field.name: to_json(getattr(self, field.name)) for field in fields(self)[1:]}
        return self.diagnosis.to_json() | others | {"history": [epoch.to_json() for epoch in self.history]}

    @classmethod
    def from_json(cls, content: Any) -> "RunDiagnosis":
        """Return the diagnosis that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing or has the wrong type, or the version is another one.
        """
        Diagnosis.from_json(content)  # checks the version
        return Fields({**content, "diagnosis": content}).dataclass(cls)
