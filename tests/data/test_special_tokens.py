"""Special tokens that a tokenizer adds are accepted where they are in the vocabulary, and few."""

import json
import re

import pytest
from tokenizers import Tokenizer, processors
from tokenizers.models import WordLevel

from throughtime.data.special_tokens import check_special_tokens
from throughtime.data.tokenizer_file import check_tokenizer

WORDS = {"<unk>": 0, "[CLS]": 1, "[SEP]": 2, "a": 3}
BERT = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
TEMPLATE = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
)


def content_with(post_processor):
    tokenizer = Tokenizer(WordLevel(WORDS, unk_token="<unk>"))
    tokenizer.post_processor = post_processor
    assert tokenizer.encode("a").ids == [1, 3, 2]
    return json.loads(tokenizer.to_str())


@pytest.mark.parametrize(
    "post_processor",
    [
        BERT,
        TEMPLATE,
        processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1)),
        processors.Sequence([processors.ByteLevel(), TEMPLATE]),
    ],
    ids=["BERT", "template", "RoBERTa", "sequence"],
)
def test_special_tokens_of_the_vocabulary_are_accepted(post_processor):
    check_tokenizer(content_with(post_processor), 4)
    check_tokenizer(content_with(post_processor), None)


def changed_template(**entries):
    return {**content_with(TEMPLATE)["post_processor"], **entries}


A = {"Sequence": {"id": "A", "type_id": 0}}
CLS = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}


@pytest.mark.parametrize(
    ("post_processor", "message"),
    [
        (
            {"type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 9]},
            "post_processor.sep has number 9 for '[SEP]', which has 2 in the vocabulary",
        ),
        (
            {"type": "RobertaProcessing", "cls": ["<s>", 1], "sep": ["[SEP]", 2]},
            "post_processor.cls has number 1 for '<s>', which has none in the vocabulary",
        ),
        (
            {"type": "BertProcessing", "cls": ["[CLS]"], "sep": ["[SEP]", 2]},
            "post_processor.cls is not a token and its number",
        ),
        (changed_template(single=[CLS]), "post_processor.single has the text 0 times; it must have $A once"),
        (changed_template(single=[A, A]), "post_processor.single has the text 2 times; it must have $A once"),
        (
            changed_template(single=[{"Sequence": {"id": "B", "type_id": 0}}]),
            "post_processor.single.0.Sequence.id must be one of 'A', got 'B'",
        ),
        (changed_template(special_tokens={}), "post_processor.special_tokens.[CLS] is missing"),
        (
            changed_template(special_tokens={"[CLS]": {"id": "[CLS]", "ids": [1, 2], "tokens": ["[CLS]"]}}),
            "post_processor.single.0 has 1 tokens, but 2 numbers",
        ),
        (
            changed_template(single=[A, *[CLS] * 65]),
            "post_processor adds 65 special tokens to each text; use at most 64",
        ),
        (
            {
                "type": "Sequence",
                "processors": [{"type": "TemplateProcessing", "single": [], "special_tokens": {}}],
            },
            "post_processor.processors.0.single has the text 0 times; it must have $A once",
        ),
    ],
)
def test_other_special_tokens_are_refused(post_processor, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_special_tokens(post_processor, WORDS)
