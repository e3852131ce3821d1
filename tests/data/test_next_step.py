"""Texts and frames for next-step models: tokenization against the tokenizers library, and errors."""

import gzip
import string
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given
from hypothesis import strategies as st

from throughtime import Ragged
from throughtime.data.frames import read_frames, read_prompt, write_frames
from throughtime.data.next_step import Pairs, cut_text, text_source
from throughtime.data.plain_text import read_text
from throughtime.data.symbols import (
    Spelling,
    encode_prompt,
    encode_symbols,
    learn_vocabulary,
    symbol_tokenizer,
    symbols_of,
)
from throughtime.errors import DataError

# All that Python calls white space.
SPACES = [chr(code) for code in range(0x10000) if chr(code).isspace()]
TEXTS = st.text(st.sampled_from([*string.ascii_letters[:6], *SPACES, "é", "😀"]), max_size=40)


@given(text=TEXTS, seen=TEXTS.filter(lambda t: t.strip()))
@pytest.mark.parametrize("unit", ["word", "character"])
def test_the_tokenizer_of_a_run_says_the_same(unit: Any, text: str, seen: str) -> None:
    vocabulary = learn_vocabulary(symbols_of(seen, unit), unit, 20, 1)
    numbers = encode_symbols(symbols_of(text, unit), vocabulary).tolist()
    assert symbol_tokenizer(vocabulary, unit).encode(text).ids == numbers
    assert numbers == [vocabulary.number(symbol) for symbol in symbols_of(text, unit)]


@given(text=TEXTS.filter(lambda t: t.strip()))
def test_words_are_spelled_as_they_came_but_for_white_space(text: str) -> None:
    for unit in ("word", "character"):
        symbols = symbols_of(text, unit)
        vocabulary = learn_vocabulary(symbols, unit, 100, 1)
        spelling = Spelling(vocabulary, unit)
        again = "".join(spelling.add(int(number)) for number in encode_symbols(symbols, vocabulary))
        if unit == "character":
            assert again == text
        else:
            assert list(symbols_of(again, unit)) == list(symbols)
            assert [line.split() for line in again.split("\n")] == [line.split() for line in text.split("\n")]


def test_the_commonest_come_first_and_the_rest_is_unknown() -> None:
    text = "a b b c c c <unk> <unk> <unk> <unk> d"
    for size, count, expected in ((9, 1, "cbad"), (9, 2, "cb"), (3, 1, "cb"), (2, 1, "c")):
        vocabulary = learn_vocabulary(symbols_of(text, "word"), "word", size, count)
        assert vocabulary.words == ("<unk>", *expected)
        known = set(expected)
        numbers = encode_symbols(symbols_of(text, "word"), vocabulary).tolist()
        assert [n > 0 for n in numbers] == [word in known for word in text.split()]
    with pytest.raises(DataError, match="no word of the text for training occurs 9 times"):
        learn_vocabulary(["a"], "word", 9, 9)


def test_every_step_but_the_first_is_predicted_once() -> None:
    for total in range(2, 14):
        for count in range(1, total):
            pairs = Pairs.of_streams(torch.arange(total), count)
            assert torch.equal(pairs.inputs.values, torch.arange(total - 1))
            assert torch.equal(pairs.targets.values, torch.arange(1, total))
            assert torch.equal(pairs.inputs.lengths, pairs.targets.lengths)
    pairs = Pairs.of_sequences(Ragged.from_lengths(torch.arange(6), [3, 0, 1, 2]))
    assert [row.tolist() for row in pairs.inputs] == [[0, 1], [], [], [4]]
    assert [row.tolist() for row in pairs.targets] == [[1, 2], [], [], [5]]


@given(text=TEXTS, shares=st.tuples(st.floats(0.01, 0.5), st.floats(0, 0.45)))
@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_text_is_cut_without_loss_and_between_words(
    unit: Any, text: str, shares: tuple[float, float]
) -> None:
    parts = cut_text(text, unit, *shares)
    assert "".join(parts) == text
    symbols = [symbol for part in parts for symbol in symbols_of(part, unit)]
    assert symbols == list(symbols_of(text, unit))


def test_a_source_describes_its_data() -> None:
    def made(text: str, **more: Any) -> Any:
        given = {"vocabulary": 99, "min_count": 1, "names": ["a", "b"]} | more
        return text_source([text, "a c\n"], "word", **given)

    source = made("a b a")
    assert (source.vocabulary_size, source.test) == (3, None)
    described = source.describe()
    assert described["steps"] == [3, 3]
    assert described["unknown"] == [0, 2]
    assert described == made("a b a").describe()
    for other in (made("a b b"), made("a b a", vocabulary=2)):
        assert other.describe()["sha256"] != described["sha256"]
    with pytest.raises(DataError, match="a has 1 words; give at least two to predict one"):
        made("a")


