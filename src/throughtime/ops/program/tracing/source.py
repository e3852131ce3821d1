"""The traced graph of f: what each node depends on, and the shape it has."""

from collections.abc import Callable
from enum import IntFlag
from typing import Any

import torch
from torch import Tensor, fx

from throughtime.ops.program.tracing.capture import Capture
from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.values import Hoisted, Value, contiguous


class Dependence(IntFlag):
    """What the value of a node changes with."""

    NOTHING = 0
    TOKEN = 1
    SEQUENCE = 2
    STATE = 4
    NUMBER_OF_SEQUENCES = 8


VARYING = Dependence.TOKEN | Dependence.SEQUENCE | Dependence.STATE
"""All but the number of sequences, with which shapes change, and no values."""

VIEWS = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "permute",
        "t",
        "transpose",
        "unsqueeze",
        "squeeze",
        "expand",
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "unsafe_split",
        "alias",
        "unbind",
        "chunk",
    ]
)
"""Operators whose result has numbers of its input, at other places."""


class Source:
    """A captured graph, and the nodes that are added to it.

    Parameters
    ----------
    capture : Capture
        The graph.
    unchanged : set of fx.Node
        Leaves of the state that f returns as they are.
    """

    def __init__(self, capture: Capture, unchanged: set[fx.Node]) -> None:
        self.capture = capture
        self._leaves = {
            **dict.fromkeys(capture.tokens, Dependence.TOKEN),
            **dict.fromkeys(capture.states, Dependence.STATE),
            **dict.fromkeys(unchanged, Dependence.SEQUENCE),
        }
        self._dependence: dict[fx.Node, Dependence] = {}

    def dependence(self, node: fx.Node) -> Dependence:
        """Return what a node depends on."""
        if node not in self._dependence:
            self._dependence[node] = self._depends(node)
        return self._dependence[node]

    def _depends(self, node: fx.Node) -> Dependence:
        if isinstance(node.meta.get("val"), torch.SymInt | torch.SymBool | torch.SymFloat):
            return Dependence.NUMBER_OF_SEQUENCES
        result = self._leaves.get(node, Dependence.NOTHING)
        for argument in node.all_input_nodes:
            result |= self.dependence(argument)
        return result

    def is_hoisted(self, node: fx.Node) -> bool:
        """Tell whether a node is computed before the loop: for all tokens, for each sequence, or once."""
        varying = self.dependence(node) & VARYING
        return varying in {Dependence.TOKEN, Dependence.SEQUENCE} or not self.dependence(node)

    def add(self, function: Callable[..., Any], *arguments: Any) -> fx.Node:
        """Add a node that the user's function does not have."""
        from torch._dispatch.python import enable_python_dispatcher

        node: fx.Node = self.capture.graph.call_function(function, arguments)
        node.meta["added"] = True
        with self.capture.mode, enable_python_dispatcher(), torch.no_grad():
            node.meta["val"] = function(*fx.map_arg(arguments, lambda argument: argument.meta["val"]))
        return node

    def sizes(self, node: fx.Node) -> tuple[tuple[int | None, ...], bool]:
        """Return the sizes of a tensor, None for that of the sequences, and whether that one is merged."""
        return self.split_sizes(node.meta["val"].shape)

    def split_sizes(self, shape: Any) -> tuple[tuple[int | None, ...], bool]:
        """Return a shape as `sizes` does: n * 4 is (None, 4), merged."""
        sizes: list[int | None] = []
        merged = False
        for size in shape:
            rows = self.rows(size)
            if rows is None:
                sizes.append(int(size))
                continue
            if None in sizes:
                raise UntraceableError("it compares sequences")
            merged = rows > 1
            sizes += [None, rows] if merged else [None]
        return tuple(sizes), merged

    def rows(self, size: Any) -> int | None:
        """Return k of a size n * k, None if the size does not depend on the number of sequences."""
        if not isinstance(size, torch.SymInt) or not size.node.expr.free_symbols:
            return None
        rows = size.node.expr / self.capture.batch.node.expr
        if not rows.is_integer:
            raise UntraceableError("it uses the number of sequences as a value")
        return int(rows)

    def hoisted_value(self, node: fx.Node) -> Value:
        """Return the result of a node that is computed before the loop as a value."""
        sizes, merged = self.sizes(node)
        return contiguous(Hoisted(node), sizes, merged=merged)


def is_tensor(node: Any) -> bool:
    """Tell whether an argument is a node whose value is a tensor."""
    return isinstance(node, fx.Node) and isinstance(node.meta.get("val"), Tensor)


def described(node: fx.Node) -> str:
    """Name the operator of a node and its line."""
    return f"{operator_name(node)} at {node.meta.get('line', 'an unknown line')}"


def operator_name(node: fx.Node) -> str:
    """Return the name of a node's aten operator, without its overload."""
    target: Any = node.target
    return str(target.overloadpacket.__name__) if isinstance(target, torch._ops.OpOverload) else str(target)  # noqa: SLF001
