"""`read_table`: every format gives the rows that were written, in the types of Arrow."""

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from throughtime.data import delimited
from throughtime.data.read_table import FORMATS, is_table, read_table
from throughtime.errors import DataError
from throughtime.ragged import Ragged

ROWS: dict[str, list[Any]] = {
    "text": ["plain", 'with, "quotes"; and\ttab', "two\nlines", "Ünïcødé"],
    "id": ["01", "1", "001", "1"],
    "count": [1, -2, None, 4],
    "price": [0.5, None, 1e-3, 2.0],
    "flag": [True, False, True, None],
}
LISTS: dict[str, list[Any]] = {
    "tokens": [["a", "é"], [], ["b"], ["a"]],
    "events": [[1, 5], [2], [], [3]],
    "series": [[0.5, None], [1.0], [2.0, 3.0], []],
    "steps": [[[1.0, 2.0]], [], [[3.0, 4.0], [5.0, 6.0]], [[0.0, 0.0]]],
}


def _delimited(delimiter: str) -> bytes:
    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        return '"' + text.replace('"', '""') + '"' if isinstance(value, str) else text

    rows = [
        delimiter.join(ROWS),
        *(delimiter.join(map(cell, row)) for row in zip(*ROWS.values(), strict=True)),
    ]
    return ("\n".join(rows) + "\n").encode()


