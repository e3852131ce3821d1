"""The page that compares runs: common metrics only, and what makes a comparison unfair."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import PageAt, Scheme
from throughtime.errors import RunError, UnsupportedError
from throughtime.learn import Recipe, fit_recipe
from throughtime.learn.summary import summarize, write_summary
from throughtime.report import render_comparison, write_comparison
from throughtime.tasks import METRICS
from throughtime.training import Run

from .browser import flaws, needs_looking
from .pages import PageText, figures


def _train(
    folder: Path, data: Any, task: str = "classification", model: str = "textcnn", **options: Any
) -> Run:
    recipe = Recipe.of(task, model, **{"epochs": 2, "test": 0.4, "validation": 0.2} | options)
    fitted = fit_recipe(recipe, data, out=folder, progress=False)
    summary = summarize(fitted.prepared, fitted.result.run)
    assert summary is not None
    write_summary(fitted.result.run, summary)
    return fitted.result.run


def _texts() -> dict[str, list[str]]:
    draw = random.Random(0)
    rows = [[draw.choice(["good", "dull", "film"]) for _ in range(draw.randint(2, 9))] for _ in range(60)]
    return {"text": [" ".join(row) for row in rows], "label": ["+" if "good" in row else "-" for row in rows]}


def _series(labels: list[Any]) -> dict[str, list[Any]]:
    draw = np.random.default_rng(0)
    kinds = [number % 3 for number in range(60)]
    steps = [(np.sin(np.arange(12) * (kind + 1) / 3) + 0.1 * draw.normal(size=12)).tolist() for kind in kinds]
    return {"series": steps, "label": [labels[kind] for kind in kinds]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        "convolutional": _train(folder / "textcnn", _texts(), model="textcnn", channels=8),
        "recurrent": _train(folder / "bilstm", _texts(), model="bilstm", hidden_size=8, epochs=3),
        "series": _train(folder / "fcn", _series(["a", "b", "c"]), model="fcn"),
        "values": _train(folder / "values", _series([0.0, 1.0, 2.5]), "regression", "fcn"),
    }


def _of(runs: dict[str, Run], *names: str) -> dict[str, Run]:
    return {name: runs[name] for name in names}


def test_a_convolutional_and_a_recurrent_run_on_the_same_rows(runs: dict[str, Run], tmp_path: Path) -> None:
    chosen = _of(runs, "convolutional", "recurrent")
    write_comparison(tmp_path / "page.html", chosen)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == render_comparison(chosen)
    words = PageText(page).words
    assert "different data" not in words
    for name, run in chosen.items():
        score = run.metrics.test
        assert score is not None
        for metric, value in score.figures.items():
            assert METRICS[metric].text(value) in words, (name, metric)
        assert f"{sum(p.numel() for p in run.load_model().parameters()):,}" in words
    intervals, curves = figures(page)
    values = [100 * run.metrics.test["accuracy"] for run in chosen.values() if run.metrics.test is not None]
    assert intervals[0][0]["x"] == pytest.approx(values)
    assert intervals[1]["yaxis"]["ticktext"] == ["convolutional", "recurrent"]
    drawn = [trace["y"] for trace in curves[0] if trace["name"] == "recurrent, validation"]
    history = runs["recurrent"].metrics.history
    assert drawn == [
        [100 * epoch.validation["accuracy"] for epoch in history],
        [epoch.validation["loss"] for epoch in history],
    ]


def test_options_that_differ_are_listed_and_others_are_not(runs: dict[str, Run]) -> None:
    words = PageText(render_comparison(_of(runs, "convolutional", "recurrent"))).words
    differences = words.partition("Options that differ")[2]
    assert "model textcnn bilstm" in differences
    assert "epochs 2 3" in differences
    assert "seed" not in differences
    assert "vocabulary" not in differences


def test_the_best_value_of_each_metric_is_bold(runs: dict[str, Run]) -> None:
    chosen = _of(runs, "convolutional", "recurrent")
    page = render_comparison(chosen)
    first, second = (run.metrics.test for run in chosen.values())
    assert first is not None
    assert second is not None
    equal = sum(first[name] == second[name] for name in first.figures)
    assert page.count('class="best"') == len(first.figures) + equal


def test_series_and_tokens_are_compared_by_their_common_metrics(runs: dict[str, Run]) -> None:
    words = PageText(render_comparison(_of(runs, "convolutional", "series"))).words
    assert "The runs read different data" in words
    assert METRICS["f1_macro"].description in words
    assert METRICS["f1"].description not in words  # of two classes only


def test_runs_without_a_common_metric_are_refused(runs: dict[str, Run]) -> None:
    with pytest.raises(UnsupportedError, match="no metric in common .*values is a run of task regression"):
        render_comparison(_of(runs, "series", "values"))


def test_an_unfinished_run_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    done = runs["series"]
    (tmp_path / "run").mkdir()
    for name in ("config.json", "run.json", "environment.json", "checksums.json"):
        (tmp_path / "run" / name).write_bytes((done.path / name).read_bytes())
    unfinished = Run(tmp_path / "run", done.config)
    (tmp_path / "run" / "metrics.json").write_text(
        '{"history": [], "best_epoch": null, "stopped": null, "validation": null, "test": null, "tuned": null}'
    )
    with pytest.raises(RunError, match="unfinished"):
        render_comparison({"series": done, "unfinished": unfinished})


def test_names_of_runs_cannot_change_the_page(runs: dict[str, Run]) -> None:
    hostile = '"><script>alert(1)</script><b>'
    plain = PageText(render_comparison({"a": runs["series"], "b": runs["series"]}))
    view = PageText(render_comparison({hostile: runs["series"], "b": runs["series"]}))
    assert view.tags == plain.tags
    assert hostile in view.text


@needs_looking
def test_in_a_browser_the_page_is_readable(
    runs: dict[str, Run], width: int, scheme: Scheme, page_at: PageAt, tmp_path: Path
) -> None:
    opened = page_at(width, scheme)
    opened.show(render_comparison(_of(runs, "convolutional", "recurrent", "series")), tmp_path)
    assert flaws(opened) == {}
