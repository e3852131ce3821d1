"""Text as characters."""

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from tokenizers.normalizers import Lowercase

from throughtime._fields import Positive
from throughtime.data.inputs.interface import require_vocabulary
from throughtime.data.inputs.text import TextInputs, TextOptions, with_special_tokens
from throughtime.data.symbols import character_counts, symbol_tokenizer, vocabulary_of_counts
from throughtime.data.table import Table

_TEXTS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class CharacterOptions(TextOptions):
    """Options of text as Unicode code points; rare and unknown ones become ``<unk>``, token 0.

    Parameters
    ----------
    columns, blank
        As in `TextOptions`.
    vocabulary : int
        Maximum size of the vocabulary, special tokens included; it has the most frequent characters.
    min_count : int
        Minimum number of occurrences of a character in the training rows.
    lower_case : bool
        Whether to convert texts to lower case.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = Table(pa.table({"text": ["hello"]}), "words.csv")
    >>> CharacterOptions(columns=("text",), min_count=1).fit(rows).encode(rows).values.tolist()
    [2, 3, 1, 1, 4]
    """

    kind = "characters"
    vocabulary: Positive = 2_000
    min_count: Positive = 2
    lower_case: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_vocabulary(self.vocabulary, 1 + len(self.special_tokens))

    def fit(self, table: Table) -> TextInputs:
        """Learn the vocabulary.

        Raises
        ------
        DataError
            If a column is missing or does not hold text, a row is blank (unless ``blank="empty"``), or no
            character occurs ``min_count`` times.
        """
        counts, texts = Counter[str](), self.training_texts(table)
        for batch in iter(lambda: list(islice(texts, _TEXTS_AT_ONCE)), []):
            text = "".join(batch)
            counts.update(character_counts(Lowercase().normalize_str(text) if self.lower_case else text))
        size = self.vocabulary - len(self.special_tokens)
        vocabulary = vocabulary_of_counts(counts, "character", size, self.min_count)
        tokenizer = symbol_tokenizer(vocabulary, "character")
        if self.lower_case:
            tokenizer.normalizer = Lowercase()
        return TextInputs(self, with_special_tokens(tokenizer, self.special_tokens))
