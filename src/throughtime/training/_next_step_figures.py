"""Evaluation of language and frame models: perplexity, bits per character, negative log-likelihood."""

import math

import torch
from torch import Tensor

from throughtime.bptt import Carried
from throughtime.data.finite import require_finite
from throughtime.data.next_step import NextStepSource, Unit
from throughtime.data.window_batches import WindowBatch, WindowLoader
from throughtime.errors import ShapeError
from throughtime.models.next_step import NextStep
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged
from throughtime.training._metrics import Score


def figure(loss: float, unit: Unit) -> str:
    """Format a mean loss per step, in nats, as perplexity, bits per character or negative log-likelihood.

    Examples
    --------
    >>> figure(4.6, "word"), figure(1.04, "character"), figure(8.2, "frame")
    ('perplexity 99.48', '1.500 bits per character', 'negative log-likelihood per frame 8.200')
    """
    if unit == "word":
        return f"perplexity {math.exp(min(loss, 700)):.2f}"
    if unit == "character":
        return f"{loss / math.log(2):.3f} bits per character"
    return f"negative log-likelihood per frame {loss:.3f}"


def evaluate_next_step(
    model: NextStep, source: NextStepSource, part: Ragged, *, streams: int = 1, window: int = 256
) -> Score:
    """Evaluate a model on every step of a text or of frames except the first.

    Parameters
    ----------
    model : LanguageModel or FrameModel
        The model; the mode of its modules is not changed.
    source : NextStepSource
        The data source.
    part : Ragged
        A part of it, such as ``source.test``.
    streams : int
        Batch size: number of parts of a text, or of sequences of frames, processed in parallel. With 1 a text
        is read from beginning to end; more are faster, but each part starts from the initial state.
    window : int
        Number of steps computed at once; does not affect the result.

    Returns
    -------
    Score
        Mean loss per step in nats, fraction of steps predicted exactly, and number of steps.

    Raises
    ------
    ShapeError
        If there is no step to predict.
    DataError
        If a value of a frame is infinite or not a number.
    """
    require_finite(part, "the sequences to evaluate on")
    pairs = source.held_out(part, streams, 1)
    if not pairs.steps:
        raise ShapeError("there is no step to predict; give a sequence of at least two steps")
    carried, loss, right = Carried(), 0.0, 0
    device = next(p.device for p in model.parameters())
    with evaluating(model), torch.no_grad():
        for batch in WindowLoader(pairs, streams, window):
            losses, hits = run_window(model, batch.to(device), carried)
            loss, right = loss + float(losses.double().sum()), right + int(hits.sum())
    return Score(loss / pairs.steps, right / pairs.steps, pairs.steps)


def run_window(model: NextStep, batch: WindowBatch, carried: Carried) -> tuple[Tensor, Tensor]:
    """Return the losses of the window's steps that count, in nats, and which were predicted exactly."""
    if batch.first:
        carried.reset()
    with carried.carry(model, batch.window):
        h = model.states(batch.inputs)
    scored = model.score(batch.window.counted(h).values, batch.targets.values)
    return scored.losses, scored.right
