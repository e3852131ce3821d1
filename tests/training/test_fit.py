"""`fit`: the model that is kept, when it stops, errors, and progress."""

import io

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.training.toy import MODEL, SETTINGS, TASK, Toy, created, fitted, same_weights, weights
from throughtime import Ragged
from throughtime.data.examples import Examples
from throughtime.errors import DataError, NotFiniteError, ShapeError
from throughtime.tasks import predict
from throughtime.training import EpochMetrics, ModelSpec, Settings, _engine, evaluate, fit
from throughtime.training._metrics import best_epoch
from throughtime.training._module import TrainingModule
from throughtime.training._progress import epoch_header, epoch_line


def with_settings(**changed):
    return Settings(**SETTINGS.to_json() | changed)


def test_it_ends_when_validation_no_longer_gets_better(tmp_path):
    run = created(tmp_path / "run", settings=with_settings(learning_rate=0, patience=2, epochs=6))
    result = fitted(run)
    assert not result.interrupted
    assert result.metrics.stopped == "patience"
    assert result.metrics.best_epoch == 1
    assert len(result.metrics.history) == 3


def test_patience_that_was_over_is_over_after_resuming(tmp_path):
    run = created(tmp_path / "run", settings=with_settings(learning_rate=0, patience=1, epochs=6))
    finished = fitted(run).metrics
    run.save_metrics(type(finished)())
    assert fitted(run, resume=True).metrics == finished


def test_the_best_model_is_kept_not_the_last(tmp_path, monkeypatch):
    begin = TrainingModule.on_train_epoch_start

    def ruined_in_the_end(self):
        begin(self)
        if self.current_epoch == 2:
            for parameter in self.parameters():
                parameter.data.zero_()

    monkeypatch.setattr(TrainingModule, "on_train_epoch_start", ruined_in_the_end)
    run = created(tmp_path / "run")
    metrics = fitted(run).metrics
    best = metrics.history[metrics.best_epoch - 1]
    assert metrics.best_epoch < 3
    again = evaluate(run.load_model(), TASK, Toy().validation)
    assert again["accuracy"] == best.validation["accuracy"]
    assert again["loss"] == pytest.approx(best.validation["loss"])


def epochs(*pairs):
    return [
        EpochMetrics(i, 1, {"loss": 0.5, "accuracy": 0.5}, {"loss": loss, "accuracy": accuracy}, 0.1, 10, 1.0)
        for i, (loss, accuracy) in enumerate(pairs, start=1)
    ]


def test_which_epoch_is_best():
    history = epochs((0.5, 0.8), (0.4, 0.8), (0.3, 0.7), (0.4, 0.8))
    assert best_epoch(history, "accuracy") == 2
    assert best_epoch(history, "loss") == 3
    assert best_epoch([], "loss") is None
    undefined = epochs((0.5, float("nan")), (0.6, 0.1), (0.4, float("nan")))
    assert best_epoch(undefined, "accuracy") == 2
    assert best_epoch(undefined[::2], "accuracy") == 3


def test_a_loss_that_is_not_finite_ends_it_and_the_best_model_stays(tmp_path, monkeypatch):
    run = created(tmp_path / "run", settings=with_settings(clip=None))
    with monkeypatch.context() as patch:
        patch.setattr(Settings, "learning_rate_at", lambda self, p: 0.01 if p < 1 / 3 else 1e38)
        with pytest.raises(NotFiniteError, match=r"is (nan|inf) in epoch 2, step \d+; the best model so far"):
            fitted(run)
    assert run.metrics.best_epoch == 1
    assert all(tensor.isfinite().all() for tensor in weights(run).values())


def test_a_gradient_that_is_not_finite_ends_it_before_it_harms(tmp_path, monkeypatch):
    run = created(tmp_path / "run")
    steps = 0
    cross_entropy = F.cross_entropy

    def with_bad_gradient(logits, labels, reduction):
        nonlocal steps
        steps += 1
        losses = cross_entropy(logits, labels, reduction=reduction)
        return losses + (losses * 0).sqrt() if steps == 3 else losses

    monkeypatch.setattr(F, "cross_entropy", with_bad_gradient)
    with pytest.raises(NotFiniteError, match="gradients is nan in epoch 1, step 3; no model was saved"):
        fitted(run)


def test_of_a_recurrent_model_it_says_which_layer_and_time_step(tmp_path, monkeypatch):
    model = ModelSpec("bigru", {"embedding_size": 4, "hidden_size": 4})
    run = created(tmp_path / "run", model=model)
    begin = TrainingModule.on_train_epoch_start

    def spoil(self):
        begin(self)
        with torch.no_grad():
            self.model.embedding.weight[3] = float("inf") if self.current_epoch else 0.0

    monkeypatch.setattr(TrainingModule, "on_train_epoch_start", spoil)
    where = r"recurrent: the input is not finite, first at step \d+ of sequence \d+ of its batch"
    with pytest.raises(NotFiniteError, match=rf"in epoch 2, step \d+ \({where}\); the best model"):
        fitted(run)


