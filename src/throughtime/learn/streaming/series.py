"""Numeric series in chunks, scaled as in training."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime._options import named
from throughtime.data.inputs import SeriesInputs
from throughtime.data.inputs.series_columns import Steps
from throughtime.data.inputs.value_checks import Position, require_complete
from throughtime.errors import DataError, NotCausalError
from throughtime.ragged import Ragged

_PER_STEP = "zero, mean or mask"


class SeriesReader:
    """Chunks of steps (n, C), or (n,) of one channel.

    Raises
    ------
    NotCausalError
        If a step is scaled or filled in by later ones.
    """

    def __init__(self, inputs: SeriesInputs) -> None:
        options = inputs.options
        if options.scale == "series":
            raise NotCausalError(
                f"{named('scale', 'series')} standardizes each series by its own mean and deviation, of "
                f"which a stream has no end yet; train the model with {named('scale', 'standard')}"
            )
        if options.missing not in {None, "zero", "mean", "mask"}:
            raise NotCausalError(
                f"{named('missing', options.missing)} fills in a step by its neighbours, which a stream does "
                f"not have yet; train the model with missing= {_PER_STEP}"
            )
        self._inputs, self._missing = inputs, options.missing
        self._channels = len(inputs.means)

    @property
    def empty(self) -> Tensor:
        """No steps, (0, C)."""
        return torch.empty(0, self._inputs.shape.channels or 0)

    def begin(self) -> None:
        """Return None: nothing is kept."""

    def encode(self, chunks: Mapping[Hashable, Any], kept: Sequence[Any]) -> tuple[Ragged, list[Any]]:
        """Return the scaled steps of each chunk."""
        arrays = [self._array(key, chunk) for key, chunk in chunks.items()]
        lengths = np.array([len(array) for array in arrays], dtype=np.int64)
        steps = Steps(
            np.concatenate(arrays), lengths, tuple(f"channel {c + 1}" for c in range(self._channels))
        )
        position = _position(list(chunks), steps)
        if self._missing is None:
            require_complete(steps.values, position, _PER_STEP)
        return self._inputs.encode_steps(steps, position), list(kept)

    def finish(self, kept: Any) -> None:
        """Return None: all steps have been read."""

    def _array(self, key: Hashable, chunk: Any) -> NDArray[np.float64]:
        try:
            array = np.asarray(chunk, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"the chunk of stream {key!r} is not an array of numbers ({error}); give steps "
                f"(n, {self._channels})"
            ) from None
        if array.size == 0:
            return np.empty((0, self._channels))
        if array.ndim == 1 and self._channels == 1:
            array = array[:, None]
        if array.ndim != 2 or array.shape[1] != self._channels:
            raise DataError(
                f"the chunk of stream {key!r} has shape {array.shape}, expected (n, {self._channels}): n "
                f"next steps of {self._channels} channels, as in training"
            )
        return array


def _position(keys: list[Hashable], steps: Steps) -> Position:
    """Return a function that tells the stream and the step of a value, for messages."""

    def position(value: int) -> tuple[str, str]:
        step, channel = divmod(value, steps.values.shape[1])
        number = int(np.searchsorted(steps.offsets, step, side="right")) - 1
        where = f"at step {step - int(steps.offsets[number]) + 1} of {steps.names[channel]}"
        return f"the chunk of stream {keys[number]!r}", where

    return position
