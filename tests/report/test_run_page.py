"""The report of a training: its numbers are those of the run, for every kind of task and input."""

import random
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import PageAt, Scheme
from throughtime.errors import RunError
from throughtime.learn import Prepared, Recipe, fit_recipe
from throughtime.learn.auto import read_outcome
from throughtime.learn.summary import summarize, write_summary
from throughtime.report import render_run_report, write_run_report
from throughtime.report._scores import sentence
from throughtime.tasks import METRICS
from throughtime.training import Metrics, Run

from .browser import flaws, needs_looking
from .pages import PageText, axis_titles, figures

# Labels and words that would change a page if they were not escaped; none has a space, which separates words.
HOSTILE = ["</script><script>alert(1)</script>", "<img/src=x/onerror=alert(1)>", '"><svg/onload=alert(1)>']


@dataclass
class Trained:
    prepared: Prepared
    run: Run
    page: str

    @property
    def view(self) -> PageText:
        return PageText(self.page)


def _train(folder: Path, task: str, data: Any, model: str = "auto", **options: Any) -> Trained:
    defaults = {"epochs": 2, "test": 0.4, "validation": 0.2}
    if task == "language":
        defaults["test"] = 0.2
    fitted = fit_recipe(
        Recipe.of(task, model, **defaults | options), data, out=folder / "run", progress=False
    )
    run = fitted.result.run
    summary = summarize(fitted.prepared, run)
    if summary is not None:
        write_summary(run, summary)
    return Trained(fitted.prepared, run, render_run_report(run, fitted.prepared))


def _sentences(words: list[str], count: int = 60) -> list[list[str]]:
    draw = random.Random(0)
    return [[draw.choice(words) for _ in range(draw.randint(2, 9))] for _ in range(count)]


def _series(count: int = 60, channels: int = 2) -> tuple[list[np.ndarray[Any, Any]], list[int]]:
    """Return arrays (channels, steps) of 12 to 14 steps, and the number of the kind of each."""
    draw = np.random.default_rng(0)
    kinds = draw.integers(0, 3, count)
    waves = [np.sin(np.arange(12 + k)[:, None] * (k + 1) / 3 + np.arange(channels)) for k in kinds]
    return [(wave + 0.1 * draw.normal(size=wave.shape)).T for wave in waves], kinds.tolist()


def _text(folder: Path, words: list[str], labels: list[str], model: str = "textcnn") -> Trained:
    rows = _sentences(words)
    classes = [labels[row.count(words[0]) > 0] for row in rows]
    data = {"text": [" ".join(row) for row in rows], "label": classes}
    return _train(folder, "classification", data, model, tokenizer="characters")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return _text(tmp_path_factory.mktemp("text"), ["good", "dull", "film"], ["negative", "positive"])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    labels = [f"a class with a long name {number % 40}" for number in range(400)]
    data = {"text": [f"word{number % 7} other" for number in range(400)], "label": labels}
    return _train(tmp_path_factory.mktemp("many"), "classification", data, "textcnn", epochs=1)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    rows = _sentences(["red", "film", "by"])
    tags = [["B-COLOUR" if word == "red" else "O" for word in row] for row in rows]
    return _train(tmp_path_factory.mktemp("tags"), "tagging", {"tokens": rows, "label": tags}, epochs=1)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    rows = [[str(step % 5) for step in range(start, start + 8)] for start in range(60)]
    labels = ["anomaly" if number % 6 == 0 else "normal" for number in range(60)]
    for row in rows[::6]:
        row[4] = "0" if row[4] != "0" else "1"
    return _train(tmp_path_factory.mktemp("scores"), "anomaly", {"tokens": rows, "label": labels})


