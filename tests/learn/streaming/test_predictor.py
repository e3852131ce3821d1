"""`tt.Stream` of predictors: chunks of raw data give the predictions of the whole rows, to the bit."""

from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import throughtime as tt
from throughtime.data.inputs import (
    BytePairOptions,
    CharacterOptions,
    LengthLimit,
    NumericOptions,
    SeriesOptions,
    TokenizerOptions,
    TokenOptions,
    WordOptions,
)
from throughtime.data.table import Table
from throughtime.errors import (
    DataError,
    NotCausalError,
    NotFiniteError,
    RunError,
    ShapeError,
    UnsupportedError,
)
from throughtime.learn import Encoder, Predictor, Recipe
from throughtime.learn.options import ColumnOptions
from throughtime.models import ModelInputs, build_model
from throughtime.tasks import TASKS
from throughtime.tasks.tagging import Tagger

TEXTS = ["Good film, isn't it?", "bad  film\nnot good", "a play", "don't see the play .. "]
PIECES = [
    " ",
    "  ",
    "\n",
    "\t ",
    "\u3000",
    "\x1c",
    "\x85",
    "good",
    "film",
    "isn't",
    "play",
    "b",
    "ad",
    ",",
    "?!",
    "é",
    "İ",
    "ß",
    "Σ",
]
PIECES += ["e\u0301", "<unk>", "中文", "12", "."]


def _table(rows: dict[str, list[Any]]) -> Table:
    return Table(pa.table(rows), "the rows")


def _predictor(inputs: Any, rows: dict[str, list[Any]], **how: Any) -> Predictor:
    table, task = _table(rows), how.pop("task", "classification")
    numeric = NumericOptions(columns=("age",)).fit(table) if "age" in rows else None
    encoder = Encoder(inputs.fit(table), numeric, how.pop("limit", None))
    learned = TASKS[task].learn(table, ["label"])
    names = {"text": ("text",), "tokens": ("tokens",), "series": ("series",)}
    recipe = Recipe(columns=ColumnOptions(**{name: names[name] for name in names if name in rows}))
    torch.manual_seed(0)
    model = build_model(
        how.pop("model", "gru"),
        ModelInputs(**encoder.shape),
        learned.outputs,
        options=how.pop("options", {}),
        **how,
    )
    return Predictor(learned, recipe, encoder, learned.complete_model(model).eval(), None, "test")


def _texts(kind: type = WordOptions, **how: Any) -> Predictor:
    fitted = kind(columns=("text",), min_count=1, blank="empty", **how.pop("inputs", {}))
    return _predictor(fitted, {"text": TEXTS, "label": ["+", "-", "+", "-"]}, **how)


def _row(predictor: Predictor, data: Any) -> dict[str, Any]:
    columns = predictor.recipe.columns
    name = [*columns.text, *columns.tokens, *columns.series][0]
    return {name: column[0] for name, column in predictor.predictions(_table({name: [data]})).items()}


def _pushed(predictor: Predictor, chunks: list[Any]) -> dict[str, Any]:
    stream = tt.Stream(predictor)
    key = stream.open()
    for chunk in chunks:
        stream.push({key: chunk})
    return stream.close(key)


@pytest.mark.parametrize("kind", [WordOptions, CharacterOptions, BytePairOptions])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12), seed=st.integers(0, 2**16))
def test_text_cut_anywhere_gives_the_tokens_of_the_whole(kind, pieces: list[str], seed: int) -> None:
    lower = {"inputs": {"lower_case": True}} if seed % 2 else {}
    predictor, text, order = _texts(kind, **lower), "".join(pieces), Random(seed)
    reader = predictor.stream_source()
    places = sorted(order.randint(0, len(text)) for _ in range(4))
    chunks = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    kept, tokens = [reader.begin()], []
    for chunk in chunks:
        steps, kept = reader.encode({0: chunk}, kept, None)
        tokens += steps.values.tolist()
    rest = reader.finish(0, kept[0])
    tokens += [] if rest is None else rest.values.tolist()
    assert tokens == predictor.encoder.inputs.encode(_table({"text": [text]})).values.tolist()


