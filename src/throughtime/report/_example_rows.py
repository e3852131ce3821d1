"""Single examples of a report: a text, tokens with highlights, or a series as small lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from throughtime.data.stored_examples import AnyExamples
from throughtime.learn import Prepared
from throughtime.report._style import transparent
from throughtime.tasks.views import ExampleGroup, ExampleView, StepMark, evenly

_MOST_CHARACTERS = 600
_MOST_TOKENS = 120
_MOST_CHANNELS = 6
_WIDTH, _HEIGHT, _POINTS = 600, 60, 300
_MARK = "#D55E00"


@dataclass(frozen=True)
class Word:
    """A token with its background colour, and a note that is shown on hovering."""

    text: str
    colour: str
    note: str


@dataclass(frozen=True)
class Line:
    """A line of a drawing: its points as in SVG."""

    points: str
    colour_number: int


@dataclass(frozen=True)
class Band:
    """A highlighted step of a drawing."""

    x: float
    width: float
    colour: str
    note: str


@dataclass(frozen=True)
class ExampleRow:
    """One example as the page shows it: a text, words, or lines with bands."""

    place: str
    view: ExampleView
    text: str = ""
    words: tuple[Word, ...] = ()
    lines: tuple[Line, ...] = ()
    bands: tuple[Band, ...] = ()


def example_rows(group: ExampleGroup, prepared: Prepared, examples: AnyExamples) -> list[ExampleRow]:
    """Return the examples of a group with their sequences."""
    if "channels" in prepared.source.shape:
        first = first_windows(examples)
        return [
            _series_row(view, prepared, examples.select(first[[view.row]]).inputs[0]) for view in group.rows
        ]
    return _token_rows(group.rows, prepared)


def first_windows(examples: AnyExamples) -> Tensor:
    """Return the number of the first sequence of each row of the table."""
    if examples.rows is None:
        return torch.arange(len(examples))
    _, counts = examples.rows.unique_consecutive(return_counts=True)
    first: Tensor = counts.cumsum(0) - counts
    return first


def _place(prepared: Prepared, row: int) -> str:
    """Return the place of a row, with the name of its file but not the folder."""
    table = prepared.held_out
    if table is None:
        return ""
    place = table.place(row)
    return Path(table.name).name + place.removeprefix(table.name) if place.startswith(table.name) else place


def _series_row(view: ExampleView, prepared: Prepared, steps: Tensor) -> ExampleRow:
    lines = tuple(
        Line(_points(steps[:, channel]), channel) for channel in range(min(steps.shape[1], _MOST_CHANNELS))
    )
    return ExampleRow(_place(prepared, view.row), view, lines=lines, bands=_bands(view.marks))


def _points(values: Tensor) -> str:
    """Return the points of a line that fills the drawing."""
    numbers = values.double().numpy()
    chosen = evenly(len(numbers), _POINTS)
    low, high = (numbers.min(), numbers.max()) if len(numbers) else (0.0, 0.0)
    x = _WIDTH * (chosen + 0.5) / max(1, len(numbers))
    y = _HEIGHT - 4 - (_HEIGHT - 8) * (numbers[chosen] - low) / ((high - low) or 1.0)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _bands(marks: Sequence[StepMark]) -> tuple[Band, ...]:
    width = _WIDTH / max(1, len(marks))
    chosen = sorted(np.argsort([-mark.strength for mark in marks], kind="stable")[:_POINTS].tolist())
    return tuple(
        Band(round(width * i, 1), round(width, 2), _colour(marks[i].strength), marks[i].note)
        for i in chosen
        if marks[i].strength >= 0.1
    )


def _token_rows(views: Sequence[ExampleView], prepared: Prepared) -> list[ExampleRow]:
    table, encoder = prepared.held_out, prepared.encoder
    if table is None or encoder is None or not views:
        return [ExampleRow("", view) for view in views]
    chosen = table.select(np.array([view.row for view in views], dtype=np.int64))
    columns = prepared.recipe.columns.text
    texts = [[str(value) for value in chosen.column(name).to_pylist()] for name in columns]
    words = encoder.inputs.words(chosen)
    return [
        ExampleRow(_place(prepared, view.row), view, words=_words(words[i], view.marks))
        if view.marks
        else ExampleRow(
            _place(prepared, view.row), view, text=_short([part[i] for part in texts] or words[i])
        )
        for i, view in enumerate(views)
    ]


def _short(parts: Sequence[str]) -> str:
    text = " ".join(parts)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _words(tokens: Sequence[str], marks: Sequence[StepMark]) -> tuple[Word, ...]:
    """Return tokens with their marks, of a long sequence those around the strongest mark.

    A mark after the last token is that of the end of the sequence.
    """
    shown = [*tokens[: len(marks)], *["end"] * (len(marks) - len(tokens))]
    strongest = max(range(len(marks)), key=lambda i: marks[i].strength)
    start = max(0, min(strongest - _MOST_TOKENS // 2, len(marks) - _MOST_TOKENS))
    return tuple(
        Word(token, _colour(mark.strength), mark.note)
        for token, mark in list(zip(shown, marks, strict=True))[start : start + _MOST_TOKENS]
    )


def _colour(strength: float) -> str:
    return transparent(_MARK, round(0.75 * strength, 2))
