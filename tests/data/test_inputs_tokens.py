"""Inputs of token lists: vocabulary by count, unknown tokens, round trips through JSON, refusals by name."""

import json
import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughtime.data.inputs import InputShape, TokenOptions, read_inputs
from throughtime.data.table import Table
from throughtime.errors import DataError

EVENTS = [[5, 22, 5], [], None, [9, 22, 5, -1]]


def table(values, kind=None, name="events"):
    return Table(pa.table({name: pa.array(values, kind)}), "log.jsonl")


def exactly(message):
    return f"^{re.escape(message)}$"


def options(**entries):
    return TokenOptions(column="events", **{"blank": "empty", **entries})


def test_tokens_by_count_and_unknown_ones():
    inputs = options().fit(table(EVENTS))
    assert inputs.token_names == ("<unk>", "5", "22")
    assert inputs.shape == InputShape(vocabulary_size=3)
    tokens = inputs.encode(table(EVENTS))
    assert [row.tolist() for row in tokens.to_list()] == [[1, 2, 1], [], [], [0, 2, 1, 0]]
    assert inputs.words(table(EVENTS)) == [["5", "22", "5"], [], [], ["9", "22", "5", "-1"]]


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c c", "", "<unk>", "é"])), min_size=1), st.integers(1, 3)
)
def test_tokens_as_plain_python_numbers_them(rows, min_count):
    counts = Counter(token for row in rows for token in row if token != "<unk>")
    frequent = [token for token, count in counts.most_common() if count >= min_count]
    chosen = options(min_count=min_count)
    if not frequent:
        with pytest.raises(DataError, match=f"occurs {min_count} times"):
            chosen.fit(table(rows, pa.list_(pa.string())))
        return
    inputs = chosen.fit(table(rows, pa.list_(pa.string())))
    assert inputs.vocabulary.words == ("<unk>", *frequent)
    numbers = {token: number for number, token in enumerate(inputs.vocabulary.words)}
    restored = read_inputs(json.loads(json.dumps(inputs.to_json())), inputs.tokenizer_json)
    for each in (inputs, restored):
        encoded = each.encode(table(rows, pa.list_(pa.string()))).to_list()
        assert [row.tolist() for row in encoded] == [[numbers.get(token, 0) for token in row] for row in rows]


def test_the_vocabulary_has_a_limit():
    assert options(vocabulary=2).fit(table(EVENTS)).vocabulary.words == ("<unk>", "5")


@pytest.mark.parametrize(
    "kind",
    [pa.large_list(pa.int32()), pa.list_view(pa.uint8()), pa.list_(pa.string()), pa.list_(pa.large_string())],
    ids=str,
)
def test_every_layout_of_lists_holds_tokens(kind):
    rows = [["7", "7"], ["8"]] if "string" in str(kind) else [[7, 7], [8]]
    inputs = options().fit(table(rows, kind))
    assert inputs.encode(table(rows, kind)).values.tolist() == [1, 1, 0]


def test_integers_of_every_size_are_known_by_their_text():
    large = [[2**64 - 1, 7, 2**64 - 1, 7]]
    inputs = options().fit(table(large, pa.list_(pa.uint64())))
    assert inputs.vocabulary.words == ("<unk>", str(2**64 - 1), "7")
    assert inputs.encode(table([[7, -7, 2**62]])).values.tolist() == [2, 0, 0]
    words = options().fit(table([["07", "07", "-0", "-0", "7", "7", "-5", "-5", "9" * 30, "9" * 30]]))
    assert words.encode(table([[7, 0, -5, 8]], pa.list_(pa.int8()))).values.tolist() == [3, 0, 4, 0]


def test_a_training_column_of_integers_is_read_from_strings():
    inputs = options().fit(table(EVENTS))
    assert inputs.encode(table([["22", "5"]])).values.tolist() == [2, 1]


def test_lists_in_texts_are_json():
    lists = [["a", "b c"], [], ["a"]]
    texts = table(['["a", "b c"]', "[]", ' ["a"]'])
    inputs = TokenOptions(column="events", min_count=1, blank="empty").fit(texts)
    assert inputs.words(texts) == inputs.words(table(lists)) == lists
    assert inputs.encode(texts).values.tolist() == inputs.encode(table(lists)).values.tolist()
    numbers = table(["[5, 22]", "[5]"])
    assert TokenOptions(column="events").fit(numbers).vocabulary.words == ("<unk>", "5")
    split = TokenOptions(column="events", split=True, min_count=1).fit(table(["[a] b"]))
    assert split.words(table(["[a] b"])) == [["[a]", "b"]]


def test_text_is_split_at_white_space_if_asked_for():
    inputs = options(split=True).fit(table([" a  b\ta ", "", None, "b c\n"]))
    assert inputs.words(table([" a  b\ta ", "", None, "b c\n"])) == [["a", "b", "a"], [], [], ["b", "c"]]
    assert options(split=True).blank_rows(table([" ", "a", None])).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ["a b"],
            (
                "log.jsonl: column 'events' holds texts, not lists of texts or whole numbers; split it at white "
                "space with split_tokens=True (--split-tokens), write JSON lists, or use it with text='events' (--text "
                "events)"
            ),
        ),
        (
            [[1.5]],
            (
                "log.jsonl: column 'events' holds lists of numbers (float64), not lists of texts or whole "
                "numbers; use it with series='events' (--series events), or convert it to lists of texts"
            ),
        ),
        (
            [3],
            (
                "log.jsonl: column 'events' holds numbers (int64), not lists of texts or whole numbers; convert it "
                "to lists of texts"
            ),
        ),
    ],
)
def test_a_column_that_holds_no_tokens_is_questioned(values, message):
    with pytest.raises(DataError, match=exactly(message)):
        options().fit(table(values))


def test_a_null_token_is_refused_with_its_place():
    message = "log.jsonl: row 2 has no token at position 3 of column 'events'; remove it or name it"
    with pytest.raises(DataError, match=exactly(message)):
        options().fit(table([[1], [1, 2, None]]))


def test_rows_without_tokens_are_refused_with_their_place():
    message = (
        "log.jsonl: row 2 (and 1 more) has no tokens in column 'events'; fill it in, or drop such rows with "
        "skip_blank=True (--skip-blank)"
    )
    with pytest.raises(DataError, match=exactly(message)):
        options(blank="refuse").fit(table(EVENTS))
    assert options().blank_rows(table(EVENTS)).tolist() == [1, 2]


def test_a_vocabulary_without_unknown_is_refused():
    inputs = options().fit(table(EVENTS))
    swapped = inputs.tokenizer_json.replace('"<unk>":0', '"<unk>":1').replace('"5":1', '"5":0')
    assert swapped != inputs.tokenizer_json
    with pytest.raises(DataError, match="not numbered from 0 with <unk> first"):
        read_inputs(inputs.to_json(), swapped)
