"""The readers of inputs, each with valid files for the fuzz tests to damage: see `loaders`."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordPiece

from throughtime.data.inputs import (
    BytePairOptions,
    InputOptions,
    NumericColumns,
    NumericOptions,
    SeriesOptions,
    TokenizerOptions,
    TokenOptions,
    WordOptions,
    read_inputs,
)
from throughtime.data.table import Table
from throughtime.data.vectors import read_vectors
from throughtime.errors import DataError

from .damage import changed_json, damaged
from .loaders import Loader

_TABLE = Table(
    pa.table(
        {
            "text": ["to be, or not to be", "é ☃ \u0000 to", "be"],
            "events": [[1, 1, 2], [2], [3]],
            "series": [[1.0, None, 2.0], [5.0], [3.0, 4.0]],
            "age": [1, None, 3],
        }
    ),
    "rows",
)

_OPTIONS: tuple[InputOptions, ...] = (
    WordOptions(columns=("text",)),
    BytePairOptions(columns=("text", "text"), vocabulary=262, lower_case=True),
    TokenOptions(column="events"),
    SeriesOptions(columns=("series",), missing="interpolate"),
)
_NUMERIC = NumericOptions(columns=("age",), missing="mask").fit(_TABLE)


def _saved(options: InputOptions) -> bytes:
    inputs = options.fit(_TABLE)
    content = {"inputs": inputs.to_json(), "tokenizer": inputs.tokenizer_json, "numeric": _NUMERIC.to_json()}
    return json.dumps(content).encode()


def _inputs(path: Path) -> object:
    try:
        content = json.loads(path.read_bytes())
        inputs = read_inputs(content["inputs"], content["tokenizer"])
        numeric = NumericColumns.from_json(content["numeric"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error})") from error
    return inputs.encode(_TABLE), inputs.words(_TABLE), inputs.shape, numeric.encode(_TABLE)


def _changed_tokenizer(content: bytes) -> bytes:
    """Put a damaged tokenizer into valid inputs."""
    inputs = {**json.loads(_saved(_OPTIONS[0])), "tokenizer": content.decode(errors="replace")}
    return json.dumps(inputs).encode()


def _tokenizer() -> bytes:
    words = {word: number for number, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "to", "be", "##e"])}
    tokenizer = Tokenizer(WordPiece(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    template = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(), template])
    return str(tokenizer.to_str()).encode()


def _own_tokenizer(path: Path) -> object:
    inputs = TokenizerOptions(columns=("text",), file=str(path)).fit(_TABLE)
    return inputs.encode(_TABLE), inputs.words(_TABLE)


_VECTORS = "".join(f"{word} 1.5 -2 3e{i}\n" for i, word in enumerate(["to", "be", "or", "not"]))


def _vectors(path: Path) -> object:
    return read_vectors(path, ["to", "be", "Or", "not", "-2", "\ufffd"]).matrix.sum()


INPUTS = {
    "inputs": Loader(
        _inputs,
        "inputs.json",
        tuple(map(_saved, _OPTIONS)),
        changed_json(_saved(_OPTIONS[0]))
        | changed_json(_saved(_OPTIONS[2]))
        | changed_json(_saved(_OPTIONS[3])),
    ),
    "tokenizer of inputs": Loader(
        _inputs,
        "inputs.json",
        (_saved(_OPTIONS[0]),),
        (damaged(_tokenizer()) | changed_json(_tokenizer())).map(_changed_tokenizer),
    ),
    "tokenizer of the user": Loader(
        _own_tokenizer, "tokenizer.json", (_tokenizer(),), damaged(_tokenizer()) | changed_json(_tokenizer())
    ),
    "vectors": Loader(_vectors, "a.vec", (_VECTORS.encode(), b"4 3\n" + _VECTORS.encode())),
    "compressed vectors": Loader(_vectors, "a.gz", (gzip.compress(_VECTORS.encode()),)),
}
