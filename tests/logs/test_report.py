"""The page of a scan: what it shows, and that text of a log cannot harm it."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.cli.conftest import RunCli, run_cli
from throughtime.logs.model import LogModel
from throughtime.logs.scan import scan_logs
from throughtime.report import write_log_report

from .conftest import Trained, files_at

__all__ = ["run_cli"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def _parsed(path: Path) -> _Tags:
    parser = _Tags()
    parser.feed(path.read_text("utf-8"))
    return parser


def test_the_page_shows_the_scan(model: LogModel, trained: Trained, tmp_path: Path) -> None:
    scan = scan_logs(model, files_at(trained.faulty), top=5)
    write_log_report(tmp_path / "page.html", scan, "faulty.log")
    page = _parsed(tmp_path / "page.html")
    text = page.text
    assert page.links == []
    assert f"{scan.reported} of 200 sessions are reported." in text
    for number, session in enumerate(scan.sessions, 1):
        assert f"{number}. {session.name}" in text
        for line in session.lines:
            assert line.text in text
            assert f"{line.file}:{line.line}" in text
    for template in (*scan.new_templates, *scan.counts):
        assert f"{template.level} {template.text}" in text


def test_the_timeline_has_a_point_for_each_session(model: LogModel, trained: Trained) -> None:
    from throughtime.report._logs_page import _timeline_figure

    scan = scan_logs(model, files_at(trained.faulty), top=1)
    figure = _timeline_figure(scan.timeline)
    calm, reported = (trace for trace in figure.data if trace.mode == "markers")
    assert (len(calm.y), len(reported.y)) == (200 - scan.reported, scan.reported)
    assert min(reported.y) == figure.layout.shapes[0].y0 > max(calm.y)
    assert str(calm.x[0]).startswith("2026-01-31 12:00:0")


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "{{ 1 / 0 }}", '"><img src=x onerror=alert(1)>']
)
def test_text_of_a_log_is_only_text(model: LogModel, trained: Trained, tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile.log"
    path.write_text(f"2026-01-31 12:00:00,000 INFO [worker-1] x - req-000001 {text}\n")
    write_log_report(tmp_path / "page.html", scan_logs(model, files_at(path)), text)
    page = _parsed(tmp_path / "page.html")
    assert page.tags.count("script") == 2  # plotly's library, and the figure
    assert "img" not in page.tags
    assert text in page.text


def test_the_command_writes_the_page(run_cli: RunCli, trained: Trained, tmp_path: Path) -> None:
    done = run_cli("logs", "scan", trained.run, trained.faulty, "--report", tmp_path / "page.html")
    assert done.code == 1
    assert "Surprise over time" in (tmp_path / "page.html").read_text("utf-8")
    assert run_cli("logs", "scan", trained.run, trained.faulty, "--report", "x", "--follow").code == 2
