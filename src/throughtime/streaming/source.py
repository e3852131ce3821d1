"""What a stream runs: a model, how chunks become its input, and how its outputs become answers."""

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged import Ragged


class Source(Protocol):
    """A model and its chunks. What is kept of a sequence beside the model's state is JSON values."""

    @property
    def model(self) -> nn.Module:
        """The model, in evaluation mode."""

    @property
    def empty(self) -> Tensor | None:
        """Steps of length 0 as the model reads them, (0, …); None if they follow from the first chunk."""

    def begin(self) -> Any:
        """Return what is kept of a sequence at its beginning."""

    def encode(
        self, chunks: Mapping[Hashable, Any], kept: Sequence[Any], expected: Tensor | None
    ) -> tuple[Ragged, list[Any]]:
        """Return the steps that the model reads next of each sequence, and what is kept after them.

        ``expected`` are steps of length 0 as the chunks before had them, None at the beginning.

        Raises
        ------
        InputTypeError, ShapeError, DataError
            If a chunk cannot be read; the message names its key.
        """

    def finish(self, key: Hashable, kept: Any) -> Ragged | None:
        """Return the last steps of a sequence, of which no more chunks come; None if there are none."""

    def answers(self, outputs: Tensor | Ragged) -> list[Any]:
        """Return the answer for each sequence, of outputs (B, …) so far or `Ragged` (T, …) of new steps."""


class ModuleSource:
    """A module: chunks are tensors, answers its outputs."""

    empty = None

    def __init__(self, model: nn.Module) -> None:
        if model.training:
            raise InputTypeError(
                f"Stream: {type(model).__name__} is in training mode; call model.eval() first"
            )
        self.model = model

    def begin(self) -> None:
        """Return None: nothing is kept."""

    def encode(
        self, chunks: Mapping[Hashable, Any], kept: Sequence[Any], expected: Tensor | None
    ) -> tuple[Ragged, list[Any]]:
        """Return the chunks as one batch."""
        steps = [
            chunk if isinstance(chunk, Tensor) else self._converted(key, chunk, expected)
            for key, chunk in chunks.items()
        ]
        return batch_of(chunks, steps, expected), list(kept)

    def finish(self, key: Hashable, kept: Any) -> None:
        """Return None: all steps have been read."""

    def answers(self, outputs: Tensor | Ragged) -> list[Any]:
        """Return the outputs of each sequence, (N,) so far or (n, N) of its n new steps."""
        return outputs.to_list() if isinstance(outputs, Ragged) else list(outputs.unbind(0))

    def _converted(self, key: Hashable, chunk: Any, expected: Tensor | None) -> Tensor:
        if isinstance(chunk, np.ndarray):
            return torch.from_numpy(chunk)
        if not isinstance(chunk, list | tuple):
            raise InputTypeError(
                f"the chunk of stream {key!r} is a {type(chunk).__name__}, expected a tensor, an array or a "
                "list of its next steps"
            )
        if not chunk and expected is not None:
            return expected
        try:
            array = np.asarray(chunk)
        except ValueError as error:
            raise _no_steps(key, str(error)) from None
        if array.dtype.kind not in "biuf":
            raise _no_steps(key, f"it holds {array.dtype}")
        steps = torch.from_numpy(array)
        return steps.to(self._dtype) if array.dtype.kind == "f" else steps

    @property
    def _dtype(self) -> torch.dtype:
        """The dtype of lists of floating-point numbers."""
        floating = (weight.dtype for weight in self.model.parameters() if weight.is_floating_point())
        return next(floating, torch.get_default_dtype())


def _no_steps(key: Hashable, reason: str) -> InputTypeError:
    return InputTypeError(
        f"the chunk of stream {key!r} is not a list of steps ({reason}); give numbers (n,) or (n, C)"
    )


def batch_of(chunks: Mapping[Hashable, Any], steps: Sequence[Tensor], expected: Tensor | None) -> Ragged:
    """Return the steps of all chunks as one batch.

    Raises
    ------
    ShapeError, InputTypeError
        If a chunk has other features or another dtype than ``expected`` (0, …), or, without it, than the
        first; the message names its key.
    """
    like = steps[0] if expected is None else expected
    features, dtype = like.shape[1:], like.dtype
    # Not in one loop over named shapes: thousands of them at once would set off the garbage collector.
    fits = min(map(Tensor.dim, steps)) and {chunk.shape[1:] for chunk in steps} == {features}
    if not fits or {chunk.dtype for chunk in steps} != {dtype}:
        raise next(filter(None, map(partial(_misfit, features, dtype), chunks, steps)))
    if len({chunk.device for chunk in steps}) > 1:
        steps = [chunk.to(like.device) for chunk in steps]
    return Ragged.from_lengths(torch.cat(list(steps)), [chunk.shape[0] for chunk in steps])


def _misfit(
    features: torch.Size, dtype: torch.dtype, key: Hashable, chunk: Tensor
) -> ShapeError | InputTypeError | None:
    """Return the error of a chunk with other features or another dtype."""
    if chunk.dim() == 0 or chunk.shape[1:] != features:
        wanted = f"(n{''.join(f', {size}' for size in features)}{'' if features else ','})"
        return ShapeError(
            f"the chunk of stream {key!r} has shape {tuple(chunk.shape)}, expected {wanted}: n next steps"
        )
    if chunk.dtype != dtype:
        return InputTypeError(
            f"the chunk of stream {key!r} is {chunk.dtype}, expected {dtype} as of the other chunks; "
            "convert it"
        )
    return None