def _objects(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _written(folder: Path, name: str) -> Path:
    path = folder / name
    table = pa.table(ROWS | LISTS)
    suffix = name.lower().removesuffix(".gz").rsplit(".", 1)[1]
    if suffix == "parquet":
        pq.write_table(table, path)
    elif suffix in {"arrow", "feather"}:
        make = pa.ipc.new_stream if "stream" in name else pa.ipc.new_file
        compression = "zstd" if suffix == "feather" else None
        with make(path, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            writer.write_table(table, 3)
    else:
        objects = _objects(ROWS | LISTS)
        content = {
            "csv": lambda: b"\xef\xbb\xbf" + _delimited(","),
            "tsv": lambda: _delimited("\t"),
            "jsonl": lambda: "\n\n".join(map(json.dumps, objects)).encode(),
            "ndjson": lambda: "\r\n".join(json.dumps(row, ensure_ascii=False) for row in objects).encode(),
            "json": lambda: json.dumps(ROWS | LISTS if "columns" in name else objects).encode(),
        }[suffix]()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize(
    "name",
    [
        *(
            "a.csv",
            "a.csv.gz",
            "a.tsv",
            "a.TSV",
            "a.jsonl",
            "a.jsonl.gz",
            "a.ndjson",
            "a.json",
            "columns.json",
        ),
        *("a.parquet", "a.arrow", "a.feather", "stream.arrow"),
    ],
)
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    path = _written(tmp_path, name)
    expected = ROWS if "sv" in name.lower() else ROWS | LISTS
    table = read_table(path)
    assert table.content.to_pydict() == expected
    assert table.column("count").type == pa.int64()
    assert table.column("flag").type == pa.bool_()
    assert table.place(1) == f"{path}: " + (
        "line 3" if ".jsonl" in name else "line 2" if ".nd" in name else "row 2"
    )
    some = read_table(path, columns=["flag", "text"])
    assert some.content.to_pydict() == {"flag": ROWS["flag"], "text": ROWS["text"]}
    assert is_table(path)
    with pytest.raises(DataError, match=rf"{name} has no column 'words'; its columns are 'text', 'id'"):
        read_table(path, columns=["words"])


def test_a_map_of_a_file_does_not_read_it(tmp_path: Path) -> None:
    """The pages of the values are in the file, not in memory, and so is the batch for a model."""
    path = tmp_path / "a.arrow"
    steps = np.arange(2**20, dtype=np.float32)
    table = pa.table({"x": Ragged.from_lengths(_tensor(steps), [2**18] * 4).to_arrow(), "y": list("abab")})
    table = table.set_column(1, "y", table.column("y").dictionary_encode())
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    before = pa.total_allocated_bytes()
    mapped = read_table(path, memory_map=True)
    assert pa.total_allocated_bytes() - before < 2**12
    assert mapped.column("y").to_pylist() == list("abab")
    assert mapped.column("x").chunk(0).values.to_numpy()[-1] == steps[-1]
    with pytest.raises(
        DataError, match=r"memory_map= \(--memory-map\) is for .arrow, .feather files; leave it out"
    ):
        read_table(_written(tmp_path, "a.csv"), memory_map=True)
    with pytest.raises(
        DataError, match="is compressed, so it cannot be mapped into memory; write it without"
    ):
        read_table(_written(tmp_path, "a.feather"), memory_map=True)


def _tensor(values: Any) -> Any:
    import torch

    return torch.from_numpy(values)


def test_a_larger_arrow_file_is_to_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    with path.open("wb") as file:
        file.truncate(2**32)
    with pytest.raises(DataError, match=r"a.arrow has 4.0 GiB; .* pass memory_map=True"):
        read_table(path)


def test_dictionaries_and_views_are_read_as_their_values(tmp_path: Path) -> None:
    plain = pa.table(
        {"c": ["a", "b", "a"], "t": ["x", "é", None], "l": [["u"], ["v", "u"], []], "n": [7, 8, 7]}
    )
    lists = plain.column("l").chunk(0)
    packed = {
        "c": plain.column("c").dictionary_encode(),
        "t": plain.column("t").cast(pa.string_view()),
        "l": pa.ListArray.from_arrays(lists.offsets, lists.values.dictionary_encode()),
        "n": plain.column("n").dictionary_encode(),
    }
    for name in ("a.arrow", "a.parquet"):
        path, table = tmp_path / name, pa.table(packed)
        if name == "a.parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
        content = read_table(path).content
        assert content.to_pydict() == plain.to_pydict()
        assert [str(field.type) for field in content.schema] == [
            "string",
            "large_string",
            "list<item: string>",
            "int64",
        ]


def test_types_of_columns_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "day,time,int,zeros,signed,float,mixed,yes,big,missing\n"
        "2020-01-31,2020-01-31 10:00:00,0,007,-01,1e3,1,True,99999999999999999999,NA\n"
        "2021-01-31,2021-01-31 11:00:00,10,10,2,NaN,x,false,1,\n"
    )
    table = read_table(path)
    assert {field.name: str(field.type) for field in table.content.schema} == {
        "day": "date32[day]", "time": "timestamp[s]", "int": "int64", "zeros": "string", "signed": "string",
        "float": "double", "mixed": "string", "yes": "bool", "big": "double", "missing": "null",
    }  # fmt: skip
    assert table.column("day").to_pylist()[0] == dt.date(2020, 1, 31)
    assert table.column("zeros").to_pylist() == ["007", "10"]
    assert table.column("signed").to_pylist() == ["-01", "2"]
    assert table.column("float").to_pylist() == [1000.0, None]


def test_encodings_and_delimiters(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    content = "text;n\nnaïve, café;1\n"
    for encoding in ("latin-1", "cp1252", "utf-16", "utf-8-sig", "UTF8"):
        path.write_bytes(content.encode(encoding))
        table = read_table(path, encoding=encoding, delimiter=";")
        assert table.content.to_pydict() == {"text": ["naïve, café"], "n": [1]}
    path.write_text("a|b\n1|2\n")
    assert read_table(path, delimiter="|").names == ("a", "b")
    path.write_text("a\tb\n1\t2\n")
    assert read_table(path, delimiter="\\t").names == ("a", "b")
    path.write_text("price;net\n1\n")
    assert read_table(path, delimiter=",").names == ("price;net",)


def test_a_line_of_jsonl_ends_where_json_says(tmp_path: Path) -> None:
    texts = ["a\u2028b", "c\x85d", "e\u2029f"]
    path = tmp_path / "a.jsonl"
    path.write_bytes("\r\n".join(json.dumps({"t": text}, ensure_ascii=False) for text in texts).encode())
    assert read_table(path).column("t").to_pylist() == texts


def test_a_csv_may_have_old_line_ends_and_rows_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"t,c\ra,b\rc,d\r")
    assert read_table(path).content.to_pydict() == {"t": ["a", "c"], "c": ["b", "d"]}
    longest = "word\n" * 700_000
    path.write_text(f't,c\na,b\n"{longest}",b\nx,y\n')
    assert read_table(path).column("t").to_pylist() == ["a", longest, "x"]


def test_texts_and_folders(tmp_path: Path) -> None:
    lines = tmp_path / "a.txt"
    lines.write_bytes("\ufeffto be\r\n\nor\x0cn\u2028o\x85t\n".encode())
    table = read_table(lines)
    assert table.content.to_pydict() == {"text": ["to be", "", "or\x0cn\u2028o\x85t"]}
    assert table.place(2) == f"{lines}: line 3"
    for name, content in (("b/2.txt", "two"), ("a/1.txt", "one"), ("a/deep/3.md", "né"), ("a/.no", "x")):
        path = tmp_path / "classes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="latin-1")
    table = read_table(tmp_path / "classes", encoding="latin-1")
    assert table.content.to_pydict() == {"text": ["one", "né", "two"], "label": ["a", "a", "b"]}
    assert table.place(1) == str(tmp_path / "classes" / "a" / "deep" / "3.md")
    assert read_table(tmp_path / "classes", columns=["label"], encoding="latin-1").names == ("label",)


TS = """\
# A comment
@problemName Toy
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true yes no
@data
1, 2.5,3:4,?,6:yes
-1e-3:NaN: no
"""


def test_series_with_classes_in_ts(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_text(TS)
    table = read_table(path)
    assert str(table.content.schema.field("series").type) == "list<item: fixed_size_list<item: double>[2]>"
    assert (
        str(table.column("series").to_pylist()) == "[[[1.0, 4.0], [2.5, nan], [3.0, 6.0]], [[-0.001, nan]]]"
    )
    assert table.column("label").to_pylist() == ["yes", "no"]
    assert table.place(1) == f"{path}: row 2"
    batch = Ragged.from_arrow(table.column("series"))
    assert batch.lengths.tolist() == [3, 1]
    assert batch.values[:, 0].tolist() == [1.0, 2.5, 3.0, -0.001]


def test_series_with_targets_in_ts(tmp_path: Path) -> None:
    path = tmp_path / "a.ts.gz"
    path.write_bytes(gzip.compress(b"@univariate true\n@targetlabel true\n@DATA\n1,2:0.5\n3:-1e2\n"))
    assert read_table(path).content.to_pydict() == {"series": [[1.0, 2.0], [3.0]], "label": [0.5, -100.0]}
    path.write_bytes(gzip.compress(b"@univariate true\n@classLabel false\n@data\n1,2\n3\n"))
    assert read_table(path).content.to_pydict() == {"series": [[1.0, 2.0], [3.0]]}


def test_series_of_the_ucr_archive(tmp_path: Path) -> None:
    path = tmp_path / "Toy_TRAIN.tsv"
    path.write_text("1\t0.5\t-1.25e-01\t3\n-2\tNaN\t2\tNaN\n1\t4\tNaN\tNaN\n")
    table = read_table(path)
    assert table.column("label").to_pylist() == [1, -2, 1]
    assert str(table.column("series").to_pylist()) == "[[0.5, -0.125, 3.0], [nan, 2.0], [4.0]]"
    path.write_text("  1.0000000e+00\t1\t2\n  2.0000000e+00\t3\t4\n")
    assert read_table(path).content.to_pydict() == {"label": [1, 2], "series": [[1.0, 2.0], [3.0, 4.0]]}
    path.write_text("0.5\t1\t2\n")
    assert read_table(path, columns=["label"]).content.to_pydict() == {"label": [0.5]}
    path.write_text("0\t1\t2\n5\t6\t7\n")  # as pandas names columns that have no names
    assert read_table(path).content.to_pydict() == {"0": [5], "1": [6], "2": [7]}


def test_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    cube = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    np.save(path, cube)
    table = read_table(path)
    assert table.column("series").to_pylist() == cube.transpose(0, 2, 1).tolist()
    assert str(table.column("series").type) == "list<item: fixed_size_list<item: float>[2]>"
    np.save(path, np.asfortranarray(cube[:, 0].astype(">i2")))
    assert read_table(path).content.to_pydict() == {"series": [[0, 1, 2], [6, 7, 8]]}
    np.save(path, cube[:, :1])
    assert read_table(path).content.to_pydict() == {"series": [[0, 1, 2], [6, 7, 8]]}


def test_archives_of_arrays(tmp_path: Path) -> None:
    path, series = tmp_path / "a.npz", np.arange(6.0).reshape(3, 2)
    np.savez_compressed(
        path, X=series, y=["a", "b", "ü"], weight=np.array([True, False, True]), x_test=series[:1]
    )
    expected = {"series": series.tolist(), "label": ["a", "b", "ü"], "weight": [True, False, True]}
    assert read_table(path).content.to_pydict() == expected
    assert read_table(path, part="test").content.to_pydict() == {"series": [[0.0, 1.0]]}
    np.savez(path, x_train=series, y_train=[1, 2, 3], time=np.arange(2))
    with pytest.raises(
        DataError, match=r"'series' has 3 rows, but 'time' has 2; store arrays of the same number"
    ):
        read_table(path)
    chosen = read_table(path, columns=["label", "series"]).content.to_pydict()
    assert chosen == {"label": [1, 2, 3], "series": series.tolist()}
    np.savez(path, values=series, lengths=[2, 0, 1], y=[1, 2, 3])
    assert read_table(path).column("series").to_pylist() == [[[0.0, 1.0], [2.0, 3.0]], [], [[4.0, 5.0]]]
    np.savez(path, values=series[:, 0], lengths=np.array([1, 2], np.uint8))
    assert read_table(path).column("series").to_pylist() == [[0.0], [2.0, 4.0]]


def _ts(lines: str, **header: str) -> str:
    fields = {"timeStamps": "false", "classLabel": "true a b", **header}
    return "".join(f"@{name} {value}\n" for name, value in fields.items()) + f"@data\n{lines}"


BAD: dict[str, tuple[str, str | bytes, str]] = {
    "missing": ("none.csv", b"", "{path} does not exist; give a file"),
    "empty": ("a.csv", b"", "{path} is empty; give a file with rows"),
    "empty in gzip": ("a.csv.gz", gzip.compress(b""), "{path} is empty; give a file with rows"),
    "no rows": ("a.csv", "a,b\n", "{path} has no rows; give a file with rows"),
    "suffix": (
        "a.xlsx",
        "x",
        f"{{path}}: the suffix '.xlsx' is not supported; use one of {', '.join(FORMATS)}",
    ),
    "gzip of binary": ("a.parquet.gz", "x", "{path}: .parquet files are not read through gzip; unpack it"),
    "no gzip": ("a.csv.gz", "a,b\n1,2\n", "{path} cannot be read as gzip (Not a gzipped file (b'a,')); restore the file"),
    "semicolons": (
        "a.csv",
        "a;b\n1;2\n",
        ("{path} has one column, 'a;b', if fields are separated by ','; if by ';', pass delimiter=';' "
        "(--delimiter ';')"),
    ),
    "commas in tsv": (
        "a.tsv",
        "a,b\n1,2\n",
        ("{path} has one column, 'a,b', if fields are separated by '\\t'; if by ',', pass delimiter=',' "
        "(--delimiter ',')"),
    ),
    "no header": (
        "a.csv",
        "1,0.5,2\n2,1,1\n",
        "{path} has no header: its first line holds numbers only; add a line with the names of columns",
    ),
    "fields": (
        "a.csv",
        'a,b\n1,"two\nlines"\n1,2,3\n',
        "{path} is malformed: row 2: expected 2 columns, got 3: 1,2,3; fix that row",
    ),
    "fields after a blank line": (
        "a.csv",
        "t,c\na,b\n\nc,d\na,b,c\n",
        "{path} is malformed: row 3: expected 2 columns, got 3: a,b,c; fix that row",
    ),
    "deep": ("a.jsonl", '{"t": ' + "[" * 100_000, "{path}: line 1 is not JSON ("),
    "open quote": (
        "a.csv",
        'a,b\n1,"x, ""y"""\n2,"z\n3,4\n',
        "{path} is malformed: the quote in line 3 is not closed; add the closing quote",
    ),
    "label alone": (
        "a.ts",
        "@classLabel true a\n@data\na\n",
        "{path}: line 3 has 0 channels and a label, expected 1; fix that line",
    ),
    "latin-1": (
        "a.csv",
        "a,b\n1,é\n".encode("latin-1"),
        ("{path}: line 2, byte 6 (0xe9) is not UTF-8; convert the file, for example with iconv -t utf-8, or give its "
        "encoding with encoding='latin-1' (--encoding latin-1)"),
    ),
    "cut character": (
        "a.csv",
        "a,b\n1,é".encode()[:-1],
        ("{path}: line 2, byte 6 (0xc3) starts a character that is cut off at the end of the file; restore the file, or "
        "remove these last bytes"),
    ),
    "ucr fields": (
        "a.tsv",
        "1\t0.5\t2\n1\t2\n",
        "{path} is malformed: row 2: expected 3 columns, got 2: 1 2; fix that row",
    ),
    "ucr text": (
        "a.tsv",
        "1\t0.5\t2\n1\tx\t2\n",
        "{path} is malformed: In CSV column #1: Row #2: CSV conversion error to double: invalid value 'x'; fix that row",
    ),
    "kinds": (
        "a.jsonl",
        '{"t": "a"}\n\n{"t": 7}\n',
        "{path}: line 3 has a number (7) in column 't', but {path}: line 1 has text; give one kind",
    ),
    "kinds in lists": (
        "a.jsonl",
        '{"t": []}\n{"t": ["a"]}\n{"t": [1]}\n',
        "{path}: line 3 has a list of numbers in column 't', but {path}: line 2 has a list of texts; give one kind",
    ),
    "kinds in a list": (
        "a.json",
        '[{"t": ["a", 1]}]',
        "{path}: row 1 has a list of numbers and texts in column 't'; give one kind",
    ),
    "boolean": (
        "a.json",
        '{"t": [1, true]}',
        "{path}: row 2 has a boolean (True) in column 't', but {path}: row 1 has a number; give one kind",
    ),
    "integer": (
        "a.jsonl",
        '{"t": 18446744073709551616}\n',
        ("{path}: line 1 has an integer of 65 bits in column 't', expected 64 at most; write it as text, or with a "
        "decimal point"),
    ),
    "surrogate": (
        "a.jsonl",
        '{"t": "a\\ud800"}\n',
        "{path}: line 1, column 't', contains an unpaired surrogate (\\ud800); write the whole character or remove it",
    ),
    "no JSON": ("a.jsonl", "{}\n{", ("{path}: line 2 is not JSON (Expecting property name enclosed in double quotes: "
                "line 1 column 2 (char 1)); fix it")),
    "no object": ("a.jsonl", "[1]\n", "{path}: line 1 is list, expected a JSON object; fix that line"),
    "no array": ("a.json", "7", "{path} is a number, expected an array of objects or an object of arrays"),
    "no array of values": (
        "a.json",
        '{"t": {"0": "a"}}',
        "{path}: 't' is an object, expected an array with the values of rows",
    ),
    "lengths of columns": (
        "a.json",
        '{"t": ["a"], "u": []}',
        "{path}: column 'u' has 0 values, but 't' has 1; give all columns the same number",
    ),
    "no data": (
        "a.ts",
        "@timeStamps false\n1,2:a\n",
        "{path} has no line @data, after which the series of a .ts file start; restore the file",
    ),
    "time stamps": (
        "a.ts",
        _ts("(0,1),(1,2):a\n", timeStamps="true"),
        "{path}: line 1 states time stamps, which are not read; write the values alone and @timeStamps false",
    ),
    "ts boolean": ("a.ts", _ts("1:a\n", univariate="yes"), "{path}: line 3 gives 'yes' for @univariate, expected true or false"),
    "ts channels": ("a.ts", _ts("1:2:a\n1:b\n"), "{path}: line 5 has 1 channel and a label, expected 2; fix that line"),
    "ts lengths": (
        "a.ts",
        _ts("1,2:3:a\n"),
        "{path}: line 4: channel 2 has 1 value, but channel 1 has 2; give all channels of a series the same length",
    ),
    "ts equal length": (
        "a.ts",
        _ts("1,2:a\n1:b\n", equalLength="true"),
        ("{path}: line 6 has 1 step, expected 2 by the header; fix that line, or write @equalLength false without "
        "@seriesLength"),
    ),
    "ts number": (
        "a.ts",
        _ts("1,2:a\n1,x:b\n"),
        "{path}: line 5: a value is 'x', expected a number, or ? if it is missing; fix that line",
    ),
    "ts target": (
        "a.ts",
        _ts("1,2:a\n", classLabel="false", targetLabel="true"),
        "{path}: line 5: the target is 'a', expected a number, or ? if it is missing; fix that line",
    ),
    "ts class": (
        "a.ts",
        _ts("1,2:a\n1,2:c\n"),
        "{path}: line 5 has the class 'c', but the header lists a, b; fix that line or @classLabel",
    ),
    "no npy": ("a.npy", "1,2\n", ("{path} cannot be read as .npy (EOF: reading magic string, expected 8 bytes got 4); write it "
               "with numpy.save")),
    "no arrow": ("a.arrow", "ARROW1", "{path} cannot be read as an Arrow file: File is too small: 6; write it again"),
    "feather 1": ("a.feather", "FEA1" + "x" * 20, "{path} cannot be read as an Arrow file: "),
}  # fmt: skip


PREFIXES = ("feather 1", "deep")
"""Of these, `BAD` has the start of the message, the rest of which is that of a library."""


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    file, content, message = BAD[name]
    path = tmp_path / file
    if name != "missing":
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_table(path)
    expected = message.replace("{path}", str(path))
    assert str(caught.value) == expected or (name in PREFIXES and str(caught.value).startswith(expected))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 2)), "y": [1]}, "{path}: 'series' has 2 rows, but 'label' has 1; store arrays of the same number of rows"),
        ({"x": np.zeros((2, 2)), "X": [1, 2]}, "{path} has two columns named 'series'; rename one of them"),
        ({"x": np.zeros((1, 2, 3, 4))}, "{path}: x has the shape (1, 2, 3, 4), expected (n, T) for n series of T steps, or (n, C, T) for C channels; reshape it"),
        ({"values": np.zeros(3), "lengths": [1, 1]}, "{path}: values has 3 rows, but lengths do not add up to it; fix lengths"),
        ({"values": np.zeros(3), "lengths": [-1, 4]}, "{path}: values has 3 rows, but lengths do not add up to it; fix lengths"),
        ({"values": np.zeros(3), "lengths": [1.0, 2.0]}, "{path}: values must have the shape (N,) or (N, C), and lengths (n,) with integers; their shapes are (3,) and (2,) (float64)"),
        ({"x_test": np.zeros((1, 1))}, "{path} has no arrays; its arrays are 'x_test'"),
        ({"x": np.array([1 + 2j])}, "{path} cannot be read as .npz (x has dtype complex128, expected real numbers or text); write it with numpy.savez"),
        ({"x": np.array([[{}]])}, "{path} cannot be read as .npz (x has dtype object, expected real numbers or text); write it with numpy.savez"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_table_are_named(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(caught.value) == message.replace("{path}", str(path))


def test_options_that_do_not_apply_are_named(tmp_path: Path) -> None:
    path = _written(tmp_path, "a.jsonl")
    for options, message in (
        ({"delimiter": ";"}, f"{path}: delimiter= (--delimiter) is for .csv, .tsv files; leave it out"),
        ({"part": "test"}, f"{path}: part is for .npz files; leave it out"),
        ({"encoding": "latin-0"}, "'latin-0' is not a text encoding; give a name that Python knows, such as latin-1 or cp1252"),
        ({"encoding": "hex"}, "'hex' is not a text encoding; give a name that Python knows, such as latin-1 or cp1252"),
    ):  # fmt: skip
        with pytest.raises(DataError) as caught:
            read_table(path, **options)  # type: ignore[arg-type]
        assert str(caught.value) == message
    csv = _written(tmp_path, "a.csv")
    with pytest.raises(DataError) as caught:
        read_table(csv, delimiter=";;")
    assert str(caught.value) == "the delimiter ';;' is not accepted; give one ASCII character, such as ';'"
    with pytest.raises(DataError) as caught:
        read_table(csv, encoding="ascii")
    assert str(caught.value) == f"{csv}: byte 0 (0xef) is not ascii; give the encoding that the file has"
    np.savez(tmp_path / "a.npz", x=np.zeros((1, 2)))
    with pytest.raises(DataError, match=r"a.npz has no arrays that end in _test; its arrays are 'x'"):
        read_table(tmp_path / "a.npz", part="test")


def test_a_bomb_of_arrow_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    table = pa.table({"t": ["x" * 1000] * 200_000})
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match=r"a\.arrow unpacks to more than 100 times its size"):
        read_table(path)
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), pa.array(["x" * 100_000]))
    with pa.ipc.new_file(path, pa.schema({"t": repeated.type})) as writer:
        writer.write_table(pa.table({"t": repeated}))
    with pytest.raises(DataError, match=r"a\.arrow unpacks to more than 100 times its size"):
        read_table(path)


