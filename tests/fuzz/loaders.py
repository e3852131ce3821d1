"""The readers of data files, each with valid files for the fuzz tests to damage.

Some formats guard their content by a checksum, at which every change of a byte ends. Of these the content is
damaged, too, and packed as it should be.
"""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
from hypothesis import strategies as st

import throughtime as tt
from throughtime.cli._python_files import python_files, unreadable
from throughtime.data.frames import read_frames, read_prompt
from throughtime.data.next_step import cut_text, frame_source, text_source
from throughtime.data.plain_text import read_text
from throughtime.data.read_table import read_table
from throughtime.data.row_stream import StreamFormat, StreamOptions, stream_rows
from throughtime.demo.operators.corpus import SourceFile
from throughtime.demo.operators.lexer import lex
from throughtime.demo.operators.reading import read_files
from throughtime.demo.plan import DemoPlan
from throughtime.demo.results import NAME, DemoResult, read_result, write_result
from throughtime.learn import Recipe, prepare
from throughtime.learn.tune.folder import stored_folder
from throughtime.learn.tune.limits import Limits
from throughtime.learn.tune.request import Request
from throughtime.learn.tune.space import space_of
from throughtime.learn.tune.study import StudyFile, quiet_optuna
from throughtime.learn.tune.trials import Outcome, UserAttributes
from throughtime.report import LogLine, LogView, ModelRow

from .damage import changed_json, damaged


