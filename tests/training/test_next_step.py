"""Trainings of next-step models: against a plain loop, killed and resumed, in bfloat16, evaluated."""

import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import throughtime as tt
from tests.training import killed
from tests.training.test_resume import check_same
from tests.training.toy import relisted, same_weights, weights
from tests.training.toy_next import MODEL, OPTIONS, SETTINGS, created, fitted, frames, source
from throughtime.data.batches import derived_seed
from throughtime.data.next_step import Pairs
from throughtime.data.window_batches import WindowLoader
from throughtime.errors import DataError, NotFiniteError, RunError, ShapeError, UnsupportedError
from throughtime.tasks import Frames, Language
from throughtime.training import ModelSpec, Run, Settings, fit
from throughtime.training._module import TrainingModule, merged_states
from throughtime.training._tensor_file import read_tree

FRAME_MODEL = ModelSpec("frame", {"hidden_size": 8, "dropout": 0.2, "cell": "gru"})


def _settings(**changed: Any) -> Settings:
    return Settings(**SETTINGS.to_json() | changed)


@pytest.mark.parametrize(("k1", "k2"), [(5, None), (5, 8)])
def test_a_training_is_the_loop_that_its_settings_describe(tmp_path: Path, k1: int, k2: int | None) -> None:
    """Streams cut by hand, the state handed on by hand, one update each k1 steps."""
    model = ModelSpec("language", {**OPTIONS, "dropout": 0.0})
    settings = _settings(epochs=2, k1=k1, k2=k2, clip=0.5)
    run = created(tmp_path / "run", model, settings)
    fitted(run)
    found = read_tree(run.state_path)["state_dict"]
    torch.manual_seed(derived_seed("weights", 0))
    twin = model.build(run.config.shape, run.config.task)
    tokens = source().training(0).values
    lines = [part.tolist() for part in torch.tensor_split(torch.arange(len(tokens) - 1), 4)]
    longest = max(map(len, lines))
    optimizer = torch.optim.AdamW(twin.parameters(), lr=1, weight_decay=0.01, fused=True)
    steps, number, back = -(-longest // k1), 0, k2 or k1
    for _ in range(2):
        kept: dict[tuple[int, int], Any] = {}
        for n in range(steps):
            begin, end = max(0, (n + 1) * k1 - back), (n + 1) * k1
            losses = []
            for line, places in enumerate(lines):
                state = kept.get((line, begin))
                for t in range(begin, min(end, len(places))):
                    following, state = twin.step(tokens[places[t]][None], state)
                    kept[line, t + 1] = [tuple(part.detach() for part in layer) for layer in state]
                    if t >= n * k1:
                        losses.append(-following[0, tokens[places[t] + 1]])
                for t in range(begin, end + 1):
                    if (line, t) in kept:
                        kept[line, t] = tuple(kept[line, t])
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
            optimizer.param_groups[0]["lr"] = settings.learning_rate_at((number + 0.5) / (2 * steps))
            optimizer.step()
            number += 1
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(found[f"model.{name}"], value, rtol=1e-3, atol=2e-5)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = created(tmp_path_factory.mktemp("runs") / "uninterrupted")
    assert not fitted(run).interrupted
    return run


def test_it_learns(uninterrupted: Run) -> None:
    metrics = uninterrupted.metrics
    losses = [epoch.validation["loss"] for epoch in metrics.history]
    assert losses == sorted(losses, reverse=True)
    assert metrics.test is not None
    assert metrics.test["loss"] < math.log(8)
    assert metrics.test.examples == 49
    assert {epoch.tokens for epoch in metrics.history} == {168}


@pytest.fixture(scope="module")
def killed_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.training.killed", str(folder), "toy_next"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("moment", killed.MOMENTS)
def test_a_killed_training_goes_on_to_the_same_weights(
    moment: str, killed_runs: Path, uninterrupted: Run
) -> None:
    run = Run.open(killed_runs / str(list(killed.MOMENTS).index(moment)))
    assert not run.finished
    assert not fitted(run, resume=True).interrupted
    check_same(run, uninterrupted)


def test_the_state_of_the_streams_is_in_the_checkpoint_and_counts(
    killed_runs: Path, uninterrupted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that forgets where its streams were does not come to the same weights."""
    run = created(tmp_path / "run")
    calls = 0
    step = TrainingModule.training_step

    def stopping(self: TrainingModule, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", stopping)
        assert fitted(run).interrupted
    carried = read_tree(run.state_path)["throughtime"]["carried"]
    for layer in carried["layers"].values():
        assert sorted(layer["ids"].tolist()) == [0, 1, 2, 3]
        assert all(part.any() for part in layer["state"])
    load = TrainingModule.on_load_checkpoint

    def forgetting(self: TrainingModule, checkpoint: Any) -> None:
        load(self, checkpoint)
        self.carried.reset()

    monkeypatch.setattr(TrainingModule, "on_load_checkpoint", forgetting)
    fitted(run, resume=True)
    assert not same_weights(weights(run), weights(uninterrupted))


@pytest.mark.parametrize(
    ("at", "precision"), [(2, "float32"), (7, "float32"), (16, "float32"), (7, "bfloat16")]
)
def test_frames_go_on_in_the_middle_of_a_group(
    at: int, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(streams=3, k1=4, precision=precision)
    whole = created(tmp_path / "whole", FRAME_MODEL, settings, frames())
    fitted(whole, frames())
    stopped = created(tmp_path / "stopped", FRAME_MODEL, settings, frames())
    calls = 0
    step = TrainingModule.training_step

    def stopping(self: TrainingModule, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", stopping)
        assert fitted(stopped, frames()).interrupted
    fitted(stopped, frames(), resume=True)
    check_same(stopped, whole)


# ------------------------------------------------------------------ windows as batches


def test_every_step_is_counted_once_whatever_the_number_of_processes() -> None:
    pairs = Pairs.of_sequences(frames().training(0))
    numbered = Pairs(
        pairs.inputs.with_values(torch.arange(pairs.steps)),
        pairs.targets.with_values(torch.arange(pairs.steps)),
    )
    for processes in (1, 2, 3, 5):
        loaders = [
            WindowLoader(numbered, 3, 4, 6, seed=0, process=process, processes=processes)
            for process in range(processes)
        ]
        for epoch in range(2):
            for loader in loaders:
                loader.set_epoch(epoch)
            rounds = list(zip(*loaders, strict=True))
            assert len(rounds) == len(loaders[0])
            seen = []
            for batches in rounds:
                parts = [batch.targets.values for batch in batches]
                assert {batch.counted for batch in batches} == {sum(map(len, parts))}
                assert {batch.first for batch in batches} in ({True}, {False})
                seen += torch.cat(parts).tolist()
            assert sorted(seen) == list(range(numbered.steps))


def test_a_loader_goes_on_at_any_window() -> None:
    pairs = Pairs.of_sequences(frames().training(0))
    for seed in (None, 3):
        whole = [batch.inputs.values for batch in WindowLoader(pairs, 2, 3, seed=seed)]
        for place in range(len(whole)):
            loader = WindowLoader(pairs, 2, 3, seed=seed)
            loader.load_state_dict({"epoch": 0, "next_batch": place})
            rest = [batch.inputs.values for batch in loader]
            assert all(torch.equal(a, b) for a, b in zip(rest, whole[place:], strict=True))


def test_states_of_several_processes_become_one() -> None:
    layer, x = tt.nn.LSTM(3, 4), tt.Ragged.from_lengths(torch.randn(9, 3), [2, 3, 4])
    carried, parts = tt.bptt.Carried(), [tt.bptt.Carried() for _ in range(3)]
    with carried.carry(layer, range(3)):
        layer(x)
    for own, rows in zip(parts, ([0, 2], [1], []), strict=True):
        with own.carry(layer, rows):
            layer(x[rows])
    merged = tt.bptt.Carried()
    merged.load_state_dict(merged_states([part.state_dict() for part in parts]))
    for one in range(3):
        single, other = (_state_of(state, one) for state in (carried, merged))
        assert all(torch.equal(a, b) for a, b in zip(single, other, strict=True))


def _state_of(carried: tt.bptt.Carried, one: int) -> list[torch.Tensor]:
    saved = carried.state_dict()["layers"]["LSTM"]
    place = saved["ids"].tolist().index(one)
    return [part[place] for part in saved["state"]]


# ------------------------------------------------------------------ figures and precision


def test_an_evaluation_is_the_mean_over_the_whole_text(uninterrupted: Run) -> None:
    model, data = uninterrupted.load_model(), source()
    tokens = data.test.values
    log_probabilities = model(tt.Ragged.from_list([tokens[:-1]])).values
    expected = F.nll_loss(log_probabilities, tokens[1:]).item()
    for window in (1, 7, 1000):
        found, steps = Language().measure(model, data, data.test, window=window)
        assert found["loss"] == pytest.approx(expected, rel=1e-5)
        assert found["perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
        assert steps == len(tokens) - 1
        right = (log_probabilities.argmax(1) == tokens[1:]).float().mean()
        assert found["accuracy"] == pytest.approx(float(right))
    again, _ = Language().measure(model, data, data.validation, streams=4, window=5)
    assert again["loss"] == pytest.approx(
        min(e.validation["loss"] for e in uninterrupted.metrics.history), rel=1e-6
    )


def test_frames_are_evaluated_each_sequence_for_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = frames()
    model = FRAME_MODEL.build(data.shape, Frames())
    with torch.no_grad():
        model.output.weight.normal_()
    model.eval()
    total, steps = 0.0, 0
    for row in data.test:
        if len(row) > 1:
            logits = model(tt.Ragged.from_list([row[:-1]])).values
            total += F.binary_cross_entropy_with_logits(logits, row[1:].float(), reduction="sum").item()
            steps += len(row) - 1
    for streams in (1, 2, 50):
        found, count = Frames().measure(model, data, data.test, streams=streams, window=3)
        assert found["loss"] == found["nll_per_frame"] == pytest.approx(total / steps, rel=1e-5)
        assert count == steps


def test_windows_train_in_bfloat16_too(tmp_path: Path, uninterrupted: Run) -> None:
    run = created(tmp_path / "run", settings=_settings(precision="bfloat16"))
    fitted(run)
    state = read_tree(run.state_path)
    assert {value.dtype for value in state["state_dict"].values()} == {torch.float32}
    losses, expected = ([e.validation["loss"] for e in r.metrics.history] for r in (run, uninterrupted))
    assert losses == pytest.approx(expected, rel=0.03)
    assert losses != expected
    model = run.load_model()
    x = tt.Ragged.from_list([source().training(0).values[:40]])
    carried, found = tt.bptt.Carried(), []
    with torch.autocast("cpu", torch.bfloat16):
        whole = model(x).values
        for window in tt.bptt.windows(x, 7):
            with carried.carry(model, window):
                found.append(model(window.of(x)).values)
    torch.testing.assert_close(torch.cat(found), whole, rtol=1e-2, atol=1e-2)
    assert whole.dtype == torch.float32
    layers = carried.state_dict()["layers"].values()
    assert {part.dtype for layer in layers for part in layer["state"]} == {torch.float32}


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k1": 0}, "k1 must be a whole number from 1"),
        ({"k2": 0}, "k2 must be a whole number from 1"),
        ({"k1": 5, "k2": 3}, "k2 must be at least k1, the steps per update; got k1 = 5 and k2 = 3"),
        ({"k1": None, "k2": 3}, "k1 = None and k2 = 3"),
        ({"streams": 0}, "streams must be a whole number from 1"),
        ({"precision": "float16"}, "precision must be 'float32' or 'bfloat16'"),
    ],
)
def test_settings_that_cannot_be_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        _settings(**given)
    assert message in str(caught.value)


def test_what_does_not_go_together_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = created(tmp_path / "a", settings=_settings(k1=None))
    with pytest.raises(ShapeError, match="need settings with k1 and streams, got k1 = None"):
        fitted(run)
    run = created(tmp_path / "b", settings=_settings(streams=40))
    with pytest.raises(DataError, match="has 169 words, but 40 streams with a window of 5 steps need 201"):
        fitted(run)
    run = created(tmp_path / "c", model=ModelSpec("bigru"))
    with pytest.raises(UnsupportedError, match="a model that predicts the next step is one of language"):
        fitted(run)


def test_a_state_of_another_architecture_is_named(uninterrupted: Run, tmp_path: Path) -> None:
    other = created(tmp_path / "run", ModelSpec("language", {**OPTIONS, "cell": "gru"}))
    state = tmp_path / "run" / "state.safetensors"
    state.write_bytes(uninterrupted.state_path.read_bytes())
    relisted(other)
    before = {path.name: path.read_bytes() for path in other.path.iterdir()}
    with pytest.raises(RunError, match="does not fit the model .* the architecture differs"):
        fitted(other, resume=True)
    after = {path.name: path.read_bytes() for path in other.path.iterdir()}
    assert after == {**before, "training.lock": b""}


def test_equal_arguments_are_asked_for_on_resuming(uninterrupted: Run) -> None:
    with pytest.raises(RunError, match=r"settings\.k1 = 5, now it is 6"):
        fit(source(), Language("word"), MODEL, _settings(k1=6), uninterrupted, resume=True)
    with pytest.raises(RunError, match=r"data\.steps = "):
        fit(source(words=160), Language("word"), MODEL, SETTINGS, uninterrupted, resume=True)


def test_a_loss_that_is_not_finite_says_which_layer_and_time_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = created(tmp_path / "run")
    begin = TrainingModule.on_train_epoch_start

    def spoil(self: TrainingModule) -> None:
        begin(self)
        with torch.no_grad():
            layer: Any = self.model.layers[0]
            layer.weight_hh_l0.fill_(float("inf"))

    monkeypatch.setattr(TrainingModule, "on_train_epoch_start", spoil)
    where = r"layers\.0: a gate is not finite, first at step 0 of sequence 0 of its batch"
    with pytest.raises(NotFiniteError, match=rf"in epoch 1, step 1 \({where}\)"):
        fitted(run)
