"""Text in the tokens of the user's own ``tokenizer.json``."""

from dataclasses import dataclass
from pathlib import Path

from throughtime.data.files import read_bytes
from throughtime.data.inputs.text import TextInputs, TextOptions, with_special_tokens
from throughtime.data.inputs.tokenizer_json import tokenizer_from_json
from throughtime.data.table import Table
from throughtime.errors import DataError


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions(TextOptions):
    """Options of text in the tokens of a file of the tokenizers library, special tokens included.

    Parameters
    ----------
    columns, blank
        As in `TextOptions`.
    file : str
        Path of the ``tokenizer.json``. Only `fit` reads it.
    """

    kind = "tokenizer"
    file: str

    def fit(self, table: Table) -> TextInputs:
        """Read the tokenizer; nothing is learned from the rows.

        Raises
        ------
        DataError
            If the file cannot be read or has parts that are not allowed (see `check_tokenizer`), a column is
            missing or does not hold text, or a row is blank (unless ``blank="empty"``).
        """
        for part in table.chunks():
            self.texts(part)
        try:
            tokenizer = tokenizer_from_json(read_bytes(Path(self.file)))
        except DataError:
            raise
        except ValueError as error:
            raise DataError(
                f"{self.file} cannot be used as a tokenizer: {error}; change the file, or train a tokenizer "
                "on the data"
            ) from error
        return TextInputs(self, with_special_tokens(tokenizer, self.special_tokens))
