"""Inputs of text: tokens equal to those of plain Python, round trips through JSON, refusals by name."""

import json
import re
from collections import Counter

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel, WordPiece

from throughtime.data.inputs import (
    BytePairOptions,
    CharacterOptions,
    InputShape,
    TokenizerOptions,
    WordOptions,
    read_inputs,
)
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError

TEXTS = ["To be, or not to be", "To sleep, to dream", "not to be", "naïve café ☃☃"]


def table(*texts, name="text", **columns):
    return Table(pa.table({name: texts, **columns}), "plays.csv")


def exactly(message):
    return f"^{re.escape(message)}$"


def again(inputs):
    return read_inputs(json.loads(json.dumps(inputs.to_json())), inputs.tokenizer_json)


# ------------------------------------------------------------------ kinds


def test_words_by_count_then_by_name():
    words = re.findall(r"\w+|[^\w\s]+", " ".join(TEXTS).lower())
    counts = Counter(words)
    expected = sorted((word for word in counts if counts[word] >= 2), key=lambda word: (-counts[word], word))
    inputs = WordOptions(columns=("text",)).fit(table(*TEXTS))
    vocabulary = inputs.tokenizer.get_vocab()
    assert inputs.token_names == ("<unk>", *expected)
    assert inputs.shape == InputShape(vocabulary_size=1 + len(expected))
    numbers = [vocabulary.get(word, 0) for word in words]
    assert inputs.encode(table(*TEXTS)).values.tolist() == numbers


def test_words_of_reports_are_those_of_the_text():
    inputs = WordOptions(columns=("text",)).fit(table(*TEXTS))
    assert inputs.words(table(*TEXTS))[3] == ["naïve", "café", "☃☃"]


def test_characters_are_code_points():
    inputs = CharacterOptions(columns=("text",), min_count=1).fit(table(*TEXTS))
    joined = "".join(TEXTS)
    by_count = [character for character, _ in Counter(joined).most_common()]
    expected = [1 + by_count.index(character) for character in TEXTS[3]]
    assert inputs.encode(table(TEXTS[3])).values.tolist() == expected
    assert inputs.words(table("a☃\n")) == [["a", "☃", "\n"]]
    assert inputs.encode(table("a\u2603§")).values.tolist()[-1] == 0


def test_characters_in_lower_case():
    inputs = CharacterOptions(columns=("text",), min_count=1, lower_case=True).fit(table("AbBa"))
    assert inputs.encode(table("aBAb")).values.tolist() == [1, 2, 1, 2]


def test_rare_characters_are_refused_where_nothing_remains():
    with pytest.raises(DataError, match="occurs 9 times; lower min_count="):
        CharacterOptions(columns=("text",), min_count=9).fit(table("abc"))


def test_byte_pairs_restore_every_text():
    inputs = BytePairOptions(columns=("text",), vocabulary=270).fit(table(*TEXTS))
    assert inputs.shape == InputShape(vocabulary_size=inputs.tokenizer.get_vocab_size())
    assert 256 < inputs.tokenizer.get_vocab_size() <= 270
    unseen = "łódź 東京 \u200b\t42"
    assert inputs.tokenizer.decode(inputs.encode(table(unseen)).values.tolist()) == unseen
    assert "".join(inputs.words(table("not to be"))[0]) == "not to be"


def test_byte_pairs_merge_the_most_frequent_pair_first():
    inputs = BytePairOptions(columns=("text",), vocabulary=257).fit(table("xyxyxy ab"))
    assert inputs.words(table("xyab")) == [["xy", "a", "b"]]


def test_byte_pairs_need_all_bytes():
    with pytest.raises(ShapeError, match=exactly("vocabulary = 255 is too small; use at least 256")):
        BytePairOptions(columns=("text",), vocabulary=255)
    with pytest.raises(ShapeError, match="at least 257"):
        BytePairOptions(columns=("a", "b"), vocabulary=256)


