"""``python-operators``: operators in Python source, half of which are replaced.

The task is to classify the operator that the author wrote, in a window that shows it or another of its
family; `throughtime.demo.operators.replacement` turns this into whether the operator was replaced.

A window holds an operator's logical line, the two lines before and the one after, 20 to 100 tokens, the
operator marked. Files are split 60/20/20; a window that occurs twice is kept once. Replacements
are sampled again in each epoch for training, and once for validation and test.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.data.examples import Examples
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.operators.corpus import SourceFile, installed_files
from throughtime.demo.operators.families import OPERATORS
from throughtime.demo.operators.reading import Stream, read_files
from throughtime.demo.operators.sites import CLOSE, LONGEST, OPEN, STRANGERS, Sites, windows
from throughtime.errors import DataError

SHORTEST = 20
"""Tokens of a window at least, the markers included. Sites whose windows are shorter, or longer than
`throughtime.demo.operators.sites.LONGEST`, are left out of the data set; a review takes them all."""
_SPLITS = ("training", "validation", "test")


@dataclass(frozen=True)
class Sizes:
    """How much of the source is used."""

    training: int = 200_000
    validation: int = 12_000
    test: int = 12_000
    vocabulary: int = 10_000


class PythonOperators:
    """The data set, as a source of examples for a training.

    Parameters
    ----------
    seed : int
        Of the split, the choice of sites, and all replacements.
    sizes
        Sites of each split at most, and words of the vocabulary at most.
    files
        The files it is made of; by default all that `installed_files` finds.
    packages
        Names of what the files belong to.

    Raises
    ------
    DataError
        If there are too few files or operators for three splits.
    """

    classes = tuple(OPERATORS)

    def __init__(
        self,
        seed: int = 0,
        sizes: Sizes | None = None,
        files: Sequence[SourceFile] | None = None,
        packages: Sequence[str] = ("given files",),
    ) -> None:
        sizes = sizes or Sizes()
        if files is None:
            files, packages = installed_files()
        self.seed = seed
        self.packages = packages
        stream = read_files(files)
        self.files = stream.names
        self._stream = stream
        split = _split_files(len(stream.names), seed)
        self.vocabulary = _vocabulary(stream, split, sizes.vocabulary)
        self.sites, self.duplicates = _choose(stream, split, self.vocabulary, seed, sizes)

    @property
    def shape(self) -> dict[str, int]:
        """What the model reads: tokens below the size of the vocabulary."""
        return {"vocabulary_size": len(self.vocabulary)}

    def training(self, epoch: int) -> Examples:
        """Return the training windows with the replacements of this epoch (0 is the first)."""
        return self._drawn("training", epoch)

    @cached_property
    def validation(self) -> Examples:
        """The validation windows, half of their operators replaced."""
        return self._drawn("validation", 0)

    @cached_property
    def test(self) -> Examples:
        """The test windows, half of their operators replaced."""
        return self._drawn("test", 0)

    @cached_property
    def replaced(self) -> Tensor:
        """Whether the operator of each test window was replaced, (B,) int64."""
        sites = self.sites["test"]
        return (self.test.inputs.values[sites.places] != sites.operator_tokens[sites.operators]).long()

    def _drawn(self, split: str, epoch: int) -> Examples:
        key = hashlib.sha256(f"python-operators/{self.seed}/{split}/{epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little", signed=True))
        sites = self.sites[split]
        return Examples(sites.draw(generator), sites.operators)

    def file_name(self, number: int) -> str:
        """Return the name of a file, such as ``torch/nn/modules/rnn.py``."""
        return self.files[number]

    def describe(self) -> dict[str, Any]:
        """Return what the set was made of: packages, files, tokens, examples, and a hash of all windows."""
        digest = hashlib.sha256(repr(self.vocabulary.words).encode())
        for sites in self.sites.values():
            for part in (sites.tokens.values, sites.tokens.offsets, sites.operators):
                digest.update(part.numpy().tobytes())
        return {
            "name": "python-operators",
            "seed": self.seed,
            "packages": list(self.packages),
            "files": len(self.files),
            "files_not_read": self._stream.skipped,
            "tokens": len(self._stream.tokens),
            "operators": len(self._stream.sites),
            "duplicate_windows": self.duplicates,
            **{f"{name}_examples": len(sites) for name, sites in self.sites.items()},
            "vocabulary": len(self.vocabulary),
            "sha256": digest.hexdigest(),
        }


def _split_files(count: int, seed: int) -> NDArray[np.int64]:
    """Return 0, 1 or 2 for every file: training, validation, test, 60/20/20."""
    if count < 5:
        raise DataError(f"python-operators needs at least 5 files to split 60/20/20, got {count}")
    order = np.random.default_rng([seed, 1]).permutation(count)
    split = np.zeros(count, dtype=np.int64)
    split[order[int(0.6 * count) : int(0.8 * count)]] = 1
    split[order[int(0.8 * count) :]] = 2
    return split


def _vocabulary(stream: Stream, split: NDArray[np.int64], limit: int) -> Vocabulary:
    """Return the commonest words of the training files; those met once are unknown."""
    training = (split == 0)[stream.file_of_token()]
    counts = np.bincount(stream.tokens[training], minlength=len(stream.words))
    fixed = [OPEN, CLOSE, *STRANGERS, *OPERATORS]
    order = np.lexsort((np.arange(len(counts)), -counts))
    words = (stream.words[i] for i in order if counts[i] > 1)
    chosen = [word for word in words if word not in OPERATORS][: max(0, limit - len(fixed) - 1)]
    return Vocabulary(fixed + chosen)


def _choose(
    stream: Stream, split: NDArray[np.int64], vocabulary: Vocabulary, seed: int, sizes: Sizes
) -> tuple[dict[str, Sites], int]:
    """Return the sites of each split, in random order, and how many duplicates were dropped.

    Two windows are the same if a model sees the same; training comes first, so that what it has seen is
    no test any more.
    """
    table = stream.sites
    lengths = table[:, 2] - table[:, 1] + 2
    fitting = np.flatnonzero((lengths >= SHORTEST) & (lengths <= LONGEST))
    order = np.random.default_rng([seed, 2]).permutation(fitting)
    order = order[np.argsort(split[table[order, 3]], kind="stable")]
    splits = split[table[order, 3]].tolist()
    sites = windows(stream.words, stream.tokens, table[order], vocabulary)
    values, bounds = sites.tokens.values.numpy(), sites.tokens.offsets.tolist()
    limits = (sizes.training, sizes.validation, sizes.test)
    chosen: list[list[int]] = [[], [], []]
    seen: set[bytes] = set()
    duplicates = 0
    for row, (number, (start, stop)) in enumerate(zip(splits, pairwise(bounds), strict=True)):
        if len(chosen[number]) == limits[number]:
            continue
        key = hashlib.blake2b(values[start:stop].tobytes(), digest_size=16).digest()
        if key in seen:
            duplicates += 1
            continue
        seen.add(key)
        chosen[number].append(row)
    for name, rows in zip(_SPLITS, chosen, strict=True):
        if not rows:
            raise DataError(f"python-operators: no operators in the {name} files; give more files")
    return {
        name: sites.select(torch.tensor(rows)) for name, rows in zip(_SPLITS, chosen, strict=True)
    }, duplicates
