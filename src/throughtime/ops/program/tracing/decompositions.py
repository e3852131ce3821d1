"""The aten operators that are decomposed before lowering."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from throughtime.ops.program.tracing.rules import RULES


@cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return torch's decompositions to its core operators, without those that have a rule of their own."""
    from torch._decomp import core_aten_decompositions

    table = core_aten_decompositions().items()
    return {
        operator: function
        for operator, function in table
        if not (isinstance(operator, torch._ops.OpOverload) and _is_whole(operator))  # noqa: SLF001
    }


def _is_whole(operator: Any) -> bool:
    """Tell whether an operator stays as it is: it has a rule, or is refused by its name."""
    return operator.overloadpacket.__name__ in RULES or torch.Tag.nondeterministic_seeded in operator.tags