def saved_tokenizer(path, **parts):
    words = {word: number for number, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "to", "be", "##e"])}
    tokenizer = Tokenizer(WordPiece(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    content = {**json.loads(tokenizer.to_str()), **parts}
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def test_the_tokenizer_of_the_user_adds_its_special_tokens(tmp_path):
    file = saved_tokenizer(tmp_path / "tokenizer.json")
    inputs = TokenizerOptions(columns=("text",), file=file).fit(table(*TEXTS))
    assert inputs.encode(table("To be, bee")).values.tolist() == [1, 3, 4, 0, 4, 5, 2]
    assert inputs.encode(table("To Bee")).values.tolist() == [1, 3, 4, 5, 2]
    assert inputs.words(table("To be")) == [["[CLS]", "To", "be", "[SEP]"]]
    (tmp_path / "tokenizer.json").unlink()
    assert again(inputs).encode(table("to be")).values.tolist() == [1, 3, 4, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"{",
            "it is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
        ),
        (b"[" * 100_000, "it is not JSON (maximum recursion depth exceeded"),
        (b"3", "the content must be an object, got 3"),
        (b"{}", "truncation"),
    ],
)
def test_what_is_no_tokenizer_is_refused(content, message, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        TokenizerOptions(columns=("text",), file=str(path)).fit(table("a"))
    assert str(caught.value).startswith(f"{path} cannot be used as a tokenizer: {message}"[:60])
    assert str(caught.value).endswith("; change the file, or train a tokenizer on the data")


def test_a_tokenizer_that_truncates_is_refused(tmp_path):
    truncation = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    file = saved_tokenizer(tmp_path / "tokenizer.json", truncation=truncation)
    message = (
        f"{file} cannot be used as a tokenizer: truncation would change sequences; set it to null; change the "
        "file, or train a tokenizer on the data"
    )
    with pytest.raises(DataError, match=exactly(message)):
        TokenizerOptions(columns=("text",), file=file).fit(table("a"))


def test_a_tokenizer_that_does_not_exist_is_reported_as_such(tmp_path):
    with pytest.raises(DataError, match=exactly(f"{tmp_path / 'no.json'} does not exist; give a file")):
        TokenizerOptions(columns=("text",), file=str(tmp_path / "no.json")).fit(table("a"))


# ------------------------------------------------------------------ columns

EACH_KIND = pytest.mark.parametrize(
    "options", [WordOptions, CharacterOptions, BytePairOptions], ids=lambda options: options.kind
)


@EACH_KIND
def test_several_columns_are_joined_by_a_special_token(options):
    rows = table("to be", "to do", title=["To", "do to"])
    inputs = options(columns=("title", "text"), min_count=1).fit(rows)
    separator = inputs.tokenizer.token_to_id("<sep>")
    assert separator == inputs.shape.vocabulary_size - 1
    title, text = (
        options(columns=(name,), min_count=1).fit(rows).words(rows)[0] for name in ("title", "text")
    )
    assert ["".join(part) for part in (title, text)] in (["To", "tobe"], ["To", "to be"])
    assert "".join(inputs.words(rows)[0]) == "".join(title) + "<sep>" + "".join(text)
    assert (inputs.encode(rows).values == separator).sum() == 2


def test_a_separator_has_a_place_in_the_vocabulary():
    rows = table("a b c d", title=["a b c d"])
    assert WordOptions(columns=("title", "text"), vocabulary=4).fit(rows).shape.vocabulary_size == 4


def test_null_in_one_of_several_columns_is_an_empty_text():
    rows = table("to to", None, title=["to", "to"])
    inputs = WordOptions(columns=("title", "text")).fit(rows)
    assert inputs.words(rows) == [["to", "<sep>", "to", "to"], ["to", "<sep>"]]


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(["to to", "to"], pa.large_string()),
        pa.array(["to to", "to"], pa.string_view()),
        pa.array(["to to", "to"]).dictionary_encode(),
    ],
    ids=["large_string", "string_view", "dictionary"],
)
def test_every_layout_of_strings_is_text(texts):
    rows = Table(pa.table({"text": texts}), "a.parquet")
    assert WordOptions(columns=("text",)).fit(rows).encode(rows).lengths.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [1.5, 2.0],
            (
                "shop.csv: column 'x' holds numbers (float64), not text; use it beside a text or series with "
                "numeric='x' (--numeric x), as a series with series='x' (--series x), or convert it to text"
            ),
        ),
        (
            [[1, 2], [3]],
            (
                "shop.csv: column 'x' holds lists of numbers (int64), not text; use it with series='x' (--series x), or "
                "convert it to text"
            ),
        ),
        (
            [["a"], ["b"]],
            (
                "shop.csv: column 'x' holds lists of texts, not text; use it with tokens='x' (--tokens x), or convert it to "
                "text"
            ),
        ),
        ([True, False], "shop.csv: column 'x' holds truth values, not text; convert it to text"),
    ],
)
def test_a_column_that_is_no_text_is_questioned(values, message):
    with pytest.raises(DataError, match=exactly(message)):
        WordOptions(columns=("x",)).fit(Table(pa.table({"x": values}), "shop.csv"))


def test_a_column_that_does_not_exist_is_reported_with_those_that_do():
    with pytest.raises(DataError, match=exactly("plays.csv has no column 'body'; its columns are 'text'")):
        WordOptions(columns=("body",)).fit(table("a"))


