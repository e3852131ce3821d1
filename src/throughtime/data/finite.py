"""Check for missing and infinite values in sequences."""

from throughtime.errors import DataError
from throughtime.ragged import Ragged


def require_finite(x: Ragged, name: str) -> None:
    """Check that all values of a batch are finite.

    Parameters
    ----------
    x : Ragged
        The batch; integers are always finite.
    name : str
        Name of the batch in the message.

    Raises
    ------
    DataError
        If a value is NaN or infinite; the message gives the sequence, step and feature of the first one,
        counted from 0.

    Examples
    --------
    >>> import torch
    >>> require_finite(Ragged.from_list([torch.ones(2), torch.tensor([1.0, float("nan")])]), "the series")
    Traceback (most recent call last):
        ...
    throughtime.errors.DataError: the series: sequence 1 has nan at step 1 (counted from 0), the first of 1 \
values that are not finite; fill in or remove missing values first
    """
    if not (x.values.is_floating_point() or x.values.is_complex()):
        return
    not_finite = ~x.values.isfinite()
    count = int(not_finite.sum())
    if not count:
        return
    index = not_finite.nonzero()[0].tolist()
    sequence = int(x.layout.sequence_ids[index[0]])
    step, features = index[0] - int(x.offsets[sequence]), index[1:]
    where = f"step {step}" + (f", feature {', '.join(map(str, features))}" if features else "")
    value = x.values[tuple(index)].item()
    missing = bool(x.values[tuple(index)].isnan())
    advice = "fill in or remove missing values" if missing else "correct or remove infinite values"
    raise DataError(
        f"{name}: sequence {sequence} has {value} at {where} (counted from 0), the first of {count} "
        f"values that are not finite; {advice} first"
    )
