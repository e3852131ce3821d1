"""The demo from data to report on a small data set: its files, resuming, and no repeated work."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.browser import PageAt, Scheme
from tests.cli.conftest import SMALL, small_files
from tests.report.browser import flaws, needs_looking
from tests.report.pages import PageText
from throughtime.demo.job import Interrupted, run_demo
from throughtime.demo.operators.replacement import shown_operators
from throughtime.demo.plan import DemoPlan, Network
from throughtime.demo.shop.scan import ShopPlan
from throughtime.errors import RunError
from throughtime.tasks import predict
from throughtime.training import ModelSpec, Run, Settings
from throughtime.training._module import TrainingModule

_TINY = {"embedding_size": 8}
PLAN = DemoPlan(
    SMALL,
    (
        Network(
            "TextCNN",
            ModelSpec("textcnn", {**_TINY, "channels": 8}),
            Settings(epochs=1, tokens_per_batch=2048),
        ),
        Network(
            "BiLSTM",
            ModelSpec("bilstm", {**_TINY, "hidden_size": 8}),
            Settings(epochs=2, tokens_per_batch=2048),
        ),
    ),
    files=small_files(),
    shop=ShopPlan(correct=3, faulty=1),
)


def demo(out: Path, said: list[str] | None = None):
    return run_demo(out, PLAN, (said if said is not None else []).append, progress=False)


def size_of_test(out: Path) -> int:
    metrics = Run.open(out / "textcnn").metrics
    assert metrics.test is not None
    return metrics.test.examples


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("demos") / "demo"
    return out, demo(out)


def test_it_compares_all_models_on_the_same_test(finished) -> None:
    out, result = finished
    source = PLAN.source()
    names = [row.name for row in result.models]
    assert names == [
        "majority",
        "unigram logistic",
        "trigram logistic",
        "TextCNN",
        "BiLSTM",
        "Blend",
    ]
    for row in result.models:
        assert 0 <= row.low <= row.accuracy <= row.high <= 1
        right = row.accuracy * size_of_test(out)
        assert right == pytest.approx(round(right))
    for name in ("textcnn", "bilstm", "blend"):
        run = Run.open(out / name)
        assert run.finished
        assert run.metrics.test is not None, "the accuracy of the author's operator"
        row = next(row for row in result.models if row.name.lower() == name)
        probabilities = predict(run.load_model(), source.test.inputs).softmax(1)
        shown = shown_operators(source.test.inputs, source.vocabulary)
        written = probabilities.gather(1, shown[:, None]).flatten()
        assert row.accuracy == pytest.approx(float(((written < 0.5) == source.replaced).double().mean()))
    assert result.best_run.parent == out
    assert sorted(path.name for path in out.iterdir()) == [
        "bilstm",
        "blend",
        "logs",
        "report.html",
        "results.json",
        "textcnn",
    ]


def test_the_page_holds_the_table(finished) -> None:
    out, result = finished
    page = (out / "report.html").read_text("utf-8")
    for row in result.models:
        assert f"<td>{row.name}</td>" in page
        assert f"<td>{100 * row.accuracy:.1f} %</td>" in page
    assert page.count("<figure>") == 10
    words = PageText(page).words
    for heading in (
        "What each network is bad at",
        "TextCNN: filters and the n-grams that activate them",
        "BiLSTM: gates and gradient flow",
        "Which tokens matter",
        "Unusual lines in a log",
    ):
        assert heading in words
    percents = [float(number) for number in re.findall(r"([0-9.]+) %", words)]
    assert percents
    assert max(percents) <= 100


@needs_looking
def test_the_page_in_a_browser(width: int, scheme: Scheme, finished, page_at: PageAt) -> None:
    opened = page_at(width, scheme)
    opened.open(finished[0] / "report.html")
    assert flaws(opened) == {}


def test_a_finished_demo_is_shown_again_and_not_run_again(finished, monkeypatch: pytest.MonkeyPatch) -> None:
    out, result = finished
    monkeypatch.setattr("throughtime.demo.plan.PythonOperators", None)
    said: list[str] = []
    assert demo(out, said) == result
    assert len(said) == 1


def test_a_stopped_demo_goes_on_to_the_same_result(
    finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = finished
    calls = 0
    original = TrainingModule.training_step

    def stopping(self, *args):
        nonlocal calls
        calls += 1
        if calls == 25:  # within the first epoch of the BiLSTM
            signal.raise_signal(signal.SIGINT)
        return original(self, *args)

    monkeypatch.setattr(TrainingModule, "training_step", stopping)
    with pytest.raises(Interrupted):
        demo(tmp_path / "demo")
    assert Run.open(tmp_path / "demo" / "textcnn").finished
    assert not Run.open(tmp_path / "demo" / "bilstm").finished
    result = demo(tmp_path / "demo")
    for row, before in zip(result.models, expected.models, strict=True):
        assert (row.name, row.accuracy, row.parameters) == (before.name, before.accuracy, before.parameters)
    assert result.precision == expected.precision


def test_damaged_results_are_named(finished, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    for content in ("{", "[]", "{}", "[" * 100_000):
        (folder / "results.json").write_text(content)
        with pytest.raises(RunError, match=r"results.json is damaged"):
            demo(folder)


@pytest.mark.parametrize("name", ["", ".", "..", "cnn", None, ["textcnn"]])
def test_the_best_run_is_one_of_the_demo(name, finished, tmp_path: Path) -> None:
    out, _ = finished
    content = json.loads((out / "results.json").read_text("utf-8"))
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "report.html").write_text("")
    (tmp_path / "demo" / "results.json").write_text(json.dumps({**content, "best_run": name}))
    with pytest.raises(RunError, match=r"best_run is .*, expected one of 'textcnn', 'bilstm', 'blend'"):
        demo(tmp_path / "demo")


def test_results_are_json_with_a_version(finished) -> None:
    out, _ = finished
    content = json.loads((out / "results.json").read_text("utf-8"))
    assert (content["format"], content["version"]) == ("throughtime-demo", 1)
