"""Labels, texts and names of any characters: every page keeps its structure and shows them unchanged."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import torch

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import diagnose
from throughtime.report import Curve, Example, ModelRow, ReportContent, RunDiagnosis, render, render_diagnoses
from throughtime.report._class_figures import confusion_figure
from throughtime.tasks import quality

from .results import epoch_metrics, with_texts

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    '<a href="https://example.org">click</a>',
    "<b>bold</b><br>&lt;i&gt;",
    "{{ 7 * 7 }}{% raw %}",
    "%{x}<extra>e</extra>$x^2$",
    "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "half \ud800 of a pair",
    "right \u202eto left\u2066",
    "nul \0 and \x7f and \x85",
]


class _Structure(HTMLParser):
    """Tags, their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[Any] = []
        self.parts: list[str] = []
        self.feed(page)
        self.text = "".join(self.parts)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, sorted(name for name, _ in attrs), dict(attrs).get("href")))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def _report(texts: list[str]) -> str:
    name = " ".join(texts)
    examples = [Example(text, text, text, text, text, 0.9, text) for text in texts]
    rows = [ModelRow(text, 0.9, 0.8, 0.95) for text in texts]
    losses = {"loss": [0.6, 0.5]}
    curves = [Curve(text, losses, losses) for text in texts[:2]]
    facts = [(text, text) for text in texts]
    return render(ReportContent(name, name, rows, curves, examples, examples, name, facts, texts))


def _diagnoses(texts: list[str]) -> str:
    torch.manual_seed(0)
    count = len(texts)
    model = tt.models.BiLSTM(vocabulary_size=9, outputs=2, embedding_size=3, hidden_size=3)
    x = Ragged.from_list([torch.randint(9, (count,))])
    found = diagnose(model, x, lambda y: y.logsumexp(1).mean(), tokens=[texts], examples=1)
    measured = quality(torch.randn(99, count), torch.arange(99) % count, texts)
    run = RunDiagnosis(found, quality=with_texts(measured, " ".join(texts)), history=(epoch_metrics(1),))
    name = " ".join(texts)
    return render_diagnoses(name, name, {name: run, "other": run})


@pytest.mark.parametrize("make", [_report, _diagnoses])
def test_no_text_changes_a_page(make: Any) -> None:
    page, harmless = make(HOSTILE), make([f"harmless {i}" for i in range(len(HOSTILE))])
    page.encode()  # or it cannot be written
    found = _Structure(page)
    assert found.tags == _Structure(harmless).tags
    own = page.replace(max(re.findall("<script>.*?</script>", page, re.DOTALL), key=len), "")  # plotly's
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", own)
    for text in HOSTILE:
        if text.isprintable():
            assert text in found.text
    assert "\\x1b[31mred" in found.text
    # What plotly draws: its templates may hold tags, the texts of the data none.
    drawn, templates = _drawn(page)
    assert len(drawn) > 2 * len(HOSTILE)
    assert not [text for text in drawn if "<" in text]
    assert templates == _drawn(harmless)[1]


def _drawn(page: str) -> tuple[list[str], list[str]]:
    """Return the texts of all figures, and their templates."""
    texts: list[str] = []
    templates: list[str] = []

    def walk(node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(value, str):
                (templates if str(key).endswith("template") else texts).append(value)
            elif isinstance(value, dict | list):
                walk(value)

    decoder = json.JSONDecoder()
    for call in re.finditer(r'Plotly\.newPlot\(\s*"[^"]*",\s*', page):
        data, end = decoder.raw_decode(page, call.end())
        walk(data)
        walk(decoder.raw_decode(page, page.index("{", end))[0])
    return texts, templates


def test_classes_that_begin_alike_or_look_like_numbers_keep_their_rows() -> None:
    names = ["a name that is very long", "a name that is very long indeed", "10", "9", "2026-11-28"]
    labels = torch.arange(5)
    measured = quality(torch.eye(5), labels, names)
    figure = confusion_figure(measured.classes, measured.confusion)
    assert [list(row) for row in figure.data[0].z] == (100 * torch.eye(5)).tolist()
    assert list(figure.data[0].x) == list(figure.data[0].y) == [0, 1, 2, 3, 4]
    assert list(figure.layout.xaxis.ticktext) == [
        "a name that is …",
        "a name that is …",
        "10",
        "9",
        "2026-11-28",
    ]
    assert figure.data[0].customdata[0][1] == "true a name that is …, predicted a name that is …: 0"
