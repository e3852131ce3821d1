"""`Encoder`: what turns rows of a table into examples, as learned from the training rows of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from throughtime._fields import Fields, to_json
from throughtime._options import named
from throughtime._words import counted
from throughtime.data.examples import Examples
from throughtime.data.inputs import Inputs, LengthLimit, NumericColumns, read_inputs
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError
from throughtime.ragged import Ragged
from throughtime.tasks import SequenceTask


@dataclass(frozen=True)
class Encoder:
    """Sequences, further columns of numbers, and the limit of lengths.

    Parameters
    ----------
    inputs : Inputs
        Turns rows into sequences.
    numeric : NumericColumns or None
        Turns columns of numbers into further features.
    limit : LengthLimit or None
        What happens to long sequences.
    """

    inputs: Inputs
    numeric: NumericColumns | None = None
    limit: LengthLimit | None = None

    @property
    def shape(self) -> dict[str, int]:
        """What the model reads, see `throughtime.data.examples.Source`."""
        steps = self.inputs.shape
        shape = {"vocabulary_size": steps.vocabulary_size, "channels": steps.channels}
        if self.numeric is not None:
            shape["extra"] = len(self.numeric.names)
        return {name: size for name, size in shape.items() if size is not None}

    def examples(self, table: Table, task: SequenceTask, targets: Sequence[str]) -> Examples:
        """Return the rows of a table as examples with targets.

        Raises
        ------
        DataError
            If a row cannot be encoded; the message names it.
        """
        encoded = task.encode(table, targets)
        inputs = self.inputs.encode(table)
        if isinstance(encoded, Ragged):
            _require_tags(table, inputs, encoded)
        return self._limited(table, inputs, encoded, task)

    def unlabelled(self, table: Table, task: SequenceTask) -> Examples:
        """Return the rows of a table as examples without targets."""
        inputs = self.inputs.encode(table)
        return self._limited(table, inputs, torch.zeros(len(inputs)), task)

    def _limited(self, table: Table, inputs: Ragged, targets: Any, task: SequenceTask) -> Examples:
        extra = None if self.numeric is None else self.numeric.encode(table)
        if self.limit is None:
            return Examples(inputs, targets, extra)
        if self.limit.longer == "windows" and task.level != "sequence":
            raise ShapeError(
                f"task {task.name!r} cannot average over windows; use {named('longer', 'truncate')}"
            )
        limited, rows = self.limit.apply(inputs, table.place)
        if isinstance(targets, Ragged):
            targets, _ = self.limit.apply(targets, table.place)
            return Examples(limited, targets, extra)
        whole = self.limit.longer != "windows"
        return Examples(
            limited,
            targets[rows],
            None if extra is None else extra[rows],
            rows=None if whole else rows,
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything but the tokenizer as JSON values."""
        return {
            "inputs": self.inputs.to_json(),
            "numeric": None if self.numeric is None else self.numeric.to_json(),
            "limit": to_json(self.limit),
        }

    @classmethod
    def from_json(cls, content: Any, tokenizer_json: str | None) -> Self:
        """Return the encoder that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing, not allowed or of the wrong type.
        """
        fields = Fields(content, "encoder.")
        numeric = fields.value("numeric")
        limit = fields.value("limit")
        return cls(
            read_inputs(fields.value("inputs"), tokenizer_json),
            None if numeric is None else NumericColumns.from_json(numeric),
            None if limit is None else fields.fields("limit").dataclass(LengthLimit),
        )


def _require_tags(table: Table, inputs: Ragged, tags: Ragged) -> None:
    different = (inputs.lengths != tags.lengths).nonzero().flatten().tolist()
    if different:
        row = different[0]
        raise DataError(
            f"{table.place(row)} has {counted(int(tags.lengths[row]), 'tag')} for "
            f"{counted(int(inputs.lengths[row]), 'token')}; "
            "give one tag for each token"
        )
