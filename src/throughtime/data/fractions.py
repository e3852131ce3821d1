"""Fractions of the data for validation and test."""

from throughtime._options import named
from throughtime.errors import DataError

LOWER_FRACTIONS = f"lower {named('validation')} or {named('test')}"
"""What to do if too little is left for training."""


def require_training_fraction(validation: float, test: float) -> None:
    """Check that fractions for validation and test leave data for training.

    Raises
    ------
    DataError
        If they do not.

    Examples
    --------
    >>> require_training_fraction(0.5, 0.6)
    Traceback (most recent call last):
        ...
    throughtime.errors.DataError: fractions of 0.5 and 0.6 leave no training data; lower validation= \
(--validation) or test= (--test)
    """
    if validation + test >= 1:
        raise DataError(f"fractions of {validation:g} and {test:g} leave no training data; {LOWER_FRACTIONS}")
