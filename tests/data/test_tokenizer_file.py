"""Tokenizers of a run that would hang, end the process, or give tokens that the model lacks are refused."""

import json

import pytest
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram, WordLevel, WordPiece

from tests.training.toy import created, relisted
from throughtime.data.symbols import symbol_tokenizer
from throughtime.data.tokenizing import encode, panics_as_errors, word_tokenizer
from throughtime.data.vocabulary import Vocabulary
from throughtime.errors import DataError, RunError

WORDS = {"<unk>": 0, "a": 1, "b": 2}


def tokenizer(model=None, normalizer=None, pre_tokenizer=None):
    made = Tokenizer(model or WordLevel(WORDS, unk_token="<unk>"))
    if normalizer is not None:
        made.normalizer = normalizer
    if pre_tokenizer is not None:
        made.pre_tokenizer = pre_tokenizer
    return made


ACCEPTED = {
    "of texts": word_tokenizer(["a b a b"], 10, lower_case=True),
    "of words": symbol_tokenizer(Vocabulary(["a", "\n"]), "word"),
    "of characters": symbol_tokenizer(Vocabulary(["a", "\n"]), "character"),
    "of the demo": Vocabulary(["a", "b"]).to_tokenizer(),
    "BPE": tokenizer(BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])),
    "BPE with <unk>": tokenizer(BPE(WORDS, [], unk_token="<unk>")),
    "BPE with a prefix": tokenizer(
        BPE({"a": 0, "##b": 1, "ab": 2, "b": 3}, [("a", "##b")], continuing_subword_prefix="##")
    ),
    "WordPiece": tokenizer(WordPiece(WORDS, unk_token="<unk>"), normalizers.BertNormalizer()),
    "Unigram": tokenizer(Unigram([("<unk>", 0.0), ("a", -1.0)], 0), pre_tokenizer=pre_tokenizers.Metaspace()),
    "in turn": tokenizer(
        normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
        pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel()]),
    ),
    "splits at characters": tokenizer(pre_tokenizer=pre_tokenizers.Split(Regex(r"[\s\]]+"), "removed")),
}


@pytest.mark.parametrize("accepted", ACCEPTED.values(), ids=ACCEPTED)
def test_tokenizers_that_end_are_accepted_and_come_back(accepted, tmp_path):
    accepted.add_tokens(["<more>"])
    run = created(tmp_path / "run", tokenizer_json=accepted.to_str())
    again = Tokenizer.from_str(run.tokenizer_json())
    assert again.encode("a b <more>").ids == accepted.encode("a b <more>").ids


def changed(**places):
    content = json.loads(ACCEPTED["of words"].to_str())
    content["pre_tokenizer"] = None
    for place, value in places.items():
        node, *inner = place.split("__")
        content[node] = {**content[node], inner[0]: value} if inner else value
    return content


def of(name, **model):
    content = json.loads(ACCEPTED[name].to_str())
    return {**content, "model": {**content["model"], **model}}