def test_texts_of_arrow_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    values = [None, pa.py_buffer(np.array([0, 1, 3], np.int32)), pa.py_buffer(b"ok\xff")]
    table = pa.table({"n": [1, 2], "t": pa.Array.from_buffers(pa.string(), 2, values)})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    for mapped in (False, True):
        with pytest.raises(DataError) as caught:
            read_table(tmp_path / "a.arrow", memory_map=mapped)
        assert (
            str(caught.value) == f"{tmp_path}/a.arrow: column 't': row 2 is not UTF-8; write the file again"
        )


def test_rows_are_taken_from_every_batch(tmp_path: Path) -> None:
    table = read_table(_batches(tmp_path / "a.arrow", [3, 0, 2, 4]), memory_map=True)
    assert len(table.content.to_batches()) > 2
    for rows in ([8, 0, 3, 3, 2], [], [4], list(range(9))):
        taken = table.select(np.array(rows, np.int64))
        assert taken.content.to_pydict() == {"n": rows, "x": [[float(row)] * row for row in rows]}
        assert [taken.place(i) for i in range(len(rows))] == [table.place(row) for row in rows]


def _batches(path: Path, lengths: list[int]) -> Path:
    schema = pa.schema({"n": pa.int64(), "x": pa.list_(pa.float64())})
    with pa.ipc.new_file(path, schema) as writer:
        for start, length in zip(np.cumsum([0, *lengths]).tolist(), lengths, strict=False):
            rows = [{"n": row, "x": [float(row)] * row} for row in range(start, start + length)]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
    return path


@pytest.mark.parametrize("size", [4, 5, 7, 2**22])
def test_leading_zeros_are_found_wherever_they_are(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_BLOCK_SIZE", size)
    for zeros, content in (
        (True, b"a\n1\n%s07\n"),
        (True, b"a\n1%s\n-00\n"),
        (False, b"a\n0\n10%s\n0.05\n1.00\n"),
    ):
        for filler in range(9):
            assert delimited._may_have_leading_zeros(content % (b"\n" * filler)) == zeros


def test_a_quote_within_a_field_is_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"a",b\n5" disk,"x"\n')
    assert read_table(path).content.to_pydict() == {"a": ['5" disk'], "b": ["x"]}
