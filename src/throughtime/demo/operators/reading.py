"""Read many files into one stream of tokens, in parallel on all cores."""

from collections.abc import Sequence
from dataclasses import dataclass
from tokenize import TokenError

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray

from throughtime.demo.operators.corpus import SourceFile
from throughtime.demo.operators.lexer import Lexed, lex

_CHUNK = 100
"""Files per task: enough to outweigh the transfer, few enough for an even distribution."""
_FEW = 1_000
"""Up to so many files are read in this process: to start others, which import torch, takes longer."""


@dataclass(frozen=True)
class Stream:
    """The concatenated files as token numbers, and the operators in them.

    Parameters
    ----------
    words : list of str
        Every word met, in order of first use.
    tokens : ndarray
        (N,) int32, index into ``words``.
    sites : ndarray
        (S, 6) int64: place, first and last token of the window (in ``tokens``), file, line, column.
    names : list of str
        The files that were read.
    starts : ndarray
        (files + 1,) int64: where each file begins in ``tokens``.
    skipped : int
        Files that are not UTF-8 or not Python.
    """

    words: list[str]
    tokens: NDArray[np.int32]
    sites: NDArray[np.int64]
    names: list[str]
    starts: NDArray[np.int64]
    skipped: int

    def file_of_token(self) -> NDArray[np.int64]:
        """Return (N,) int64: the file of every token."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.starts))


def read_files(files: Sequence[SourceFile]) -> Stream:
    """Read and lex files, in their order; those that cannot be read are counted and left out.

    Examples
    --------
    >>> import heapq
    >>> from pathlib import Path
    >>> stream = read_files([SourceFile("python/heapq.py", Path(heapq.__file__))])
    >>> stream.names, stream.skipped, len(stream.sites) > 20
    (['python/heapq.py'], 0, True)
    """
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    jobs = min(joblib.cpu_count(), len(chunks))
    if jobs <= 1 or len(files) <= _FEW:
        return _join([_read_chunk(chunk) for chunk in chunks])
    try:
        parts = joblib.Parallel(n_jobs=jobs)(joblib.delayed(_read_chunk)(chunk) for chunk in chunks)
    finally:
        # Otherwise the workers stay alive with a few hundred megabytes each, also after a killed training.
        get_reusable_executor().shutdown(wait=True)
    return _join(parts)


def site_rows(lexed: Lexed) -> NDArray[np.int64]:
    """Return (S, 6) int64 for the sites of one file: place, first, last, 0 for the file, line, column."""
    rows = [(s.place, s.first, s.last, 0, s.line, s.column) for s in lexed.sites]
    return np.array(rows, dtype=np.int64).reshape(-1, 6)


def _read_chunk(files: Sequence[SourceFile]) -> Stream:
    numbers: dict[str, int] = {}
    tokens: list[NDArray[np.int32]] = []
    sites: list[NDArray[np.int64]] = []
    names: list[str] = []
    starts = [0]
    for file in files:
        try:
            lexed = lex(file.path.read_text(encoding="utf-8-sig"))
        except (SyntaxError, TokenError, UnicodeDecodeError):
            continue
        start, number = starts[-1], len(names)
        names.append(file.name)
        tokens.append(np.array([numbers.setdefault(t, len(numbers)) for t in lexed.tokens], dtype=np.int32))
        starts.append(start + len(lexed.tokens))
        sites.append(site_rows(lexed) + np.array([start, start, start, number, 0, 0]))
    return Stream(
        list(numbers),
        np.concatenate([np.zeros(0, np.int32), *tokens]),
        np.concatenate([np.zeros((0, 6), np.int64), *sites]),
        names,
        np.array(starts, dtype=np.int64),
        len(files) - len(names),
    )


def _join(parts: Sequence[Stream]) -> Stream:
    numbers: dict[str, int] = {}
    tokens, sites = [np.zeros(0, np.int32)], [np.zeros((0, 6), np.int64)]
    names: list[str] = []
    starts = [np.zeros(1, np.int64)]
    total = 0
    for part in parts:
        common = np.array([numbers.setdefault(word, len(numbers)) for word in part.words], dtype=np.int32)
        tokens.append(common[part.tokens] if len(common) else part.tokens)
        sites.append(part.sites + np.array([total, total, total, len(names), 0, 0]))
        starts.append(part.starts[1:] + total)
        names += part.names
        total += len(part.tokens)
    return Stream(
        list(numbers),
        np.concatenate(tokens),
        np.concatenate(sites),
        names,
        np.concatenate(starts),
        sum(part.skipped for part in parts),
    )
