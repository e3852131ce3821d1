"""A training repeats bit for bit, and resumes exactly after it was killed, interrupted, or failed."""

import gc
import json
import shutil
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from tests.training import killed
from tests.training.toy import (
    MODEL,
    SETTINGS,
    TASK,
    Toy,
    created,
    fitted,
    relisted,
    same_weights,
    weights,
    without_times,
)
from throughtime.errors import RunError
from throughtime.tasks import Classification
from throughtime.training import ModelSpec, Run, Settings, _engine, _files, _surroundings, fit
from throughtime.training._module import TrainingModule
from throughtime.training._tensor_file import read_tree, to_bytes


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = created(tmp_path_factory.mktemp("runs") / "uninterrupted")
    assert not fitted(run).interrupted
    return run


def check_same(run, expected):
    assert same_weights(weights(run), weights(expected))
    assert without_times(run.metrics) == without_times(expected.metrics)
    state, expected_state = read_tree(run.state_path), read_tree(expected.state_path)
    assert same_weights(state["state_dict"], expected_state["state_dict"])
    optimizer, expected_optimizer = (s["optimizer_states"][0]["state"] for s in (state, expected_state))
    assert all(same_weights(optimizer[i], expected_optimizer[i]) for i in expected_optimizer)


def test_it_learns(uninterrupted):
    metrics = uninterrupted.metrics
    assert [epoch.epoch for epoch in metrics.history] == [1, 2, 3]
    assert metrics.history[-1].train["loss"] < metrics.history[0].train["loss"]
    assert metrics.history[-1].validation["accuracy"] > 0.8
    assert metrics.test is not None
    assert metrics.test["accuracy"] > 0.8
    assert metrics.test.examples == 50
    assert metrics.stopped == "epochs"


def test_epochs_differ_in_their_number_of_steps(uninterrupted):
    assert len({epoch.steps for epoch in uninterrupted.metrics.history}) > 1


def test_two_runs_give_equal_bits(uninterrupted, tmp_path):
    torch.manual_seed(99)  # the caller's random state is not the training's
    again = created(tmp_path / "again")
    fitted(again)
    check_same(again, uninterrupted)


def test_another_seed_gives_other_weights(uninterrupted, tmp_path):
    other = created(tmp_path / "other", settings=Settings(**SETTINGS.to_json() | {"seed": 1}))
    fitted(other)
    assert not same_weights(weights(other), weights(uninterrupted))


