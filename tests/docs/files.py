"""Small files with the names and columns that the examples of several pages use."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_examples(folder: Path) -> None:
    """Write the files, each of thirty rows."""
    texts, labels = ["a good film", "a bad film"] * 15, ["good", "bad"] * 15
    events, failed = [["open", "read", "close"], ["open", "open"]] * 15, [0, 1] * 15
    steps, load = [[1.0, 2.0, None, 4.0], [4.0, 3.0, 2.0]] * 15, [1.0, 2.0] * 15
    tables: dict[str, dict[str, list[Any]]] = {
        "reviews.csv": {"text": texts, "label": labels},
        "new_reviews.csv": {"text": texts},
        "notes.csv": {"title": texts, "body": texts, "age": load, "author": list(range(30)), "label": labels},
        "train.tsv": {"text": texts, "label": labels},
        "test.tsv": {"text": texts, "label": labels},
        "log.jsonl": {"events": events},
        "sessions.jsonl": {"events": events, "failed": failed},
        "sentences.jsonl": {"words": events, "tags": [["B", "I", "O"], ["O", "O"]] * 15},
        "sensors.parquet": {"x": steps, "y": steps, "load": load},
    }
    for name, columns in tables.items():
        _write_table(folder / name, columns)
    for part in ("TRAIN", "TEST"):
        series = [[i % 2, *(j * (i % 2) for j in range(12))] for i in range(30)]
        (folder / f"GunPoint_{part}.tsv").write_text("\n".join("\t".join(map(str, row)) for row in series))
        values = "".join(f"1,2,{i % 2}:3,4,5:{'ab'[i % 2]}\n" for i in range(30))
        header = "@univariate false\n@dimensions 2\n@classLabel true a b\n@data\n"
        (folder / f"Vowels_{part}.ts").write_text(header + values)


def _write_table(path: Path, columns: dict[str, list[Any]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
        return
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    delimiter = "\t" if path.suffix == ".tsv" else ","
    lines = [columns, *([str(value) for value in row.values()] for row in rows)]
    path.write_text("".join(delimiter.join(line) + "\n" for line in lines))