@dataclass(frozen=True)
class Loader:
    """A reader, and files for it.

    Parameters
    ----------
    load
        Reads the folder or file that it is given and does with its content what comes next.
    name
        Of the file, or of the one in a folder that is damaged.
    valid
        Files that are read without an error.
    content
        Damaged ones; of ``valid`` unless given.
    beside
        Other files of the folder, which stay as they are. Without any, ``load`` is given the file alone.
    slow
        Whether each reading starts a process; ``make test`` then tries fewer files.
    """

    load: Callable[[Path], object]
    name: str
    valid: tuple[bytes, ...]
    content: st.SearchStrategy[bytes] | None = None
    beside: Mapping[str, bytes] | None = None
    slow: bool = False

    @property
    def damaged(self) -> st.SearchStrategy[bytes]:
        """Return what is read."""
        return damaged(*self.valid) if self.content is None else self.content

    def write(self, folder: Path, content: bytes) -> Path:
        """Write the file, and return what ``load`` takes."""
        for name, other in (self.beside or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(other)
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path if self.beside is None else folder


# ------------------------------------------------------------------ texts and tables

_ROWS = [(f'word{i % 3}, "two"\nlines <b>é</b>', ("yes", "no")[i % 2]) for i in range(12)]


_CLASSIFIED = Recipe.of("classification", text=["t"], target=["c"], vocabulary=50)
_LABELLED = Recipe.of("multilabel", text=["t"], target=["c"])
_TAGGED = Recipe.of("tagging", tokens=["t"], target=["c"], split_tokens=True)
_OF_LISTS = Recipe.of("classification", tokens=["t"], target=["c"])
_OF_SERIES = Recipe.of("classification", series=["t"], target=["c"])
_FOLDER_OF_CLASSES = Recipe.of("classification", vocabulary=50, test=0.0)


def _prepared(recipe: Recipe, path: Path) -> object:
    """Read, split and encode rows, as a training does."""
    return prepare(recipe, path)


_table, _folder = partial(_prepared, _CLASSIFIED), partial(_prepared, _FOLDER_OF_CLASSES)


def _delimited(delimiter: str, end: str = "\n") -> bytes:
    cells = [
        ("i", "t", "c"),
        *((str(i), f'"{t.replace(chr(34), chr(34) * 2)}"', c) for i, (t, c) in enumerate(_ROWS)),
    ]
    return ("\ufeff" + end.join(delimiter.join(row) for row in cells)).encode()


def _jsonl() -> bytes:
    return "\n".join(json.dumps({"t": t, "c": c, "n": [1, 2.5, None]}) for t, c in _ROWS).encode()


def _parquet(classes: Any = None, texts: pa.DataType | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    columns = {
        "t": pa.array([t for t, _ in _ROWS], texts or pa.string()),
        "c": pa.array([c for _, c in _ROWS]) if classes is None else classes,
        "other": pa.array([[i] for i in range(len(_ROWS))]),
    }
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def _pages_damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """Leave the description at the end as it is."""
    end = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    return damaged(whole[4:end]).map(lambda pages: whole[:4] + pages + whole[end:])


_PARQUET = (
    _parquet(),
    _parquet(compression="none"),
    _parquet(compression="none", use_dictionary=False, texts=pa.string_view()),
    _parquet(compression="none", data_page_version="2.0", store_schema=False),
    _parquet(compression="gzip", row_group_size=5),
    _parquet(compression="none", classes=pa.array([i % 2 for i in range(12)])),
    _parquet(compression="none", classes=pa.array([str(i % 2) for i in range(12)]).dictionary_encode()),
)


# ------------------------------------------------------------------ tables of any columns

_CELLS = pa.table(
    {
        "text": [t for t, _ in _ROWS],
        "label": pa.array([c for _, c in _ROWS]).dictionary_encode(),
        "tokens": [["a", "é"][: i % 3] for i in range(12)],
        "series": pa.array([[[i, 0.5]] * (i % 3) for i in range(12)], pa.list_(pa.list_(pa.float32(), 2))),
        "wide": [[1.0, None], None, []] * 4,
        "flag": [True, None, False] * 4,
        "date": pa.array([0, 1, 2] * 4, pa.date32()),
    }
)


def _rows(path: Path, **options: Any) -> object:
    """Read every value of a table, as what comes next does."""
    table = read_table(path, **options)
    for row in table.content.to_pylist():
        json.dumps(row, default=str).encode()
    return [table.place(row) for row in (0, len(table) - 1)]


def _arrow(compression: str | None = None, *, stream: bool = False) -> bytes:
    file = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(file, _CELLS.schema, options=options) as writer:
        writer.write_table(_CELLS, 5)
    return file.getvalue()


def _any_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(_CELLS, file, compression="none")
    return file.getvalue()


_PLAIN_CSV = (
    b"\xef\xbb\xbfid,price,text,flag,when,label\n1,0.5,\xc3\xa9 one,true,2020-01-01,007\n"
    b'2,NaN,"two, lines\nof it",false,2020-01-02,010\n'
)
_UCR = b"1\t0.5\t-1.25e-01\t3\n2\t1\t2\tNaN\n-1\tNaN\t1\tNaN\n"
_JSON = (
    json.dumps([{"text": "a", "x": [1, 2.5], "y": None}, {"text": "é", "x": [], "y": {"z": 1}}]).encode(),
    json.dumps({"text": ["a", "b"], "x": [[[1, 2]], [[3, 4], [5, 6]]], "y": [True, None]}).encode(),
)
_TS_OF_CLASSES = (
    b"# comment\n@problemName toy\n@timeStamps false\n@missing true\n@univariate false\n@dimensions 2\n"
    b"@equalLength false\n@classLabel true yes no\n@data\n1,2,3:4,?,6:yes\n1e-3,2: 4,NaN :no\n"
)
_TS_OF_TARGETS = (
    b"@univariate true\n@equalLength true\n@seriesLength 2\n@targetlabel true\n@data\n1,2:0.5\n3,4:1e2\n"
)
_SERIES = np.arange(12, dtype=np.float32).reshape(3, 2, 2)


def _npz_of(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


_NPZ = (
    _npz_of(x=_SERIES, y=np.array(["a", "ü", "a"]), x_test=_SERIES[:1]),
    _npz_of(values=_SERIES.reshape(6, 2), lengths=[1, 2, 3], y=[0, 1, 0]),
)


def _zip_of(x: bytes, y: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", x)
        archive.writestr("y.npy", y)
    return file.getvalue()


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


TABLES = {
    "table of csv": Loader(_rows, "a.csv", (_PLAIN_CSV, _delimited(","))),
    "table of csv in another encoding": Loader(
        partial(_rows, encoding="utf-16", delimiter=";"),
        "a.csv",
        ("a;b\n1;é\n".encode("utf-16"),),
    ),
    "table of csv.gz": Loader(_rows, "a.csv.gz", (gzip.compress(_PLAIN_CSV),)),
    "table of csv.gz, damaged within": Loader(
        _rows, "a.csv.gz", (gzip.compress(_PLAIN_CSV),), damaged(_PLAIN_CSV).map(gzip.compress)
    ),
    "table of tsv": Loader(_rows, "a.tsv", (_delimited("\t"), _UCR)),
    "table of ucr": Loader(_rows, "a.tsv", (_UCR,)),
    "table of jsonl": Loader(
        _rows, "a.jsonl", (_jsonl(),), damaged(_jsonl()) | changed_json(*_jsonl().splitlines())
    ),
    "table of json": Loader(_rows, "a.json", _JSON, damaged(*_JSON) | changed_json(*_JSON)),
    "table of parquet": Loader(
        _rows,
        "a.parquet",
        (_any_parquet(),),
        damaged(_any_parquet()) | _pages_damaged(_any_parquet()),
        slow=True,
    ),
    "table of arrow": Loader(
        _rows, "a.arrow", (_arrow(), _arrow("zstd"), _arrow("lz4"), _arrow(stream=True)), slow=True
    ),
    "table of mapped arrow": Loader(
        partial(_rows, memory_map=True), "a.arrow", (_arrow(), _arrow(stream=True)), st.just(_arrow())
    ),
    "table of ts": Loader(_rows, "a.ts", (_TS_OF_CLASSES, _TS_OF_TARGETS)),
    "table of npz": Loader(_rows, "a.npz", _NPZ),
    "table of a damaged array in npz": Loader(
        _rows,
        "a.npz",
        _NPZ,
        damaged(_npy(_SERIES)).map(lambda x: _zip_of(x, _npy(np.array(["a", "b", "ü"]))))
        | damaged(_npy(np.array(["a", "b", "ü"]))).map(lambda y: _zip_of(_npy(_SERIES), y)),
    ),
    "table of npy": Loader(_rows, "a.npy", (_npy(_SERIES), _npy(_SERIES[:, 0]))),
    "table of lines": Loader(_rows, "a.txt", ("to be\r\n\nü\n".encode(),)),
    "table of a class folder": Loader(
        _rows,
        "b/3.txt",
        ("drei <b>\nü".encode(),),
        beside={f"{c}/{i}.txt": b"one two" for c in "ab" for i in (1, 2)},
    ),
}


def _streamed(kind: StreamFormat, path: Path) -> object:
    """Read every value of a table that arrives in parts, as from a pipe."""
    with path.open("rb") as file:
        parts = list(stream_rows(file, "a pipe", kind, StreamOptions(rows=5)))
    for row in (row for part in parts for row in part.content.to_pylist()):
        json.dumps(row, default=str).encode()
    return [part.place(0) for part in parts]


STREAMS = {
    "stream of csv": Loader(partial(_streamed, "csv"), "a.csv", (_PLAIN_CSV, _delimited(","))),
    "stream of jsonl": Loader(
        partial(_streamed, "jsonl"),
        "a.jsonl",
        (_jsonl(),),
        damaged(_jsonl()) | changed_json(*_jsonl().splitlines()),
    ),
    "stream of text": Loader(partial(_streamed, "text"), "a.txt", ("to be\r\n\nü\n".encode(),)),
}


_LABEL_LISTS = "t,c\n" + 'one two,"[""a"", ""é""]"\nthree,a\ntwo one,\nthree one,é|a\n' * 3
_TAG_LISTS = "t,c\n" + 'one two,"[""A"", ""B""]"\nthree,A\ntwo one,B  A\n' * 4
_TOKEN_LISTS = "t,c\n" + '"[1, 2]",a\n[2],b\n' * 4
_SERIES_LISTS = "t,c\n" + '"[[1, 2.5], [0, 1e3]]",a\n"[[2, -1]]",b\n' * 4

TARGETS = {
    "csv of labels": Loader(partial(_prepared, _LABELLED), "a.csv", (_LABEL_LISTS.encode(),)),
    "csv of tags": Loader(partial(_prepared, _TAGGED), "a.csv", (_TAG_LISTS.encode(),)),
    "csv of token lists": Loader(partial(_prepared, _OF_LISTS), "a.csv", (_TOKEN_LISTS.encode(),)),
    "csv of series": Loader(partial(_prepared, _OF_SERIES), "a.csv", (_SERIES_LISTS.encode(),)),
}


_TEXT = "the cat sat on the mat .\nder Bär saß auf dem Stuhl .\n".encode() * 12


def _running_text(path: Path) -> object:
    text = read_text(path)
    return [
        text_source(cut_text(text, unit, 0.2, 0.1), unit, vocabulary=30, min_count=1, names=["a", "b", "c"])
        for unit in ("word", "character")
    ]


# ------------------------------------------------------------------ frames

_ROLLS = [np.eye(4, dtype=np.uint8)[[i % 4] * (i + 2)] for i in range(5)]
SHARES: Any = {"validation": 0.3, "test": 0.3, "seed": 0}


def _frames(path: Path) -> object:
    return frame_source(read_frames(path, **SHARES))


def _npz(compressed: bool = False, dtype: Any = np.uint8) -> bytes:
    file = io.BytesIO()
    arrays = {"frames": np.concatenate(_ROLLS).astype(dtype), "lengths": np.array([len(r) for r in _ROLLS])}
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def _zipped(frames: bytes, lengths: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("frames.npy", frames)
        archive.writestr("lengths.npy", lengths)
    return file.getvalue()


_FRAMES, _LENGTHS = _npy(np.concatenate(_ROLLS)), _npy(np.array([len(roll) for roll in _ROLLS]))


def _mat(compressed: bool = False) -> bytes:
    cell = np.empty((1, len(_ROLLS)), dtype=object)
    cell[0] = [*_ROLLS]
    file = io.BytesIO()
    parts = dict.fromkeys(("traindata", "validdata", "testdata"), cell)
    scipy.io.savemat(file, {"note": "x", **parts}, do_compression=compressed)
    return file.getvalue()


_MAT = _mat()


def _packed_mat(content: bytes) -> bytes:
    """Return a .mat file of these variables, each compressed, damaged as they may be."""
    at, parts = 0, []
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        packed = zlib.compress(content[at : at + 8 + size])
        parts.append((15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed)
        at += 8 + size
    return _MAT[:128] + b"".join(parts)


# ------------------------------------------------------------------ Python source

_SOURCE = b'''\
import os


class A:
    """Text."""

    def f(self, x: int = -1, *args) -> bool:
        match x:
            case [1, -2] if x is not None:
                return not (x in args or x == 2 ** 3)
        return f"{x + 1:>{x}} {'a' if x else b}" + r"\\d" < self.g[x - 1 : +x] and x  # why


for i in (j for j in range(3) if j % 2 != 0):
    print(i // 2 <= 1_000 << 3, end="\\n")
'''


def _python(path: Path) -> object:
    found = []
    for name, source in python_files(path):
        with unreadable(name):
            found.append(lex(source))
    return found


# ------------------------------------------------------------------ a streaming model


def _streaming() -> bytes:
    model: bytes = tt.export.onnx(tt.nn.GRU(2, 3), streaming=True).SerializeToString()
    return model


def _stream_state(path: Path) -> object:
    return {name: array.shape for name, array in tt.export.stream_state(path).items()}


# ------------------------------------------------------------------ the demo

_PLAN = DemoPlan().to_json()


def _results() -> bytes:
    models = [ModelRow("majority", 0.5, 0.4, 0.6), ModelRow("BiLSTM", 0.8, 0.75, 0.85, 1000, 12.5, 9e4)]
    with TemporaryDirectory() as folder:
        out = Path(folder)
        log = LogView(7, 20, 1, (LogLine("answered", "shop.log:3", 4.5, "released", 0.9, True),), "log.html")
        write_result(out, _PLAN, DemoResult(tuple(models), out / "report.html", out / "bilstm", 0.5, log))
        return (out / NAME).read_bytes()


def _demo(folder: Path) -> object:
    result = read_result(folder, _PLAN)
    return None if result is None else [f"{row.name} {100 * row.accuracy:.1f}" for row in result.models]


# ------------------------------------------------------------------ a search

_SPACE = space_of("classification", "tokens", None, {"dropout"})


def _journal() -> bytes:
    """Return the journal of a study with one trial."""
    with TemporaryDirectory() as folder, quiet_optuna():
        request = Request("classification", None, {"dropout": 0.5}).to_json()
        study = StudyFile.create(Path(folder), "maximize", {**request, "data": "0", "metric": "accuracy"})
        study.limited_by(Limits(3, 60.0))
        memory = optuna.create_study(direction="maximize")
        trial = memory.ask()
        _SPACE.suggest(trial)
        trial.report(0.5, 1)
        UserAttributes(1, None, Outcome("complete", 0.5, 1.0, 1, 1, 2.0)).store(trial)
        memory.tell(trial, 0.5)
        study.add(memory.trials[0])
        return study.path.read_bytes()


def _study(folder: Path) -> object:
    with stored_folder(folder) as request:
        study = StudyFile.opened(folder)
        return request.recipe(), study.limited_by(None), study.trials_in(_SPACE)


FILES = {
    **TABLES,
    **STREAMS,
    **TARGETS,
    "streaming model": Loader(_stream_state, "a.onnx", (_streaming(),)),
    "csv": Loader(_table, "a.csv", (_delimited(","), _delimited(",", "\r"))),
    "tsv": Loader(_table, "a.tsv", (_delimited("\t"),)),
    "jsonl": Loader(_table, "a.jsonl", (_jsonl(),)),
    "csv.gz": Loader(_table, "a.csv.gz", (gzip.compress(_delimited(",")),)),
    "parquet": Loader(_table, "a.parquet", _PARQUET, slow=True),
    "parquet with damaged pages": Loader(
        _table, "a.parquet", _PARQUET, st.one_of([_pages_damaged(whole) for whole in _PARQUET]), slow=True
    ),
    "class folder": Loader(
        _folder,
        "b/3.txt",
        ("drei <b>\nü".encode(),),
        beside={f"{c}/{i}.txt": b"one two" for c in "ab" for i in (1, 2)},
    ),
    "text": Loader(_running_text, "a.txt", (_TEXT,)),
    "gzip": Loader(_running_text, "a.txt.gz", (gzip.compress(_TEXT), gzip.compress(_TEXT, 0))),
    "gzip of damaged text": Loader(
        _running_text, "a.txt.gz", (gzip.compress(_TEXT),), damaged(_TEXT).map(gzip.compress)
    ),
    "npz": Loader(_frames, "a.npz", (_npz(), _npz(compressed=True), _npz(dtype=">f8"))),
    "npz of a damaged array": Loader(
        _frames,
        "a.npz",
        (_npz(),),
        damaged(_FRAMES).map(lambda frames: _zipped(frames, _LENGTHS))
        | damaged(_LENGTHS).map(lambda lengths: _zipped(_FRAMES, lengths)),
    ),
    "prompt": Loader(lambda path: read_prompt(path, 4), "a.npz", (_npz(),)),
    "mat": Loader(_frames, "a.mat", (_MAT, _mat(compressed=True))),
    "mat of damaged variables": Loader(
        _frames, "a.mat", (_packed_mat(_MAT[128:]),), damaged(_MAT[128:]).map(_packed_mat)
    ),
    "Python": Loader(_python, "a.py", (_SOURCE,)),
    "Python of the data set": Loader(lambda path: read_files([SourceFile("a.py", path)]), "a.py", (_SOURCE,)),
    "study of a search": Loader(_study, "study.journal", (_journal(),), beside={}),
    "results of a demo": Loader(
        _demo,
        NAME,
        (_results(),),
        damaged(_results()) | changed_json(_results()),
        beside={"report.html": b""},
    ),
}
