"""Training of models whose weights are solved for: one epoch, the same bits, resumed, refused options."""

from pathlib import Path
from typing import Any

import pytest
import torch

from throughtime.baselines import solve
from throughtime.errors import DataError, UnsupportedError
from throughtime.models import NGrams
from throughtime.training import ModelSpec, Run, Settings, _solved, fit
from throughtime.training._metrics import Metrics

from . import toy
from .test_processes import stored

NGRAMS = ModelSpec("ngrams", {"longest": 1, "buckets": 32})
ONCE = Settings(epochs=1, patience=None)


def _created(path: Path, **more: Any) -> Run:
    run: Run = toy.created(path, NGRAMS, ONCE, **more)
    return run


def test_a_training_is_one_epoch_of_the_solution(tmp_path: Path) -> None:
    run, source = _created(tmp_path / "run"), toy.Toy()
    result = toy.fitted(run)
    assert not result.interrupted
    (epoch,) = result.metrics.history
    training = source.training(0)
    assert (epoch.epoch, epoch.tokens) == (1, len(training.inputs.values))
    assert result.metrics.best_epoch == 1
    assert result.metrics.stopped == "epochs"
    model = NGrams(12, 2, longest=1, buckets=32)
    solve(model, toy.TASK, training, source.validation)
    assert toy.same_weights(toy.weights(run), model.state_dict())
    for part, found in ((training, epoch.train), (source.validation, epoch.validation)):
        with torch.no_grad():
            logits = model(part.inputs)
        loss = torch.nn.functional.cross_entropy(logits.double(), part.labels)
        assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
        assert found["accuracy"] == pytest.approx(float((logits.argmax(1) == part.labels).double().mean()))
    assert result.metrics.validation["loss"] == pytest.approx(epoch.validation["loss"])
    assert result.metrics.test["accuracy"] > 0.9


def test_settings_of_steps_do_not_matter(tmp_path: Path) -> None:
    run, other = _created(tmp_path / "run"), toy.created(tmp_path / "other", NGRAMS, Settings(epochs=7))
    toy.fitted(run)
    result = toy.fitted(other)
    assert (len(result.metrics.history), result.metrics.stopped) == (1, "epochs")
    assert toy.same_weights(toy.weights(run), toy.weights(other))


def test_a_finished_run_is_not_solved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _created(tmp_path / "run")
    first = toy.fitted(run)
    monkeypatch.setattr(_solved, "solve", None)
    again = toy.fitted(run, resume=True)
    assert again.already_finished
    assert again.metrics == first.metrics


def test_one_that_was_stopped_in_the_solver_is_resumed_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, undisturbed = _created(tmp_path / "run"), _created(tmp_path / "undisturbed")

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_solved, "solve", stopped)
        result = toy.fitted(run)
    assert result.interrupted
    assert not run.has_model
    toy.fitted(run, resume=True)
    expected = toy.fitted(undisturbed)
    assert toy.without_times(run.metrics) == toy.without_times(expected.metrics)
    assert toy.same_weights(toy.weights(run), toy.weights(undisturbed))


def test_one_that_was_stopped_before_its_end_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _created(tmp_path / "run")
    finished = toy.fitted(run).metrics
    run.save_metrics(Metrics(finished.history, finished.best_epoch))
    monkeypatch.setattr(_solved, "solve", None)
    assert toy.fitted(run, resume=True).metrics == finished


def test_the_line_of_the_epoch_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _created(tmp_path / "run")
    fit(toy.Toy(), run.config.task, NGRAMS, ONCE, run)
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["epoch", "loss"]
    assert line.split()[0] == "1/1"
    assert line.endswith("best")


@pytest.mark.parametrize("more", [{"watch_every": 5}, {"logger": "csv"}])
def test_what_needs_steps_is_refused_by_name(tmp_path: Path, more: dict[str, Any]) -> None:
    run = _created(tmp_path / "run")
    message = f"{next(iter(more))} has no effect on ngrams, whose weights are solved for"
    with pytest.raises(UnsupportedError, match=message):
        toy.fitted(run, **more)
    assert not run.has_model


def test_there_must_be_training_examples(tmp_path: Path) -> None:
    class Empty(toy.Toy):
        def training(self, epoch: int) -> Any:
            return super().training(epoch).select(torch.arange(0))

    run = _created(tmp_path / "run", source=Empty())
    with pytest.raises(DataError, match="there are no training examples"):
        toy.fitted(run, Empty())


def test_examples_in_a_file_are_read(tmp_path: Path) -> None:
    source = stored()
    run = _created(tmp_path / "run", source=source)
    result = toy.fitted(run, source)
    assert result.metrics.history[0].tokens == int(source.training(0).lengths.sum())
    assert result.metrics.validation["accuracy"] > 0.8


def test_a_model_that_the_caller_prepares_is_prepared(tmp_path: Path) -> None:
    seen = []
    toy.fitted(_created(tmp_path / "run"), prepare_model=seen.append)
    assert [type(model) for model in seen] == [NGrams]


def test_only_models_by_name_whose_class_says_so_are_solved() -> None:
    assert NGRAMS.solved
    assert not toy.MODEL.solved
    assert not ModelSpec("custom").solved
