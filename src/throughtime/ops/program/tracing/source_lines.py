"""The line of the user's code that called an operator of a traced graph."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import fx
from torch.overrides import TorchFunctionMode

from throughtime import errors
from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.plain_functions import plain_call

_HERE = str(Path(__file__).parent)
_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(errors.__file__).parent))
_READS = frozenset({"item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "__array__"}) | {
    f"__{kind}__" for kind in ("bool", "float", "int", "index", "complex", "contains")
}
_CHANGES = frozenset({"__setitem__"}) | {
    f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
}


class SourceLines(TorchFunctionMode):
    """Writes the user's line that has made a node of the traced graph to its ``meta["line"]``."""

    def __init__(self) -> None:
        super().__init__()
        self.line = "its first line"
        self._gradients = torch.is_grad_enabled()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the function, then name the line of each node that the call has added."""
        self.line = _line(sys._getframe(1)) or self.line  # noqa: SLF001 - the documented way to the caller
        if func is torch._C._set_grad_enabled and self._gradients and not args[0]:  # noqa: SLF001
            raise UntraceableError(f"f turns gradients off ({self.line}); use .detach() in its place")
        name = getattr(func, "__name__", "")
        if name in _READS:
            raise UntraceableError(_of_values(self.line))
        if (name in _CHANGES or (name.endswith("_") and name[:1] != "_")) and _is_real(args[0]):
            raise UntraceableError(f"f changes one of its tensors in place ({self.line})")
        result = plain_call(func, args, kwargs or {})
        result = func(*args, **(kwargs or {})) if result is None else result
        _label(self.line)
        return result

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Give the reason for whatever an attempt to trace f raises."""
        try:
            yield
        except UntraceableError:
            raise
        except Exception as error:
            raise UntraceableError(_reason(error, _raised_at(error) or self.line)) from error


def _reason(error: Exception, line: str) -> str:
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    values = (DataDependentOutputException, DynamicOutputShapeException, GuardOnDataDependentSymNode)
    if isinstance(error, values):
        return _of_values(line)
    first = str(error).strip().split("\n")[0]
    return f"tracing f failed at {line} with {type(error).__name__}: {first}"


def _of_values(line: str) -> str:
    return f"f looks at the values of a tensor ({line}), as a branch or .item() does"


def _raised_at(error: Exception) -> str | None:
    """Return file and line of the innermost frame of an error that is neither torch's nor ours."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else None


def _is_real(value: Any) -> bool:
    """Tell whether a tensor is not one of those that are traced."""
    return type(value) in {torch.Tensor, torch.nn.Parameter}


def _line(frame: FrameType | None) -> str | None:
    """Return file and line of the innermost frame of the user's, None of a call that f has not made."""
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        if frame.f_code.co_filename.startswith(_HERE):
            return None
        frame = frame.f_back
    return None if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _label(line: str) -> None:
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    mode = get_proxy_mode()
    if mode is None:
        return
    graph: fx.Graph = mode.tracer.graph
    for node in reversed(graph.nodes):
        if "line" in node.meta:
            return
        node.meta["line"] = line
