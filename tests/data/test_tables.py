"""Valid files are read correctly; invalid ones are tested in tests/cli/test_bad_input.py."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from throughtime.data import _unpack
from throughtime.data.plain_text import read_text
from throughtime.data.tables import TextTable, read_lines, read_texts
from throughtime.data.text import TextSource, encode_labels, split_texts
from throughtime.data.tokenizing import encode, word_tokenizer
from throughtime.data.vocabulary import Vocabulary
from throughtime.errors import DataError

TEXTS = ["plain", 'with, comma and "quotes"', "two\nlines", "  Ünïcødé ", "NaN", "1"]
LABELS = ["1", "01", "null", "yes", "1.0", "ja"]


def _csv(delimiter: str) -> str:
    def cell(value: str) -> str:
        return '"' + value.replace('"', '""') + '"'

    lines = [delimiter.join(("id", "text", "label"))]
    lines += [delimiter.join(("7", cell(t), cell(lab))) for t, lab in zip(TEXTS, LABELS, strict=True)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "CSV"])
def test_every_format_gives_the_same_texts(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"data.{suffix}"
    if suffix.lower() in {"csv", "tsv"}:
        path.write_bytes(b"\xef\xbb\xbf" + _csv("\t" if suffix == "tsv" else ",").encode())
    elif suffix == "jsonl":
        rows = [json.dumps({"text": t, "label": lab}) for t, lab in zip(TEXTS, LABELS, strict=True)]
        path.write_text("\n\n".join(rows), encoding="utf-8")
    else:
        dictionary = pa.array(LABELS).dictionary_encode()
        pq.write_table(pa.table({"label": dictionary, "text": pa.array(TEXTS, pa.large_string())}), path)
    table = read_texts(path, "text", "label")
    assert table.texts == TEXTS
    assert table.labels == LABELS
    assert table.places[3] == f"{path}: row 4"
    assert read_texts(path, "text", None).labels is None


def test_a_folder_of_classes(tmp_path: Path) -> None:
    for name, content in (("b/2.txt", "two"), ("a/1.txt", "one"), ("a/deep/3.txt", "three"), ("a/.no", "x")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    table = read_texts(tmp_path, None, None)
    assert list(zip(table.texts, table.labels or [], strict=True)) == [
        ("one", "a"),
        ("three", "a"),
        ("two", "b"),
    ]
    assert table.places[0] == str(tmp_path / "a" / "1.txt")
    with pytest.raises(DataError, match="folder of classes"):
        read_texts(tmp_path, "text", None)


def test_json_numbers_and_booleans_are_classes(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps({"t": "x", "c": value}) for value in (1, True, False, 0.5)))
    assert read_texts(path, "t", "c").labels == ["1", "true", "false", "0.5"]


def test_lines_of_plain_text() -> None:
    assert read_lines(b"\xef\xbb\xbfone two\r\nthree", "here").texts == ["one two", "three"]
    assert read_lines("a\x0cb\nc\u2028d\x85e\n".encode(), "here").texts == ["a\x0cb", "c\u2028d\x85e"]


def test_a_line_of_jsonl_ends_where_json_says(tmp_path: Path) -> None:
    texts = ["a\u2028b", "c\x85d", "e\u2029f"]
    lines = [json.dumps({"t": text, "c": "x"}, ensure_ascii=False) for text in texts]
    path = tmp_path / "data.jsonl"
    path.write_bytes("\r\n".join(lines).encode())
    assert read_texts(path, "t", "c").texts == texts


def test_a_csv_may_have_old_line_ends_and_rows_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"t,c\ra,b\rc,d\r")
    assert read_texts(path, "t", "c").texts == ["a", "c"]
    longest = "word\n" * 700_000
    path.write_text(f't,c\na,b\n"{longest}",b\nx,y\n')
    assert read_texts(path, "t", "c").texts == ["a", longest, "x"]


_NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 3], np.int32)), pa.py_buffer(b"ok\xff")]
)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "t,c\na,b\n\nc,d\na,b,c\n", r"row 3: expected 2 columns, got 3: a,b,c"),
        ("a.csv", 't,c\n"two\nlines",b\nc\n', r"row 2: expected 2 columns, got 1: c"),
        ("a.csv", "t,t,c\na,b,c\n", r"two columns named 't'"),
        ("a.csv", "\n\n", r"no column 't'; its columns are none"),
        ("a.csv", "t,c," + "x" * 200_000 + "\na,b,c\n", r"a.csv is malformed"),
        ("a.csv", "t,c\na,b\nc, \n", r"row 2 has no label in column 'c'"),
        ("a.jsonl", '{"t": "a\\ud800", "c": "b"}\n', r"row 1 contains an unpaired surrogate \(\\ud800\)"),
        ("a.jsonl", '{"t": "a", "c": "\\udc00"}\n', r"row 1 contains an unpaired surrogate \(\\udc00\)"),
        ("a.jsonl", '{"t": "a", "c": NaN}\n', r"row 1 has no label in column 'c'"),
        ("a.jsonl", '{"t": ' + "[" * 100_000 + "\n", r"line 1 is not JSON"),
        ("a.parquet", pa.table({"t": ["a", "b"], "c": [1.0, float("nan")]}), r"row 2 has no label"),
        ("a.parquet", pa.table({"t": _NOT_UTF8, "c": ["a", "b"]}), r"column 't': row 2 is not UTF-8"),
        ("a.parquet", pa.table([["a"], ["b"], ["c"]], names=["t", "t", "c"]), r"two columns named 't'"),
    ],
)
def test_a_wrong_row_or_column_is_named(
    name: str, content: str | pa.Table, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    else:
        pq.write_table(content, path)
    with pytest.raises(DataError, match=message):
        read_texts(path, "t", "c")


def test_a_file_that_must_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.csv"
    path.write_text("t,c\na,b\n")

    def refuse(self: Path, mode: str) -> BinaryIO:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"data\.csv cannot be read: Permission denied"):
        read_texts(path, "t", "c")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    for name in ("data.csv", "data.parquet", "text.txt", "text.gz"):
        os.mkfifo(tmp_path / name)  # opening it would wait for a writer
        with pytest.raises(DataError, match=rf"{name} is a named pipe, not a file"):
            _read(tmp_path / name)
    endless = tmp_path / "endless.txt"
    endless.symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"endless\.txt is a device, not a file"):
        read_text(endless)
    folder = tmp_path / "classes" / "a"
    folder.mkdir(parents=True)
    (folder / "1.txt").symlink_to(tmp_path / "data.csv")
    assert not (folder / "1.txt").is_file()
    with pytest.raises(DataError, match="holds no files in subfolders"):
        read_texts(folder.parent, None, None)


def test_a_file_larger_than_memory_is_not_read(tmp_path: Path) -> None:
    for name in ("data.csv", "data.jsonl", "text.txt", "text.gz"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**40)  # a hole: it takes no room on the disk
        with pytest.raises(DataError, match=rf"{name} has 1024\.0 GiB; files of 2 GiB or more are not read"):
            _read(tmp_path / name)


def _read(path: Path) -> object:
    return read_texts(path, "t", "c") if path.stem == "data" else read_text(path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([1, 2], pa.duration("ns")), r"duration\[ns\]"),
        (pa.array([2**62, 2], pa.duration("s")), r"duration\[s\]"),
        (pa.array([1, 2], pa.timestamp("ns", tz="Europe/Nowhere")), r"timestamp\[ns, tz=Europe/Nowhere\]"),
        (pa.array([1, 2], pa.timestamp("us", tz="UTC")), r"timestamp\[us, tz=UTC\]"),
        (pa.array([2**30, 2], pa.date32()), r"date32\[day\]"),
        (pa.array([1, 2], pa.time64("ns")), r"time64\[ns\]"),
        (
            pa.array([[("a", 1)], [("b", 2), ("b", 3)]], pa.map_(pa.string(), pa.int32())),
            r"map<string, int32.*>",
        ),
        (pa.array([["a"], ["b"]]), r"list<.*: string>"),
        (pa.array([b"a", b"b"]), r"binary"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_a_parquet_column_of_another_type_is_named(values: pa.Array, said: str, tmp_path: Path) -> None:
    path, words = tmp_path / "a.parquet", pa.array(["x", "y"])
    pq.write_table(pa.table({"t": values, "c": words}), path)
    with pytest.raises(DataError, match=rf"column 't' holds {said}, expected text"):
        read_texts(path, "t", "c")
    pq.write_table(pa.table({"t": words, "c": values}), path)
    with pytest.raises(DataError, match=rf"column 'c' holds {said}, expected classes as text, numbers"):
        read_texts(path, "t", "c")


def test_parquet_types_of_text_and_classes(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for texts in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        for classes, expected in (
            (pa.array([3, 4]).dictionary_encode(), ["3", "4"]),
            (pa.array([True, False]), ["true", "false"]),
            (pa.array([1, 2], pa.decimal128(5, 1)), ["1.0", "2.0"]),
            (pa.array([0.5, 2.0], pa.float16()), ["0.5", "2.0"]),
        ):
            pq.write_table(pa.table({"t": pa.array(["x", "y"], texts), "c": classes}), path)
            table = read_texts(path, "t", "c")
            assert (table.texts, table.labels) == (["x", "y"], expected)


def test_parquet_that_unpacks_to_far_more_than_it_has_is_refused(tmp_path: Path) -> None:
    for name, texts, count in (("rows", "x", 2_000_000), ("text", "x" * 100_000, 2000)):
        path = tmp_path / f"{name}.parquet"
        repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([texts]))
        pq.write_table(pa.table({"t": repeated, "c": repeated}), path)
        assert path.stat().st_size < 200_000
        with pytest.raises(DataError, match=rf"{name}\.parquet unpacks to more than 100 times its size"):
            read_texts(path, "t", "c")


def test_parquet_that_states_less_than_it_unpacks_to_takes_little_memory(tmp_path: Path) -> None:
    """The description of the file is forged, or what is repeated is not counted in it, so only reading it shows."""
    for forged, encoding in ((True, "PLAIN"), (False, "DELTA_BYTE_ARRAY")):
        texts = pa.array(["x" * 2**17 + str(i) for i in range(2**10)])
        path, table = tmp_path / f"{encoding}.parquet", pa.table({"t": texts, "c": texts.slice(0)})
        options = {"use_dictionary": False, "write_statistics": False, "compression": "zstd"}
        pq.write_table(table, path, column_encoding=dict.fromkeys("tc", encoding), **options)
        if forged:
            _replace_sizes(path)
        assert pq.read_metadata(path).row_group(0).total_byte_size < 2**21
        with pytest.raises(DataError, match=rf"{encoding}\.parquet unpacks to more than 100 times its size"):
            read_texts(path, "t", "c")
        command = [sys.executable, _unpack.__file__, str(path), '["t"]']
        environment = os.environ | _unpack.ENVIRONMENT
        for memory, status in ((2**26, _unpack.TOO_LARGE), (2**30, 0)):
            done = subprocess.run(
                [*command, str(memory)], check=False, stdout=subprocess.PIPE, env=environment
            )
            assert done.returncode == status
            assert len(done.stdout) > 2**27 or status


def _replace_sizes(path: Path) -> None:
    """Let the description of a file state 1,000 bytes for the row group that it has."""
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    size = pq.read_metadata(path).row_group(0).total_byte_size
    number, small = _varint(2 * size), _varint(2 * 1000)
    small = small[:-1] + bytes([small[-1] | 0x80]) + b"\x80" * (len(number) - len(small) - 1) + b"\0"
    assert content[start:].count(number) == 1
    path.write_bytes(content[:start] + content[start:].replace(number, small))


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def test_parquet_encoded_by_what_texts_have_in_common_is_read(tmp_path: Path) -> None:
    texts, path = ["one", "once", "on", "two"], tmp_path / "a.parquet"
    table = pa.table({"t": texts, "c": list("abab")})
    pq.write_table(table, path, use_dictionary=False, column_encoding=dict.fromkeys("tc", "DELTA_BYTE_ARRAY"))
    assert read_texts(path, "t", "c").texts == texts


def test_no_byte_of_a_parquet_description_ends_the_process(tmp_path: Path) -> None:
    """Of a damaged column pyarrow aborts when it is asked for its sizes."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": ["x", "y"], "c": ["a", "b"]}), path)
    whole = path.read_bytes()
    places = range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole) - 8, 7)
    refused = 0
    for place in places:
        path.write_bytes(whole[:place] + b"\0" + whole[place + 1 :])
        try:
            read_texts(path, "t", "c")
        except DataError:
            refused += 1
    assert refused > len(places) / 8