@EACH_KIND
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"columns": ()}, "columns is empty; name at least one column"),
        ({"columns": "text"}, "columns must be a list, got 'text'"),
        ({"blank": "keep"}, "blank must be one of 'refuse', 'skip', 'empty', got 'keep'"),
        ({"vocabulary": 0}, "vocabulary must be a whole number from 1, got 0"),
        ({"min_count": 0}, "min_count must be a whole number from 1, got 0"),
    ],
)
def test_options_that_are_not_allowed_are_refused(options, entries, message):
    with pytest.raises(ShapeError, match=exactly(message)):
        options(**{"columns": ("text",), **entries})


def test_a_vocabulary_without_room_for_the_separator_is_refused():
    with pytest.raises(ShapeError, match=exactly("vocabulary = 1 is too small; use at least 2")):
        WordOptions(columns=("title", "text"), vocabulary=1)


# ------------------------------------------------------------------ blank rows

BLANK = table("to to", None, " \n\u3000", "to")


def test_blank_rows_are_refused_with_their_place():
    message = (
        "plays.csv: row 2 (and 1 more) has no text in column 'text'; fill it in, or drop such rows with "
        "skip_blank=True (--skip-blank)"
    )
    for blank in ("refuse", "skip"):
        options = WordOptions(columns=("text",), blank=blank)
        with pytest.raises(DataError, match=exactly(message)):
            options.fit(BLANK)


def test_blank_rows_are_known_to_who_drops_them():
    options = WordOptions(columns=("text",), blank="skip")
    assert options.blank_rows(BLANK).tolist() == [1, 2]
    assert options.blank_rows(table("a", None, title=[None, " "])).tolist() == [1]
    assert WordOptions(columns=("title", "text")).blank_rows(
        table("a", None, title=[None, " "])
    ).tolist() == [1]


def test_blank_rows_are_empty_sequences_if_asked_for():
    inputs = WordOptions(columns=("text",), blank="empty").fit(BLANK)
    assert inputs.encode(BLANK).lengths.tolist() == [2, 0, 0, 1]


def test_a_column_of_nulls_is_blank():
    rows = Table(pa.table({"text": pa.nulls(2)}), "a.csv")
    assert WordOptions(columns=("text",)).blank_rows(rows).tolist() == [0, 1]


# ------------------------------------------------------------------ JSON and slices


@EACH_KIND
def test_inputs_come_back_from_json(options):
    inputs = options(columns=("text",), lower_case=True).fit(table(*TEXTS))
    restored = again(inputs)
    assert restored.options == inputs.options
    assert restored.shape == inputs.shape
    assert restored.encode(table(*TEXTS)).values.tolist() == inputs.encode(table(*TEXTS)).values.tolist()
    assert restored.tokenizer_json == inputs.tokenizer_json


def test_slices_are_encoded_as_the_whole():
    inputs = WordOptions(columns=("text",)).fit(table(*TEXTS))
    rows = table(*TEXTS * 5000)
    slices = [Table(rows.content.slice(start, 999), "a") for start in range(0, len(rows), 999)]
    values = [token for part in slices for token in inputs.encode(part).values.tolist()]
    whole = inputs.encode(rows)
    assert whole.values.tolist() == values
    assert whole.lengths.tolist() == inputs.encode(table(*TEXTS)).lengths.tolist() * 5000


WORDS = WordOptions(columns=("text",)).fit(table(*TEXTS))


@pytest.mark.parametrize(
    ("content", "tokenizer", "message"),
    [
        ({}, None, "kind is missing"),
        ({"kind": "words"}, None, "options is missing"),
        ({"kind": "words", "options": {}}, None, "options.columns is missing"),
        (WORDS.to_json(), None, "the tokenizer is missing"),
        (WORDS.to_json(), "nonsense", "it is not JSON (Expecting value: line 1 column 1 (char 0))"),
        (
            {"kind": "words", "options": {**WORDS.to_json()["options"], "lower_case": 1}},
            WORDS.tokenizer_json,
            "options.lower_case must be true or false, got 1",
        ),
        (
            {"kind": "words", "options": {**WORDS.to_json()["options"], "blank": "keep"}},
            WORDS.tokenizer_json,
            "options.blank must be one of 'refuse', 'skip', 'empty', got 'keep'",
        ),
        (
            WORDS.to_json(),
            WORDS.tokenizer_json.replace('"to":1', '"to":77'),
            "its 5 tokens are not numbered from 0 without gaps and repetitions",
        ),
    ],
)
def test_damaged_json_is_refused(content, tokenizer, message):
    with pytest.raises(ValueError, match=exactly(message)):
        read_inputs(content, tokenizer)


def test_a_tokenizer_that_fails_is_reported():
    tokenizer = Tokenizer(WordLevel({"a": 0}, unk_token="<unk>"))
    with pytest.raises(ValueError, match="its unknown token '<unk>' is missing from model.vocab"):
        read_inputs(WORDS.to_json(), tokenizer.to_str())