@given(seed=st.integers(0, 2**16))
def test_many_texts_at_once_give_the_predictions_of_the_whole(seed: int) -> None:
    predictor, order = _texts(options={"pool": "mean"}), Random(seed)
    texts = {key: " ".join(order.choices(TEXTS, k=2)) for key in "abcd"}
    stream, place = tt.Stream(predictor), dict.fromkeys(texts, 0)
    for key in texts:
        stream.open(key)
    for _ in range(5):
        ends = {
            key: min(len(texts[key]), place[key] + order.randint(0, 20))
            for key in texts
            if order.random() < 0.7
        }
        answers = stream.push({key: texts[key][place[key] : end] for key, end in ends.items()})
        place |= ends
        assert set(answers) == set(ends)
    stream.push({key: texts[key][start:] for key, start in place.items()})
    for key, text in texts.items():
        assert stream.close(key) == _row(predictor, text)


def test_the_answer_so_far_is_that_of_the_words_so_far() -> None:
    predictor = _texts()
    stream = tt.Stream(predictor)
    stream.open("a")
    assert stream.push({"a": "Good fi"})["a"] == _row(predictor, "Good")
    assert stream.push({"a": "lm, is"})["a"] == _row(predictor, "Good film,")
    assert stream.push({"a": ""})["a"] == _row(predictor, "Good film,")
    assert stream.close("a") == _row(predictor, "Good film, is")
    assert _pushed(predictor, []) == _row(predictor, "")


def test_tokens_and_their_numbers_are_chunks_of_a_text() -> None:
    predictor = _texts()
    inputs = predictor.encoder.inputs
    numbers = inputs.encode(_table({"text": ["film, isn't"]})).values
    whole = _row(predictor, "Good film, isn't it")
    assert _pushed(predictor, ["Good", numbers, "it"]) == whole
    assert _pushed(predictor, ["Good", numbers.tolist(), ["it"]]) == whole
    assert _pushed(predictor, [["Good", "film"], numbers.numpy()[1:], "it"]) == whole
    assert _pushed(predictor, [["never seen"], []]) == _row(predictor, "xyz")


@pytest.mark.parametrize("split", [False, True])
def test_lists_of_tokens(split: bool) -> None:
    rows = {"tokens": ["5 22 5", "9 5"] if split else [[5, 22, 5], [9, 5]], "label": ["a", "b"]}
    predictor = _predictor(TokenOptions(column="tokens", min_count=1, split=split), rows)
    whole = _row(predictor, "5 22 9 7" if split else [5, 22, 9, 7])
    assert _pushed(predictor, [[5], torch.tensor([22]), np.array([9, 7])]) == whole
    assert _pushed(predictor, [["5", "22"], [], ["9", "unknown"]]) == whole
    if split:
        assert _pushed(predictor, ["5 2", "2 9", " 7"]) == whole
        assert _pushed(predictor, ["5 22", [9], "7 "]) == whole


SERIES = {"series": [[[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]], [[0.0, 1.0]]], "label": ["a", "b"]}


@pytest.mark.parametrize("scale", ["standard", "none"])
@pytest.mark.parametrize("missing", [None, "zero", "mean", "mask"])
@pytest.mark.parametrize("model", ["lstm", "tcn"])
def test_series_with_the_scale_of_the_training(scale, missing, model) -> None:
    options = SeriesOptions(columns=("series",), scale=scale, missing=missing)
    predictor = _predictor(options, SERIES, model=model)
    x = np.random.default_rng(0).normal(size=(9, 2))
    if missing:
        x[3, 1] = np.nan
    chunks = [x[:1], x[1:1], [], x[1:6].tolist(), torch.from_numpy(x[6:])]
    assert _pushed(predictor, chunks) == _row(predictor, x.tolist())


