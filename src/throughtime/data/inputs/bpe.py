"""Text as parts of words: byte-level byte-pair encoding, trained on the training rows."""

from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from throughtime._fields import Positive
from throughtime.data.inputs.interface import require_vocabulary
from throughtime.data.inputs.text import TextInputs, TextOptions, with_special_tokens
from throughtime.data.table import Table

_BYTES = 256


@dataclass(frozen=True, kw_only=True)
class BytePairOptions(TextOptions):
    """Options of text in byte-level byte-pair encoding; every text can be encoded, without ``<unk>``.

    Parameters
    ----------
    columns, blank
        As in `TextOptions`.
    vocabulary : int
        Maximum size of the vocabulary, at least 256 (all bytes) and special tokens.
    min_count : int
        Minimum number of occurrences of a pair that is merged.
    lower_case : bool
        Whether to convert texts to lower case.

    Raises
    ------
    ShapeError
        If the vocabulary is too small.

    References
    ----------
    Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019, section 2.2.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = Table(pa.table({"text": ["low lower lowest"]}), "words.csv")
    >>> BytePairOptions(columns=("text",)).fit(rows).words(rows)
    [['low', ' lowe', 'r', ' lowe', 's', 't']]
    """

    kind = "bpe"
    vocabulary: Positive = 8_000
    min_count: Positive = 2
    lower_case: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_vocabulary(self.vocabulary, _BYTES + len(self.special_tokens))

    def fit(self, table: Table) -> TextInputs:
        """Learn the merges.

        Raises
        ------
        DataError
            If a column is missing or does not hold text, or a row is blank (unless ``blank="empty"``).
        """
        tokenizer = Tokenizer(BPE())
        if self.lower_case:
            tokenizer.normalizer = Lowercase()
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        tokenizer.decoder = ByteLevelDecoder()
        trainer = BpeTrainer(
            vocab_size=self.vocabulary - len(self.special_tokens),
            min_frequency=self.min_count,
            initial_alphabet=sorted(ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(self.training_texts(table), trainer)
        return TextInputs(self, with_special_tokens(tokenizer, self.special_tokens))
