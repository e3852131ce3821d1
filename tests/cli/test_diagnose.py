"""``throughtime diagnose``: findings first, then a page and its numbers in the run."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from throughtime.cli._training_rows import may_be_data
from throughtime.demo.operators.families import OPERATORS
from throughtime.demo.review import sites_of
from throughtime.learn import Recipe, prepare
from throughtime.report import RunDiagnosis
from throughtime.training import ModelSpec, Run, Settings

from .conftest import RunCli, operators_run, small_files, small_operators
from .test_bad_input import refused

COLUMNS = ("--text", "review", "--target", "stars")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["review", "stars"])
        for i in range(60):
            rows.writerow(
                [f"this is {'good' if i % 2 else 'bad'} thing number {i}", "yes" if i % 2 else "no"]
            )
    return path


@pytest.mark.parametrize("model", ["bilstm", "bigru"])
def test_a_run_is_diagnosed(tmp_path: Path, run_cli: RunCli, texts: Path, model: str) -> None:
    run = tmp_path / "run"
    trained = run_cli(
        "train",
        texts,
        "--text",
        "review",
        "--target",
        "stars",
        "--model",
        model,
        "--epochs",
        1,
        "--no-baselines",
        "--out",
        run,
    )
    assert trained.code == 0, trained.err
    outcome = run_cli("diagnose", run, texts, "--examples", 20)
    assert (outcome.code, outcome.err) == (0, "")
    assert "1 % left after" in outcome.out
    assert " per step" in outcome.out
    assert outcome.out.rstrip().endswith(f"saved in {run / 'diagnosis.html'}")
    found = json.loads((run / "diagnosis.json").read_text("utf-8"))
    assert found["version"] == 3
    assert RunDiagnosis.from_json(found).to_json() == found
    for finding in found["findings"]:
        assert finding["verdict"] in outcome.out
    assert found["examples"][0]["tokens"][:4] == ["this", "is", "bad", "thing"]
    assert len(found["layers"]) == 2
    page = (run / "diagnosis.html").read_text("utf-8")
    assert "thing" in page
    again = run_cli("diagnose", run, texts, "--examples", 20)
    assert again.out == outcome.out


def test_what_cannot_be_diagnosed_is_named(
    tmp_path: Path, run_cli: RunCli, texts: Path, code_run: Path
) -> None:
    refused(run_cli("diagnose", code_run, texts, "--target", "stars"), "leave out --input and --target")
    empty = tmp_path / "empty.py"
    empty.write_text("pass\n", encoding="utf-8")
    refused(run_cli("diagnose", code_run, empty), "has no operators that could be replaced")
    broken = tmp_path / "broken.py"
    broken.write_text("x = (1,\n", encoding="utf-8")
    refused(run_cli("diagnose", code_run, broken), "Python cannot parse it")
    refused(run_cli("diagnose", code_run, code_run, texts), "2 runs share one page")
    run = tmp_path / "cnn"
    made = run_cli(
        "train",
        texts,
        "--text",
        "review",
        "--target",
        "stars",
        "--model",
        "textcnn",
        "--epochs",
        1,
        "--out",
        run,
    )
    assert made.code == 0
    refused(
        run_cli("diagnose", code_run, small_files()[0].path, "--training-data", texts),
        "leave out --training-data",
    )
    plain = tmp_path / "plain.txt"
    plain.write_text("one text\nanother\n", encoding="utf-8")
    refused(run_cli("diagnose", run, plain), ["plain.txt has no column 'stars' with the true values"])
    assert not (run / "diagnosis.json").exists()


def test_a_run_of_the_demo_is_diagnosed_on_python_files(tmp_path: Path, run_cli: RunCli) -> None:
    source = small_operators()
    model = ModelSpec("bigru", {"embedding_size": 8, "hidden_size": 8})
    settings = Settings(epochs=1, tokens_per_batch=2048)
    tokenizer = source.vocabulary.to_tokenizer().to_str()
    run = operators_run(tmp_path / "run", source, model, settings, tokenizer)
    file = next(file.path for file in small_files() if file.name == "heapq.py")
    assert run_cli("diagnose", run.path, file, "--examples", 20).code == 0
    found = json.loads((run.path / "diagnosis.json").read_text("utf-8"))
    shown = found["examples"][0]["tokens"]
    assert "<op>" in shown
    assert shown[shown.index("<op>") + 2] == "</op>"
    sites = sites_of(file.read_text("utf-8"), source.vocabulary)
    counts = torch.bincount(sites.operators, minlength=len(OPERATORS)).tolist()
    assert [sum(row) for row in found["quality"]["confusion"]] == counts, "rows are the author's operators"
    assert "operators of heapq.py, half of them replaced" in (run.path / "diagnosis.html").read_text("utf-8")


def test_several_runs_share_a_page_and_keep_their_numbers(
    tmp_path: Path, run_cli: RunCli, texts: Path
) -> None:
    base = ("train", texts, *COLUMNS, "--epochs", 1, "--no-baselines")
    runs = {tmp_path / "bilstm": "bilstm", tmp_path / "second": "bigru (second)"}
    for run, name in runs.items():
        assert run_cli(*base, "--model", name.split()[0], "--out", run).code == 0
    page = tmp_path / "new" / "both.html"
    outcome = run_cli("diagnose", *runs, texts, "--examples", 20, "--out", page)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.rstrip().endswith(f"saved in {page}")
    content = page.read_text("utf-8")
    for run, name in runs.items():
        assert name in outcome.out.splitlines()
        assert f">{name}</h2>" in content
        found = json.loads((run / "diagnosis.json").read_text("utf-8"))
        assert f"{found['parameters']:,}" in content
        assert not (run / "diagnosis.html").exists()
    assert "Gradients of the inputs, compared" in content


def test_a_model_without_recurrence_is_diagnosed_by_what_it_has(
    tmp_path: Path, run_cli: RunCli, texts: Path
) -> None:
    base = ("train", texts, *COLUMNS, "--epochs", 1, "--no-baselines")
    runs = [tmp_path / "textcnn", tmp_path / "bigru"]
    for run in runs:
        assert run_cli(*base, "--model", run.name, "--out", run).code == 0
    outcome = run_cli("diagnose", runs[0], texts, "--examples", 20)
    assert (outcome.code, outcome.err) == (0, "")
    assert "by a bag of words, fitted to the 48 training rows" in outcome.out
    assert "Lyapunov" not in outcome.out
    found = json.loads((runs[0] / "diagnosis.json").read_text("utf-8"))
    assert found["layers"] == []
    assert len(found["inputs"]["from_end"]["mean"]) == 6
    page = (runs[0] / "diagnosis.html").read_text("utf-8")
    assert "Gradients of the inputs" in page
    assert "Gradient flow through time" not in page
    both = run_cli("diagnose", *runs, texts, "--examples", 20, "--out", tmp_path / "both.html")
    assert (both.code, both.err) == (0, "")
    content = (tmp_path / "both.html").read_text("utf-8")
    assert ">textcnn</h2>" in content
    assert ">bigru</h2>" in content


def test_a_run_that_cannot_be_diagnosed_does_not_cost_the_others_their_page(
    tmp_path: Path, run_cli: RunCli, texts: Path
) -> None:
    base = (*COLUMNS, "--model", "textcnn", "--epochs", 1, "--no-baselines")
    other = tmp_path / "other.csv"
    other.write_text(
        texts.read_text("utf-8").replace(",yes", ",red").replace(",no", ",blue"), encoding="utf-8"
    )
    assert run_cli("train", texts, *base, "--out", tmp_path / "textcnn").code == 0
    assert run_cli("train", other, *base, "--out", tmp_path / "other").code == 0
    page = tmp_path / "page.html"
    outcome = run_cli(
        "diagnose", tmp_path / "other", tmp_path / "textcnn", texts, "--examples", 20, "--out", page
    )
    assert outcome.code == 2
    said = "textcnn (other) was not diagnosed"
    assert said in outcome.err
    assert "which is not a class of the training data" in outcome.err
    assert f"saved in {page}" in outcome.out
    assert said in page.read_text("utf-8")
    page.unlink()
    assert run_cli("diagnose", tmp_path / "other", tmp_path / "other", texts, "--out", page).code == 2
    assert not page.exists()


def test_a_vanished_gradient_is_told_from_a_minimum_at_no_better_than_chance(
    tmp_path: Path, run_cli: RunCli, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ("train", texts, *COLUMNS, "--model", "bigru", "--epochs", 1, "--no-baselines")
    run = tmp_path / "untrained"
    assert run_cli(*base, "--out", run).code == 0
    model = Run.open(run).load_model()
    for name, parameter in model.named_parameters():
        if not name.startswith("embedding"):
            torch.nn.init.zeros_(parameter)
    monkeypatch.setattr(Run, "load_model", lambda _: model)
    outcome = run_cli("diagnose", run, texts)
    assert "which no gradient reaches and the model does not use" in " ".join(outcome.out.split())
    assert "a bag of words does better" in " ".join(outcome.out.split())
    found = json.loads((run / "diagnosis.json").read_text("utf-8"))
    assert found["quality"]["bag_of_words"]["loss"] < found["quality"]["loss"] == pytest.approx(math.log(2))


def test_a_model_that_a_bag_of_words_keeps_up_with_is_told_so(
    tmp_path: Path, run_cli: RunCli, texts: Path
) -> None:
    base = ("train", texts, *COLUMNS, "--model", "bigru", "--no-baselines")
    for name, epochs, told in (("early", 1, True), ("late", 30, False)):
        run = tmp_path / name
        made = run_cli(*base, "--epochs", epochs, "--patience", 30, "--tokens-per-batch", 64, "--out", run)
        assert made.code == 0, made.err
        outcome = run_cli("diagnose", run, texts)
        assert outcome.code == 0
        found = json.loads((run / "diagnosis.json").read_text("utf-8"))
        codes = [finding["code"] for finding in found["findings"]]
        assert ("no_gain_over_bag_of_words" in codes) == told, found["quality"]
        assert f"accuracy {100 * found['quality']['accuracy']:.1f} %" in outcome.out
        bag = found["quality"]["bag_of_words"]
        assert (
            f"accuracy {100 * bag['accuracy']:.1f} %, loss {bag['loss']:.3f} by a bag of words" in outcome.out
        )


def test_a_bag_of_words_is_fitted_to_the_rows_of_the_training_and_asked_about_others(
    tmp_path: Path, run_cli: RunCli, texts: Path
) -> None:
    base = ("train", texts, *COLUMNS, "--model", "textcnn", "--epochs", 1, "--no-baselines")
    run = tmp_path / "run"
    assert run_cli(*base, "--out", run).code == 0

    def quality(*more: object, code: int = 0) -> dict:
        (run / "diagnosis.json").unlink(missing_ok=True)
        outcome = run_cli("diagnose", run, *more)
        assert outcome.code == code, outcome.err
        return json.loads((run / "diagnosis.json").read_text("utf-8"))["quality"] | {"out": outcome.out}

    found = quality(texts)
    assert found["bag_of_words"]["training_rows"] == found["bag_of_words"]["fitted_to"] == 48
    assert found["rows"] == 6, "those of the test"
    assert "on 6 rows outside of the training data" in found["out"]

    # Three new rows, of which words alone tell the class: fitted to these, it could not.
    new = tmp_path / "new.csv"
    new.write_text("review,stars\nso good,yes\nso bad,no\nrather bad,no\n", encoding="utf-8")
    found = quality(new)
    assert (found["rows"], found["bag_of_words"]["accuracy"]) == (3, 1.0)
    with new.open("a", encoding="utf-8") as file:
        for line in texts.read_text("utf-8").splitlines()[1:31]:
            file.write(line + "\n")
    known = quality(new)
    assert 3 < known["rows"] < 20, "rows of the training are left out"

    moved = tmp_path / "moved.csv"
    texts.rename(moved)
    new.write_text("review,stars\nso good,yes\nso bad,no\nrather bad,no\n", encoding="utf-8")
    gone = quality(new)
    assert gone["bag_of_words"] is None
    assert "not compared with a bag of words" in gone["out"]
    assert (
        f"rows were not found: {texts} (from the current folder) is neither a file nor a folder"
        in gone["no_bag_of_words"]
    )
    assert "give their path with --training-data" in gone["no_bag_of_words"]
    assert "the training rows were not found" in (run / "diagnosis.html").read_text("utf-8")
    assert quality(new, "--training-data", moved)["bag_of_words"] == found["bag_of_words"]
    assert quality(moved)["rows"] == 6, "the file that is diagnosed is that of the training"
    refused(run_cli("diagnose", run, new, "--training-data", new), "is not the data that")

    texts.write_text(moved.read_text("utf-8").replace("good", "fine", 1), encoding="utf-8")
    assert f"{texts} has changed since the training" in quality(new)["no_bag_of_words"]

    moved.rename(texts)
    parts = prepare(Recipe.of("classification", text=["review"], target=["stars"]), texts).rows
    assert parts is not None
    rows = texts.read_text("utf-8").splitlines()
    new.write_text("\n".join([rows[0], *(rows[1 + i] for i in parts.training.tolist())]), encoding="utf-8")
    known = quality(new)
    assert (known["rows"], known["bag_of_words"]) == (48, None)
    assert "these are training rows" in known["no_bag_of_words"]
    chosen = [rows[1 + i] for i in parts.validation.tolist()]
    new.write_text("\n".join([rows[0], *(rows[1 + i] for i in parts.training.tolist()), *chosen]), "utf-8")
    known = quality(new)
    assert (known["rows"], known["bag_of_words"]["training_rows"]) == (6, 48), "those of the validation"


def test_a_run_names_its_training_data_as_the_command_line_did(
    tmp_path: Path, run_cli: RunCli, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, run = tmp_path / "new.csv", tmp_path / "run"
    new.write_text("review,stars\nso good,yes\nso bad,no\nrather bad,no\n", encoding="utf-8")
    columns = ("--text", "review", "--target", "stars")
    monkeypatch.chdir(texts.parent)
    made = run_cli(
        "train", texts.name, *columns, "--model", "textcnn", "--epochs", 1, "--no-baselines", "--out", run
    )
    assert made.code == 0, made.err
    config = json.loads((run / "config.json").read_bytes())
    assert config["recipe"]["data"] == texts.name
    assert str(tmp_path) not in json.dumps(config)

    def compared() -> dict:
        outcome = run_cli("diagnose", run, new)
        assert outcome.code == 0, outcome.err
        return json.loads((run / "diagnosis.json").read_text("utf-8"))["quality"]

    assert compared()["bag_of_words"]["training_rows"] == 48
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    found = compared()
    assert found["bag_of_words"] is None
    assert found["no_bag_of_words"].startswith(f"the training rows were not found: {texts.name} (from")
    assert found["no_bag_of_words"].endswith("give their path with --training-data")
    assert str(away) not in (run / "diagnosis.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("inside", "may_be"),
    [
        (["yes/", "no/", ".git"], True),
        (["yes/", "no/", "a.txt"], False),
        (["yes/", "maybe/"], False),
        ([], False),
    ],
)
def test_a_folder_that_a_run_names_is_read_only_if_it_is_one_of_its_classes(
    inside: list[str], may_be: bool, tmp_path: Path
) -> None:
    for name in inside:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()
    assert may_be_data(tmp_path, ["no", "yes"]) == may_be
    assert not may_be_data(Path("/dev/zero"), ["no", "yes"])
    assert not may_be_data(Path("a" * 5000), ["no", "yes"])


def test_what_follows_from_gradients_is_kept_apart_from_accuracy(
    tmp_path: Path, run_cli: RunCli, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that loses to a bag of words is not passed as free of problems."""
    base = ("train", texts, *COLUMNS, "--model", "textcnn", "--epochs", 1, "--no-baselines")
    run = tmp_path / "run"
    assert run_cli(*base, "--clip", 1000, "--out", run).code == 0
    model = Run.open(run).load_model()
    with torch.no_grad():
        model.output.weight.neg_()  # as wrong as it was right
    monkeypatch.setattr(Run, "load_model", lambda _: model)
    outcome = run_cli("diagnose", run, texts)
    assert "a bag of words does better" in outcome.out
    assert "No gradient problems found.\n" in outcome.out
    page = (run / "diagnosis.html").read_text("utf-8")
    assert "No gradient problems found." in page
    assert "a bag of words does better" in page