@pytest.fixture(scope="module")
def regressed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    steps, kinds = _series()
    data = {"series": steps, "label": [10.0 * kind for kind in kinds]}
    return _train(tmp_path_factory.mktemp("values"), "regression", data, "fcn")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    rows = _sentences(["red", "blue", "film"])
    labels = [sorted(set(row) & {"red", "blue"}) for row in rows]
    data = {"text": [" ".join(row) for row in rows], "label": labels}
    return _train(tmp_path_factory.mktemp("labels"), "multilabel", data, "textcnn")


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("language")
    book = folder / "book.txt"
    book.write_text("\n".join(" ".join(row) for row in _sentences(["to", "be", "or", "not"], 200)), "utf-8")
    return _train(folder, "language", book, epochs=2, bptt=8, streams=4)


def _require_metrics(trained: Trained) -> None:
    """Check that every metric of model and baselines is on the page with its interval."""
    words, summary = trained.view.words, summarize(trained.prepared, trained.run)
    assert summary is not None
    for score in (summary.score, *(baseline.score for baseline in summary.baselines)):
        for name, value in score.figures.items():
            assert METRICS[name].text(value) in words, name
            assert METRICS[name].description in words
            if name in score.intervals and score.intervals[name].low == score.intervals[name].low:
                assert f"({METRICS[name].text(score.intervals[name].low).removesuffix(' %')} – " in words
    for baseline in summary.baselines:
        assert baseline.name in words
    assert f"{summary.part} {METRICS[summary.metric].title}" in words
    assert ("does not beat it" in words) == (not summary.beats_baselines)
    for line in summary.advice:
        assert line[1:] in words


def test_a_text_classifier_is_reported_with_the_metrics_of_its_summary(text: Trained) -> None:
    _require_metrics(text)
    words = text.view.words
    assert "textcnn: classification" in words
    parts = text.prepared.rows
    assert parts is not None
    assert (
        f"{len(parts.training)} training, {len(parts.validation)} validation, {len(parts.test)} test" in words
    )
    assert f"{sum(p.numel() for p in text.run.load_model().parameters()):,}" in words
    assert f"On {len(parts.test)} test sequences" in words
    assert axis_titles(text.page) == [
        "predicted class", "confidence in %", "probability of class positive", "false positive rate in %", "epoch",
        "sequences of the part in %", "tokens per sequence",
    ]  # fmt: skip


def test_the_figures_count_the_test_rows(text: Trained) -> None:
    score = text.run.metrics.test
    assert score is not None
    confusion = np.array(figures(text.page)[0][0][0]["text"], dtype=int)
    assert confusion.sum() == score.examples
    assert np.trace(confusion) / confusion.sum() == pytest.approx(score["accuracy"])
    curves = {trace["name"]: trace["y"] for trace in figures(text.page)[4][0] if trace["yaxis"] == "y2"}
    history = text.run.metrics.history
    assert curves["textcnn, validation"] == [100 * epoch.validation["accuracy"] for epoch in history]
    classes = {trace["name"]: trace["customdata"] for trace in figures(text.page)[5][0]}
    source = text.prepared.source
    assert classes["training"] == np.bincount(source.training(0).targets).tolist()
    assert classes["test"] == np.bincount(source.test.targets).tolist()


def test_mistakes_are_shown_with_their_own_text_and_row(text: Trained) -> None:
    table, words = text.prepared.held_out, text.view.words
    assert table is not None
    texts = table.column("text").to_pylist()
    shown = [row for row in range(len(table)) if f"{table.place(row)} {texts[row]}" in words]
    assert len(shown) >= 6
    assert len(table) == len(text.prepared.source.test)


def test_the_same_run_gives_the_same_page_which_loads_nothing(text: Trained) -> None:
    path = write_run_report(text.run, text.prepared)
    assert path == text.run.path / "report.html"
    assert path.read_text(encoding="utf-8") == text.page
    assert not list(text.run.path.glob("*.part"))
    assert len(text.page.encode()) < 8_000_000
    assert not [attributes for _, attributes in text.view.tags if {"src", "href"} & set(attributes)]


