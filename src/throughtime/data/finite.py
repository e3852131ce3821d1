"""Missing and infinite values in sequences, found before a model reads them."""

from throughtime.errors import DataError
from throughtime.ragged import Ragged


def require_finite(x: Ragged, of: str) -> None:
    """Check that sequences hold no NaN and no infinity, which a model would pass on to its results.

    Parameters
    ----------
    x : Ragged
        Whole numbers are finite.
    of : str
        What it is, for the message.

    Raises
    ------
    DataError
        If a value is not finite; it names the first one's sequence, step and feature, counted from 0.

    Examples
    --------
    >>> import torch
    >>> require_finite(Ragged.from_list([torch.ones(2), torch.tensor([1.0, float("nan")])]), "the series")
    Traceback (most recent call last):
        ...
    throughtime.errors.DataError: the series: sequence 1 has nan at step 1 (counted from 0), the first of 1 \
values that are not finite; fill in or leave out missing values first
    """
    if not (x.values.is_floating_point() or x.values.is_complex()):
        return
    wrong = ~x.values.isfinite()
    count = int(wrong.sum())
    if not count:
        return
    place = wrong.nonzero()[0].tolist()
    sequence = int(x.layout.sequence_ids[place[0]])
    step, features = place[0] - int(x.offsets[sequence]), place[1:]
    where = f"step {step}" + (f", feature {', '.join(map(str, features))}" if features else "")
    value = x.values[tuple(place)].item()
    raise DataError(
        f"{of}: sequence {sequence} has {value} at {where} (counted from 0), the first of {count} "
        "values that are not finite; fill in or leave out missing values first"
    )
