"""The page: complete, self-contained, and safe with any text in it."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

from tests.browser import PageAt
from throughtime.report import (
    ConfusedPair,
    Convolution,
    Curve,
    Example,
    Filter,
    GateCurves,
    GroupAccuracy,
    Line,
    LivePage,
    Mistakes,
    ModelRow,
    NetworkViews,
    Recurrence,
    ReportContent,
    TokenExample,
    TokenScores,
    render,
)
from throughtime.report._figures import accuracy_figure, learning_figure

ROWS = [
    ModelRow("majority", 0.5, 0.49, 0.51, 0, 0.0),
    ModelRow("BiLSTM <&>", 0.8125, 0.8, 0.82, 1234567, 432.1, 98765.4),
]
TRAIN = {"loss": [0.6, 0.5], "accuracy": [0.65, 0.72]}
VALIDATION = {"loss": [0.55, 0.52], "accuracy": [0.7, 0.74], "roc_auc": [0.8, 0.81]}
CURVES = [Curve("BiLSTM", TRAIN, VALIDATION), Curve("GRU", {"rmse": [3.0, 2.0]}, {})]
NASTY = "</pre><script>alert('x')</script>&amp;"


def content(**changes: object) -> ReportContent:
    example = Example(NASTY, "<", NASTY, "original", "replaced", 0.987, NASTY)
    fields = {
        "title": "A title",
        "subtitle": "A question?",
        "models": ROWS,
        "curves": CURVES,
        "right": [example],
        "wrong": [],
        "examples_of": "BiLSTM",
        "facts": [("files", NASTY)],
        "notes": [NASTY],
    }
    return ReportContent(**{**fields, **changes})


def networks() -> NetworkViews:
    line = Line(NASTY, [-1, 0, 1], [0.2, 0.5, None])
    group = GroupAccuracy(NASTY, 12, 0.75, 0.5, 0.9)
    filters = [Filter([NASTY, "a b"], 1.5, -0.25, "original"), Filter(["c d"], 1.0, 0.5, "replaced")]
    return NetworkViews(
        classes=("original", "replaced"),
        mistakes=[Mistakes("CNN", NASTY, [group], [group], [ConfusedPair(NASTY, "<", 20, 5)])],
        convolution_of="CNN",
        recurrence_of="RNN",
        convolutions=[Convolution(2, filters, filters)],
        recurrence=Recurrence([GateCurves("reads forwards", [line], {"forget": (0.25, 0.5)})], [line]),
        influence=[line],
        tokens=[TokenExample([NASTY, "b"], "replaced", NASTY, [TokenScores("CNN", 0.75, [0.5, -1.0])])],
        live=[
            LivePage("Convolution", "kernels", "build/live/convolution.html", None),
            LivePage("Recurrence", "gates", "build/live/recurrence.html", "../live/recurrence.html"),
        ],
    )


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text.append(data)


def test_text_cannot_break_out_of_the_page() -> None:
    page = _Page(render(content()))
    assert page.open == []
    assert page.tags.count("script") == 1 + 2  # plotly, and one for each figure
    assert "".join(page.text).count(NASTY) == 5
    assert page.links == []


def test_the_networks_are_shown_and_their_texts_cannot_break_out() -> None:
    page = _Page(render(content(networks=networks())))
    text = " ".join(" ".join(page.text).split())
    assert page.open == []
    assert page.tags.count("script") == 1 + 2 + 6
    assert page.links == ["../live/recurrence.html"]
    assert "Convolution ( build/live/convolution.html ): kernels" in text
    assert "Build them with make live" in text
    # The pair, the summary, an n-gram, a token, and where it is; besides those of every page.
    assert "".join(page.text).count(NASTY) == 5 + 5
    for words in (
        "CNN: filters and the n-grams that activate them",
        "original -0.25 1.50",
        "replaced +0.50 1.00",
        "< missed 25 % 20",
        "forget gate 25 / 50 %",
        "“replaced” with 75 %",
    ):
        assert words in text


def test_built_live_pages_need_no_instructions() -> None:
    views = networks()
    built = dataclasses.replace(views, live=[page for page in views.live if page.link])
    assert "make live" not in render(content(networks=built))


def test_the_page_is_small_enough_and_loads_nothing() -> None:
    page = render(content())
    assert len(page.encode()) < 8_000_000
    own = re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)
    assert not re.search(r"https?://|@import|url\(", own)


def test_figures_hold_the_figures() -> None:
    accuracy = accuracy_figure(ROWS)
    assert list(accuracy.data[0].x) == [50.0, 81.25]
    assert list(accuracy.data[0].error_x.array) == [1.0, 0.75] or accuracy.data[0].error_x.array[1] < 1
    learning = learning_figure(CURVES)
    drawn = {
        trace.name: [list(t.y) for t in learning.data if t.name == trace.name] for trace in learning.data
    }
    assert drawn == {
        "BiLSTM, training": [[0.6, 0.5], [65.0, 72.0]],
        "BiLSTM, validation": [[0.55, 0.52], [70.0, 74.0]],
        "GRU, training": [[3.0, 2.0]],
    }
    assert sum(trace.showlegend for trace in learning.data) == 3
    titles = [learning.layout[f"yaxis{number}"].title.text for number in ("", 2, 3)]
    assert titles == ["loss", "accuracy in %", "RMSE"]


def test_a_report_without_networks_has_no_curves() -> None:
    page = render(content(curves=[], right=[], wrong=[], facts=[], notes=[]))
    assert "Learning curves" not in page
    assert "Most certain" not in page


def test_numbers_are_grouped_and_absent_ones_left_out() -> None:
    page = render(content())
    assert "<td>1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567</td>" in page
    assert "<td>81.2 %</td>" in page
    assert "<td>None</td>" not in page


def test_the_page_has_the_colours_of_all_pages_and_is_printed_on_white(
    page_at: PageAt, tmp_path: Path
) -> None:
    opened = page_at(1280, "dark")
    page = opened.show(render(content(networks=networks())), tmp_path)
    colour = "element => getComputedStyle(element).backgroundColor"
    assert page.locator("body").evaluate(colour) == "rgb(16, 20, 24)"
    assert page.locator("mark").first.evaluate(colour) == "rgb(110, 90, 0)"
    assert opened.overflow == 0
    page.emulate_media(media="print")
    assert page.locator("body").evaluate(colour) == "rgb(255, 255, 255)"
    assert page.locator("mark").first.evaluate(colour) == "rgb(255, 241, 184)"
    text = "element => getComputedStyle(element).fill"
    assert page.locator(".figure .xtick text").first.evaluate(text) == "rgb(0, 0, 0)"
