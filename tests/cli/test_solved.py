"""Models whose weights are solved for, on the command line: trained, resumed, compared, and what is refused."""

from pathlib import Path

import pytest

from throughtime.training import Run

from .conftest import RunCli, rows_of_all_tasks, write_csv
from .test_bad_input import refused

COLUMNS = ("--text", "words", "--target", "kind")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "data.csv", rows_of_all_tasks())


def test_a_run_is_trained_resumed_compared_and_predicts(tmp_path: Path, data: Path, run_cli: RunCli) -> None:
    out = tmp_path / "run"
    done = run_cli("train", data, *COLUMNS, "--model", "ngrams", "--longest", 1, "--out", out)
    assert (done.code, done.err) == (0, "")
    assert "best epoch 1: validation loss" in done.out
    assert "train longer" not in done.out
    assert Run.open(out).config.model.options == {"longest": 1}
    again = run_cli("train", data, "--out", out, "--resume", "--no-baselines")
    assert (again.code, again.err) == (0, "")
    assert f"the training in {out} is already finished" in again.out
    predicted = run_cli("predict", out, data, "--format", "csv")
    assert (predicted.code, predicted.err) == (0, "")
    assert [line.split(",")[1] for line in predicted.out.splitlines()[1:5]] == ["no", "yes", "no", "yes"]
    compared = run_cli("compare", out)
    assert (compared.code, compared.err) == (0, "")
    assert "ngrams" in compared.out
    refused(
        run_cli("diagnose", out, data), ["a linear model, ngrams, without steps", "give the run of a network"]
    )


def test_each_fold_is_solved(tmp_path: Path, data: Path, run_cli: RunCli) -> None:
    options = ("--folds", 2, "--no-baselines", "--out", tmp_path / "folds")
    done = run_cli("train", data, *COLUMNS, "--model", "ngrams", *options)
    assert (done.code, done.err) == (0, "")
    assert "over 2 folds" in done.out
    for fold in (1, 2):
        assert Run.open(tmp_path / "folds" / f"fold-{fold}").metrics.stopped == "epochs"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs", 3), "epochs= (--epochs) has no effect on ngrams, whose weights are solved for"),
        (("--task", "tagging", "--target", "tags"), "ngrams has one output per sequence"),
        (("--hidden-size", 3), "ngrams has no option 'hidden_size'"),
        (("--buckets", 100), "buckets must be a power of two, got 100"),
    ],
)
def test_what_has_no_effect_is_refused_and_leaves_nothing(
    tmp_path: Path, data: Path, run_cli: RunCli, options: tuple[object, ...], message: str
) -> None:
    out = tmp_path / "run"
    refused(run_cli("train", data, *COLUMNS, "--model", "ngrams", *options, "--out", out), [message])
    assert not out.exists()
