"""The notebooks: every row of the lecture, cells that run with any value of their controls, and right numbers."""

import ast
import importlib.util
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.notebooks.stand_in import Choice, cells, run

FOLDER = Path(__file__).parents[2] / "notebooks"
ROWS = {
    "convolution": [f"C{number}" for number in range(1, 9)],
    "recurrence": [f"R{number}" for number in range(1, 16)],
}


@pytest.fixture(scope="module", params=list(ROWS))
def notebook(request: pytest.FixtureRequest) -> Path:
    return FOLDER / f"{request.param}.py"


@pytest.fixture(scope="module")
def convolution() -> dict[str, Any]:
    return run(FOLDER / "convolution.py")


@pytest.fixture(scope="module")
def recurrence() -> dict[str, Any]:
    return run(FOLDER / "recurrence.py")


def test_every_row_has_a_statement_a_control_a_figure_and_a_question(notebook: Path) -> None:
    sources = [ast.unparse(cell) for cell in cells(notebook)]
    headings = [re.findall(r"## ([CR]\d+) · \w", source) for source in sources]
    assert [row for rows in headings for row in rows] == ROWS[notebook.stem]
    first = [place for place, rows in enumerate(headings) if rows]
    for begin, end in zip(first, [*first[1:], len(sources)], strict=True):
        section = "\n".join(sources[begin:end])
        assert "mo.ui." in sources[begin], headings[begin]
        assert "plots." in section, headings[begin]
        assert "tt." in section, headings[begin]
        assert section.count("Think about it:") == 1, headings[begin]


@pytest.mark.parametrize("choice", ["lowest", "highest"])
def test_cells_run_with_the_ends_of_all_controls(notebook: Path, choice: Choice) -> None:
    run(notebook, choice)


def test_convolution_is_numpys_and_linear(convolution: dict[str, Any]) -> None:
    f, g = convolution["f"], convolution["g"]
    np.testing.assert_allclose(convolution["convolved"], np.convolve(f.numpy(), g.numpy(), "same"), rtol=1e-6)
    np.testing.assert_allclose(
        convolution["correlated"], np.correlate(f.numpy(), g.numpy(), "same"), rtol=1e-6
    )
    assert convolution["linearity_error"] < 1e-5
    matrix = convolution["matrix"].numpy()
    assert all(len(set(np.diagonal(matrix, offset))) == 1 for offset in range(-9, 10))


def test_pooling_block_and_receptive_fields(convolution: dict[str, Any]) -> None:
    series = convolution["series"][0][:, 0]
    blocks = series[:40].view(10, 4)
    torch.testing.assert_close(convolution["maxima"][0][:, 0], blocks.amax(1))
    torch.testing.assert_close(convolution["means"][0][:, 0], blocks.mean(1))
    assert convolution["pooled"] == float(series.max())
    assert convolution["block_output"].lengths.tolist() == [8, 3]
    assert float(convolution["ragged_norm"].running_mean) == 10
    assert float(convolution["padded_norm"].running_mean) == 6.25
    assert convolution["field"].size == int((convolution["reached"] > 0).sum()) == 7
    assert convolution["wide_output"][0].shape == (30, 12)
    assert convolution["dilated_reach"].sum(1).tolist() == [2, 4, 8, 16]


def test_the_cnn_learns_ngrams(convolution: dict[str, Any]) -> None:
    assert convolution["cnn_accuracy"] > 0.9
    assert {row["speaks for"] for row in convolution["filter_table"]} == {"negative", "positive"}
    assert {row["kernel size"] for row in convolution["filter_table"]} == {2, 3}


def test_recurrences_and_the_terms_of_the_gradient(recurrence: dict[str, Any]) -> None:
    h, states = 0.0, []
    for x in recurrence["pulses"][:, 0].tolist():
        h = math.tanh(0.9 * h + x)
        states.append(h)
    torch.testing.assert_close(recurrence["states"], torch.tensor(states))
    torch.testing.assert_close(recurrence["squares"], torch.tensor(states).square())
    torch.testing.assert_close(recurrence["probabilities"].sum(1), torch.ones(30))
    # h = 1, 2.5, 4.25 with w = 1/2, so the terms of step 2 and 3 are 1/2 · 1 and 1 · 2.5.
    assert recurrence["weight_terms"] == pytest.approx([0, 0.5, 2.5])
    assert recurrence["weight_gradient"] == pytest.approx(3.0)
    assert len(recurrence["truncated_losses"]) == 160
    assert recurrence["truncated_losses"][-1] < 0.1


def test_gradients_vanish_as_the_spectral_radius_says(recurrence: dict[str, Any]) -> None:
    assert recurrence["block"].spectral_radius == pytest.approx(0.9)
    norms = recurrence["measured_norms"].numpy()
    assert norms == pytest.approx(recurrence["predicted_norms"].numpy(), rel=1e-6)
    assert (norms[80] / norms[40]) ** (1 / 40) == pytest.approx(0.9, abs=0.02)
    without, clipped = recurrence["clipped_profiles"].values()
    assert float(without[40]) == pytest.approx(4 * 1.15**40, rel=1e-6)
    assert float(clipped[1:].max()) <= 1 + 1e-9
    vanished, chance = recurrence["verdicts"].values()
    assert "which no gradient reaches" in vanished.verdict
    assert chance is None


def test_cells_directions_and_padding(recurrence: dict[str, Any]) -> None:
    assert (recurrence["lstm_ratio"], recurrence["gru_ratio"]) == (4, 3)
    assert recurrence["update_error"] < 1e-6
    changed = recurrence["changed"]
    assert not changed[:10, :6].any()
    assert not changed[11:, 6:].any()
    assert changed[10].all()
    assert recurrence["fused_error"] < 1e-5
    assert float(recurrence["recency"].mean.sum()) == pytest.approx(1)
    assert (
        recurrence["padding_errors"]["ragged batch"]
        < 1e-6
        < 0.01
        < recurrence["padding_errors"]["padded batch"]
    )
    assert {name: len(times) for name, times in recurrence["costs"].items()} == {
        "GRU": 4,
        "two convolutions": 4,
    }


def test_the_rnn_learns_the_order(recurrence: dict[str, Any]) -> None:
    assert recurrence["rnn_accuracy"] > 0.9
    assert recurrence["probability"] > 0.5


def test_a_bag_of_words_is_right_on_five_of_eight_at_best(convolution: dict[str, Any]) -> None:
    sentences = convolution["sentences"]
    texts, labels = sentences.sentences(4000)
    bags: dict[int, Counter[Any]] = {0: Counter(), 1: Counter()}
    for row, label in zip(texts, labels.tolist(), strict=True):
        words = sentences.words(row.tolist()).split()
        bags[label][tuple(sorted(word for word in words if word in {"not", "good", "bad"}))] += 1
    best = sum(max(bags[0][bag], bags[1][bag]) for bag in {*bags[0], *bags[1]})
    assert best / len(labels) == pytest.approx(0.625, abs=0.02)


@pytest.mark.skipif(
    importlib.util.find_spec("marimo") is None,
    reason="marimo is not installed: make test-lecture installs it and runs this",
)
def test_the_notebook_runs_in_marimo(notebook: Path) -> None:
    done = subprocess.run([sys.executable, str(notebook)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