def test_no_validation_examples_are_an_error(tmp_path):
    class Without(Toy):
        validation = Examples(Ragged.empty(dtype=torch.int64), torch.empty(0, dtype=torch.int64))

    run = created(tmp_path / "run", source=Without())
    with pytest.raises(DataError, match="no validation examples"):
        fitted(run, source=Without())


def test_without_test_examples_there_is_no_score(tmp_path):
    class Without(Toy):
        test = None

    run = created(tmp_path / "run", source=Without(), settings=with_settings(epochs=1))
    assert fitted(run, source=Without()).metrics.test is None


@pytest.mark.parametrize("name", ["bilstm", "bigru"])
def test_recurrent_models_train_too(name, tmp_path):
    model = ModelSpec(name, {"embedding_size": 4, "hidden_size": 4})
    run = created(tmp_path / "run", model=model, settings=with_settings(epochs=1))
    assert len(fitted(run).metrics.history) == 1


def test_plain_lines_when_standard_output_is_no_terminal(tmp_path, capsys):
    run = created(tmp_path / "run", settings=with_settings(epochs=2))
    fit(Toy(), TASK, MODEL, run.config.settings, run)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == epoch_header(TASK, 2)
    assert [line.split()[0] for line in lines[1:]] == ["1/2", "2/2"]
    assert "\x1b" not in "".join(lines)


def test_progress_can_be_left_out(tmp_path, capsys):
    fitted(created(tmp_path / "run", settings=with_settings(epochs=1)))
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_live_line_on_a_terminal(tmp_path, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(
        _engine, "Console", lambda quiet: Console(file=screen, force_terminal=True, width=140)
    )
    monkeypatch.setattr("throughtime.training._progress._SECONDS_BETWEEN_FRAMES", 0)
    run = created(tmp_path / "run", settings=with_settings(epochs=2))
    fit(Toy(), TASK, MODEL, run.config.settings, run)
    shown = screen.getvalue()
    for part in ("epoch 2/2", "step 3/", "loss 0.", "accuracy", "tokens/s", " left", "validating"):
        assert part in shown


def test_the_line_of_an_epoch():
    (epoch,) = epochs((0.5, 0.8125))
    assert epoch_header(TASK, 10).split() == [
        "epoch",
        "loss",
        "train",
        "/",
        "val.",
        "accuracy",
        "train",
        "/",
        "val.",
        "tokens/s",
        "time",
    ]
    line = epoch_line(TASK, epoch, 10, best=True)
    assert line.split() == [
        "1/10",
        "0.5",
        "/",
        "0.5",
        "50.0",
        "%",
        "/",
        "81.2",
        "%",
        "10",
        "1.0",
        "s",
        "best",
    ]
    assert len(line) <= 80
    assert len(line.removesuffix("  best")) == len(epoch_header(TASK, 10))


@given(st.lists(st.integers(0, 12), min_size=1, max_size=30), st.integers(1, 40))
def test_predictions_are_in_the_order_that_was_given(lengths, tokens_per_batch):
    tokens = Ragged.from_lengths(torch.arange(sum(lengths)) % 12, lengths)
    torch.manual_seed(0)
    model = MODEL.build(Toy.shape, TASK).eval()
    one_by_one = torch.cat([model(tokens[[i]]) for i in range(len(tokens))])
    torch.testing.assert_close(predict(model, tokens, tokens_per_batch=tokens_per_batch), one_by_one.detach())


def test_evaluating_counts_and_leaves_the_model_as_it_was():
    model = MODEL.build(Toy.shape, TASK)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    examples = Toy().validation
    result = evaluate(model.train(), TASK, examples)
    assert model.training
    assert same_weights(model.state_dict(), before)
    logits = predict(model, examples.inputs)
    assert not logits.requires_grad
    right = logits.argmax(1) == examples.targets
    assert result["accuracy"] == pytest.approx(right.double().mean().item())
    chosen = logits.softmax(1).gather(1, examples.targets[:, None])
    assert result["loss"] == pytest.approx(-chosen.log().mean().item(), rel=1e-5)
    assert result.examples == len(examples)


def test_no_sequences_are_an_error():
    with pytest.raises(ShapeError, match="no sequences"):
        predict(MODEL.build(Toy.shape, TASK), Ragged.empty(dtype=torch.int64))


def test_dropout_is_drawn_anew_in_each_step(tmp_path, monkeypatch):
    states = []
    original = TrainingModule.training_step

    def noting(self, batch, batch_idx):
        states.append(torch.get_rng_state())
        return original(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", noting)
    metrics = fitted(created(tmp_path / "run")).metrics
    assert len(states) == sum(epoch.steps for epoch in metrics.history)
    assert len({state.numpy().tobytes() for state in states}) == len(states)