def test_two_threads_repeat_too(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        runs = []
        for folder in ("a", "b"):
            model = ModelSpec("textcnn", {"embedding_size": 64})
            settings = Settings(epochs=1, tokens_per_batch=200)
            runs.append(created(tmp_path / folder, model, settings, source=Toy(size=40)))
            fitted(runs[-1], source=Toy(size=40))
    finally:
        torch.set_num_threads(threads)
    assert same_weights(weights(runs[0]), weights(runs[1]))


@pytest.fixture(scope="module")
def killed_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.training.killed", str(folder), "toy"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def progress_when_killed(killed_runs):
    """Where the states stood, read before anything is resumed."""
    states = [killed_runs / str(number) / "state.safetensors" for number in range(len(killed.MOMENTS))]
    return [read_tree(state)["loops"]["fit_loop"] if state.exists() else None for state in states]


@pytest.mark.parametrize("moment", killed.MOMENTS)
def test_a_killed_training_goes_on_to_the_same_weights(
    moment, killed_runs, progress_when_killed, uninterrupted
):
    number = list(killed.MOMENTS).index(moment)
    run = Run.open(killed_runs / str(number))
    assert not run.finished
    assert (progress_when_killed[number] is None) == (number == 0)
    result = fitted(run, resume=True)
    assert not result.interrupted
    assert not result.already_finished
    check_same(run, uninterrupted)
    assert not list(run.path.glob(".*")), "unfinished files are left"


def test_the_killed_trainings_were_where_they_should_be(progress_when_killed):
    progress = progress_when_killed[1:]
    assert [p["epoch_progress"]["current"]["processed"] for p in progress] == [1, 1, 2, 0, 0]
    assert [p["epoch_loop.batch_progress"]["current"]["ready"] for p in progress] == [3, 6, 8, 3, 6]


def signalled(monkeypatch, number, hook, at, *, times=1):
    """Raise a signal in the ``at``-th call of a hook of the training module."""
    calls = 0
    original = getattr(TrainingModule, hook)

    def hooked(self, *args):
        nonlocal calls
        calls += 1
        if calls == at:
            for _ in range(times):
                signal.raise_signal(number)
        return original(self, *args)

    monkeypatch.setattr(TrainingModule, hook, hooked)


@pytest.mark.parametrize(
    ("number", "hook", "at"),
    [
        pytest.param(signal.SIGINT, "training_step", 2, id="Ctrl-C in the first epoch"),
        pytest.param(signal.SIGINT, "training_step", 15, id="Ctrl-C in the second epoch"),
        pytest.param(signal.SIGINT, "validation_step", 1, id="Ctrl-C in validation"),
        pytest.param(signal.SIGTERM, "training_step", 15, id="SIGTERM"),
    ],
)
def test_an_interrupted_training_ends_in_order_and_goes_on(
    number, hook, at, tmp_path, monkeypatch, uninterrupted
):
    handler = signal.getsignal(number)
    run = created(tmp_path / "run")
    with monkeypatch.context() as patch:
        signalled(patch, number, hook, at)
        result = fitted(run)
    assert result.interrupted
    assert signal.getsignal(number) is handler
    assert run.load_model() is not None
    assert run.state_path.exists()
    assert run.metrics.stopped is None
    assert not fitted(run, resume=True).interrupted
    check_same(run, uninterrupted)


def test_interrupted_before_any_validation_the_current_weights_are_saved(tmp_path, monkeypatch):
    run = created(tmp_path / "run")
    signalled(monkeypatch, signal.SIGINT, "training_step", 2)
    fitted(run)
    state = read_tree(run.state_path)["state_dict"]
    assert same_weights(weights(run), {name.removeprefix("model."): t for name, t in state.items()})
    assert run.metrics.best_epoch is None


def test_ctrl_c_twice_ends_at_once_with_the_last_state(tmp_path, monkeypatch, uninterrupted):
    run = created(tmp_path / "run")
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGINT, "training_step", 6, times=2)
        assert fitted(run).interrupted
    progress = read_tree(run.state_path)["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert progress["current"]["ready"] == 3
    fitted(run, resume=True)
    check_same(run, uninterrupted)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch, uninterrupted):
    run = created(tmp_path / "run")
    written = 0

    def failing(descriptor):
        nonlocal written
        written += 1
        if written > 6:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "fsync", failing)
        with pytest.raises(RunError, match=r"cannot be written \(No space left on device\)"):
            fitted(run)
    fitted(run, resume=True)
    check_same(run, uninterrupted)


def test_a_finished_run_is_left_as_it_is(uninterrupted):
    before = {path.name: path.read_bytes() for path in uninterrupted.path.iterdir()}
    result = fitted(uninterrupted, resume=True)
    assert result.already_finished
    assert not result.interrupted
    assert {path.name: path.read_bytes() for path in uninterrupted.path.iterdir()} == before


def test_a_run_killed_just_before_its_end_only_ends(uninterrupted, tmp_path, monkeypatch):
    run = created(tmp_path / "run")
    for name in ("model.safetensors", "state.safetensors"):
        (run.path / name).write_bytes((uninterrupted.path / name).read_bytes())
    relisted(run)
    monkeypatch.setattr(TrainingModule, "training_step", lambda *_: pytest.fail("there is nothing to train"))
    fitted(run, resume=True)
    check_same(run, uninterrupted)


