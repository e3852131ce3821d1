"""The page of a benchmark: times by length with a curve for each layer, and ratios."""

from pathlib import Path

import pytest

from tests.browser import PageAt, Scheme
from throughtime.bench.conv import Row
from throughtime.bench.conv.growth import ABOUT, TITLE, growth_panels
from throughtime.report import RatioPanel, RatioPoint, write_benchmark

from .browser import flaws, needs_looking
from .pages import PageText, figures


def _rows() -> list[Row]:
    """Return rows in which the GRU takes 1.5 times as long for one sequence, and as long for 32."""
    return [
        Row(
            "length",
            f"B{batch} T{steps} C128",
            "equal",
            mode,
            "GRU",
            0.0,
            [seconds, 1.1 * seconds, 0.9 * seconds],
            [slower * seconds * factor for factor in (1, 1.1, 0.9)],
        )
        for batch, slower in ((1, 1.5), (32, 1.0))
        for mode in ("inference", "training")
        for steps in (1024, 64, 256)
        for seconds in [1e-6 * steps * batch**0.5]
    ]


def _page(folder: Path, *, ratios: bool = True) -> str:
    shapes = [f"B{batch} T64 C128 O100 K3" for batch in (1, 8, 64)]
    points = [
        RatioPoint(shape, series, 1.2, 0.9, 2.5) for shape in shapes for series in ("training", "inference")
    ]
    panels = [RatioPanel("conv: torch ÷ ours", "Of padded batches.", points)] if ratios else []
    write_benchmark(
        folder / "bench.html",
        TITLE,
        "A processor, 1 thread",
        ratios=panels,
        times=growth_panels(_rows()),
        about_times=ABOUT,
        notes=["the load average was high"],
    )
    return (folder / "bench.html").read_text("utf-8")


def test_both_layers_have_a_curve_of_milliseconds_by_length(tmp_path: Path) -> None:
    page = _page(tmp_path, ratios=False)
    drawn = figures(page)
    assert len(drawn) == 4
    curves = {trace["name"]: trace for trace in drawn[0][0] if "name" in trace}
    assert list(curves) == ["two convolutions", "GRU"]
    assert curves["GRU"]["x"] == [64, 256, 1024]
    assert curves["GRU"]["y"] == pytest.approx([0.096, 0.384, 1.536])
    assert drawn[0][1]["xaxis"]["title"]["text"] == "steps of each sequence"
    assert drawn[0][1]["yaxis"]["title"]["text"] == "time of one call in ms"
    words = PageText(page).words
    assert f"<title>{TITLE}</title>" in page
    assert "1 sequence, inference At 1,024 steps the GRU takes 1.50 times as long" in words
    assert "1,024 1.02 ms 1.54 ms 1.50" in words
    assert "Ratios of times" not in words


def test_ratios_have_their_range(tmp_path: Path) -> None:
    data, layout = figures(_page(tmp_path))[-1]
    assert [trace["name"] for trace in data] == ["training", "inference"]
    assert data[0]["y"] == [0, 1, 2]
    assert data[0]["error_x"]["array"] == pytest.approx([1.3] * 3)
    assert data[0]["error_x"]["arrayminus"] == pytest.approx([0.3] * 3)
    assert layout["yaxis"]["ticktext"][0] == "B1 T64 C128 O100 K3"


@needs_looking
def test_in_a_browser_the_page_is_readable(
    width: int, scheme: Scheme, page_at: PageAt, tmp_path: Path
) -> None:
    opened = page_at(width, scheme)
    opened.show(_page(tmp_path), tmp_path)
    assert flaws(opened) == {}
