"""Every error that throughtime raises on purpose.

All derive from `ThroughtimeError`, so ``except throughtime.errors.ThroughtimeError`` catches them, and each
also derives from the built-in error that Python or torch raises in such a case:

- `InputTypeError`: wrong type, dtype or layout (TypeError, RuntimeError)
- `ShapeError`: wrong shape or value (ValueError, RuntimeError)
- `UnsupportedError`: an operation that is not defined for ragged batches or not implemented (TypeError)
- `NotCausalError`: a model that cannot run on a stream (ValueError)
- `DataError`: an unusable file or table (ValueError)
- `RunError`: an unusable run folder (ValueError)
- `NotFiniteError`: a NaN or infinity in training (ArithmeticError)

Messages say what was given, what was expected and what to do.
"""


class ThroughtimeError(Exception):
    """Base class of all errors that throughtime raises on purpose."""


class InputTypeError(ThroughtimeError, TypeError, RuntimeError):
    """An argument has a type, dtype or layout that is not accepted here."""


class ShapeError(ThroughtimeError, ValueError, RuntimeError):
    """An argument has a shape or value that is not accepted here."""


class UnsupportedError(ThroughtimeError, TypeError):
    """An operation is not defined for ragged batches or not implemented; the message names an alternative."""


class NotCausalError(ThroughtimeError, ValueError):
    """A module needs future steps, so it cannot run on a stream; the message names the module and why."""


class DataError(ThroughtimeError, ValueError):
    """A file or table cannot be used; the message names the file, row or column."""


class RunError(ThroughtimeError, ValueError):
    """A run folder is missing, damaged or already in use."""


class NotFiniteError(ThroughtimeError, ArithmeticError):
    """A loss, gradient or input is infinite or NaN."""
