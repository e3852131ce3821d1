"""`Surroundings`: what a training uses and shows besides the data, none of which decides its result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from throughtime.errors import UnsupportedError

if TYPE_CHECKING:
    import pytorch_lightning as pl

LOGGERS = {"tensorboard": "TensorBoardLogger", "csv": "CSVLogger", "mlflow": "MLFlowLogger"}
"""Lightning's loggers by name."""
_DEVICES = {"cpu": "cpu", "cuda": "gpu"}


def require_supported(device: str | None, logger: str | None) -> None:
    """Check a device and a logger before a run is created; see `throughtime.training.fit`.

    Raises
    ------
    UnsupportedError
        If there is no such device or logger.

    Examples
    --------
    >>> require_supported("tpu", None)
    Traceback (most recent call last):
        ...
    throughtime.errors.UnsupportedError: device must be one of cpu, cuda, got 'tpu'
    """
    if device is not None and device not in _DEVICES:
        raise UnsupportedError(f"device must be one of {', '.join(_DEVICES)}, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UnsupportedError("there is no CUDA device here; use device cpu")
    if logger is not None and logger not in LOGGERS:
        raise UnsupportedError(f"logger must be one of {', '.join(LOGGERS)}, got {logger!r}")


@dataclass(frozen=True)
class Surroundings:
    """See `throughtime.training.fit` for the fields."""

    progress: bool | Literal["line"] = True
    watch_every: int = 0
    prepare_model: Callable[[nn.Module], None] | None = None
    device: str | None = None
    logger: str | None = None
    resumable: bool = True
    callbacks: "Sequence[pl.Callback]" = ()

    def __post_init__(self) -> None:
        require_supported(self.device, self.logger)

    def accelerator(self) -> str:
        """Return Lightning's name of the device."""
        return _DEVICES[self.device or ("cuda" if torch.cuda.is_available() else "cpu")]

    def lightning_logger(self, folder: Path) -> Any:
        """Return Lightning's logger, or False for none.

        Raises
        ------
        UnsupportedError
            If the package that it needs is not installed.
        """
        if self.logger is None:
            return False
        from pytorch_lightning import loggers

        kind = getattr(loggers, LOGGERS[self.logger])
        try:
            if self.logger == "mlflow":
                return kind(experiment_name=folder.name, tracking_uri=f"file:{folder / 'mlruns'}")
            return kind(save_dir=folder, name="logs")
        except ModuleNotFoundError as error:
            raise UnsupportedError(
                f"logger {self.logger!r} needs a package that is not installed: pip install {self.logger}"
            ) from error