REGEX = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
REFUSED = [
    (changed(model=None), "model must be an object, got None"),
    (changed(model__type="Markov"), "model.type must be one of 'BPE'"),
    (changed(model__vocab={"a": 0}), "its unknown token '<unk>' is missing from model.vocab"),
    (changed(model__vocab=["<unk>"]), "model.vocab must be an object"),
    (changed(model__unk_token=None), "model.unk_token must be a string"),
    (changed(model__vocab={"<unk>": 0, "a": 4_000_000_000}), "are not numbered from 0 without gaps"),
    (changed(model__vocab={"<unk>": 0, "a": 0}), "are not numbered from 0 without gaps and repetitions"),
    (changed(model__vocab={"<unk>": 0, "a": "1"}), "model.vocab.a must be a whole number"),
    (changed(model__vocab={"<unk>": 0, "a": -1}), "model.vocab.a must be a whole number"),
    (
        changed(model__vocab={"<unk>": 0} | {str(i): i for i in range(1, 14)}),
        r"it has 14 tokens, but the model \(config.json\) has 12",
    ),
    (changed(added_tokens=None), "added_tokens must be a list"),
    (changed(added_tokens=[{"id": 3, "content": ""}]), "added_tokens.0.content is empty"),
    (changed(added_tokens=[{"id": 9, "content": "a"}]), "added_tokens.0.id differs from the number"),
    (changed(added_tokens=[{"id": 9, "content": "x"}]), "are not numbered from 0 without gaps"),
    (changed(truncation={"max_length": 1}), "truncation would change sequences"),
    (changed(padding={"pad_id": 9}), "padding would change sequences"),
    (
        changed(post_processor={"type": "Truncate"}),
        "post_processor.type must be one of 'BertProcessing', 'ByteLevel'",
    ),
    (changed(normalizer={"type": "Replace"}), "normalizer.type must be one of"),
    (changed(normalizer={"type": "Prepend"}), "normalizer.type must be one of"),
    (changed(normalizer=3), "normalizer must be an object"),
    (changed(pre_tokenizer=REGEX), r"the regular expression '\(a\+\)\+\$', which may be too slow"),
    (
        changed(pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, REGEX]}),
        r"pre_tokenizer.pretokenizers.1 has the regular expression",
    ),
    (changed(pre_tokenizer=REGEX | {"pattern": {"String": ""}}), "splits at an empty string"),
    (changed(pre_tokenizer=REGEX | {"pattern": {}}), "pre_tokenizer.pattern.String is missing"),
    (changed(pre_tokenizer=REGEX | {"pattern": {"Regex": "[a]*[a]*"}}), "which may be too slow"),
    (of("Unigram", unk_id=None), "model.unk_id must be a whole number"),
    (of("BPE", dropout=0.5), "model.dropout = 0.5 gives random tokens"),
    (of("BPE", continuing_subword_prefix="##"), "merges.0 appends 'b', which does not start with .* = '##'"),
    (of("BPE", continuing_subword_prefix="##", merges=["a b"]), "merges.0 appends 'b', which does not start"),
    (of("BPE", continuing_subword_prefix="##", merges=[["a"]]), "merges.0 is not a pair of tokens"),
    (of("BPE", continuing_subword_prefix="\xe9"), "model.continuing_subword_prefix = '\xe9' is not ASCII"),
    (
        of("WordPiece", max_input_chars_per_word=10**6),
        "max_input_chars_per_word = 1000000 takes too long",
    ),
    ({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 1}, "added_tokens": []}, "unk_id = 1 is"),
    ({"model": {"type": "Unigram", "vocab": [["a"]], "unk_id": 0}, "added_tokens": []}, "vocab.0 is not a"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_others_are_refused_when_written_and_when_read(content, message, tmp_path):
    text = json.dumps(content)
    with pytest.raises(RunError, match=rf"tokenizer\.json cannot be used: .*{message}"):
        created(tmp_path / "new", tokenizer_json=text)
    assert not list(tmp_path.iterdir())
    run = created(tmp_path / "run", tokenizer_json=ACCEPTED["of words"].to_str())
    (run.path / "tokenizer.json").write_text(text)
    with pytest.raises(RunError, match=rf"tokenizer\.json cannot be used: .*{message}"):
        relisted(run).tokenizer_json()


def test_a_tokenizer_that_is_not_text_is_told(tmp_path):
    run = created(tmp_path / "run", tokenizer_json=ACCEPTED["of words"].to_str())
    (run.path / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(RunError, match=r"tokenizer\.json is damaged: not JSON"):
        relisted(run).tokenizer_json()


def test_a_panic_of_the_library_is_an_error():
    panic = type("PanicException", (BaseException,), {})

    class Broken:
        def encode_batch_fast(self, texts):
            raise panic("index out of bounds")

    with pytest.raises(DataError, match="cannot encode these texts .*index out of bounds"):
        encode(Broken(), ["a"])
    with pytest.raises(KeyboardInterrupt), panics_as_errors():
        raise KeyboardInterrupt
