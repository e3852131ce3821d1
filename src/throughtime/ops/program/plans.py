"""Cache of the plans of a graph."""

from typing import Any

from throughtime.ops.program.counts import Counts
from throughtime.ops.program.forward_plan import ForwardPlan
from throughtime.ops.program.graph import Graph

_PLANS = "_plans"


class _Plans(dict[Any, ForwardPlan]):
    """Plans of a graph; a copy of the graph has an empty cache."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Plans, ()


def plan_of(graph: Graph, counts: Counts, wanted: tuple[bool, ...], needed: tuple[bool, ...]) -> ForwardPlan:
    """Return the plan for these wanted states and needed gradients, see `ForwardPlan`."""
    plans: _Plans | None = graph.__dict__.get(_PLANS)
    if plans is None:
        plans = graph.__dict__[_PLANS] = _Plans()
    key = counts, wanted, needed
    plan = plans.get(key)
    if plan is None:
        plan = plans[key] = ForwardPlan(graph, counts, wanted, needed)
    return plan