def test_texts_are_read_as_they_are(tmp_path: Path) -> None:
    path, packed = tmp_path / "a.txt", tmp_path / "a.txt.gz"
    path.write_bytes("Zürich\r\nÅ  x".encode())
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_text(path) == read_text(packed) == "Zürich\r\nÅ  x"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "a.txt is empty"),
        ("a.txt.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.txt.gz", gzip.compress(b"abc" * 99, mtime=0)[:-9], "cannot be read as gzip"),
        ("a.txt.gz", b"abc", "cannot be read as gzip"),
        (
            "a.txt",
            "ab\ncaf€".encode()[:-1],
            "line 2, byte 6 (0xe2) starts a character that is cut off at the end of the file",
        ),
        (
            "a.txt",
            "ab😀".encode()[:-3],
            "line 1, byte 2 (0xf0) starts a character that is cut off at the end of the file",
        ),
        ("a.txt", b"ab\xe9cd", "line 1, byte 2 (0xe9) is not UTF-8"),
    ],
    # named by hand: workers collect at different seconds, and must find the same names
    ids=["empty", "empty gzip", "cut gzip", "not gzip", "cut euro", "cut emoji", "Latin-1"],
)
def test_texts_that_cannot_be_read_are_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_text(path)
    assert message in str(caught.value)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"0 " * 2**19) * 100)  # 100 MiB in 100 KiB
    with pytest.raises(DataError, match=r"a\.txt\.gz unpacks to more than 32 MiB, the limit for its size"):
        read_text(path)
    path.write_bytes(gzip.compress(b"0 " * 2**19))
    assert len(read_text(path)) == 2**20


def test_a_prompt_names_what_the_training_never_saw() -> None:
    vocabulary = learn_vocabulary(["a", "b"], "word", 9, 1)
    assert encode_prompt("b <unk> a", vocabulary, "word").tolist() == [2, 0, 1]
    with pytest.raises(DataError, match=r"'x' \(word 2\), '\\n' \(word 3\); .* or replace them by <unk>"):
        encode_prompt("b x\na", vocabulary, "word")


# ------------------------------------------------------------------ frames

ROWS = [
    np.eye(4, dtype=np.uint8)[[0, 1, 2]],
    np.eye(4, dtype=np.uint8)[[3, 3]],
    np.eye(4, dtype=np.uint8)[[1] * 5],
]
GIVEN: dict[str, Any] = {"frames": np.concatenate(ROWS), "lengths": np.array([3, 2, 5])}
SHARES: dict[str, Any] = {"validation": 0.3, "test": 0.3, "seed": 0}


def _cell(rows: list[Any]) -> Any:
    cell = np.empty((1, len(rows)), dtype=object)
    cell[0] = [*rows]
    return cell


def test_frames_of_both_formats(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **GIVEN)
    parts = read_frames(tmp_path / "a.npz", **SHARES)
    assert [len(part) for part in parts if part is not None] == [1, 1, 1]
    drawn = sorted(row.tolist() for part in parts if part is not None for row in part)
    assert drawn == sorted(row.tolist() for row in ROWS)
    own = {f"{part}_{name}": value for part in ("validation", "test") for name, value in GIVEN.items()}
    np.savez(tmp_path / "b.npz", **GIVEN, **own)
    given = read_frames(tmp_path / "b.npz", **SHARES)
    cells = {f"{part}data": _cell(ROWS) for part in ("train", "valid", "test")}
    scipy.io.savemat(tmp_path / "c.mat", cells)
    for parts in (given, read_frames(tmp_path / "c.mat", **SHARES)):
        for part in parts:
            assert part is not None
            assert part.dtype == torch.uint8
            assert [row.tolist() for row in part] == [row.tolist() for row in ROWS]
    assert read_prompt(tmp_path / "c.mat", 4).tolist() == ROWS[0].tolist()


def test_frames_are_written_as_they_are_read(tmp_path: Path) -> None:
    frames = torch.from_numpy(ROWS[0]).float()
    write_frames(tmp_path / "a.npz", frames)
    assert torch.equal(read_prompt(tmp_path / "a.npz", 4), frames)
    with pytest.raises(FileExistsError):
        write_frames(tmp_path / "a.npz", frames)


def _npz(**content: Any) -> Any:
    return lambda path: np.savez(path, **content)


def _zipped(method: int, **members: bytes) -> Any:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name in ("frames", "lengths"):
                archive.writestr(f"{name}.npy", members.get(name, b""))

    return write


