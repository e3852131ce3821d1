"""`TrainingModule`: one step of a classifier, and its validation."""

from collections.abc import Iterator
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from throughtime.data.batches import BatchLoader, ordered_batches
from throughtime.data.examples import Examples, Source
from throughtime.training._base_module import BaseModule
from throughtime.training._settings import Settings


class ValidationLoader:
    """The batches of a fixed set of examples, the same every time.

    Parameters
    ----------
    examples : Examples
        In memory.
    tokens_per_batch : int
        See `throughtime.data.batches.ordered_batches`.
    """

    def __init__(self, examples: Examples, tokens_per_batch: int) -> None:
        self.examples = examples
        self.batches = ordered_batches(examples.tokens.lengths, tokens_per_batch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Examples]:
        return (self.examples.select(batch) for batch in self.batches)


class TrainingModule(BaseModule):
    """Cross-entropy over batches of equal token count.

    Parameters
    ----------
    model : Module
        Tokens to logits (B, C).
    source : Source
        What to train and validate on.
    settings : Settings
        How.
    """

    def __init__(self, model: nn.Module, source: Source, settings: Settings) -> None:
        super().__init__(model, settings)
        self.loader = BatchLoader(source, settings.tokens_per_batch, settings.seed)
        self.validation = ValidationLoader(source.validation, 4 * settings.tokens_per_batch)

    def training_step(self, batch: Examples, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy of a batch."""
        logits = self.model(batch.tokens)
        loss = F.cross_entropy(logits, batch.labels)
        self.count(*_sums(loss, logits, batch), batch_idx, partial(self._loss, batch))
        return loss

    def validation_step(self, batch: Examples, batch_idx: int) -> None:
        """Count what is right."""
        del batch_idx
        logits = self.model(batch.tokens)
        self._validated.add(*_sums(F.cross_entropy(logits, batch.labels), logits, batch))

    def _loss(self, batch: Examples) -> Tensor:
        return F.cross_entropy(self.model(batch.tokens), batch.labels)


def _sums(loss: Tensor, logits: Tensor, batch: Examples) -> tuple[float, int, int, int]:
    """Return loss and right ones, summed, and the numbers of examples and tokens."""
    correct = int((logits.detach().argmax(dim=1) == batch.labels).sum())
    return loss.item() * len(batch), correct, len(batch), len(batch.tokens.values)
