"""Locate the first infinite or NaN number of a forward or backward pass."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from throughtime.diagnose._watch import Watch, watch
from throughtime.errors import UnsupportedError
from throughtime.nn.recurrent.watching import LayerRun


def first_not_finite(recording: Watch) -> str | None:
    """Return where the first infinite or NaN number appeared: layer, quantity, step and sequence.

    Parameters
    ----------
    recording : Watch
        From `watch`, after a backward pass inside the block.

    Returns
    -------
    str or None
        None if all inputs, states and gates of the recorded runs are finite.
    """
    return next((place for run in recording.directions() if (place := _forward(run)) is not None), None)


def first_gradient_not_finite(recording: Watch) -> str | None:
    """Return the same for gradients of states, searched from the last layer and step backwards."""
    runs = reversed(recording.directions())
    return next((place for run in runs if (place := _backward(run)) is not None), None)


def locate_not_finite(model: nn.Module, loss: Callable[[], Tensor]) -> str | None:
    """Compute a loss again and return where the first infinite or NaN number appears.

    Gradients are searched if the states and the loss are finite.

    Parameters
    ----------
    model : Module
        Its mode and the gradients of its parameters are not changed.
    loss : callable
        Runs the model on a batch and returns a scalar.

    Returns
    -------
    str or None
        None if there is no recurrent layer, or all numbers are finite.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.LSTM(2, 3)
    >>> x = tt.Ragged.from_list([torch.ones(4, 2), torch.tensor([[1.0, 1.0], [float("inf"), 1.0]])])
    >>> tt.diagnose.locate_not_finite(layer, lambda: layer(x).output.values.sum())
    'LSTM: the input is not finite, first at step 1 of sequence 1'
    """
    grads = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        with watch(model) as recording, torch.enable_grad():
            value = loss()
            value.backward()
        place = first_not_finite(recording)
        return place or (first_gradient_not_finite(recording) if bool(value.detach().isfinite()) else None)
    except UnsupportedError:
        return None
    finally:
        for parameter, grad in grads:
            parameter.grad = grad


def _forward(run: LayerRun) -> str | None:
    parts = {"the input": run.input, **run.states, "a gate": run.intermediates}
    steps = [(t, what != "the input", what, b) for what, rows in parts.items() for t, b in _steps(run, rows)]
    if not steps:
        return None
    t, _, what, b = min(steps)
    return f"{run.name}: {what} is not finite, first at step {t} of sequence {b}"


def _backward(run: LayerRun) -> str | None:
    norms = torch.stack(list(run.state_norms.values()), 1)
    steps = list(_steps(run, norms, last=True))
    if not steps:
        return None
    t, b = max(steps)
    return f"{run.name}: the gradient is not finite, going back first at step {t} of sequence {b}"


def _steps(run: LayerRun, rows: Tensor, *, last: bool = False) -> Iterator[tuple[int, int]]:
    """Yield step and number of each sequence's first (or last) row that is not finite, in reading order."""
    layout = run.sequences
    wrong = (~rows.isfinite().flatten(1).all(1)).nonzero().flatten()
    sequence = layout.sequence_ids[wrong]
    step = wrong - layout.offsets[sequence]
    if run.read.reverse:
        step = layout.offsets.diff()[sequence] - 1 - step
    for b in sequence.unique().tolist():
        steps = step[sequence == b]
        yield int(steps.max() if last else steps.min()), b