def test_one_channel_may_come_flat() -> None:
    rows = {"series": [[1.0, 2.0], [0.0]], "label": [0.5, 1.0]}
    predictor = _predictor(SeriesOptions(columns=("series",)), rows, task="regression")
    assert _pushed(predictor, [[3.0], np.array([[1.0]])]) == _row(predictor, [3.0, 1.0])


def test_tags_are_those_of_the_new_words() -> None:
    rows = {"tokens": [["a", "b"], ["b"]], "label": [["X", "Y"], ["Y"]]}
    predictor = _predictor(TokenOptions(column="tokens", min_count=1), rows, task="tagging", level="step")
    whole = _row(predictor, ["a", "b", "b", "a"])["tags"]
    stream = tt.Stream(predictor)
    stream.open(0)
    parts = [stream.push({0: chunk})[0]["tags"] for chunk in (["a"], [], ["b", "b", "a"])]
    assert parts == [whole[:1], [], whole[1:]]
    assert stream.close(0) == {"tags": []}


def test_a_limit_truncates_or_refuses() -> None:
    cut = _texts(limit=LengthLimit(length=3, longer="truncate"))
    assert _pushed(cut, ["Good film, ", "isn't it ", "good"]) == _row(cut, "Good film, isn't it good")
    refused = _texts(limit=LengthLimit(length=3))
    stream = tt.Stream(refused)
    stream.open("a")
    stream.push({"a": "Good film "})
    with pytest.raises(DataError, match="stream 'a' has 4 steps, but at most 3 are allowed"):
        stream.push({"a": "isn t "})
    assert stream.push({"a": "isn "})["a"] == _row(refused, "Good film isn")


def test_a_saved_stream_keeps_the_unfinished_word(tmp_path) -> None:
    predictor = _texts()
    first, second = tt.Stream(predictor), tt.Stream(predictor)
    for key in ("a", "b"):
        first.open(key)
    first.push({"a": "Good fi", "b": "a"})
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt"))
    second.push({"a": "lm"})
    assert second.close("a") == _row(predictor, "Good film")
    assert second.close("b") == _row(predictor, "a")


def test_a_run_is_opened_by_its_path(tmp_path) -> None:
    rows = {"text": TEXTS * 10, "label": ["+", "-"] * 20}
    fitted = tt.fit(rows, out=tmp_path / "run", model="gru", epochs=1, progress=False)
    stream = tt.Stream(tmp_path / "run")
    stream.open(1)
    stream.push({1: "Good fi"})
    stream.push({1: "lm"})
    assert stream.close(1) == _row(fitted, "Good film")
    with pytest.raises(RunError, match="no such|does not exist|is not a run|no run"):
        tt.Stream(str(tmp_path / "nothing"))


def _two_columns() -> Predictor:
    rows = {"text": TEXTS, "title": TEXTS, "label": ["+", "-", "+", "-"]}
    return _predictor(WordOptions(columns=("title", "text")), rows)


REFUSED = {
    r"recurrent \(LSTM\) reads from the end": (NotCausalError, lambda: _texts(model="bilstm")),
    r"blocks\.\d\.conv \(Conv1d\) has \d steps of padding": (NotCausalError, lambda: _texts(model="textcnn")),
    r"scale='series' .* standardizes each series .* scale='standard'": (
        NotCausalError,
        lambda: _predictor(SeriesOptions(columns=("series",), scale="series"), SERIES),
    ),
    r"missing='interpolate' .* fills in a step by its neighbours": (
        NotCausalError,
        lambda: _predictor(SeriesOptions(columns=("series",), missing="interpolate"), SERIES),
    ),
    r"means over windows.*longer='truncate'": (
        NotCausalError,
        lambda: _texts(limit=LengthLimit(length=3, longer="windows")),
    ),
    r"reads 'age' beside each sequence.*without numeric=": (
        UnsupportedError,
        lambda: _predictor(
            WordOptions(columns=("text",)), {"text": TEXTS, "age": [1, 2, 3, 4], "label": ["a", "b"] * 2}
        ),
    ),
    r"reads 2 columns of text \(title, text\)": (UnsupportedError, _two_columns),
    r"task 'anomaly' scores whole sequences": (
        UnsupportedError,
        lambda: _predictor(
            SeriesOptions(columns=("series",)), SERIES, task="anomaly", model="forecast", level="next"
        ),
    ),
}