def _npy(header: bytes) -> Any:
    content = np.lib.format.magic(1, 0) + struct.pack("<H", len(header) + 1) + header + b"\n"
    return _zipped(zipfile.ZIP_STORED, frames=content)


def _changed(place: int, value: int) -> Any:
    """Change a byte of the first entry: its local header, where the other copy of it says the same, or its data."""

    def write(path: Path) -> None:
        np.savez_compressed(path, **GIVEN)
        raw = bytearray(path.read_bytes())
        raw[place] = value
        if place < 30:
            raw[raw.index(b"PK\1\2") + place + 2] = value
        path.write_bytes(raw)

    return write


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.npz", lambda path: path.touch(), "a.npz is empty"),
        ("a.npz", lambda path: path.write_bytes(b"PK nonsense"), "cannot be read as .npz"),
        ("a.npz", _npz(frames=np.array([{}], dtype=object), lengths=[1]), "cannot be read as .npz"),
        ("a.npz", _npz(frames=np.zeros(3, [("a", "f8")]), lengths=[3]), "frames has dtype [('a', '<f8')]"),
        (
            "a.npz",
            _npz(frames=np.array(["0", "1"]), lengths=[2]),
            "frames has dtype <U1, expected real numbers",
        ),
        ("a.npz", _npz(frames=np.ones((3, 2)) * 1j, lengths=[3]), "frames has dtype complex128"),
        (
            "a.npz",
            _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 88000)}"),
            "bytes; it has 0",
        ),
        ("a.npz", _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 0)}"), "frames is (-1, 0)"),
        ("a.npz", _npy(b"{'descr': " + b"(" * 900), "cannot be read as .npz"),
        ("a.npz", _npy(b"[1]"), "cannot be read as .npz"),
        ("a.npz", _zipped(zipfile.ZIP_LZMA), "frames has compression method 14"),
        ("a.npz", _changed(8, 99), "cannot be read as .npz"),  # a compression that nobody has
        ("a.npz", _changed(6, 1), "cannot be read as .npz"),  # encrypted
        ("a.npz", _changed(60, 7), "cannot be read as .npz"),  # within the compressed bytes
        (
            "a.npz",
            _npz(frames=np.zeros((0, 4)), lengths=np.array([2**62] * 4)),
            "length 4611686018427387904 is out of range",
        ),
        ("a.npz", _npz(x=np.ones(3)), "has no array 'frames'; its arrays are x"),
        ("a.npz", _npz(frames=GIVEN["frames"]), "has no array 'lengths'"),
        ("a.npz", _npz(frames=np.ones(3), lengths=[3]), "got shapes (3,) and (1,)"),
        (
            "a.npz",
            _npz(**GIVEN | {"lengths": np.array([3, 3])}),
            "must add up to the 10 rows of frames, but their sum is 6",
        ),
        ("a.npz", _npz(**GIVEN | {"lengths": np.array([12, -2])}), "length 12 is out of range"),
        (
            "a.npz",
            _npz(**GIVEN | {"frames": GIVEN["frames"] * 2}),
            "sequence 1 of frames (frame 1, note 1) is neither 0 nor 1",
        ),
        ("a.npz", _npz(frames=np.zeros((2, 4)), lengths=[2]), "too few for training, validation and test"),
        ("a.npz", _npz(frames=np.zeros((3, 4)), lengths=[1, 1, 1]), "no training sequence has two frames"),
        (
            "a.npz",
            _npz(**GIVEN, validation_frames=np.zeros((2, 3)), validation_lengths=[2]),
            "the validation frames have 3 notes, but the training frames have 4",
        ),
        ("a.mat", lambda path: path.write_bytes(b"x" * 200), "cannot be read as .mat"),
        ("a.mat", lambda path: scipy.io.savemat(path, {"x": np.ones(3)}), "has no cell array 'traindata'"),
        (
            "a.mat",
            lambda path: scipy.io.savemat(path, {"traindata": _cell([np.ones((2, 3)), np.ones((2, 4))])}),
            "traindata must be a cell array of matrices (T, K) with the same K, got K of [3, 4]",
        ),
        (
            "a.csv",
            lambda path: path.write_bytes(b"x"),
            "frames are read from .npz and .mat files, not '.csv'",
        ),
        ("none.npz", lambda path: None, "does not exist"),
    ],
)
def test_frames_that_cannot_be_read_are_named(name: str, write: Any, message: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError) as caught:
        read_frames(tmp_path / name, **SHARES)
    assert message in str(caught.value)
    assert name in str(caught.value)


def test_a_prompt_has_the_notes_of_the_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **GIVEN)
    with pytest.raises(DataError, match="has frames of 4 notes, but the run was trained on 88"):
        read_prompt(tmp_path / "a.npz", 88)
