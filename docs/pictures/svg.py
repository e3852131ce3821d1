"""Small figures as SVG: stem plots, coloured tables of numbers, and layers of dots connected by lines."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#c8c8c8"


class Picture:
    """Shapes on a white background, written as one file."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height, self.shapes = width, height, []

    def text(self, x: float, y: float, words: str, *, size: int = 14, anchor: str = "start") -> None:
        self.shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> None:
        (x, y), (u, v) = start, end
        self.shapes.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{u:.1f}" y2="{v:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>'
        )

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        self.shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def box(self, x: float, y: float, size: tuple[float, float], fill: str, edge: str = "white") -> None:
        self.shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}" fill="{fill}" '
            f'stroke="{edge}"/>'
        )

    def write(self, path: Path) -> None:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="system-ui, sans-serif" fill="#222">'
        )
        ground = '<rect width="100%" height="100%" fill="white"/>'
        path.write_text("\n".join([head, ground, *self.shapes, "</svg>"]) + "\n", "utf-8")


def stems(
    picture: Picture, corner: tuple[float, float], values: Sequence[float], title: str, colour: str = BLUE
) -> None:
    """Draw a value for each step, 22 pixels a step and 18 a unit, above a zero line with step numbers."""
    x, y = corner
    picture.text(x, y, title)
    zero = y + 18 + 18 * max(0, *values)
    picture.line((x, zero), (x + 22 * len(values), zero), GREY, 1)
    depth = zero - 18 * min(0, *values) + 22
    for step, value in enumerate(values):
        at = x + 11 + 22 * step
        picture.line((at, zero), (at, zero - 18 * value), colour, 3)
        picture.dot(at, zero - 18 * value, 4, colour)
        picture.text(at, depth, str(step), size=11, anchor="middle")


def table(
    picture: Picture,
    corner: tuple[float, float],
    rows: Sequence[Sequence[float]],
    *,
    cell: tuple[float, float] = (34, 24),
    numbers: bool = True,
) -> None:
    """Draw numbers in cells, blue above zero and red below, darker for larger absolute values."""
    largest = max((abs(value) for row in rows for value in row), default=1) or 1
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            x, y = corner[0] + j * cell[0], corner[1] + i * cell[1]
            picture.box(x, y, cell, shade(value / largest))
            if numbers:
                shown = f"{value:.1f}".removesuffix(".0").replace("-", "−")
                picture.text(x + cell[0] / 2, y + cell[1] / 2 + 5, shown, size=12, anchor="middle")


def shade(strength: float) -> str:
    """Return white for 0, a light blue for 1, a light red for −1."""
    full = (120, 175, 220) if strength > 0 else (240, 165, 120)
    return "#" + "".join(f"{round(255 - (255 - c) * min(1, abs(strength))):02x}" for c in full)


def layers(
    picture: Picture,
    corner: tuple[float, float],
    names: Sequence[str],
    steps: int,
    edges: Sequence[Iterable[tuple[int, int]]],
    reached: set[int],
    top: int,
) -> None:
    """Draw rows of dots, the input lowest, and which dot below each dot reads.

    ``edges[n]`` are pairs (step of row n, step of row n + 1); those on a way to step ``top`` of the highest
    row are drawn strong. Of the input, the dots in ``reached`` are filled green.
    """
    high = len(names) - 1

    def place(row: int, step: int) -> tuple[float, float]:
        return corner[0] + 150 + 30 * step, corner[1] + 62 * (high - row)

    strong: list[set[int]] = [set() for _ in names]
    strong[high] = {top}
    for row in range(high - 1, -1, -1):
        for below, above in sorted(edges[row], key=lambda pair: pair[1] in strong[row + 1]):
            leads = above in strong[row + 1]
            colour, width = (BLUE, 2) if leads else ("#e6e6e6", 1)
            picture.line(place(row, below), place(row + 1, above), colour, width)
            if leads:
                strong[row].add(below)
    for row, name in enumerate(names):
        picture.text(corner[0], place(row, 0)[1] + 5, name, size=13)
        for step in range(steps):
            filled = BLUE if step in strong[row] else GREY
            picture.dot(*place(row, step), 6, GREEN if row == 0 and step in reached else filled)
    for step in range(steps):
        x, y = place(0, step)
        picture.text(x, y + 24, str(step), size=11, anchor="middle")