def test_clipping_and_recording_from_the_command_line(tmp_path: Path, run_cli: RunCli, texts: Path) -> None:
    base = ("train", texts, "--text", "review", "--target", "stars", "--epochs", 2, "--tokens-per-batch", 100)
    run = tmp_path / "run"
    made = run_cli(
        *base, "--model", "bigru", "--clip-percentile", 20, "--clip-value", 0.5, "--clip-recurrent", 1.0,
        "--watch-every", 2, "--out", run,
    )  # fmt: skip
    assert made.code == 0, made.err
    settings = json.loads((run / "config.json").read_text("utf-8"))["settings"]
    assert {name: settings[name] for name in settings if name.startswith("clip")} == {
        "clip": None, "clip_percentile": 20.0, "clip_value": 0.5, "clip_recurrent": 1.0,
    }  # fmt: skip
    lines = [json.loads(line) for line in (run / "gradients.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines if line["layers"]] == list(range(0, lines[-1]["step"], 2))
    assert sum(len(line["norms"]) for line in lines) == lines[-1]["step"]
    assert run_cli("diagnose", run, texts).code == 0
    page = (run / "diagnosis.html").read_text("utf-8")
    assert "Gradient flow during the training" in page
    assert "clipped above" not in page, "an adaptive threshold is no line"
    again = run_cli(*base, "--model", "bigru", "--resume", "--out", run)
    assert "is already finished" in again.out
    fixed = tmp_path / "fixed"
    assert run_cli(*base, "--model", "bigru", "--clip", 1e-6, "--watch-every", 5, "--out", fixed).code == 0
    assert "clipped above" in (
        run_cli("diagnose", fixed, texts) and (fixed / "diagnosis.html").read_text("utf-8")
    )
    both = run_cli(*base, "--model", "bigru", "--clip", 1, "--clip-percentile", 5, "--out", tmp_path / "x")
    refused(both, "two thresholds for one norm")
    refused(
        run_cli(*base, "--model", "textcnn", "--clip-recurrent", 1, "--out", tmp_path / "y"),
        "textcnn has no recurrence",
    )
