"""Run a graph over a batch: in the native interpreter where possible, else in plain PyTorch.

Eager calls on plain float32 and float64 tensors on the CPU are native, also under `torch.func.grad` and
`torch.vmap`. Other devices, other transforms, tensor subclasses and modes run the reference.
"""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from throughtime.errors import InputTypeError
from throughtime.ops.plain import HALF
from throughtime.ops.program import autograd
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.program.reference import Results
from throughtime.ops.program.shapes import check_shapes
from throughtime.ops.recurrent.steps import Steps


def run_program(
    graph: Graph,
    inputs: Inputs,
    states: Sequence[Tensor | None],
    steps: Steps,
    *,
    wanted: Sequence[bool] | None = None,
    from_end: bool = False,
) -> Results:
    r"""Run a graph for every step of every sequence.

    Differentiable any number of times with respect to all inputs and states: the backward pass is a graph
    again. Which forward values are saved or recomputed follows from a rule for each operator, see
    `throughtime.ops.program.derive`. Under `torch.vmap` all samples are sequences of one call; if matrices
    differ between samples, there is one call per sample. Results of a sequence are bit for bit the same alone
    and in any batch.

    Parameters
    ----------
    graph
        One step.
    inputs
        Tensors of its leaves and products.
    states : sequence of Tensor, optional
        (B, width) each, before the first step; zeros where one is None.
    steps
        Row of each step of each sequence among the T tokens.
    wanted
        For each state, whether its value after every step is returned; by default all are. Otherwise the
        result has None.
    from_end
        Whether each sequence is read from its last token to its first.

    Returns
    -------
    Results
        States and outputs (T, width) at all tokens, and final states (B, width). Half precision is computed
        in float32; states are returned in their dtype, outputs in that of the inputs.

    Raises
    ------
    ShapeError, InputTypeError
        If tensors do not fit the graph, the batch or each other.

    Examples
    --------
    >>> import torch
    >>> from throughtime.ops.program.builder import Builder
    >>> from throughtime.ops.recurrent.steps import dense_steps
    >>> builder = Builder()
    >>> total = builder.leaf("state", 0, 1) + builder.leaf("token", 0, 1)
    >>> steps = dense_steps(1, 3, batch_first=True)
    >>> states, _, final = run_program(builder.graph([total]), Inputs((torch.ones(3, 1),)), [None], steps)
    >>> states[0].flatten().tolist(), final[0].tolist()
    ([1.0, 2.0, 3.0], [[3.0]])
    """
    tensors = (*inputs.tokens, *inputs.sequences, *inputs.vectors, *inputs.matrices, *states)
    present = [part for part in tensors if part is not None]
    dtype = _common_dtype(present)
    if dtype is None:
        return _in_float32(graph, inputs, states, steps, wanted, from_end=from_end)
    check_shapes(graph, inputs, states, steps)
    chosen = (True,) * len(states) if wanted is None else tuple(wanted)
    return autograd.run(graph, inputs, states, steps, dtype, chosen, from_end=from_end)


def _common_dtype(tensors: Sequence[Tensor]) -> torch.dtype | None:
    """Return the dtype of all tensors, None if some are in half precision."""
    dtypes = {part.dtype for part in tensors}
    if len(dtypes) == 1 and (dtype := next(iter(dtypes))) not in HALF:
        return dtype
    if not dtypes.isdisjoint(HALF) and dtypes <= {*HALF, torch.float32}:
        return None
    raise InputTypeError(
        f"a recurrence takes tensors of one dtype, got {', '.join(sorted(map(str, dtypes))) or 'no tensor'}; "
        "convert them with .to(...)"
    )


def _in_float32(
    graph: Graph,
    inputs: Inputs,
    states: Sequence[Tensor | None],
    steps: Steps,
    wanted: Sequence[bool] | None,
    *,
    from_end: bool,
) -> Results:
    parts = [part for group in (*inputs, states) for part in group if part is not None]
    dtype = reduce(torch.promote_types, [part.dtype for part in parts])
    wide = Inputs(*(tuple(part.float() for part in group) for group in inputs))
    before = [None if part is None else part.float() for part in states]
    results = run_program(graph, wide, before, steps, wanted=wanted, from_end=from_end)
    dtypes = [dtype if part is None else part.dtype for part in states]
    return Results(
        [None if part is None else part.to(kind) for part, kind in zip(results.states, dtypes, strict=True)],
        [part.to(dtype) for part in results.outputs],
        [part.to(kind) for part, kind in zip(results.final, dtypes, strict=True)],
    )
