"""The tokenizer of a run."""

from tokenizers import Tokenizer

from throughtime.data.tokenizing import panics_as_errors
from throughtime.errors import RunError
from throughtime.training import Run


def tokenizer_of(run: Run) -> Tokenizer:
    """Return the run's tokenizer.

    Raises
    ------
    RunError
        If it is missing or damaged.
    """
    content = run.tokenizer_json()
    path = run.path / "tokenizer.json"
    if content is None:
        raise RunError(f"{path} is missing; restore the file or train again")
    try:
        with panics_as_errors():
            return Tokenizer.from_str(content)
    except Exception as error:  # tokenizers raises plain Exception
        raise RunError(f"{path} is damaged ({error}); restore the file or train again") from error
