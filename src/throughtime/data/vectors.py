"""Pretrained word vectors in the text formats of word2vec, GloVe and fastText.

A line has a word and D numbers, separated by spaces; word2vec and fastText begin with a line of the number
of words and D. Only the lines of words that are asked for are parsed, many at a time by Arrow's CSV reader.
Which line has a damaged number is looked for only after that has failed.
"""

import contextlib
import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from throughtime._words import counted
from throughtime.data.columns import short
from throughtime.data.files import regular_file
from throughtime.errors import DataError

_BYTES_PER_BLOCK = 2**23
_LONGEST_LINE = 2**21
_LARGEST = float(np.finfo(np.float32).max)

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class VectorOptions:
    """Options of pretrained word vectors.

    Parameters
    ----------
    file : str
        Path in one of the formats of `read_vectors`.
    tune : bool
        Whether the vectors are trained with the model; else they stay as they are.
    """

    file: str
    tune: bool = True


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of the words of a vocabulary.

    Parameters
    ----------
    matrix : (V, D) float32
        Vector of each word; zeros for those that are not in the file.
    known : (V,) bool
        Whether a word, or its lower-case form, is in the file.
    """

    matrix: Floats
    known: NDArray[np.bool_]


def read_vectors(path: Path, words: Sequence[str]) -> WordVectors:
    r"""Read the vectors of words from a text file, which may be compressed by gzip (``.gz``).

    A word that is not in the file has the vector of its lower-case form, if that is there.

    Parameters
    ----------
    path : Path
        File in the text format of word2vec, GloVe or fastText (``.vec``).
    words : sequence of str
        The vocabulary, in the order of token numbers.

    Returns
    -------
    WordVectors
        The matrix (V, D), and which words are known.

    Raises
    ------
    DataError
        If the file cannot be read, is binary or empty, or has not as many lines as its first line says; if
        the line of a word of the vocabulary has too few or too many numbers, a number that is damaged or not
        finite, or if the word occurs twice. Messages give the number of the line.

    References
    ----------
    Mikolov et al., *Efficient Estimation of Word Representations in Vector Space*, 2013; Pennington et al.,
    *GloVe: Global Vectors for Word Representation*, 2014; Bojanowski et al., *Enriching Word Vectors with
    Subword Information*, 2017.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "small.vec"
    ...     _ = path.write_bytes(b"2 3\nthe 1 2 3\nto 4 5 6\n")
    ...     vectors = read_vectors(path, ["<unk>", "To"])
    >>> vectors.matrix.tolist(), vectors.known.tolist()
    ([[0.0, 0.0, 0.0], [4.0, 5.0, 6.0]], [False, True])
    """
    with _opened(Path(path)) as file:
        lines = _lines(file, path)
        announced, lines = _header(lines, path)
        lines, size = _first_vector(lines, announced, path)
        collected = _Collected(path, words, size)
        count = 0
        for number, line in lines:
            count += 1
            collected.add(number, line)
    collected.parse()
    if announced is not None and count != announced[0]:
        raise DataError(
            f"{path} has {count:,} vectors, but its first line says {announced[0]:,}; restore the file, or "
            "correct that line"
        )
    return WordVectors(collected.matrix, collected.known)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with regular_file(path) as (file, _):
        if path.suffix.lower() != ".gz":
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast("BinaryIO", unpacked)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path} cannot be read as gzip ({error}); restore the file") from error


Line = tuple[int, bytes]


def _lines(file: BinaryIO, path: Path) -> Iterator[Line]:
    """Yield the number, from 1, and the content of each line that is not blank."""
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise DataError(
                f"{path}: line {number} is longer than {_LONGEST_LINE // 2**20} MiB, so that this is no text "
                "file of word vectors; convert it to the text format of word2vec"
            )
        if not line.isspace():
            yield number, line.rstrip()


def _header(lines: Iterator[Line], path: Path) -> tuple[tuple[int, int] | None, Iterator[Line]]:
    """Return the numbers of words and dimensions, if the first line has them, and the lines with vectors."""
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path} is empty; give a file of word vectors")
    fields = first[1].split()
    if len(fields) == 2 and all(field.isdigit() and len(field) < 19 for field in fields):
        return (int(fields[0]), int(fields[1])), lines
    return None, chain([first], lines)


def _first_vector(
    lines: Iterator[Line], announced: tuple[int, int] | None, path: Path
) -> tuple[Iterator[Line], int]:
    """Return the lines, and how many numbers the first of them has."""
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path} has no vectors; give a file of word vectors")
    number, line = first
    size = len(line.split()) - 1
    if b"\0" in line or not _is_number(line.split()[-1]):
        raise DataError(
            f"{path}: line {number} is not a word and its numbers; give vectors in the text format of "
            "word2vec, GloVe or fastText, not in a binary one"
        )
    if announced is not None and size != announced[1]:
        raise DataError(
            f"{path}: line {number} has {counted(size, 'number')}, but the first line says {announced[1]}; "
            "correct it"
        )
    return chain([first], lines), size


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Collected:
    """The matrix, and lines of words of the vocabulary that are not parsed yet."""

    def __init__(self, path: Path, words: Sequence[str], size: int) -> None:
        self._path, self._size = path, size
        self.matrix: Floats = np.zeros((len(words), size), dtype=np.float32)
        self.known = np.zeros(len(words), dtype=bool)
        self._rows, self._lower_rows = _rows_of(words)
        self._wanted = {*self._rows, *self._lower_rows}
        self._first_parts = {_first_part(word) for word in self._wanted}
        self._line_of: dict[bytes, int] = {}
        self._waiting: list[tuple[int, bytes, bytes]] = []
        self._bytes = 0

    def add(self, number: int, line: bytes) -> None:
        """Keep a line for `parse` if its word is in the vocabulary."""
        if _first_part(line) not in self._first_parts:
            return
        word, numbers = self._parts(number, line)
        if word not in self._wanted:
            return
        if word in self._line_of:
            raise DataError(
                f"{self._path}: line {number} has the word {_shown(word)} again, after line "
                f"{self._line_of[word]}; remove one of them"
            )
        self._line_of[word] = number
        self._waiting.append((number, word, numbers))
        self._bytes += len(numbers)
        if self._bytes > _BYTES_PER_BLOCK:
            self.parse()

    def _parts(self, number: int, line: bytes) -> tuple[bytes, bytes]:
        """Return the word, which may have spaces, and the numbers of a line."""
        spaces = line.count(b" ")
        if spaces == self._size:
            word, _, numbers = line.partition(b" ")
            return word, numbers
        fields = line.split()
        if len(fields) == self._size + 1:  # tabs, or several spaces
            return fields[0], b" ".join(fields[1:])
        word_fields = fields[: -self._size]
        if len(fields) <= self._size or all(map(_is_number, word_fields[1:])):
            raise DataError(
                f"{self._path}: line {number} ({_shown(fields[0])}) has "
                f"{counted(len(fields) - 1, 'number')}, but the first vector has {self._size}; correct or "
                "remove it"
            )
        return b" ".join(word_fields), b" ".join(fields[-self._size :])

    def parse(self) -> None:
        """Parse the lines that wait, and put their vectors into the matrix."""
        if not self._waiting:
            return
        vectors = self._vectors()
        self._put(self._lower_rows, vectors, only_unknown=True)
        self._put(self._rows, vectors, only_unknown=False)
        self._waiting, self._bytes = [], 0

    def _vectors(self) -> Floats:
        with contextlib.suppress(pa.ArrowInvalid):
            vectors = _parsed([numbers for _, _, numbers in self._waiting], self._size)
            if np.isfinite(vectors).all():
                return vectors
        raise self._damaged()

    def _damaged(self) -> DataError:
        """Return the error of the first damaged number."""
        for number, word, numbers in self._waiting:
            for text in numbers.split(b" "):
                if not _is_number(text) or not abs(float(text)) <= _LARGEST:
                    return DataError(
                        f"{self._path}: line {number} ({_shown(word)}) has {_shown(text)}, which is not a "
                        "finite number; correct or remove it"
                    )
        first, last = self._waiting[0][0], self._waiting[-1][0]
        return DataError(f"{self._path}: a number in lines {first} to {last} cannot be read; correct it")

    def _put(self, rows: dict[bytes, list[int]], vectors: Floats, *, only_unknown: bool) -> None:
        pairs = [
            (row, place)
            for place, (_, word, _) in enumerate(self._waiting)
            for row in rows.get(word, ())
            if not (only_unknown and self.known[row])
        ]
        if pairs:
            targets, places = np.array(pairs).T
            self.matrix[targets] = vectors[places]
            self.known[targets] = True


def _first_part(text: bytes) -> bytes:
    """Return a text up to its first white space, at most 256 bytes: a quick test that few lines pass."""
    return b"".join(text[:256].split(None, 1)[:1])


def _rows_of(words: Sequence[str]) -> tuple[dict[bytes, list[int]], dict[bytes, list[int]]]:
    """Return the rows of each word, and those of each lower-case form of words that have upper case."""
    exact, lower = defaultdict(list), defaultdict(list)
    for row, word in enumerate(words):
        exact[word.encode(errors="surrogatepass")].append(row)
        if word.lower() != word:
            lower[word.lower().encode(errors="surrogatepass")].append(row)
    return dict(exact), dict(lower)


def _parsed(lines: Sequence[bytes], size: int) -> Floats:
    """Return the numbers of lines, (n, D)."""
    names = [str(column) for column in range(size)]
    table = csv.read_csv(
        pa.BufferReader(b"\n".join(lines) + b"\n"),
        csv.ReadOptions(column_names=names, block_size=_LONGEST_LINE, use_threads=False),
        csv.ParseOptions(delimiter=" ", quote_char=False),
        csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float32()), null_values=[]),
    )
    return np.stack([column.to_numpy() for column in table.columns], axis=1)


def _shown(text: bytes) -> str:
    return short(repr(text.decode(errors="replace")))