@pytest.mark.parametrize(("words", "case"), REFUSED.items())
def test_what_needs_whole_sequences_is_named(words: str, case) -> None:
    error, make = case
    with pytest.raises(error, match=words):
        tt.Stream(make())


def test_a_crf_is_named() -> None:
    predictor = _predictor(
        TokenOptions(column="tokens", min_count=1),
        {"tokens": [["a", "b"], ["b"]], "label": [["X", "Y"], ["Y"]]},
        task="tagging",
        level="step",
    )
    predictor.model = Tagger(predictor.model, tt.nn.CRF(2)).eval()
    with pytest.raises(NotCausalError, match=r"crf \(CRF\) chooses the tags of the whole sequence"):
        tt.Stream(predictor)


def test_chunks_that_cannot_be_read_are_named() -> None:
    texts, series = tt.Stream(_texts()), tt.Stream(_predictor(SeriesOptions(columns=("series",)), SERIES))
    tokens = tt.Stream(
        _predictor(TokenOptions(column="tokens", min_count=1), {"tokens": [[5], [9]], "label": ["a", "b"]})
    )
    for stream in (texts, series, tokens):
        stream.open("a")
    cases = [
        (texts, 3, r"stream 'a' is 3, expected a text, a list of tokens or their numbers"),
        (texts, [1.5], r"stream 'a' is \[1\.5\], expected a text"),
        (texts, [10**6], r"stream 'a' has token number 1000000; there are 0 to"),
        (texts, [-1], r"stream 'a' has token number -1"),
        (tokens, "5 9", r"stream 'a' is '5 9', expected a list of tokens"),
        (tokens, [None], r"stream 'a' is \[None\], expected a list of tokens"),
        (series, [[1.0, 2.0, 3.0]], r"stream 'a' has shape \(1, 3\), expected \(n, 2\)"),
        (series, [1.0], r"stream 'a' has shape \(1,\), expected \(n, 2\)"),
        (series, [["x", 1.0]], r"stream 'a' is not an array of numbers"),
        (series, [[1.0, 2.0], [np.nan, 1.0]], r"stream 'a' has no value .* at step 2 of channel 1"),
        (series, [[1e300, 2.0]], r"stream 'a' has 1e\+300 at step 1 of channel 1, which is out of the range"),
    ]
    for stream, chunk, words in cases:
        with pytest.raises(DataError, match=words):
            stream.push({"a": chunk})
    with pytest.raises(ShapeError, match="'z' is not open"):
        texts.push({"z": "text"})


def test_a_tokenizer_of_ones_own_takes_numbers_alone(tmp_path) -> None:
    words = _texts()
    words.encoder.inputs.tokenizer.save(str(tmp_path / "tokenizer.json"))
    options = TokenizerOptions(columns=("text",), file=str(tmp_path / "tokenizer.json"))
    predictor = _predictor(options, {"text": TEXTS, "label": ["+", "-", "+", "-"]})
    numbers = predictor.encoder.inputs.encode(_table({"text": ["Good film"]})).values
    assert _pushed(predictor, [numbers[:1], numbers[1:]]) == _row(predictor, "Good film")
    with pytest.raises(UnsupportedError, match="tokenizer of your own .* push the token numbers"):
        _pushed(predictor, ["Good"])


def test_outputs_that_are_not_numbers_are_named() -> None:
    predictor = _texts()
    with torch.no_grad():
        predictor.model.output.bias.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="outputs of a stream are nan"):
        _pushed(predictor, ["good "])
