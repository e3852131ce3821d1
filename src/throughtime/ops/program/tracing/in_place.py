"""Replacement of in-place operators by operators that return a new tensor."""

import operator
from typing import Any

import torch
from torch import fx

from throughtime.ops.program.tracing.errors import UntraceableNodeError
from throughtime.ops.program.tracing.source import VIEWS, described, operator_name


def make_functional(node: fx.Node) -> None:
    """Let a node return its result, if nothing else can see the change that it makes."""
    changed: Any = node.args[0]
    name = operator_name(node)
    functional = getattr(torch.ops.aten, name.removesuffix("_"), None) if name.endswith("_") else None
    overload = getattr(functional, getattr(node.target, "_overloadname", ""), None)
    if changed.op in {"placeholder", "get_attr"}:
        what = "an argument" if changed.op == "placeholder" else "a tensor of its own"
        raise UntraceableNodeError(f"{described(node)} changes {what} in place")
    if overload is None or _has_views(changed):
        raise UntraceableNodeError(f"{described(node)} changes in place a tensor that has views")
    node.target = overload


def _has_views(node: fx.Node) -> bool:
    """Tell whether the numbers of a node are known by another name, too."""
    if any(operator_name(user) in VIEWS for user in node.users):
        return True
    if node.target is operator.getitem:
        whole: Any = node.args[0].args[0]  # type: ignore[union-attr]
        return len(whole.users) > 1 or whole.op != "call_function" or operator_name(whole) in VIEWS
    return operator_name(node) in VIEWS or operator_name(node) == "detach"
