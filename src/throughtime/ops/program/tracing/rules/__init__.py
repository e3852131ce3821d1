"""For each aten operator, by name, how its result is made of the operators of a step's graph."""

from collections.abc import Callable
from typing import Any

from throughtime.ops.program.tracing.rules.activations import ACTIVATIONS
from throughtime.ops.program.tracing.rules.arithmetic import ARITHMETIC
from throughtime.ops.program.tracing.rules.conditions import CONDITIONS
from throughtime.ops.program.tracing.rules.creation import CREATION
from throughtime.ops.program.tracing.rules.normalisation import NORMALISATION
from throughtime.ops.program.tracing.rules.products import PRODUCTS
from throughtime.ops.program.tracing.rules.reductions import REDUCTIONS
from throughtime.ops.program.tracing.rules.views import VIEW_RULES

RULES: dict[str, Callable[..., Any]] = {
    **ACTIVATIONS,
    **ARITHMETIC,
    **CONDITIONS,
    **CREATION,
    **NORMALISATION,
    **PRODUCTS,
    **REDUCTIONS,
    **VIEW_RULES,
}
"""A rule takes the lowering and the operator's arguments, tensors as values, and returns values."""
