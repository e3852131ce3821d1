"""Errors for operations that torch.jit.trace, torch.compile and torch.export cannot record.

torch.jit.trace records tensor operations, and would store values that depend on lengths as constants.
"""

import torch

from throughtime.errors import UnsupportedError


def tracing() -> bool:
    """Return whether torch.jit.trace is recording, as it does in `torch.onnx.export(dynamo=False)`."""
    return torch._C._get_tracing_state() is not None  # noqa: SLF001 - torch.jit.is_tracing takes 0.5 us


def refuse_tracing(what: str) -> None:
    """Raise if torch.jit.trace is recording.

    Raises
    ------
    UnsupportedError
        If it is; the message gives an alternative.
    """
    if tracing():
        raise UnsupportedError(
            f"torch.jit.trace and torch.onnx.export(dynamo=False) cannot record {what}: its result for the "
            "example would become a constant. Use torch.export.export or torch.compile; "
            "torch.onnx.export(dynamo=True) or throughtime.export.onnx for an ONNX file; or torch's own "
            "layers, which throughtime.convert.to_torch and unswap_ return"
        )


def refuse_compiling(what: str, instead: str) -> None:
    """Raise under torch.export and torch.compile(fullgraph=True); otherwise torch.compile breaks the graph.

    Raises
    ------
    UnsupportedError
        Under torch.export. Under torch.compile, and with ``strict=True``, torch raises its own error with
        this message.
    """
    message = f"torch.compile and torch.export cannot record {what}; {instead}"
    if torch.compiler.is_dynamo_compiling():
        torch._dynamo.graph_break(msg=message)  # noqa: SLF001 - raises if graph breaks are not allowed
    elif torch.compiler.is_compiling():
        raise UnsupportedError(message)
