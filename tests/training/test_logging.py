"""Epoch means are weighted by numbers of sequences or tokens, never by the length of a sequence."""

import math
from dataclasses import dataclass

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from tests.training import toy, toy_next
from throughtime import Ragged
from throughtime.data.examples import Examples
from throughtime.errors import ShapeError
from throughtime.training import Settings
from throughtime.training._module import TrainingModule
from throughtime.training.callbacks import RaggedBatchSize

# Batches of 2, 3 and 1 sequences, whose first lengths say something else.
LENGTHS = [[5, 1], [1, 2, 4], [7]]
# Lightning's own: of few workers, of a loader that is asked for by another hook, and of the guess itself.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@dataclass
class Labelled:
    x: Ragged
    y: torch.Tensor


WRAPPED = {
    "alone": lambda x: x,
    "in a tuple": lambda x: (x, torch.zeros(len(x))),
    "in a mapping": lambda x: {"input": x, "target": torch.zeros(len(x))},
    "in a dataclass": lambda x: Labelled(x, torch.zeros(len(x))),
    "of Examples": lambda x: Examples(x, torch.zeros(len(x), dtype=torch.int64)),
}


def batches():
    generator = torch.Generator().manual_seed(0)
    return [Ragged.from_lengths(torch.randn(sum(n), generator=generator), n) for n in LENGTHS]


def ragged_in(batch):
    match batch:
        case Ragged() | (Ragged(), _):
            return batch if isinstance(batch, Ragged) else batch[0]
        case {"input": x} | Labelled(x=x) | Examples(inputs=x):
            return x
    raise AssertionError(batch)


class Logging(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        self._log("training", batch)
        return self.weight.square()

    def validation_step(self, batch, batch_idx):
        self._log("validation", batch)

    def test_step(self, batch, batch_idx):
        self._log("test", batch)

    def _log(self, name, batch):
        """Log with Lightning's defaults for a hook, but for the mean over tokens."""
        x = ragged_in(batch)
        of_sequences = torch.stack([sequence.sum() for sequence in x])
        self.log(f"{name} by sequence", of_sequences.mean(), on_epoch=True, on_step=False)
        self.log_dict({f"{name} in a dict": of_sequences.mean()}, on_epoch=True, on_step=False)
        tokens, mean = len(x.values), x.values.mean()
        self.log(f"{name} by token", mean, on_epoch=True, on_step=False, batch_size=tokens)
        positional = (False, None, False, True, torch.mean, False, False, None, True, tokens)
        self.log(f"{name} by token, by position", mean, *positional)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder, **more):
    return pl.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, default_root_dir=folder, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, **more,
    )  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_means_of_an_epoch_are_those_over_all_sequences_and_all_tokens(wrap, tmp_path):
    module, counting = Logging(), RaggedBatchSize()
    loader = DataLoader([wrap(x) for x in batches()], batch_size=None)
    fitting = trainer(tmp_path, callbacks=[counting])
    fitting.fit(module, loader, loader)
    found = dict(fitting.callback_metrics)
    found |= fitting.test(module, loader, verbose=False)[0]
    sequences = [sequence for x in batches() for sequence in x]
    by_sequence = sum(float(sequence.sum()) for sequence in sequences) / len(sequences)
    by_token = float(torch.cat(sequences).mean())
    for name in ("training", "validation", "test"):
        assert float(found[f"{name} by sequence"]) == pytest.approx(by_sequence, rel=1e-5)
        assert float(found[f"{name} in a dict"]) == pytest.approx(by_sequence, rel=1e-5)
        assert float(found[f"{name} by token"]) == pytest.approx(by_token, rel=1e-5)
        assert float(found[f"{name} by token, by position"]) == pytest.approx(by_token, rel=1e-5)
    assert "log" not in vars(module)


def test_two_numbers_of_sequences_in_one_batch_are_not_chosen_from(tmp_path):
    x = batches()
    loader = DataLoader([(x[0], x[1])], batch_size=None)
    with pytest.raises(ShapeError, match=r"'training by sequence'.* 2 and 3 sequences; give batch_size"):
        trainer(tmp_path, callbacks=[RaggedBatchSize()]).fit(Logging(), loader)


def test_a_batch_without_sequences_is_left_to_lightning(tmp_path):
    class Plain(Logging):
        def _log(self, name, batch):
            self.log(name, batch.mean(), on_epoch=True, on_step=False)

    fitting = trainer(tmp_path, callbacks=[RaggedBatchSize()])
    fitting.fit(Plain(), DataLoader([torch.ones(3), torch.zeros(1)], batch_size=None))
    assert float(fitting.callback_metrics["training"]) == pytest.approx(0.75)


# ------------------------------------------------------------------ our own modules


def test_a_classifiers_figures_are_means_over_sequences(tmp_path, monkeypatch):
    """Of every step's logits, put together again from what the model was asked."""
    seen = {True: [], False: []}
    cross_entropy = torch.nn.functional.cross_entropy

    def noting(logits, labels, reduction):
        losses = cross_entropy(logits, labels, reduction=reduction)
        seen[logits.requires_grad].append(losses.detach())
        return losses

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", noting)
    settings = Settings(**toy.SETTINGS.to_json() | {"epochs": 1})
    source = without_test(toy.Toy())
    epoch = toy.fitted(toy.created(tmp_path / "run", settings=settings, source=source), source=source)
    (epoch,) = epoch.metrics.history
    assert len({len(part) for part in seen[True]}) > 1
    assert epoch.train["loss"] == pytest.approx(float(torch.cat(seen[True]).double().mean()), rel=1e-6)
    assert epoch.validation["loss"] == pytest.approx(float(torch.cat(seen[False]).double().mean()), rel=1e-6)


def without_test(source):
    source.__class__ = type("WithoutTest", (type(source),), {"test": None})
    return source


def test_figures_of_the_next_step_are_means_over_steps(tmp_path, monkeypatch):
    losses = []
    step = TrainingModule.training_step

    def noting(self, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        losses.append((float(loss.detach()), len(batch.targets.values)))
        return loss

    monkeypatch.setattr(TrainingModule, "training_step", noting)
    settings = Settings(**toy_next.SETTINGS.to_json() | {"epochs": 1, "streams": 3, "k1": 4})
    data = toy_next.frames()
    model = toy_next.ModelSpec("frame", {"hidden_size": 8, "dropout": 0.0})
    run = toy_next.created(tmp_path / "run", model, settings, data)
    (epoch,) = toy_next.fitted(run, data).metrics.history
    steps = sum(count for _, count in losses)
    assert len({count for _, count in losses}) > 1
    assert steps == sum(max(0, len(sequence) - 1) for sequence in data.training(0))
    mean = math.fsum(loss * count for loss, count in losses) / steps
    assert epoch.train["loss"] == pytest.approx(mean, rel=1e-6)
