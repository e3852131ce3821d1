"""Training of a blend: held-out outputs, resumed trainings, files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import throughtime as tt
from throughtime.errors import RunError, UnsupportedError
from throughtime.learn import Recipe, fit_recipe
from throughtime.learn.auto import read_outcome, training
from throughtime.models import Blend
from throughtime.tasks import model_outputs
from throughtime.training import Run

WORDS = [f"w{i}" for i in range(12)]


def _rows(count: int = 60) -> dict[str, list[Any]]:
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, random.integers(3, 7))) for _ in range(count)]
    return {
        "text": texts,
        "label": ["yes" if "w0" in text.split() or "w1" in text else "no" for text in texts],
    }


def _recipe(**options: Any) -> Recipe:
    return Recipe.of("classification", epochs=2, text=["text"], **options)


@pytest.fixture(scope="module")
def blended(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("auto") / "run"
    return fit_recipe(_recipe(), _rows(), out=path, progress=False).result.run


def test_run_of_a_blend_is_an_ordinary_run(blended: Run) -> None:
    predictor, model = tt.load(blended.path), Run.open(blended.path).load_model()
    assert isinstance(model, Blend)
    examples = predictor.examples(["w0 w3 w5", "w4 w4 w6"])
    parts = [[copy(examples.inputs) for copy in copies] for copies in model.members]  # type: ignore[union-attr]
    expected = sum(w * torch.stack(part).mean(0) for w, part in zip(model.weights, parts, strict=True))
    assert torch.allclose(predictor.outputs(["w0 w3 w5", "w4 w4 w6"]), expected, atol=1e-6)  # type: ignore[arg-type]
    assert not (blended.path / "members").exists()


def test_held_out_outputs_are_of_models_that_were_not_trained_on_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, losses, seen = training.fit, list[torch.Tensor](), list[tuple[set[Any], set[Any]]]()

    def watched(source: Any, task: Any, model: Any, settings: Any, run: Any, **how: Any) -> Any:
        result = trained(source, task, model, settings, run, **how)
        if "fold" in run.path.name:
            held_out = source.validation
            outputs = model_outputs(run.load_model(), held_out)
            losses.append(torch.nn.functional.cross_entropy(outputs, held_out.labels, reduction="none"))  # type: ignore[arg-type]
            parts = (source.training(0), held_out)
            seen.append(tuple({tuple(x.tolist()) for x in part.inputs} for part in parts))  # type: ignore[arg-type]
        return result

    monkeypatch.setattr(training, "fit", watched)
    rows = _rows()
    rows["text"] = [
        f"{text} {text.split()[0]} x{i} x{i}" for i, text in enumerate(rows["text"])
    ]  # all differ
    run = fit_recipe(_recipe(min_count=1), rows, out=tmp_path / "run", progress=False).result.run
    outcome = read_outcome(run)
    assert outcome is not None
    assert len(seen) == outcome.folds
    assert not any(own & held_out for own, held_out in seen)
    assert len(torch.cat(losses)) == outcome.rows
    assert outcome.members[0].figures["loss"] == pytest.approx(float(torch.cat(losses).mean()), abs=1e-5)


@pytest.mark.parametrize("stop_after", [1, 6])
def test_stopped_and_resumed_training_gives_the_same_bits(
    stop_after: int, blended: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, count = training.fit, 0

    def stopping(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count > stop_after:
            raise KeyboardInterrupt
        return trained(*args, **kwargs)

    monkeypatch.setattr(training, "fit", stopping)
    stopped = fit_recipe(_recipe(), _rows(), out=tmp_path / "run", progress=False)
    assert stopped.result.interrupted
    assert stopped.predictor is None
    monkeypatch.setattr(training, "fit", trained)
    resumed = fit_recipe(_recipe(), _rows(), out=tmp_path / "run", progress=False, resume=True)
    weights, expected = resumed.result.run.load_model().state_dict(), blended.load_model().state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    again = fit_recipe(_recipe(), _rows(), out=tmp_path / "run", progress=False, resume=True)
    assert again.result.already_finished


@pytest.mark.parametrize("count", [40, 210])
def test_the_same_seed_gives_the_same_bits_for_series(count: int) -> None:
    random = np.random.default_rng(0)
    series = random.normal(size=(count, 12)).astype(np.float32)
    rows = {"series": list(series), "label": np.where(series[:, :4].mean(1) > 0, "a", "b").tolist()}

    def state(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(random.integers(1 << 30))  # the global generator has no effect
        return tt.fit(rows, seed=seed, epochs=1, progress=False).model.state_dict()

    first, again, other = state(0), state(0), state(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_another_budget_or_data_does_not_resume(blended: Run) -> None:
    with pytest.raises(RunError, match="was created with"):
        fit_recipe(_recipe(), _rows(61), out=blended.path, progress=False, resume=True)


@pytest.mark.parametrize("option", [{"watch_every": 1}, {"logger": "csv"}])
def test_what_needs_a_single_model_is_refused(option: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="needs a single model, and model 'auto' trains several"):
        fit_recipe(_recipe(), _rows(), out=tmp_path / "run", progress=False, **option)
    assert not (tmp_path / "run").exists()


def test_blends_of_labels_and_values_are_trained(tmp_path: Path) -> None:
    rows = _rows()
    rows["value"] = [float(len(text.split())) for text in rows["text"]]
    rows["labels"] = [[word for word in ("w0", "w1") if word in text.split()] for text in rows["text"]]
    values = tt.fit(rows, task="regression", text="text", target="value", epochs=3, progress=False)
    labels = tt.fit(rows, task="multilabel", text="text", target="labels", epochs=3, progress=False)
    assert isinstance(values.model, Blend)
    assert isinstance(labels.model, Blend)
    assert values.metrics.validation is not None
    assert np.isfinite(values.metrics.validation["r2"])


def test_series_are_fitted_to_the_same_bits_whatever_was_drawn_before() -> None:
    random = np.random.default_rng(0)
    labels = ["up", "down"] * 15
    series = [random.normal(size=20) + (np.linspace(0, 2, 20) if label == "up" else 0) for label in labels]
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        predictor = tt.fit({"series": series, "label": labels}, progress=False)
        weights.append(predictor.model.state_dict())
    assert [name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])] == []
