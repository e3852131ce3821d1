"""Texts to tokens and to a source of examples, with the tokenizers library. Reads no files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer

from throughtime.data.examples import Examples
from throughtime.data.tables import TextTable
from throughtime.data.vocabulary import UNKNOWN
from throughtime.errors import DataError
from throughtime.ragged import Ragged


def word_tokenizer(texts: Sequence[str], size: int, *, lower_case: bool) -> Tokenizer:
    """Train a tokenizer of words and runs of punctuation, which says ``<unk>`` to words met once.

    Parameters
    ----------
    texts
        Those of the training, and no others.
    size
        Words at most, ``<unk>`` included; the commonest are kept.
    lower_case
        Treat upper and lower case alike.

    Examples
    --------
    >>> tokenizer = word_tokenizer(["to be, or not to be"], size=10, lower_case=True)
    >>> tokenizer.encode("To be?").tokens
    ['to', 'be', '<unk>']
    """
    tokenizer = Tokenizer(WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    if lower_case:
        tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    trainer = WordLevelTrainer(
        vocab_size=size, min_frequency=2, special_tokens=[UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Ragged:
    """Return the token numbers of texts, (T,) int64; a text without any becomes an empty sequence."""
    numbers = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    flat = np.fromiter((token for ids in numbers for token in ids), dtype=np.int64)
    return Ragged.from_lengths(torch.from_numpy(flat), [len(ids) for ids in numbers])


def encode_labels(table: TextTable, classes: Sequence[str]) -> torch.Tensor:
    """Return the number of each label, (B,) int64.

    Raises
    ------
    DataError
        If a label is none of the classes.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    labels = table.labels or []
    for label, place in zip(labels, table.places, strict=True):
        if label not in numbers:
            known = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
            raise DataError(f"{place} has the label {label!r}, which training never saw; it knows {known}")
    return torch.tensor([numbers[label] for label in labels], dtype=torch.int64)


@dataclass(frozen=True)
class TextSource:
    """Labelled texts, split and encoded; a source of examples that are the same in every epoch.

    Made by `split_texts`.
    """

    classes: tuple[str, ...]
    tokenizer: Tokenizer
    training_examples: Examples
    validation: Examples
    test: Examples | None
    description: Mapping[str, Any]

    @property
    def vocabulary_size(self) -> int:
        """V; every token is below it."""
        size: int = self.tokenizer.get_vocab_size()
        return size

    def training(self, epoch: int) -> Examples:  # noqa: ARG002 - the same in all
        """Return the training examples."""
        return self.training_examples

    def describe(self) -> dict[str, Any]:
        """Return sizes, classes and a hash of all texts, labels and the split."""
        return dict(self.description)


def split_texts(
    table: TextTable, *, validation: float, test: float, vocabulary: int, lower_case: bool, seed: int
) -> TextSource:
    """Split labelled texts by class, and encode them with a tokenizer trained on the training part.

    Parameters
    ----------
    table
        With labels.
    validation, test
        Shares of the rows, drawn by ``seed`` so that every class has the same share in each part.
    vocabulary
        Words at most.
    lower_case
        Treat upper and lower case alike.
    seed
        Of the split.

    Raises
    ------
    DataError
        If there is one class only, or a class has too few rows to be in every part.
    """
    labels = table.labels or []
    classes = tuple(sorted(set(labels)))
    parts = _split(table, classes, validation, test, seed)
    tokenizer = word_tokenizer([table.texts[i] for i in parts[0]], vocabulary, lower_case=lower_case)
    tokens = encode(tokenizer, table.texts)
    numbers = encode_labels(table, classes)
    examples = [Examples(tokens[part], numbers[part]) for part in parts]
    digest = hashlib.sha256()
    for part in (tokens.values, tokens.offsets, numbers, *parts):
        digest.update(part.numpy().tobytes())
    digest.update(tokenizer.to_str().encode())
    return TextSource(
        classes,
        tokenizer,
        examples[0],
        examples[1],
        examples[2] if len(examples[2]) else None,
        {
            "rows": len(table),
            "training_examples": len(parts[0]),
            "validation_examples": len(parts[1]),
            "test_examples": len(parts[2]),
            "tokens": tokens.layout.total,
            "classes": {name: labels.count(name) for name in classes}
            if len(classes) <= 100
            else len(classes),
            "sha256": digest.hexdigest(),
        },
    )


def _split(
    table: TextTable, classes: Sequence[str], validation: float, test: float, seed: int
) -> list[torch.Tensor]:
    labels = np.array(table.labels)
    if len(classes) < 2:
        raise DataError(
            f"all {len(table)} rows have the label {classes[0]!r}; a classifier needs two classes"
        )
    needed = 3 if test else 2
    for name in classes:
        rows = np.flatnonzero(labels == name)
        if len(rows) < needed:
            raise DataError(
                f"class {name!r} has {len(rows)} rows ({table.places[rows[0]]}); it needs {needed} to be in "
                "training, validation" + (" and test" if test else "") + "; add rows or drop the class"
            )
    rest, chosen = np.arange(len(table)), []
    for share in (validation, test):
        count = max(len(classes), round(share * len(table))) if share else 0
        if not count:
            chosen.append(rest[:0])
            continue
        if len(rest) - count < len(classes):
            raise DataError(
                f"{len(table)} rows of {len(classes)} classes are too few for shares of {validation:g} and "
                f"{test:g}; add rows or lower --validation and --test"
            )
        rest, part = train_test_split(rest, test_size=count, stratify=labels[rest], random_state=seed)
        chosen.append(part)
    return [torch.from_numpy(np.sort(part)) for part in (rest, *chosen)]
