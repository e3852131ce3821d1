"""Every error that throughtime raises on purpose.

One root, so that ``except throughtime.errors.ThroughtimeError`` catches them all; each is also the
built-in error that a caller would expect: where torch raises a `RuntimeError` and Python would raise another,
it is both. A message says what came, what was expected and what to do.
"""


class ThroughtimeError(Exception):
    """Root of all errors that throughtime raises on purpose."""


class ShapeError(ThroughtimeError, ValueError, RuntimeError):
    """A tensor, a batch or an option has a value or shape that cannot be used."""


class KindError(ThroughtimeError, TypeError, RuntimeError):
    """An argument is of a kind (type, dtype, layout) that cannot be used here."""


class UnsupportedError(ThroughtimeError, TypeError):
    """A torch operation that has no one meaning on ragged batches; the message names what to call."""


class NotCausalError(ThroughtimeError, ValueError):
    """A part of a model needs steps that a stream has not brought yet; the message names it and says why."""


class DataError(ThroughtimeError, ValueError):
    """A file or table cannot be used; the message names file, row or column."""


class RunError(ThroughtimeError, ValueError):
    """A run folder is missing, damaged, or in the way."""


class NotFiniteError(ThroughtimeError, ArithmeticError):
    """A loss or gradient is infinite or not a number, so training cannot go on."""
