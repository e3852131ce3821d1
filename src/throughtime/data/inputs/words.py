"""Text as words and runs of punctuation."""

from dataclasses import dataclass

from throughtime._fields import Positive
from throughtime.data.inputs.interface import require_vocabulary
from throughtime.data.inputs.text import TextInputs, TextOptions, with_special_tokens
from throughtime.data.table import Table
from throughtime.data.tokenizing import word_tokenizer


@dataclass(frozen=True, kw_only=True)
class WordOptions(TextOptions):
    """Options of text as words; rare and unknown words become ``<unk>``, token 0.

    Parameters
    ----------
    columns, blank
        As in `TextOptions`.
    vocabulary : int
        Maximum size of the vocabulary, special tokens included; it has the most frequent words.
    min_count : int
        Minimum number of occurrences of a word in the training rows.
    lower_case : bool
        Whether to convert texts to lower case.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = Table(pa.table({"title": ["Be"], "text": ["to be, or not to be"]}), "plays.csv")
    >>> inputs = WordOptions(columns=("title", "text")).fit(rows)
    >>> inputs.encode(rows).values.tolist(), inputs.words(rows)
    ([1, 3, 2, 1, 0, 0, 0, 2, 1], [['Be', '<sep>', 'to', 'be', ',', 'or', 'not', 'to', 'be']])
    """

    kind = "words"
    vocabulary: Positive = 20_000
    min_count: Positive = 2
    lower_case: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_vocabulary(self.vocabulary, 1 + len(self.special_tokens))

    def fit(self, table: Table) -> TextInputs:
        """Learn the vocabulary.

        Raises
        ------
        DataError
            If a column is missing or does not hold text, or a row is blank (unless ``blank="empty"``).
        """
        tokenizer = word_tokenizer(
            self.training_texts(table),
            self.vocabulary - len(self.special_tokens),
            lower_case=self.lower_case,
            min_count=self.min_count,
        )
        return TextInputs(self, with_special_tokens(tokenizer, self.special_tokens))
