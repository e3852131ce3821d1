"""`PredictorSource`: the model of a predictor, its chunks of raw data and its predictions."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from throughtime._options import named
from throughtime._words import counted
from throughtime.data.inputs import Inputs, LengthLimit, SeriesInputs, TextInputs, TokenInputs
from throughtime.errors import DataError, NotCausalError, NotFiniteError, UnsupportedError
from throughtime.learn.encoder import Encoder
from throughtime.learn.streaming.reader import Reader
from throughtime.learn.streaming.series import SeriesReader
from throughtime.learn.streaming.text import TextReader
from throughtime.learn.streaming.tokens import TokenReader
from throughtime.ragged import Ragged
from throughtime.tasks import Outputs, SequenceTask
from throughtime.tasks.tagging import Tagger


class PredictorSource:
    """A trained model whose chunks are raw data, and whose answers are its predictions by name.

    What is kept of a sequence is the number of its steps, and what its reader keeps.

    Raises
    ------
    NotCausalError
        If the inputs or the task need the end of a sequence; the message says what to do.
    UnsupportedError
        If the model reads more than the sequence.
    """

    def __init__(self, task: SequenceTask, encoder: Encoder, model: nn.Module) -> None:
        _check(task, encoder, model)
        self.model, self._task = model, task
        self._limit = encoder.limit
        self._reader = _reader_of(encoder.inputs)

    @property
    def empty(self) -> Tensor:
        """Steps of length 0: tokens (0,) or (0, C)."""
        return self._reader.empty

    def begin(self) -> tuple[int, Any]:
        """Return what is kept at the beginning."""
        return 0, self._reader.begin()

    def encode(
        self, chunks: Mapping[Hashable, Any], kept: Sequence[Any], expected: Tensor | None
    ) -> tuple[Ragged, list[Any]]:
        """Return the steps of chunks; those beyond the limit of lengths are cut off if it truncates.

        Raises
        ------
        DataError
            If a chunk cannot be read, or a sequence becomes too long; the message names its key.
        """
        del expected
        steps, inner = self._reader.encode(chunks, [entry[1] for entry in kept])
        return self._limited(list(chunks), steps, [entry[0] for entry in kept], inner)

    def finish(self, key: Hashable, kept: Any) -> Ragged | None:
        """Return the steps of what the reader still keeps, such as the last word of a text."""
        steps = self._reader.finish(kept[1])
        return None if steps is None else self._limited([key], steps, [kept[0]], [None])[0]

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Return the predictions of each sequence by name.

        Raises
        ------
        NotFiniteError
            If an output is not a number.
        """
        values = outputs.values if isinstance(outputs, Ragged) else outputs
        if values.isnan().any():
            raise NotFiniteError(
                "the outputs of a stream are nan although all inputs are finite: a weight is nan, or a "
                "computation in the model overflows; find it with throughtime.diagnose.locate_not_finite"
            )
        columns = self._task.predictions(self.model, outputs.to("cpu"))
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _limited(
        self, keys: list[Hashable], steps: Ragged, before: list[int], inner: list[Any]
    ) -> tuple[Ragged, list[Any]]:
        after = [count + more for count, more in zip(before, steps.lengths.tolist(), strict=True)]
        if self._limit is not None and max(after, default=0) > self._limit.length:
            _require_short(self._limit, keys, after)
            left = torch.tensor([max(0, self._limit.length - count) for count in before])
            steps = steps.split_time(left)[0]
        return steps, list(zip(after, inner, strict=True))


def _check(task: SequenceTask, encoder: Encoder, model: nn.Module) -> None:
    if encoder.numeric is not None:
        names = ", ".join(map(repr, encoder.numeric.options.columns))
        raise UnsupportedError(
            f"the model reads {names} beside each sequence, which a stream does not have; train it without "
            f"{named('numeric')}"
        )
    if encoder.limit is not None and encoder.limit.longer == "windows":
        raise NotCausalError(
            "predictions are means over windows, of which the last ends with the sequence; train the model "
            f"with {named('longer', 'truncate')}, or without {named('max_length')}"
        )
    if isinstance(model, Tagger):
        raise NotCausalError(
            "crf (CRF) chooses the tags of the whole sequence, of which a stream has no end yet; train the "
            "model without a CRF"
        )
    if task.level == "next":
        raise UnsupportedError(
            f"a run of task {task.name!r} scores whole sequences and does not run on a stream; use predict"
        )


def _reader_of(inputs: Inputs) -> Reader:
    if isinstance(inputs, TextInputs):
        return TextReader(inputs)
    if isinstance(inputs, TokenInputs):
        return TokenReader(inputs)
    if isinstance(inputs, SeriesInputs):
        return SeriesReader(inputs)
    raise UnsupportedError(f"inputs of type {type(inputs).__name__} cannot be read in chunks; use predict")


def _require_short(limit: LengthLimit, keys: list[Hashable], lengths: list[int]) -> None:
    if limit.longer != "refuse":
        return
    key, length = next(pair for pair in zip(keys, lengths, strict=True) if pair[1] > limit.length)
    raise DataError(
        f"stream {key!r} has {counted(length, 'step')}, but at most {limit.length:,} are allowed; close it, "
        f"or train the model with a larger {named('max_length')} or {named('longer', 'truncate')}"
    )
