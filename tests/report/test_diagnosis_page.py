"""The page of diagnoses: its content, and in a browser that nothing overlaps, is empty or too wide."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import throughtime as tt
from tests.browser import PageAt, Scheme
from throughtime import Ragged
from throughtime.diagnose import Diagnosis, diagnose
from throughtime.report import NextStepQuality, RunDiagnosis, render_diagnoses
from throughtime.report._diagnosis_figures import recency_figure
from throughtime.tasks import quality
from throughtime.training import GradientRecord, LayerGradients

from .browser import flaws, needs_looking
from .pages import PageText
from .results import epoch_metrics, with_texts


def _diagnoses() -> dict[str, Diagnosis | RunDiagnosis]:
    torch.manual_seed(0)
    model = tt.models.BiLSTM(vocabulary_size=30, outputs=3, embedding_size=6, hidden_size=8)
    x = Ragged.from_list([torch.randint(30, (n,)) for n in (25, 9, 14)])
    words = [[f"<word&{t}>" for t in row.tolist()] for row in x]
    text = diagnose(model, x, lambda y: y.logsumexp(1).mean(), tokens=words, examples=2)
    logits, labels = 2 * torch.randn(90, 3), torch.randint(3, (90,))
    classes = ["first", "second <i>", "a name that is very long indeed"]
    layers = tuple(
        LayerGradients(
            one.name, one.layer, one.direction, one.kind, one.from_end.h.mean, {}, one.from_end.c.mean
        )
        for one in text.layers
    )
    run = RunDiagnosis(
        text,
        quality=with_texts(quality(logits, labels, classes), "some <em>text</em>"),
        history=tuple(map(epoch_metrics, (1, 2, 3))),
        training=tuple(GradientRecord(10 * step, 0, layers) for step in range(4)),
        norms=(1.0, 2.0, 0.5, 3.0),
        clip=1.0,
    )
    layer = tt.nn.init.orthogonal_(tt.nn.RNN(3, 6), 0.5)
    series = Ragged.from_lengths(torch.randn(70, 3), [40, 30])
    rnn = diagnose(layer, series, lambda y: y.state.sum(), outcome=lambda y: y.state[0].sum(1), examples=1)
    cnn = tt.models.TextCNN(vocabulary_size=30, outputs=3)
    without = diagnose(cnn, x, lambda y: y.logsumexp(1).mean(), tokens=words, examples=1)
    return {"a <b>text</b> model": run, "RNN": rnn, "TextCNN": without}


@pytest.fixture(scope="module")
def page() -> str:
    return render_diagnoses("Two & models", "A <question>?", _diagnoses())


def test_the_page_holds_findings_figures_and_words_and_loads_nothing(page: str) -> None:
    assert len(page.encode()) < 8_000_000
    overview, inputs, flow, quality, clipping, training = 1, 3 * 2, (2 + 1) * 2, 2, 1, 2
    spectra, predictions, exponents, recency, gates, learning = 2, 1, 2, 3, 2 * 2, 1
    assert page.count('class="plotly-graph-div"') == sum(
        [overview, inputs, flow, quality, clipping, training],
        sum([spectra, predictions, exponents, recency, gates, learning]),
    )
    assert "gradients vanish within" in page
    assert page.index("Findings") < page.index("Gradient flow through time")
    body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(src|href)="(https?:)?//', body)
    assert "&lt;word&amp;" in page
    assert "<word&" not in body
    assert "some &lt;em&gt;text&lt;/em&gt;" in page
    assert "a &lt;b&gt;text&lt;/b&gt; model" in page


def test_eigenvalues_are_said_to_decide_only_where_nothing_passes_them_by(page: str) -> None:
    text, rnn = page.split("</h2>")[1:3]
    assert "eigenvalues do not tell whether gradients vanish or explode" in text
    assert "of a linear recurrence the spectral radius ρ decides" not in text
    assert "of a linear recurrence the spectral radius ρ decides" in rnn


def test_shares_of_influence_on_the_page_add_up_to_100_percent() -> None:
    for found in _diagnoses().values():
        diagnosis = found.diagnosis if isinstance(found, RunDiagnosis) else found
        figure = recency_figure(diagnosis.recency)
        assert sum(figure.data[0].y) == pytest.approx(100.0)


def test_a_model_without_faults_is_told_so() -> None:
    torch.manual_seed(0)
    layer = tt.nn.init.orthogonal_(tt.nn.RNN(3, 6, nonlinearity="affine", bias=False), 1.0)
    found = diagnose(
        layer,
        Ragged.from_lengths(torch.randn(9, 3), [9]),
        lambda y: (y.output.values * torch.arange(9.0)[:, None]).sum(),
        outcome=lambda y: y.state[0].sum(1),
    )
    found = replace(found, findings=())
    said = "No gradient problems found (accuracy is not judged here)"
    assert said in render_diagnoses("t", "q", {"m": found})
    finding = tt.diagnose.Finding("x", "warning", "the model", "loses", {}, "", "", "", about="accuracy")
    found = replace(found, findings=(finding,))
    page = render_diagnoses("t", "q", {"m": found})
    assert said not in page
    assert "No gradient problems found." in page  # and what is judged of the accuracy below it
    assert "loses" in page
    found = replace(found, findings=(replace(finding, about="gradients"),))
    assert said not in render_diagnoses("t", "q", {"m": found})


def test_how_far_gradients_get_is_told_once_with_both_measures() -> None:
    layer = tt.nn.RNN(1, 1, nonlinearity="affine", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.fill_(0.5)
    x = Ragged.from_lengths(torch.ones(20, 1), [20])
    measured = diagnose(layer, x, lambda y: y.state.sum(), outcome=lambda y: y.state[0].sum(1))
    words = PageText(render_diagnoses("t", "q", {"m": measured})).words
    assert "gradients vanish within 7 steps" in words
    heads = "steps until 1 % is left gradient of the loss slowest direction, λ₁ λ₁ per step longest sequence"
    assert f"{heads} {measured.layers[0].name} 7 7 −0.693 20" in words


def test_a_run_survives_json() -> None:
    run = _diagnoses()["a <b>text</b> model"]
    assert isinstance(run, RunDiagnosis)
    content = run.to_json()
    assert content["quality"]["confusion"] == [list(row) for row in run.quality.confusion]
    assert content["history"][1]["tokens_per_second"] == 100.0
    assert RunDiagnosis.from_json(json.loads(json.dumps(content, allow_nan=False))) == run
    step = replace(run, quality=NextStepQuality(0.5, 0.25, "perplexity 1.65"))
    assert RunDiagnosis.from_json(step.to_json()) == step
    with pytest.raises(ValueError, match="quality must be one of ClassifierQuality, NextStepQuality"):
        RunDiagnosis.from_json({**content, "quality": {"loss": 1.0}})


@needs_looking
def test_in_a_browser_the_page_is_readable(
    page: str, width: int, scheme: Scheme, page_at: PageAt, tmp_path: Path
) -> None:
    opened = page_at(width, scheme)
    opened.show(page, tmp_path)
    assert flaws(opened) == {}
