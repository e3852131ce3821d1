"""Views of the networks: against plain loops, on models whose behaviour is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import throughtime as tt
from throughtime import Ragged
from throughtime.demo.operators.dataset import PythonOperators
from throughtime.demo.operators.families import FAMILIES, OPERATORS
from throughtime.demo.operators.replacement import ReplacementDetector
from throughtime.demo.operators.sites import OPEN
from throughtime.demo.views.around import OFFSETS, means_around, places_of
from throughtime.demo.views.filters import convolutions
from throughtime.demo.views.gates import recurrence
from throughtime.demo.views.live import live_pages
from throughtime.demo.views.mistakes import TestSites, mistakes
from throughtime.demo.views.tokens import influence_around, log_odds, token_examples
from throughtime.demo.views.words import shown

CLASSES = tuple(OPERATORS)


@pytest.fixture(scope="module")
def networks(operators: PythonOperators) -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    words = len(operators.vocabulary)
    return {
        "TextCNN": tt.models.TextCNN(words, 23, embedding_size=8, channels=6, kernel_sizes=(2, 3)).eval(),
        "BiLSTM": tt.models.BiLSTM(words, 23, embedding_size=8, hidden_size=7).eval(),
    }


def test_places_are_behind_the_marker(operators: PythonOperators) -> None:
    sites = operators.sites["validation"]
    for window, place in zip(operators.validation.inputs, places_of(sites).tolist(), strict=True):
        assert operators.vocabulary.words[int(window[place - 1])] == OPEN


def test_means_around_a_place_against_a_loop() -> None:
    torch.manual_seed(0)
    values = Ragged.from_lengths(torch.rand(90).double(), [3, 30, 1, 56])
    places = torch.tensor([2, 0, 0, 40])
    for absent in (None, 0.0, 0.5):
        means = means_around(values, places, absent=absent)
        assert len(means) == len(OFFSETS)
        for offset, mean in zip(OFFSETS, means, strict=True):
            entries = [
                float(row[place + offset]) if 0 <= place + offset < len(row) else absent
                for row, place in zip(values, places.tolist(), strict=True)
            ]
            known = [entry for entry in entries if entry is not None]
            assert mean == (pytest.approx(sum(known) / len(known)) if known else None)


def test_filters_have_the_weights_and_words_of_the_model(
    operators: PythonOperators, networks: dict[str, torch.nn.Module]
) -> None:
    model, windows = networks["TextCNN"], operators.validation.inputs
    parts = convolutions(model, windows, operators.vocabulary, CLASSES)
    largest, operator = (model.output.weight - model.output.weight.mean(0)).max(0)
    filters = [item for part in parts for item in part.filters]
    assert [part.kernel_size for part in parts] == [2, 3]
    assert [item.weight for item in filters] == pytest.approx(largest.tolist(), rel=1e-4)
    assert [item.towards for item in filters] == [CLASSES[number] for number in operator.tolist()]
    texts = [" " + " ".join(shown([-1, *row.tolist(), -1], operators.vocabulary)) + " " for row in windows]
    for item in filters:
        assert all(any(f" {ngram} " in text for text in texts) for ngram in item.ngrams)
    for part in parts:
        effects = [item.activation * item.weight for item in part.strongest]
        assert effects == sorted(effects, reverse=True)


def test_gates_are_the_means_of_the_trace(
    operators: PythonOperators, networks: dict[str, torch.nn.Module]
) -> None:
    model, data = networks["BiLSTM"], operators.validation
    places = places_of(operators.sites["validation"])
    result = recurrence(model, data.inputs, data.targets, places)
    trace = model.recurrent.trace(model.embedding(data.inputs))
    rows = data.inputs.offsets[:-1] + places
    for direction, curves in enumerate(result.directions):
        for line in curves.means:
            gate = trace[0, direction].gates[line.name].values.detach()[rows].mean()
            assert line.y[OFFSETS.index(0)] == pytest.approx(float(gate), rel=1e-5)
        closed, open_ = curves.saturation["forget"]
        gates = trace[0, direction].forget.values.detach()
        assert closed == pytest.approx(float((gates < 0.1).float().mean()), abs=1e-6)
        assert open_ == pytest.approx(float((gates > 0.9).float().mean()), abs=1e-6)
    assert [line.name for line in result.gradients][::2] == [
        "∂L/∂c, reads forwards",
        "∂L/∂c, reads backwards",
    ]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradient_norms_are_those_of_autograd(
    operators: PythonOperators, networks: dict[str, torch.nn.Module]
) -> None:
    """Of one window read forwards, whose last h has a gradient through pooling alone."""
    model = networks["BiLSTM"]
    windows, labels = operators.validation.inputs[:1], operators.validation.targets[:1]
    result = recurrence(model, windows, labels, torch.zeros(1, dtype=torch.int64))
    h = model.recurrent(model.embedding(windows)).output.values.detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(model.output(h.amax(0, keepdim=True)), labels)
    (gradient,) = torch.autograd.grad(loss, h)
    line = next(line for line in result.gradients if line.name == "∂L/∂h, reads forwards")
    assert line.y[0] == pytest.approx(float(gradient[-1, :7].norm()), rel=1e-4)


def test_influence_adds_up_to_the_whole(
    operators: PythonOperators, networks: dict[str, torch.nn.Module]
) -> None:
    short = [i for i, row in enumerate(operators.validation.inputs) if len(row) <= 22][:5]
    windows = operators.validation.inputs[short]
    # All tokens of a window are within the figure if the place is in its middle.
    middle = torch.tensor([len(row) // 2 for row in windows])
    for name, model in networks.items():
        detector = ReplacementDetector(model, operators.vocabulary)
        line = influence_around(name, detector, windows, middle)
        assert sum(line.y) == pytest.approx(100)
        assert all(0 <= share <= 100 for share in line.y)


def _logits(hits: Tensor, labels: Tensor) -> Tensor:
    classes = torch.where(hits, labels, 1 - labels)
    return torch.nn.functional.one_hot(classes, 2).float()


def test_examples_are_hit_by_both_by_one_and_by_none(
    operators: PythonOperators, networks: dict[str, torch.nn.Module]
) -> None:
    replaced = operators.replaced
    order = torch.arange(len(replaced)) % 4
    logits = [_logits(order < 2, replaced), _logits(order % 2 == 0, replaced)]
    detectors = {name: ReplacementDetector(model, operators.vocabulary) for name, model in networks.items()}
    examples = token_examples(operators, detectors, logits)
    assert len(examples) == 4
    windows = [shown(row.tolist(), operators.vocabulary) for row in operators.test.inputs]
    rows = [windows.index(list(example.tokens)) for example in examples]
    assert [int(order[row]) for row in rows] == [0, 1, 2, 3]
    for example, row in zip(examples, rows, strict=True):
        assert example.truth == "replaced"
        assert len(example.tokens) <= 45
        for model, detector in zip(example.models, detectors.values(), strict=True):
            network = detector.network
            window = operators.test.inputs[[row]]
            assert model.probability == pytest.approx(
                float(log_odds(detector(window).detach()).sigmoid()), rel=1e-4
            )
            without = network.embedding(window).values.clone()
            without[3] = 0
            hook = network.embedding.register_forward_hook(
                lambda *_, window=window, without=without: window.with_values(without)
            )
            change = log_odds(detector(window).detach())
            hook.remove()
            expected = float(log_odds(detector(window).detach()) - change)
            assert model.scores[3] == pytest.approx(expected, abs=1e-5)


def test_mistakes_against_counts(operators: PythonOperators) -> None:
    sites = TestSites.of(operators)
    assert ((sites.written != sites.shown) == sites.replaced).all()
    correct = np.random.default_rng(0).random(len(sites.written)) < 0.7
    result = mistakes("a", correct, sites)
    assert sum(group.count for group in result.groups) == len(correct)
    assert sum(group.count for group in result.lengths) == len(correct)
    for parts in (result.groups, result.lengths):
        assert sum(part.count * part.accuracy for part in parts) == pytest.approx(correct.sum())
        assert all(part.low <= part.accuracy <= part.high for part in parts)
    names = {", ".join(family) for family in FAMILIES}
    assert {group.group for group in result.groups} <= names
    first, last = result.lengths[0].group.split(" to ")[0], result.lengths[-1].group.split(" to ")[-1]
    assert (int(first), int(last)) == (sites.lengths.min(), sites.lengths.max())


def test_confused_pairs_and_the_summary_name_the_mistakes() -> None:
    """A model that misses every < that was <=, and is right otherwise."""
    written = np.array([3] * 20 + [0] * 20 + [6] * 20)  # <=, ==, in
    shown_ = np.array([2] * 20 + [0] * 20 + [6] * 20)
    sites = TestSites(written, shown_, written != shown_, np.full(60, 30))
    result = mistakes("a", written == shown_, sites)
    assert next((pair.truth, pair.shown, pair.wrong, pair.count) for pair in result.pairs) == (
        "<=",
        "<",
        20,
        20,
    )
    assert [pair.rate for pair in result.pairs] == [1.0, 0.0, 0.0]
    assert "misses 100 % of the replaced operators and takes 0 % of the original" in result.summary
    assert (
        "worst family is “==, !=, <, <=, >, >=” (50 % correct), its best “in, not in” (100 %)"
        in result.summary
    )
    assert [(part.group, part.count) for part in result.lengths] == [("30", 60)]


def test_live_pages_are_linked_once_they_are_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = tmp_path / "runs" / "demo"
    assert [page.link for page in live_pages(report)] == [None, None]
    (tmp_path / "build" / "live").mkdir(parents=True)
    (tmp_path / "build" / "live" / "recurrence.html").touch()
    convolution, recurrent = live_pages(report)
    assert convolution.link is None
    assert convolution.path == "build/live/convolution.html"
    assert recurrent.link == "../../build/live/recurrence.html"
    assert (report / recurrent.link).resolve().is_file()
