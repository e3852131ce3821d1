"""Where in the user's code an operator of a traced graph was called."""

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

from throughtime.nn.recurrence.tracing.errors import UntraceableError
from throughtime.nn.recurrence.tracing.plain_cells import plain_cell

_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


class SourceLines(TorchFunctionMode):
    """Notes for every node of the graph being traced the user's line that made it, in ``node.meta["line"]``."""

    def __init__(self) -> None:
        super().__init__()
        self.line = "its first line"
        self._gradients = torch.is_grad_enabled()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the function, then name the line of each node that the call has added."""
        self.line = _line(sys._getframe(1))  # noqa: SLF001 - the documented way to the caller
        if func is torch._C._set_grad_enabled and self._gradients and not args[0]:  # noqa: SLF001
            raise UntraceableError(f"f turns gradients off ({self.line}); use .detach() in its place")
        result = plain_cell(func, args)
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
            raise UntraceableError(self._reason(error, _raised_at(error) or self.line)) from error

    @staticmethod
    def _reason(error: Exception, line: str) -> str:
        from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
        from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

        values = (DataDependentOutputException, DynamicOutputShapeException, GuardOnDataDependentSymNode)
        if isinstance(error, values):
            return f"f looks at the values of a tensor ({line}), as a branch or .item() does"
        first = str(error).strip().split("\n")[0]
        return f"tracing f failed at {line} with {type(error).__name__}: {first}"


def _raised_at(error: Exception) -> str | None:
    """Return file and line of the innermost frame of an error that is neither torch's nor ours."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_LIBRARIES)
    ]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None


def _line(frame: FrameType | None) -> str:
    """Return file and line of the innermost frame outside of torch."""
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame = frame.f_back
    return "an unknown line" if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


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
