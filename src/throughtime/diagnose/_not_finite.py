"""Where the first number that is not finite appeared, on the way forward or back."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.diagnose._watch import DirectionRun, Watch, watch
from throughtime.errors import UnsupportedError
from throughtime.ragged import Ragged


def first_not_finite(seen: Watch) -> str | None:
    """Say where the first number that is not finite appeared: layer, what, step and sequence.

    Parameters
    ----------
    seen : Watch
        From `watch`, after a backward pass inside of it.

    Returns
    -------
    str or None
        None if all inputs, states and gates of the watched runs are finite.
    """
    return next((said for run in seen.directions() if (said := _forward(run)) is not None), None)


def first_gradient_not_finite(seen: Watch) -> str | None:
    """Say the same of the gradients of states, whose order is from the last layer and the last step back."""
    return next((said for run in reversed(seen.directions()) if (said := _backward(run)) is not None), None)


def locate_not_finite(model: nn.Module, batch: Ragged, loss: Callable[[Any], Tensor]) -> str | None:
    """Run a batch once more, watched, and say where the first number that is not finite appears.

    That of the states; if these and the loss are finite, that of the gradients.

    Parameters
    ----------
    model : Module
        Takes the batch; in the mode in which it is. Gradients of its parameters are left as they are.
    batch : Ragged
        What it reads.
    loss : callable
        From the model's output to a scalar.

    Returns
    -------
    str or None
        None if there is no recurrent layer, or its numbers are finite.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.LSTM(2, 3)
    >>> x = tt.Ragged.from_list([torch.ones(4, 2), torch.tensor([[1.0, 1.0], [float("inf"), 1.0]])])
    >>> tt.diagnose.locate_not_finite(layer, x, lambda y: y.output.values.sum())
    'LSTM: the input is not finite first at step 1 of sequence 1'
    """
    grads = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        with watch(model) as seen, torch.enable_grad():
            value = loss(model(batch))
            value.backward()
        said = first_not_finite(seen)
        return said or (first_gradient_not_finite(seen) if bool(value.detach().isfinite()) else None)
    except UnsupportedError:
        return None
    finally:
        for parameter, grad in grads:
            parameter.grad = grad


def _forward(run: DirectionRun) -> str | None:
    parts = {"the input": run.ordered(run.x), "h": run.h, "a gate": run.gates.flatten(1)}
    if run.c is not None:
        parts["c"] = run.c
    found = [(t, what != "the input", what, b) for what, rows in parts.items() for t, b in _steps(run, rows)]
    if not found:
        return None
    t, _, what, b = min(found)
    return f"{run.name}: {what} is not finite first at step {t} of sequence {b}"


def _backward(run: DirectionRun) -> str | None:
    norms = run.gradient(run.record.norms)
    found = list(_steps(run, norms[:, :2], last=True))
    if not found:
        return None
    t, b = max(found)
    return f"{run.name}: on the way back the gradient is not finite first at step {t} of sequence {b}"


def _steps(run: DirectionRun, rows: Tensor, *, last: bool = False) -> Iterator[tuple[int, int]]:
    """Yield step and sequence of each sequence's first (or last) row that is not finite, as it is read."""
    layout = run.read.layout
    wrong = (~rows.isfinite().flatten(1).all(1)).nonzero().flatten()
    sequence = layout.sequence_ids[wrong]
    step = wrong - layout.offsets[sequence]
    if run.read.reverse:
        step = layout.offsets.diff()[sequence] - 1 - step
    for b in sequence.unique().tolist():
        own = step[sequence == b]
        yield int(own.max() if last else own.min()), b
