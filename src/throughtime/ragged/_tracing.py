"""What torch.jit.trace and the graphs of torch.compile and torch.export cannot record, refused by name.

torch.jit.trace follows tensors, and would keep as a constant whatever depends on their lengths.
"""

import torch

from throughtime.errors import UnsupportedError


def tracing() -> bool:
    """Tell whether torch.jit.trace is recording, also for `torch.onnx.export(dynamo=False)`."""
    return torch._C._get_tracing_state() is not None  # noqa: SLF001 - torch.jit.is_tracing takes 0.5 us


def refuse_tracing(what: str) -> None:
    """Raise if torch.jit.trace is recording.

    Raises
    ------
    UnsupportedError
        With what to use instead.
    """
    if tracing():
        raise UnsupportedError(
            f"torch.jit.trace and torch.onnx.export(dynamo=False) cannot record {what}: its result for the "
            "example would become a constant. Use torch.export.export or torch.compile, or "
            "throughtime.export.onnx for an ONNX file"
        )


def refuse_compiling(what: str, instead: str) -> None:
    """Raise under torch.export and torch.compile(fullgraph=True); torch.compile alone runs this part eagerly.

    Raises
    ------
    UnsupportedError
        Under torch.export; under torch.compile, or with ``strict=True``, torch's own error holds the text.
    """
    message = f"torch.compile and torch.export cannot record {what}; {instead}"
    if torch.compiler.is_dynamo_compiling():
        torch._dynamo.graph_break(msg=message)  # noqa: SLF001 - dynamo raises where it may not break a graph
    elif torch.compiler.is_compiling():
        raise UnsupportedError(message)
