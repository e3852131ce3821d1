"""Text as characters."""

from dataclasses import dataclass

from tokenizers.normalizers import Lowercase

from throughtime._fields import Positive
from throughtime.data.inputs.interface import require_vocabulary
from throughtime.data.inputs.text import TextInputs, TextOptions, with_special_tokens
from throughtime.data.symbols import learn_vocabulary, symbol_tokenizer
from throughtime.data.table import Table


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
        text = "".join(self.training_texts(table))
        if self.lower_case:
            text = Lowercase().normalize_str(text)
        size = self.vocabulary - len(self.special_tokens)
        tokenizer = symbol_tokenizer(learn_vocabulary(text, "character", size, self.min_count), "character")
        if self.lower_case:
            tokenizer.normalizer = Lowercase()
        return TextInputs(self, with_special_tokens(tokenizer, self.special_tokens))
