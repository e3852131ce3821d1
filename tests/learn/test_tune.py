"""A search: its trials, its best run, and that one which was killed has the same trials."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

import throughtime as tt
from throughtime.errors import RunError, ShapeError, UnsupportedError
from throughtime.learn.tune import Trial, Tuned, checked_budget, tune
from throughtime.learn.tune.callback import TrialCallback
from throughtime.learn.tune.limits import Limits
from throughtime.learn.tune.plan import NextTrial, Plan
from throughtime.learn.tune.space import space_of
from throughtime.learn.tune.trials import Outcome
from throughtime.models import model_options
from throughtime.tasks import Classification
from throughtime.training import EpochMetrics, Run

from .killed_search import MOMENTS, ROWS, SEARCH, TORN


def without_seconds(tuned: Tuned) -> list[Trial]:
    return [replace(trial, outcome=replace(trial.outcome, seconds=0.0)) for trial in tuned.trials]


def same_weights(a: Run, b: Run) -> bool:
    first, second = (run.load_model().state_dict() for run in (a, b))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def measured() -> list[int]:
    """0 for each choice on the validation part at the end of a training, 1 for each measurement of the test part."""
    return []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, measured: list[int]) -> Tuned:
    """A search without interruption."""

    def noted(method: Callable[..., Any]) -> Callable[..., Any]:
        def noting(self: Any, model: Any, source: Any, part: Any, settings: Any) -> Any:
            measured.append((part is source.test) + 0)
            return method(self, model, source, part, settings)

        return noting

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tune", "assess"):
            patch.setattr(Classification, name, noted(getattr(Classification, name)))
        tuned = tune(ROWS, out=tmp_path_factory.mktemp("whole") / "study", **SEARCH)
    torch.set_num_threads(threads)
    return tuned


def test_new_trials_have_few_epochs_and_the_best_of_them_are_repeated_with_all(whole: Tuned) -> None:
    new, repeated = whole.trials[:7], whole.trials[7:]
    assert [trial.number for trial in whole.trials] == list(range(9))
    assert [(trial.epochs, trial.repeats) for trial in new] == [(1, None)] * 7
    assert {trial.epochs for trial in repeated} == {4}
    ranked = sorted(
        (trial for trial in new if trial.outcome.state == "complete"),
        key=lambda trial: (-trial.outcome.value, trial.outcome.loss),
    )
    assert [trial.repeats for trial in repeated] == [trial.number for trial in ranked[:2]]
    assert [trial.options for trial in repeated] == [trial.options for trial in ranked[:2]]


def test_the_first_trial_has_the_defaults_and_the_others_differ(whole: Tuned) -> None:
    first = whole.trials[0].options
    of_model = {name: option.default for name, option in model_options("textcnn").items()}
    assert first == {
        **{name: of_model[name] for name in ("channels", "kernel_sizes", "dropout")},
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
    }
    assert len({trial.options["learning_rate"] for trial in whole.trials[:7]}) == 7


def test_the_best_run_is_that_of_the_best_trial(whole: Tuned) -> None:
    complete = [trial for trial in whole.trials if trial.complete]
    assert whole.best.outcome.value == max(trial.outcome.value for trial in complete)
    history = whole.run.metrics.history
    assert whole.run.metrics.best_epoch == whole.best.outcome.best_epoch
    best = history[whole.best.outcome.best_epoch - 1].validation
    assert (best["accuracy"], best["loss"]) == (whole.best.outcome.value, whole.best.outcome.loss)
    assert whole.predictor.predict(["good film"]) == tt.load(whole.run.path).predict(["good film"])


def test_its_options_give_the_same_weights_again(whole: Tuned, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tt.fit(ROWS, out=tmp_path / "run", progress=False, **whole.options)
    torch.set_num_threads(threads)
    assert same_weights(Run.open(tmp_path / "run"), whole.run)


def test_only_the_best_run_is_measured_on_the_test_part(whole: Tuned, measured: list[int]) -> None:
    trained = sum(trial.complete for trial in whole.trials)
    assert measured == [0] * trained + [0, 1]
    assert whole.run.metrics.test is not None


def test_optuna_reads_the_study(whole: Tuned) -> None:
    path = whole.run.path.parent / "study.journal"
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    study = optuna.load_study(study_name="throughtime", storage=optuna.storages.JournalStorage(backend))
    assert study.best_value == whole.best.outcome.value
    assert len(study.trials) == 9
    ends = {"complete": "COMPLETE", "pruned": "PRUNED"}
    assert [trial.state.name for trial in study.trials] == [ends[t.outcome.state] for t in whole.trials]
    for stored, trial in zip(study.trials, whole.trials, strict=True):
        assert len(stored.intermediate_values) == trial.outcome.epochs_trained


def test_a_blend_is_not_searched() -> None:
    with pytest.raises(
        ShapeError, match=r"'auto' blends several without a search; .* leave out model= \(--model\)"
    ):
        space_of("classification", "tokens", "auto", ())


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.learn.killed_search", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("moment", [*MOMENTS, TORN])
def test_a_killed_search_has_the_same_trials_and_the_same_best(
    moment: str, whole: Tuned, killed: Path
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    resumed = tune(ROWS, out=killed / moment, resume=True, progress=False)
    torch.set_num_threads(threads)
    assert without_seconds(resumed) == without_seconds(whole)
    assert resumed.command == whole.command
    assert same_weights(resumed.run, whole.run)
    assert {path.name for path in (killed / moment).iterdir()} == {"study.journal", "best", "training.lock"}


# ------------------------------------------------------------------ refusals


@pytest.fixture
def study(whole: Tuned, tmp_path: Path) -> Path:
    """A finished study."""
    shutil.copytree(whole.run.path.parent, tmp_path / "study")
    return tmp_path / "study"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 9}, "is a study with --epochs = 4, now it is 9; give the same, leave it out, or choose"),
        ({"dropout": 0.1}, "is a study with --dropout = None, now it is 0.1"),
        ({"model": "bilstm"}, "is a study with --model = 'textcnn', now it is 'bilstm'"),
        ({"task": "multilabel"}, "is a study with --task = 'classification', now it is 'multilabel'"),
    ],
)
def test_a_study_of_other_options_is_refused(study: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        tune(ROWS, out=study, trials=9, resume=True, progress=False, **changes)


def test_the_same_options_are_accepted_and_a_finished_study_is_not_trained_again(
    study: Path, whole: Tuned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.optim.AdamW, "step", None)
    again = tune(ROWS, out=study, resume=True, **SEARCH)
    assert list(again.trials) == list(whole.trials)
    assert again.fitted.result.already_finished


def test_a_study_of_other_data_is_refused(study: Path) -> None:
    other = {**ROWS, "text": ["other words", *ROWS["text"][1:]]}
    with pytest.raises(RunError, match="is a study of other data: the hash differs; give the data"):
        tune(other, out=study, trials=9, resume=True, progress=False)


def test_a_study_is_not_overwritten_nor_invented(study: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="already holds a study; continue it with --resume"):
        tune(ROWS, out=study, **SEARCH)
    with pytest.raises(RunError, match=r"holds no study: study\.journal is missing"):
        tune(ROWS, out=tmp_path / "none", resume=True)
    (study / "study.journal").write_bytes(b"{}\n")
    with pytest.raises(RunError, match=r"study\.journal is damaged"):
        tune(ROWS, out=study, resume=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"trials": 0}, ShapeError, "--trials must be at least 1, got 0"),
        ({"budget": "soon"}, ShapeError, "--budget must be a time such as 90s, 30m or 2h, got 'soon'"),
        ({"budget": 0}, ShapeError, "--budget must be a time"),
        ({"device": "tpu"}, UnsupportedError, "device must be one of cpu, cuda"),
        ({"hidden_sizes": 3}, ShapeError, "unknown option 'hidden_sizes'"),
        ({"kernel_size": 3, "hidden_size": 3}, ShapeError, "has the options hidden_size, kernel_size; name"),
        ({"monitor": "mae"}, ShapeError, "mae"),
        ({"budget": 1e-6, "epochs": 8}, ShapeError, "is too small: an epoch of textcnn takes about 1s, and"),
    ],
)
def test_what_cannot_be_searched_leaves_no_folder(
    options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        tune(ROWS, out=tmp_path / "study", progress=False, **options)
    assert not (tmp_path / "study").exists()


def test_without_a_finite_trial_there_is_no_best_run(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"none of the 1 trials of .* was finite; give a lower --learning-rate"
    ):
        tune(ROWS, out=tmp_path, model="textcnn", trials=1, epochs=2, learning_rate=1e30, progress=False)
    assert not (tmp_path / "best").exists()


# ------------------------------------------------------------------ parts


def trial(number: int, value: float, epochs: int = 5, repeats: int | None = None) -> Trial:
    return Trial(number, "gru", {}, epochs, repeats, Outcome("complete", value, 1.0, 1, epochs, 1.0))


def steps_of(plan: Plan, values: list[float], spent: float = 0.0) -> list[tuple[int, int | None]]:
    trials: list[Trial] = []
    steps = []
    while (step := plan.next_trial(trials, spent * len(trials))) is not None and len(trials) < len(values):
        repeats = None if step.repeats is None else step.repeats.number
        steps.append((step.epochs, repeats))
        trials.append(trial(len(trials), values[len(trials)], step.epochs, repeats))
    return steps


@pytest.mark.parametrize(
    ("plan", "spent", "expected"),
    [
        (Plan(20, "accuracy", Limits(8)), 0.0, [(5, None)] * 6 + [(20, 2), (20, 4)]),
        (Plan(20, "loss", Limits(8)), 0.0, [(5, None)] * 6 + [(20, 0), (20, 1)]),
        (Plan(20, "accuracy", Limits(1)), 0.0, [(20, None)]),
        (Plan(20, "accuracy", Limits(2)), 0.0, [(5, None), (20, 0)]),
        (Plan(1, "accuracy", Limits(3)), 0.0, [(1, None)] * 3),
        (
            Plan(20, "accuracy", Limits(None, 60.0)),
            10.0,
            [(5, None)] * 3 + [(20, 2), (20, 1), (20, 0), (5, None)],
        ),
        (Plan(20, "accuracy", Limits(4, 60.0)), 20.0, [(5, None)] * 2 + [(20, 1), (20, 0)]),
    ],
)
def test_the_plan(plan: Plan, spent: float, expected: list[tuple[int, int | None]]) -> None:
    values = [0.1, 0.2, 0.9, 0.3, 0.8, 0.4, 0.5, 0.6]
    assert steps_of(plan, values[: len(expected)], spent) == expected


def test_new_trials_take_the_place_of_repeated_ones_if_all_others_were_pruned() -> None:
    pruned = replace(trial(1, 0.9), outcome=replace(trial(1, 0.9).outcome, state="pruned"))
    plan = Plan(20, "accuracy", Limits(5))
    trials = [trial(0, 0.5), *(replace(pruned, number=number) for number in (1, 2, 3))]
    upcoming = plan.next_trial(trials, 0.0)
    assert upcoming is not None
    assert upcoming.repeats == trials[0]
    trials[0] = replace(pruned, number=0)
    assert plan.next_trial(trials, 0.0) == NextTrial(5)
    assert plan.next_trial([*trials, replace(pruned, number=4)], 0.0) is None


def epoch(number: int, accuracy: float) -> EpochMetrics:
    return EpochMetrics(number, 1, {"loss": 1.0}, {"loss": 1.0, "accuracy": accuracy}, 0.1, 10, 1.0)


def test_a_trial_behind_the_median_of_the_others_is_pruned() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(3))
    for accuracy in (0.5, 0.7, 0.9):
        ended = study.ask()
        TrialCallback(ended, "accuracy").call(epoch(1, accuracy))
        study.tell(ended, accuracy)
    TrialCallback(study.ask(), "accuracy").call(epoch(1, 0.71))
    watch = TrialCallback(study.ask(), "accuracy")
    with pytest.raises(optuna.TrialPruned):
        watch.call(epoch(1, 0.69))
    assert [part.epoch for part in watch.history] == [1]


def test_a_pruned_trial_is_stored_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        optuna.pruners.MedianPruner, "prune", lambda self, study, trial: trial.params["learning_rate"] == 2e-3
    )
    tuned = tune(ROWS, out=tmp_path, model="textcnn", trials=3, epochs=8, embedding_size=8, progress=False)
    first = tuned.trials[0].outcome
    assert (first.state, first.epochs_trained, tuned.trials[0].epochs) == ("pruned", 1, 2)
    assert tuned.trials[2].repeats == 1
    assert tuned.best.number in (1, 2)


def test_a_language_model_is_searched(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat is red\na dog was big\n" * 60, encoding="utf-8")
    sizes = {"hidden_size": 8, "embedding_size": 8, "num_layers": 1, "bptt": 8, "streams": 4}
    study = tmp_path / "study"
    tuned = tune(text, out=study, task="language", trials=2, epochs=4, progress=False, **sizes)
    assert [(trial.model, trial.epochs) for trial in tuned.trials] == [("language", 1), ("language", 4)]
    assert tuned.best.outcome.value == min(trial.outcome.value for trial in tuned.trials)
    assert tuned.run.metrics.test is not None
    with pytest.raises(ShapeError, match="a language or frame model has no predictor; use the run"):
        tuned.predictor  # noqa: B018
    assert tuned.command.startswith(f"throughtime train {text} --task language --model language ")


def test_options_that_are_given_or_have_no_effect_are_not_searched() -> None:
    space = space_of("classification", "tokens", "bilstm", {"learning_rate", "hidden_size"})
    assert list(space.options["bilstm"]) == [
        "weight_decay", "bilstm.embedding_size", "bilstm.num_layers", "bilstm.dropout", "bilstm.pool",
    ]  # fmt: skip
    assert "bilstm.pool" not in space_of("tagging", "tokens", "bilstm", ()).options["bilstm"]
    assert not any("embedding" in name for name in space_of("regression", "series", "fcn", ()).options["fcn"])
    vectors = space_of("classification", "tokens", None, {"vectors"})
    assert "textcnn" in vectors.models
    assert "textcnn.embedding_size" not in vectors.options["textcnn"]
    assert "language.cell" in space_of("language", "tokens", None, ()).options["language"]
    assert "gru.cell" not in space_of("language", "tokens", "gru", ()).options["gru"]
    assert "gru.hidden_size" in space_of("language", "tokens", "gru", ()).options["gru"]
    assert space_of("classification", "tokens", None, {"kernel_sizes"}).models == ("textcnn",)


def test_the_models_are_those_that_read_the_inputs() -> None:
    tokens, series = (space_of("classification", kind, None, ()).models for kind in ("tokens", "series"))
    assert tokens[0] == "textcnn"
    assert series[0] == "fcn"
    assert set(tokens) == {"textcnn", "bilstm", "bigru"}
    assert set(series) == {"fcn", "resnet", "inceptiontime", "lstmfcn", "tcn", "bilstm", "bigru"}
    assert space_of("anomaly", "series", None, ()).models == ("forecast",)


def test_a_budget_is_read() -> None:
    assert [checked_budget(text) for text in ("90s", "1.5m", "2h", "7", 7, 0.5)] == [90, 90, 7200, 7, 7, 0.5]
