"""Changes to a run between and during trainings."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest
import torch

from tests.training.test_resume import signalled
from tests.training.toy import MODEL, SETTINGS, created, fitted, same_weights, weights
from throughtime.errors import RunError
from throughtime.training import ModelSpec, Run, Settings, _files, _run
from throughtime.training._lock import only_training
from throughtime.training._module import TrainingModule

HOLDING = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]).acquire(); print('held', flush=True); input()"


def interrupted(path, **more):
    run = created(path, **more)
    with pytest.MonkeyPatch.context() as patch:
        signalled(patch, signal.SIGINT, "training_step", 10)
        assert fitted(run).interrupted
    return run


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ------------------------------------------------------------------ two processes


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_another_process_trains_is_left_alone(resume, tmp_path):
    run = interrupted(tmp_path / "run") if resume else created(tmp_path / "run")
    command = [sys.executable, "-c", HOLDING, str(run.path / "training.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        before = content(run.path)
        with pytest.raises(RunError, match=r"another process is training in .*run; wait until it ends"):
            fitted(run, resume=resume)
        assert content(run.path) == before
        other.kill()  # the system releases its lock
    assert not fitted(run, resume=resume).interrupted


def test_a_training_within_a_training_is_refused(tmp_path, monkeypatch):
    run = created(tmp_path / "run", settings=Settings(epochs=1))
    step, refused = TrainingModule.training_step, []

    def training_again(self, *args):
        if not refused:
            with pytest.raises(RunError, match="another process is training") as caught:
                fitted(run, resume=True)
            refused.append(caught.value)
        return step(self, *args)

    monkeypatch.setattr(TrainingModule, "training_step", training_again)
    assert not fitted(run).interrupted
    assert refused


def test_the_lock_ends_with_the_training(tmp_path):
    run = interrupted(tmp_path / "run")
    with only_training(run.path):
        pass
    assert not fitted(run, resume=True).interrupted


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP])
def test_a_file_system_without_locks_is_told_and_trained_on(code, there, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    run = created(tmp_path / "run")
    if there:
        (run.path / "training.lock").touch()
    monkeypatch.setattr(fcntl, "flock", unable(code))
    with (
        pytest.warns(UserWarning, match=r"is on a file system without locks; make sure"),
        only_training(run.path) as hold,
    ):
        hold.require_there()


def test_a_lock_that_fails_for_another_reason_is_an_error(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    run = created(tmp_path / "run")
    monkeypatch.setattr(fcntl, "flock", unable(errno.EIO))
    with pytest.raises(RunError, match=r"training\.lock cannot be written"), only_training(run.path):
        pass


def unable(code):
    def flock(*_):
        raise OSError(code, "no flock here")

    return flock


# ------------------------------------------------------------------ the folder


def deleted(path):
    shutil.rmtree(path)


def renamed(path):
    path.rename(path.with_name("renamed"))


def exchanged(path):
    renamed(path)
    created(path)


def test_a_pipe_in_place_of_the_run_is_not_read(tmp_path):
    run = created(tmp_path / "run")
    path, messages = run.path / "run.json", []
    content = path.read_bytes()
    with only_training(run.path) as hold:

        def check():
            try:
                hold.require_there()
            except RunError as error:
                messages.append(str(error))

        path.unlink()
        os.mkfifo(path)
        pipe = os.open(path, os.O_RDWR)  # while it is open, reading to the end would wait
        try:
            os.write(pipe, content)
            checking = threading.Thread(target=check, daemon=True)
            checking.start()
            checking.join(20)
        finally:
            os.close(pipe)
        checking.join(20)
    assert len(messages) == 1
    assert "was replaced during the training" in messages[0]


SHORT = Settings(**SETTINGS.to_json() | {"epochs": 1})


@pytest.mark.parametrize(
    ("happening", "watched"), [(deleted, False), (deleted, True), (renamed, False), (exchanged, False)]
)
def test_a_folder_that_goes_away_during_a_training_is_told(happening, watched, tmp_path, monkeypatch):
    model = ModelSpec("bigru", {"embedding_size": 4, "hidden_size": 4}) if watched else MODEL
    run = created(tmp_path / "run", model=model, settings=SHORT)
    step, steps = TrainingModule.training_step, 0

    def away(self, *args):
        nonlocal steps
        steps += 1
        if steps == 5:
            happening(run.path)
        return step(self, *args)

    monkeypatch.setattr(TrainingModule, "training_step", away)
    message = (
        r"run was (replaced|deleted or renamed) during the training|the folder .*run was deleted or renamed"
    )
    with pytest.raises(RunError, match=message):
        fitted(run, watch_every=2 if watched else 0)
    if happening is exchanged:
        assert not run.state_path.exists()
        shutil.rmtree(run.path)
    if happening is not deleted:
        monkeypatch.undo()
        (tmp_path / "renamed").rename(run.path)
        assert not fitted(run, resume=True).interrupted
        whole = created(tmp_path / "whole", settings=SHORT)
        fitted(whole)
        assert same_weights(weights(run), weights(whole))


def test_what_a_full_disk_leaves_is_removed(tmp_path, monkeypatch):
    run, written = created(tmp_path / "run"), 0

    def failing(descriptor):
        nonlocal written
        written += 1
        if written == 9:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "fsync", failing)
        with pytest.raises(RunError, match=r"cannot be written \(No space left on device\)"):
            fitted(run)
    assert not list(run.path.glob(".*"))


def test_what_a_killed_training_leaves_is_removed(tmp_path):
    run = interrupted(tmp_path / "run")
    for name in ("state.safetensors", "model.safetensors", "metrics.json"):
        (run.path / f".{name}.part").write_bytes(b"half")
    fitted(run, resume=True)
    assert not list(run.path.glob(".*"))


# ------------------------------------------------------------------ the environment


def recorded(run):
    return json.loads((run.path / "environment.json").read_bytes())


def test_going_on_in_the_same_environment_is_nothing_to_tell(tmp_path):
    run = interrupted(tmp_path / "run")
    before = recorded(run)
    fitted(run, resume=True)
    assert recorded(run) == before


def test_another_number_of_threads_is_told_and_written_down(tmp_path):
    run = interrupted(tmp_path / "run", settings=Settings(**SETTINGS.to_json() | {"epochs": 2}))
    before, threads = recorded(run), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(
            UserWarning, match=r"in another environment .*\(threads 2 instead of 1\).* last bits"
        ):
            fitted(run, resume=True)
    finally:
        torch.set_num_threads(threads)
    (entry,) = recorded(run)["resumed"]
    assert entry.pop("at").endswith("+00:00")
    assert entry == {"epochs": 1, "changed": {"threads": [1, 2]}}
    assert recorded(run) == before | {"resumed": recorded(run)["resumed"]}
    Run.open(run.path).load_model()


@pytest.mark.parametrize(
    ("changed", "message", "entry"),
    [
        ({"instruction_set": "baseline"}, "instruction_set baseline instead of", "instruction_set"),
        ({"cpu_capability": "DEFAULT"}, "cpu_capability DEFAULT instead of", "cpu_capability"),
        ({"processes": 2}, "processes 2 instead of 1", "processes"),
        ({"packages": {"torch": "2.0"}}, "torch 2.0 instead of", "torch"),
    ],
)
def test_what_decides_about_weights_is_compared(changed, message, entry, tmp_path, monkeypatch):
    run = interrupted(tmp_path / "run")
    now = recorded(run)
    changed = {name: {**now[name], **new} if isinstance(new, dict) else new for name, new in changed.items()}
    monkeypatch.setattr(_run, "environment", lambda: {**now, **changed})
    for times in (1, 2):
        with pytest.MonkeyPatch.context() as patch:
            signalled(patch, signal.SIGINT, "training_step", 2)
            with pytest.warns(UserWarning, match=message):
                assert fitted(run, resume=True).interrupted
        assert [list(noted["changed"]) for noted in recorded(run)["resumed"]] == [[entry]] * times


def test_what_decides_nothing_is_not_compared(tmp_path, monkeypatch):
    run = interrupted(tmp_path / "run")
    now = recorded(run)
    monkeypatch.setattr(_run, "environment", lambda: {**now, "python": "3.99", "platform": "x", "cpus": 999})
    fitted(run, resume=True)
    assert recorded(run) == now


def test_a_training_that_begins_elsewhere_than_its_run_was_made_says_where_it_began(tmp_path, monkeypatch):
    run = created(tmp_path / "run", settings=Settings(epochs=1))
    now = recorded(run) | {"threads": 7}
    monkeypatch.setattr(_run, "environment", lambda: now)
    fitted(run)
    assert recorded(run) == now