def test_parquet_is_read_by_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": ["x", "y"], "c": ["a", "b"]}), path)
    aborts = tmp_path / "aborts.py"
    aborts.write_text("import os\nos.abort()\n")
    with monkeypatch.context() as patch:
        patch.setattr(_unpack, "__file__", str(aborts))
        with pytest.raises(
            DataError, match=r"cannot be read as Parquet: the subprocess ended with SIGABRT; write it"
        ):
            read_texts(path, "t", "c")
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(DataError, match=r"but sys\.executable, the path of the Python interpreter, is empty"):
        read_texts(path, "t", "c")


def test_a_class_folder_needs_a_name_of_characters(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "1.txt").write_text("x")
    with pytest.raises(DataError, match=r"the name of the class folder .*caf.* is not UTF-8; rename it$"):
        read_texts(tmp_path, None, None)


def test_columns_are_listed_up_to_a_number(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(",".join(f"column{i}" for i in range(50)) + "\n")
    with pytest.raises(DataError) as caught:
        read_texts(path, "t", "c")
    assert str(caught.value).endswith("'column19', …")


def _table(labels: list[str]) -> TextTable:
    texts = [f"word{i % 7} common {label}" for i, label in enumerate(labels)]
    return TextTable(texts, labels, [f"row {i + 1}" for i in range(len(labels))])


def _split(table: TextTable, validation: float = 0.2, test: float = 0.2, seed: int = 0) -> TextSource:
    return split_texts(table, validation=validation, test=test, vocabulary=50, lower_case=True, seed=seed)


@given(
    counts=st.lists(st.integers(3, 30) | st.sampled_from([3, 300]), min_size=2, max_size=5),
    shares=st.tuples(st.floats(0.01, 0.5), st.sampled_from([0.0, 0.01, 0.3, 0.49])),
    seed=st.integers(0, 99),
)
def test_a_split_keeps_every_row_once_and_every_class_everywhere(
    counts: list[int], shares: tuple[float, float], seed: int
) -> None:
    labels = [str(c) for c, count in enumerate(counts) for _ in range(count)]
    source = _split(_table(labels), *shares, seed)
    parts = [source.training_examples, source.validation, *([source.test] if source.test else [])]
    assert sum(map(len, parts)) == len(labels)
    assert (source.test is None) == (shares[1] == 0)
    total = torch.zeros(len(counts), dtype=torch.int64)
    for part in parts:
        seen = torch.bincount(part.labels, minlength=len(counts))
        assert (seen > 0).all()
        total += seen
    assert total.tolist() == counts


def test_shares_are_those_of_every_class() -> None:
    source = _split(_table(["a"] * 100 + ["b"] * 50), 0.2, 0.1)
    assert source.test is not None
    parts = (source.training_examples, source.validation, source.test)
    assert [torch.bincount(part.labels).tolist() for part in parts] == [[70, 35], [20, 10], [10, 5]]


@pytest.mark.parametrize(
    ("classes", "rows", "message"),
    [
        (100_000, 100_000, "the 100,000 rows have 100,000 different labels, as a column of identifiers"),
        (100_000, 300_000, "the 300,000 rows have 100,000 different labels, but at most 10,000 classes"),
        (21, 41, "the 41 rows have 21 different labels, as a column of identifiers"),
        (20, 39, "class '0' has 2 rows"),
    ],
)
def test_labels_that_are_no_classes_are_refused(classes: int, rows: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _split(_table([str(i % classes) for i in range(rows)]))


def test_as_many_classes_as_there_may_be_are_split() -> None:
    source = _split(_table([str(i % 10_000) for i in range(30_000)]))
    assert len(source.classes) == 10_000
    assert sorted(source.validation.labels.tolist()) == list(range(10_000))


def test_labels_differ_by_characters_that_arrays_of_text_drop() -> None:
    source = _split(_table(["a", "a\0"] * 10))
    assert torch.bincount(source.training_examples.labels).tolist() == [6, 6]


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="leave no training data"):
        _split(_table(["a", "b"] * 20), 0.6, 0.4)


def test_a_split_repeats_by_seed_and_its_description_tells_data_apart() -> None:
    labels = ["a", "b"] * 20
    first, again, other = _split(_table(labels)), _split(_table(labels)), _split(_table(labels), seed=1)
    assert first.describe() == again.describe()
    assert first.describe()["sha256"] != other.describe()["sha256"]
    changed = _table(labels)
    changed.texts[3] += " word5"
    assert _split(changed).describe()["sha256"] != first.describe()["sha256"]


def test_texts_decode_to_what_they_were() -> None:
    tokenizer = word_tokenizer(["to be, or not to be; to be!", "or not"], 20, lower_case=True)
    tokens = encode(tokenizer, ["To BE or\tnot...", "???", "not to, be"])
    assert tokens.lengths.tolist() == [5, 1, 4]
    words = [tokenizer.id_to_token(i) for i in tokens.values.tolist()]
    assert words == ["to", "be", "or", "not", "<unk>", "<unk>", "not", "to", "<unk>", "be"]
    cased = word_tokenizer(["Be be Be be"], 20, lower_case=False)
    assert encode(cased, ["Be be BE"]).values.unique().numel() == 3


def test_labels_that_training_never_saw_are_named() -> None:
    with pytest.raises(
        DataError, match=r"row 2 has the label 'c', which is not a class of the training data: a, b;"
    ):
        encode_labels(TextTable(["x", "y"], ["a", "c"], ["row 1", "row 2"]), ("a", "b"))


def test_a_vocabulary_survives_its_tokenizer() -> None:
    vocabulary = Vocabulary(["b", "a", "<nl>", "ü"])
    again = Vocabulary.from_tokenizer(
        type(vocabulary.to_tokenizer()).from_str(vocabulary.to_tokenizer().to_str())
    )
    assert again.words == vocabulary.words == ("<unk>", "b", "a", "<nl>", "ü")
    assert vocabulary.numbers(["ü", "no", "b"]).tolist() == [4, 0, 1]


@pytest.mark.parametrize("numbers", [{"a": 0, "<unk>": 1}, {"<unk>": 0, "a": 2}, {"a": 0}, {}])
def test_a_tokenizer_with_other_numbers_than_a_vocabulary_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(DataError, match="not numbered from 0 with <unk> first"):
        Vocabulary.from_tokenizer(Tokenizer(WordLevel(numbers, unk_token="<unk>")))