@pytest.fixture(scope="module")
def blended(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    rows = _sentences(["good", "dull", "film"], 200)
    data = {"text": [" ".join(row) for row in rows], "label": ["ab"["good" in row] for row in rows]}
    return _train(tmp_path_factory.mktemp("blend"), "classification", data, epochs=1, test=0.2)


def test_the_choice_of_the_tokenizer_is_under_data_not_a_next_step(blended: Trained) -> None:
    (choice,) = blended.prepared.choices
    assert choice.startswith("tokens are words (held-out loss of a linear model")
    before, heading, after = blended.page.partition("<h2>Data</h2>")
    assert heading
    assert "Tokens are words" not in before
    assert f"<p>{sentence(choice)}</p>" in after


def test_the_report_of_a_blend_says_which_rows_baselines_were_fitted_to(blended: Trained) -> None:
    outcome = read_outcome(blended.run)
    assert outcome is not None
    assert outcome.folds > 1
    fitted = "Baselines were fitted to the training rows, the blend to these and the validation rows."
    assert fitted in blended.view.words


def test_a_majority_class_is_not_marked_as_the_best(tmp_path: Path) -> None:
    # Of the second class are nearly all rows, so that the majority class has a recall of 100 %.
    rows = _sentences(["good", "dull", "film"])
    data = {"text": [" ".join(row) for row in rows], "label": ["b" if n % 9 else "a" for n in range(60)]}
    trained = _train(tmp_path, "classification", data, "textcnn", epochs=1)
    summary = summarize(trained.prepared, trained.run)
    assert summary is not None
    majority = summary.baselines[0].score
    assert majority["recall"] == 1.0
    rows_of_table = re.findall(r"<tr><td>.*?</tr>", trained.page.partition("<h2>Metrics</h2>")[2], re.DOTALL)
    recall = next(row for row in rows_of_table if METRICS["recall"].description in row)
    assert re.findall(r'<td( class="best")?><span>', recall)[1] == ""
    assert "Bold: the best value among models that read the inputs." in trained.view.words


def test_the_command_to_compare_names_the_folder_of_the_run(text: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "my runs" / "a"
    shutil.copytree(text.run.path, folder)
    page = PageText(render_run_report(Run.open(folder), text.prepared))
    (command,) = re.findall(r"throughtime compare .* OTHER", page.words)
    assert shlex.split(command) == ["throughtime", "compare", str(folder), "OTHER"]


def test_labels_and_texts_cannot_change_the_page(text: Trained, tmp_path: Path) -> None:
    hostile = _text(tmp_path, HOSTILE, HOSTILE[:2])
    kinds = set(hostile.view.tags)
    assert kinds <= set(text.view.tags)
    scripts = sum(tag == "script" for tag, _ in hostile.view.tags)
    assert scripts == 1 + len(figures(hostile.page))
    assert HOSTILE[0] in hostile.view.text
    for label in HOSTILE[:2]:
        assert f"true: {label}" in hostile.view.words or f"predicted: {label}" in hostile.view.words
    drawn = str([(data, layout["xaxis"]) for data, layout in figures(hostile.page)])
    assert "<script" not in drawn.replace("<extra></extra>", "")
    assert "<img" not in drawn


def test_of_many_classes_those_with_most_mistakes_are_drawn(many: Trained) -> None:
    assert "These are the 30 classes with the most mistakes, of 40." in many.view.words
    assert len(figures(many.page)[0][0][0]["z"]) == 30
    assert many.view.words.count("a class with a long name") >= 40


def test_a_tagger_is_reported_by_tag_and_span_with_wrong_tags_marked(tagged: Trained) -> None:
    _require_metrics(tagged)
    words = tagged.view.words
    assert "By tag" in words
    assert "By span type" in words
    assert "COLOUR" in words
    source = tagged.prepared.source
    assert f"On {len(source.test)} test sequences ({source.test.inputs.layout.total:,} tokens)" in words
    assert 'title="predicted ' in tagged.page or "Most errors None." in words


def test_anomalies_are_reported_with_scores_and_the_surprise_of_tokens(scored: Trained) -> None:
    _require_metrics(scored)
    assert "anomaly score" in axis_titles(scored.page)
    score = figures(scored.page)[axis_titles(scored.page).index("anomaly score")]
    assert score[1]["shapes"][0]["x0"] == pytest.approx(scored.run.task.threshold)  # type: ignore[attr-defined]
    assert sum(sum(trace["customdata"][:-1]) for trace in score[0]) == len(scored.prepared.source.test)
    assert 'title="surprise ' in scored.page
    assert "Anomalies with the lowest scores" in scored.view.words


def test_a_regression_of_series_shows_values_errors_and_lines(regressed: Trained) -> None:
    trained = regressed
    _require_metrics(trained)
    assert axis_titles(trained.page)[:2] == ["true label", "error of label, predicted − true"]
    points = figures(trained.page)[0][0][1]
    mae = np.abs(np.array(points["x"]) - np.array(points["y"])).mean()
    score = trained.run.metrics.test
    assert score is not None
    assert mae == pytest.approx(score["mae"])
    lines = [tag for tag, _ in trained.view.tags if tag == "polyline"]
    assert len(lines) == 2 * 6  # channels × examples
    assert "Lengths" in trained.view.words


def test_labels_are_reported_one_by_one(labelled: Trained) -> None:
    trained = labelled
    _require_metrics(trained)
    assert "By label" in trained.view.words
    counts = {trace["name"]: trace["customdata"] for trace in figures(trained.page)[1][0]}
    assert counts["test"] == trained.prepared.source.test.targets.sum(0).tolist()


def test_long_texts_in_windows_are_shown_once_for_each_row(tmp_path: Path) -> None:
    rows = _sentences(["good", "dull", "film"])
    data = {"text": [" ".join(row) for row in rows], "label": ["a" if "good" in row else "b" for row in rows]}
    trained = _train(tmp_path, "classification", data, "textcnn", max_length=3, longer="windows")
    table = trained.prepared.held_out
    assert table is not None
    assert f"On {len(table)} test sequences" in trained.view.words
    confusion = np.array(figures(trained.page)[0][0][0]["text"], dtype=int)
    assert confusion.sum() == len(table)


def test_without_test_rows_the_validation_rows_are_reported(tmp_path: Path) -> None:
    rows = _sentences(["good", "dull", "film"])
    data = {"text": [" ".join(row) for row in rows], "label": ["a" if "good" in row else "b" for row in rows]}
    trained = _train(tmp_path, "classification", data, "textcnn", test=0.0)
    _require_metrics(trained)
    assert "validation accuracy" in trained.view.words
    assert "sequences of the part in %" in axis_titles(trained.page)
    parts = [trace["name"] for trace in figures(trained.page)[5][0]]
    assert parts == ["training", "validation"]


def test_a_language_model_is_reported_with_its_metrics_and_curves(language: Trained) -> None:
    trained = language
    words, score = trained.view.words, trained.run.metrics.test
    assert score is not None
    assert "<h1>lstm language model of book.txt</h1>" in trained.page
    for name, value in score.figures.items():
        assert METRICS[name].text(value) in words
    assert f"On {score.examples:,} test words" in words
    assert axis_titles(trained.page) == ["epoch"] * len(figures(trained.page))
    assert "Lengths" not in words


def test_an_unfinished_run_is_refused(text: Trained, tmp_path: Path) -> None:
    run = Run.create(
        tmp_path / "run",
        source=text.prepared.source,
        task=text.prepared.task,
        model=text.run.config.model,
        settings=text.run.config.settings,
    )
    assert run.metrics == Metrics()
    with pytest.raises(RunError, match="unfinished and has no metrics yet; resume the training"):
        render_run_report(run, text.prepared)


@needs_looking
@pytest.mark.parametrize("name", ["text", "many", "tagged", "scored", "regressed", "labelled", "language"])
def test_in_a_browser_the_page_is_readable(
    name: str, width: int, scheme: Scheme, request: pytest.FixtureRequest, page_at: PageAt, tmp_path: Path
) -> None:
    trained: Trained = request.getfixturevalue(name)
    opened = page_at(width, scheme)
    opened.show(trained.page, tmp_path)
    assert flaws(opened) == {}