def test_best_weights_that_are_gone_are_missed(interrupted, tmp_path):
    run = copied(interrupted, tmp_path / "run")
    (run.path / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors with the best weights .*epoch 1.* is missing"):
        fitted(run, resume=True)


@pytest.mark.parametrize("listed", [False, True])
def test_damaged_best_weights_are_told_before_training_goes_on(listed, interrupted, tmp_path, monkeypatch):
    run = copied(interrupted, tmp_path / "run")
    path = run.path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    if listed:
        relisted(run)
    monkeypatch.setattr(TrainingModule, "training_step", lambda *_: pytest.fail("this is training"))
    with pytest.raises(
        RunError, match=r"model\.safetensors is (damaged or was changed|cut short or damaged)"
    ):
        fitted(run, resume=True)


def test_the_state_that_was_read_is_not_kept(interrupted, tmp_path, monkeypatch):
    class State(dict):
        """A dict that can be referred to weakly."""

    run, states, steps = copied(interrupted, tmp_path / "run"), [], []
    saved, step = _engine.saved_state, TrainingModule.training_step

    def noted(run):
        state = State(saved(run))
        states.append(weakref.ref(state))
        return state

    def looking(self, *args):
        if not steps:
            gc.collect()
        steps.append(states[0]())
        return step(self, *args)

    monkeypatch.setattr(_engine, "saved_state", noted)
    monkeypatch.setattr(TrainingModule, "training_step", looking)
    fitted(run, resume=True)
    assert steps
    assert all(state is None for state in steps)


def test_going_on_needs_resume(uninterrupted):
    with pytest.raises(
        RunError, match=r"has already started training; resume it with resume=True \(--resume\) or choose"
    ):
        fitted(uninterrupted)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"settings": Settings(**SETTINGS.to_json() | {"learning_rate": 0.5})},
            "settings.learning_rate = 0.05",
        ),
        ({"model": ModelSpec("bigru")}, r"model\.(name|options)"),
        ({"task": Classification(("with", "without"))}, r"task\.classes = "),
        ({"source": Toy(size=90)}, "data.size = 120, now it is 90"),
    ],
)
def test_other_arguments_than_the_runs_are_refused(changed, message, uninterrupted):
    arguments = {"source": Toy(), "task": TASK, "model": MODEL, "settings": SETTINGS} | changed
    with pytest.raises(RunError, match=message):
        fit(**arguments, run=uninterrupted, resume=True)


def test_the_process_is_as_it_was(tmp_path):
    random = torch.get_rng_state()
    torch.use_deterministic_algorithms(False)
    torch.set_grad_enabled(False)
    fill = torch.utils.deterministic.fill_uninitialized_memory
    try:
        fitted(created(tmp_path / "run", settings=Settings(epochs=1)))
        assert torch.equal(random, torch.get_rng_state())
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.utils.deterministic.fill_uninitialized_memory == fill
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)


def test_a_damaged_state_is_told(tmp_path, monkeypatch):
    run = created(tmp_path / "run")
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGINT, "training_step", 2)
        fitted(run)
    run.state_path.write_bytes(run.state_path.read_bytes()[:-10])
    with pytest.raises(RunError, match=r"state\.safetensors is damaged or was changed"):
        fitted(run, resume=True)
    relisted(run)
    with pytest.raises(RunError, match=r"state\.safetensors is cut short or damaged"):
        fitted(run, resume=True)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    run = created(tmp_path_factory.mktemp("runs") / "interrupted")
    with pytest.MonkeyPatch.context() as patch:
        signalled(patch, signal.SIGINT, "training_step", 15)
        assert fitted(run).interrupted
    return run


def copied(run, path):
    shutil.copytree(run.path, path)
    return Run.open(path)


def _without(*keys):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]

    return change


def _replaced(value, *keys):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _without("state_dict"),
        _without("state_dict", "model.output.bias"),
        _replaced(torch.zeros(2, dtype=torch.float64), "state_dict", "model.output.bias"),
        _replaced("zero", "state_dict", "model.output.bias"),
        _without("loops"),
        _replaced(3, "loops", "fit_loop"),
        _without("optimizer_states"),
        _replaced([], "optimizer_states"),
        _replaced(torch.zeros(3), "optimizer_states", 0, "state", 0, "exp_avg"),
        _replaced((0.5, 0.5), "optimizer_states", 0, "param_groups", 0, "betas"),
        _without("throughtime"),
        _replaced({}, "throughtime", "totals"),
        _replaced([{}], "throughtime", "history"),
        _replaced(5, "pytorch-lightning_version"),
    ],
)
def test_a_state_in_which_something_else_stands_is_told(change, tmp_path, interrupted):
    run = created(tmp_path / "run")
    state = read_tree(interrupted.state_path)
    change(state)
    run.state_path.write_bytes(to_bytes(state))
    relisted(run)
    with pytest.raises(RunError, match=r"state\.safetensors (is damaged|does not fit)"):
        fitted(run, resume=True)


def test_lightning_logs_again_afterwards():
    import logging

    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    with _surroundings.quiet_lightning():
        assert logger.level == logging.WARNING
    assert logger.level == level


def test_metrics_are_plain_json(uninterrupted):
    content = json.loads((uninterrupted.path / "metrics.json").read_bytes())
    assert content["best_epoch"] in (1, 2, 3)
    assert set(content["history"][0]) == {
        "epoch",
        "steps",
        "train",
        "validation",
        "learning_rate",
        "tokens",
        "tokens_per_second",
        "seconds",
    }
