"""Callback that passes the number of sequences in a batch to ``self.log`` of Lightning. Imports Lightning."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl

from throughtime.errors import ShapeError
from throughtime.ragged import Ragged


class RaggedBatchSize(pl.Callback):
    """Callback that weights epoch means of ``self.log`` by the number of sequences in a `Ragged` batch.

    Lightning weights logged values by the batch size B: the mean of an epoch is Σ B·value / Σ B. It infers B
    from the first tensor in the batch. For a `Ragged` this is the first sequence, so B would be the length of
    this sequence. With this callback, B is ``len(batch)``, as for a padded tensor.

    This is correct for means over sequences. For a mean over tokens, pass the weight, as with a padded
    tensor: ``self.log("loss", loss, batch_size=len(x.values))``. An explicit batch size is always used.

    The batch may be a `Ragged`, or have some in tuples, lists, mappings and dataclasses. For a batch without
    a `Ragged`, Lightning infers the batch size.

    Raises
    ------
    ShapeError
        If a value is logged without ``batch_size``, and parts of the batch differ in their number of
        sequences.

    Examples
    --------
    >>> import pytorch_lightning as pl
    >>> from throughtime.training.callbacks import RaggedBatchSize
    >>> trainer = pl.Trainer(callbacks=[RaggedBatchSize()], logger=False)
    """

    def __init__(self) -> None:
        self._sizes: set[int] = set()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Wrap the ``log`` method of the module."""
        del trainer, stage
        log = pl_module.log
        signature = inspect.signature(log)

        def log_with_batch_size(*args: Any, **kwargs: Any) -> None:
            call = signature.bind(*args, **kwargs)
            if call.arguments.get("batch_size") is None and self._sizes:
                call.arguments["batch_size"] = self._size(call.arguments["name"])
            log(*call.args, **call.kwargs)

        pl_module.log = log_with_batch_size  # type: ignore[method-assign]

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Restore the ``log`` method of the module."""
        del trainer, stage
        vars(pl_module).pop("log", None)
        self._sizes = set()

    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Count the sequences of a batch."""
        self._count(*args, **kwargs)

    def on_validation_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Count the sequences of a batch."""
        self._count(*args, **kwargs)

    def on_test_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Count the sequences of a batch."""
        self._count(*args, **kwargs)

    def _count(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any, **__: Any
    ) -> None:
        del trainer, pl_module
        self._sizes = set(_numbers_of_sequences(batch))

    def _size(self, name: str) -> int:
        if len(self._sizes) > 1:
            sizes = " and ".join(map(str, sorted(self._sizes)))
            raise ShapeError(
                f"self.log({name!r}, …) has no batch_size, but parts of the batch have {sizes} sequences; "
                "give batch_size, the number of sequences or tokens that the value is the mean of"
            )
        return next(iter(self._sizes))


def _numbers_of_sequences(batch: Any) -> Iterator[int]:
    if isinstance(batch, Ragged):
        yield len(batch)
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from _numbers_of_sequences(part)
    elif isinstance(batch, tuple | list):
        for part in batch:
            yield from _numbers_of_sequences(part)
    elif dataclasses.is_dataclass(batch):
        for field in dataclasses.fields(batch):
            yield from _numbers_of_sequences(getattr(batch, field.name))
