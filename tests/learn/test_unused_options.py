"""Options that would have no effect are errors."""

import re
from typing import Any

import pytest

from throughtime.errors import ShapeError
from throughtime.learn import Recipe
from throughtime.learn.unused_options import require_used_options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"text": ["a"], "missing": "zero"},
            "missing= (--missing) is for series and numeric, but the model reads text",
        ),
        (
            {"tokens": ["a"], "lower_case": True},
            "lower_case= (--lower-case) is for text, but the model reads tokens",
        ),
        (
            {"series": ["a"], "tokenizer": "bpe"},
            "tokenizer= (--tokenizer) is for text, but the model reads series",
        ),
        (
            {"series": ["a"], "min_count": 3},
            "min_count= (--min-count) is for text and tokens, but the model reads series",
        ),
        (
            {"text": ["a"], "split_tokens": True},
            "split_tokens= (--split-tokens) is for tokens, but the model reads text",
        ),
        (
            {"text": ["a"], "longer": "windows"},
            "longer= (--longer) has no effect without max_length= (--max-length)",
        ),
        (
            {"text": ["a"], "freeze_vectors": True},
            "freeze_vectors= (--freeze-vectors) has no effect without vectors= (--vectors)",
        ),
        (
            {"model": "ngrams", "text": ["a"], "epochs": 3},
            "epochs= (--epochs) has no effect on ngrams, whose weights",
        ),
        ({"model": "ngrams", "text": ["a"], "patience": 3}, "patience= (--patience) has no effect on ngrams"),
        (
            {"model": "ngrams", "text": ["a"], "learning_rate": 0.1},
            "learning_rate= (--learning-rate) has no effect on ngrams",
        ),
        (
            {"model": "ngrams", "text": ["a"], "clip_value": 0.1},
            "clip_value= (--clip-value) has no effect on ngrams",
        ),
        (
            {"model": "ngrams", "text": ["a"], "monitor": "loss"},
            "monitor= (--monitor) has no effect on ngrams",
        ),
        (
            {"text": ["a"], "tokenizer": "my.json", "vocabulary": 9},
            "vocabulary= (--vocabulary) has no effect on the tokenizer",
        ),
    ],
)
def test_options_without_effect(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        require_used_options(Recipe.of("classification", **options))


@pytest.mark.parametrize(
    "options",
    [
        {"text": ["a"], "numeric": ["b"], "missing": "mean", "vectors": "v.txt", "freeze_vectors": True},
        {"tokens": ["a"], "split_tokens": True, "min_count": 1, "max_length": 9, "longer": "windows"},
        {"series": ["a"], "scale": "none", "missing": "interpolate"},
        {"text": ["a"], "tokenizer": "characters", "vocabulary": 9, "lower_case": True},
        {"model": "ngrams", "text": ["a"], "seed": 5, "class_weight": "balanced", "epochs": 1},
    ],
)
def test_options_with_an_effect(options: dict[str, Any]) -> None:
    require_used_options(Recipe.of("classification", **options))
