"""`ClassifierQuality` of rows with one class each, with the texts of the most and least certain ones."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from torch import Tensor
from torch.nn import functional as F

from throughtime.report import BagOfWordsScore, ClassifierQuality
from throughtime.tasks import Prediction, PredictionExamples, Quality, quality


@dataclass(frozen=True)
class ClassifiedRows:
    """Logits (N, C) and classes (N,) of rows, with their numbers in the data and their texts."""

    logits: Tensor
    labels: Tensor
    classes: Sequence[str]
    rows: Sequence[int]
    texts: Sequence[str]

    @property
    def losses(self) -> Tensor:
        """Cross-entropy of each row, (N,) float64."""
        return F.cross_entropy(self.logits.double(), self.labels, reduction="none")

    def quality(
        self, *, bag_of_words: BagOfWordsScore | None = None, no_bag_of_words: str | None = None
    ) -> ClassifierQuality:
        """Return the quality beside a bag of words, or the reason why there is none."""
        measured = quality(self.logits, self.labels, self.classes)
        groups = {
            field.name: self._with_texts(getattr(measured.examples, field.name))
            for field in fields(PredictionExamples)
        }
        content = {field.name: getattr(measured, field.name) for field in fields(Quality)}
        return ClassifierQuality(
            **content | {"examples": PredictionExamples(**groups)},
            loss=float(self.losses.mean()),
            rows=len(self.rows),
            bag_of_words=bag_of_words,
            no_bag_of_words=no_bag_of_words,
        )

    def _with_texts(self, predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
        return tuple(
            replace(prediction, row=self.rows[prediction.row], text=self.texts[prediction.row])
            for prediction in predictions
        )
