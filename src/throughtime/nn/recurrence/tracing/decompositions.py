"""Which aten operators are taken apart before they are lowered."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from throughtime.nn.recurrence.tracing.rules import RULES


@cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return torch's decompositions to its core operators, without those that have a rule of their own."""
    from torch._decomp import core_aten_decompositions

    table = core_aten_decompositions().items()
    return {
        operator: function
        for operator, function in table
        if not (isinstance(operator, torch._ops.OpOverload) and _name(operator) in RULES)  # noqa: SLF001
    }


def _name(operator: Any) -> str:
    return str(operator.overloadpacket.__name__)
