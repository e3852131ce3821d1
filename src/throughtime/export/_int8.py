"""`onnx_int8`: an ONNX model with int8 weights for ONNX Runtime."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto


def onnx_int8(model: "ModelProto | str | Path", out: str | Path) -> None:
    """Write an ONNX model with int8 weights, for ONNX Runtime, by its own dynamic quantization.

    Weights have one scale for each output channel where ONNX Runtime takes that. Activations are rounded at
    run time with one scale for the whole batch, so the result of a sequence depends slightly on the others in
    its batch; that of `throughtime.quantize` does not. GRU and RNN operators stay in float32. Inputs, outputs
    and metadata are those of the model.

    Parameters
    ----------
    model : onnx.ModelProto or path
        What `onnx` returned or wrote.
    out : path
        The file to write.

    Raises
    ------
    ModuleNotFoundError
        If onnxruntime is not installed.

    Examples
    --------
    >>> import throughtime as tt
    >>> from tempfile import TemporaryDirectory
    >>> model = tt.export.onnx(tt.models.TextCNN(100, 3))
    >>> with TemporaryDirectory() as folder:
    ...     tt.export.onnx_int8(model, f"{folder}/model.onnx")
    """
    try:
        from onnxruntime.quantization import quantize_dynamic
    except ImportError as error:
        message = "throughtime.export.onnx_int8 needs onnxruntime: pip install onnxruntime"
        raise ModuleNotFoundError(message, name="onnxruntime") from error
    with _without_log():
        quantize_dynamic(model, str(out), per_channel=True)


@contextmanager
def _without_log() -> Iterator[None]:
    """Silence what the quantization logs about inputs that it leaves as they are."""
    logger = logging.getLogger()
    logger.addFilter(_no_warning)
    try:
        yield
    finally:
        logger.removeFilter(_no_warning)


def _no_warning(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING
