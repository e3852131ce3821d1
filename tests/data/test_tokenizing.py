"""The tokenizer of words, and vocabularies as tokenizers."""

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from throughtime.data.tokenizing import encode, word_tokenizer
from throughtime.data.vocabulary import Vocabulary
from throughtime.errors import DataError


def test_texts_decode_to_what_they_were() -> None:
    tokenizer = word_tokenizer(["to be, or not to be; to be!", "or not"], 20, lower_case=True)
    tokens = encode(tokenizer, ["To BE or\tnot...", "???", "not to, be"])
    assert tokens.lengths.tolist() == [5, 1, 4]
    words = [tokenizer.id_to_token(i) for i in tokens.values.tolist()]
    assert words == ["to", "be", "or", "not", "<unk>", "<unk>", "not", "to", "<unk>", "be"]
    cased = word_tokenizer(["Be be Be be"], 20, lower_case=False)
    assert encode(cased, ["Be be BE"]).values.unique().numel() == 3


def test_a_vocabulary_survives_its_tokenizer() -> None:
    vocabulary = Vocabulary(["b", "a", "<nl>", "ü"])
    again = Vocabulary.from_tokenizer(
        type(vocabulary.to_tokenizer()).from_str(vocabulary.to_tokenizer().to_str())
    )
    assert again.words == vocabulary.words == ("<unk>", "b", "a", "<nl>", "ü")
    assert vocabulary.numbers(["ü", "no", "b"]).tolist() == [4, 0, 1]


@pytest.mark.parametrize("numbers", [{"a": 0, "<unk>": 1}, {"<unk>": 0, "a": 2}, {"a": 0}, {}])
def test_a_tokenizer_with_other_numbers_than_a_vocabulary_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(DataError, match="not numbered from 0 with <unk> first"):
        Vocabulary.from_tokenizer(Tokenizer(WordLevel(numbers, unk_token="<unk>")))
