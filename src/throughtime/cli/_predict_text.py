"""``throughtime predict`` with a run of ``throughtime train``: the class of each text."""

import sys
from pathlib import Path

import torch
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from throughtime.cli._tokenizer import tokenizer_of
from throughtime.data.files import read_bytes, read_stream
from throughtime.data.printable import json_line, printable
from throughtime.data.tables import TextTable, is_table, read_lines, read_texts
from throughtime.data.text import encode_labels
from throughtime.data.tokenizing import encode
from throughtime.errors import DataError
from throughtime.training import Run
from throughtime.training import predict as predict_logits


def predict_text(
    run: Run, data: Path, *, text: str | None, label: str | None, jsonl: bool, top: int | None
) -> None:
    """Print the label and probabilities of each text, and the accuracy if there are labels."""
    model = run.load_model()
    table = read_table(run, data, text, label)
    classes = run.config.classes
    truth = None if table.labels is None else encode_labels(table, classes)
    tokens = encode(tokenizer_of(run), table.texts)
    probabilities = predict_logits(model, tokens).double().softmax(1)
    if jsonl:
        _print_jsonl(probabilities, classes, table, top)
    else:
        _print_table(probabilities, classes, table, top)
    if truth is not None:
        correct = int((probabilities.argmax(1) == truth).sum())
        # To standard error, so that a pipe receives the predictions only.
        print(f"{correct} of {len(table)} correct ({100 * correct / len(table):.1f} %)", file=sys.stderr)  # noqa: T201


def read_table(run: Run, data: Path, text: str | None, label: str | None) -> TextTable:
    """Return the texts of a file, folder or standard input, and their labels if a column is given."""
    if str(data) == "-":
        _refuse_columns("standard input", text, label)
        return read_lines(read_stream(sys.stdin.buffer, "standard input"), "standard input")
    if data.is_dir() or is_table(data):
        column = text or (None if data.is_dir() else run.task_entry("text", str, None, default=None))
        return read_texts(data, column, label)
    if not data.exists():
        raise DataError(f"{data} does not exist; give a file, a folder, or - for standard input")
    _refuse_columns(str(data), text, label)
    return read_lines(read_bytes(data), str(data))


def _refuse_columns(name: str, text: str | None, label: str | None) -> None:
    if text is not None or label is not None:
        raise DataError(f"{name} is plain text with one text per line; leave out --text and --label")


def _print_jsonl(
    probabilities: torch.Tensor, classes: tuple[str, ...], table: TextTable, top: int | None
) -> None:
    for row, of_classes in enumerate(probabilities[:top].tolist()):
        best = max(range(len(classes)), key=of_classes.__getitem__)
        content = {
            "row": row + 1,
            "label": classes[best],
            "probabilities": dict(zip(classes, of_classes, strict=True)),
        }
        if table.labels is not None:
            content["truth"] = table.labels[row]
        print(json_line(content))  # noqa: T201 - command output


def _print_table(
    probabilities: torch.Tensor, classes: tuple[str, ...], table: TextTable, top: int | None
) -> None:
    console = Console()
    count = len(probabilities[:top])
    texts = [printable(" ".join(text.split())) for text in table.texts[:count]]
    names = [printable(name) for name in classes]
    # The text column gets the remaining width: rich would shrink the others for a long text.
    widest = min(24 if table.labels is None else 16, max(len("label"), *map(cell_len, names)))
    widths = {"row": max(len("row"), len(str(count))), "label": widest, "probability": len("probability")}
    if table.labels is not None:
        widths["truth"] = widest
    left = console.width - sum(widths.values()) - len(widths) * len(" │ ")
    widths["text"] = max(len("text"), min(left, max(map(cell_len, texts), default=0)))
    shown = Table(show_edge=False, pad_edge=False)
    for name, width in widths.items():
        shown.add_column(
            name,
            width=width,
            justify="right" if name in {"row", "probability"} else "left",
            overflow="ellipsis" if name == "text" else "fold",
            no_wrap=name == "text",
        )
    for row, of_classes in enumerate(probabilities[:top]):
        best = int(of_classes.argmax())
        truth = [] if table.labels is None else [Text(printable(table.labels[row]))]
        shown.add_row(
            str(row + 1),
            Text(names[best], "bold"),
            f"{float(of_classes[best]):.3f}",
            *truth,
            Text(texts[row]),
        )
    console.print(shown)
