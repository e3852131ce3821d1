"""Callbacks of the caller: they are given each epoch, and what they raise ends the training."""

from pathlib import Path

import pytest

from throughtime.training import EpochMetrics
from throughtime.training.callbacks import AfterEpoch

from .toy import created, fitted, same_weights, weights


class Enough(Exception):  # noqa: N818 - not an error
    pass


def test_each_epoch_is_given_and_the_weights_stay_the_same(tmp_path: Path) -> None:
    epochs: list[EpochMetrics] = []
    run = created(tmp_path / "run")
    metrics = fitted(run, callbacks=[AfterEpoch(epochs.append)]).metrics
    assert epochs == list(metrics.history)
    plain = created(tmp_path / "plain")
    fitted(plain)
    assert same_weights(weights(run), weights(plain))


def test_an_exception_ends_the_training_which_resumes_with_the_same_weights(tmp_path: Path) -> None:
    def stop(epoch: EpochMetrics) -> None:
        if epoch.epoch == 2:
            raise Enough

    run = created(tmp_path / "run")
    with pytest.raises(Enough):
        fitted(run, callbacks=[AfterEpoch(stop)])
    assert len(run.metrics.history) == 2
    assert run.has_model
    fitted(run, resume=True)
    plain = created(tmp_path / "plain")
    fitted(plain)
    assert same_weights(weights(run), weights(plain))
