"""Outputs of a model on many sequences, in batches of equal token count. Changes no weight."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from throughtime._words import counted
from throughtime.data.batches import ordered_batches
from throughtime.data.examples import Examples
from throughtime.data.stored_examples import AnyExamples
from throughtime.errors import NotFiniteError, ShapeError
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged

Outputs = Tensor | Ragged
"""Outputs of a model: (B, N) for each sequence, or a `Ragged` (T, N) for each step."""


def output_of(model: nn.Module, batch: Examples) -> Outputs:
    """Return the output of a model on a batch of examples."""
    output: Outputs = model(batch.inputs) if batch.extra is None else model(batch.inputs, batch.extra)
    return output


def require_outputs(outputs: object, inputs: Ragged, count: int, *, per_step: bool) -> None:
    """Check that a model, which may be one of the caller's code, puts out what its task needs.

    Parameters
    ----------
    outputs : Tensor or Ragged
        What it put out.
    inputs : Ragged
        What it read.
    count : int
        N, the number of outputs of the task.
    per_step : bool
        Whether there is an output for each step, a `Ragged` (T, N), or for each sequence, (B, N).

    Raises
    ------
    ShapeError
        If the outputs have another type or shape.

    Examples
    --------
    >>> x = Ragged.from_list([torch.tensor([1, 2]), torch.tensor([3])])
    >>> require_outputs(torch.zeros(2, 5), x, 3, per_step=False)
    Traceback (most recent call last):
        ...
    throughtime.errors.ShapeError: the model puts out a Tensor (2, 5) for 2 sequences, expected a Tensor \
(2, 3): 3 outputs for each sequence; build it with the number of outputs that its function is given
    """
    values = outputs.values if isinstance(outputs, Ragged) else outputs
    shape = tuple(getattr(values, "shape", ()))
    expected = (inputs.layout.total if per_step else len(inputs), count)
    if isinstance(outputs, Ragged if per_step else torch.Tensor) and shape == expected:
        return
    kind, example = ("Ragged", "step") if per_step else ("Tensor", "sequence")
    raise ShapeError(
        f"the model puts out a {type(outputs).__name__} {shape} for {counted(len(inputs), 'sequence')}, "
        f"expected a {kind} {expected}: {counted(count, 'output')} for each {example}; build it with the "
        "number of outputs that its function is given"
    )


def model_outputs(model: nn.Module, examples: AnyExamples, *, tokens_per_batch: int = 16384) -> Outputs:
    """Return the outputs of a model on all examples, in their order.

    Parameters
    ----------
    model : Module
        Inputs to (B, N), or to a `Ragged` (T, N); every module in it is left in the mode that it was in.
    examples : Examples or StoredExamples
        Their targets are not used.
    tokens_per_batch : int
        Batches have at most so many tokens, except a single sequence that is longer itself.

    Returns
    -------
    Tensor or Ragged
        (B, N) or (T, N), on the CPU.

    Raises
    ------
    ShapeError
        If there are no sequences.
    DataError
        If a value is infinite or not a number; the message names its place.
    NotFiniteError
        If an output is not a number though all values are finite.
    """
    if len(examples) == 0:
        raise ShapeError("predict got no sequences; give at least one")
    examples.require_finite("the sequences to predict")
    with evaluating(model), torch.no_grad():
        batches = list(_by_batch(model, examples, tokens_per_batch))
    place = torch.cat([rows for rows, _ in batches]).argsort()
    return joined([output for _, output in batches])[place]


def joined(outputs: Sequence[Outputs]) -> Outputs:
    """Return the outputs of several groups of sequences as one."""
    if isinstance(outputs[0], Ragged):
        return Ragged.cat(cast("Sequence[Ragged]", outputs))
    return torch.cat(cast("list[Tensor]", outputs))


def by_row(outputs: Outputs, examples: AnyExamples) -> tuple[Outputs, Tensor | Ragged]:
    """Return outputs and targets of rows: of examples that are windows, the mean output of each row."""
    if examples.rows is None or isinstance(outputs, Ragged):
        return outputs, examples.targets
    rows, counts = examples.rows.unique_consecutive(return_counts=True)
    place = torch.repeat_interleave(torch.arange(len(rows)), counts)
    total = outputs.new_zeros(len(rows), *outputs.shape[1:]).index_add_(0, place, outputs)
    first = counts.cumsum(0) - counts
    return total / counts[:, None], examples.targets[first]


def predict(model: nn.Module, inputs: Ragged, *, tokens_per_batch: int = 16384) -> Outputs:
    """Return the outputs of a model on sequences, such as logits, in their order.

    Parameters
    ----------
    model : Module
        Inputs to (B, N), or to a `Ragged` (T, N), as those of `throughtime.models`.
    inputs : Ragged
        (T,) int64 tokens, or (T, C) steps of a series.
    tokens_per_batch : int
        See `model_outputs`.

    Returns
    -------
    Tensor or Ragged
        (B, N) or (T, N), on the CPU.

    Raises
    ------
    ShapeError, DataError, NotFiniteError
        See `model_outputs`.
    """
    examples = Examples(inputs, torch.zeros(len(inputs)))
    return model_outputs(model, examples, tokens_per_batch=tokens_per_batch)


def _by_batch(
    model: nn.Module, examples: AnyExamples, tokens_per_batch: int
) -> Iterator[tuple[Tensor, Outputs]]:
    """Yield the numbers of a batch's sequences and their outputs, on the CPU."""
    device = next((p.device for p in model.parameters()), None)
    for rows in ordered_batches(examples.lengths, tokens_per_batch):
        batch = examples.select(rows)
        outputs = output_of(model, batch if device is None else batch.to(device)).to("cpu")
        _require_numbers(outputs, rows, len(examples))
        yield rows, outputs


def _require_numbers(outputs: Outputs, rows: Tensor, sequences: int) -> None:
    # An infinite logit may be intended: it rules a class out.
    values = outputs.values if isinstance(outputs, Ragged) else outputs
    bad = values.isnan().reshape(len(values), -1).any(1)
    if not bad.any():
        return
    wrong = rows[outputs.layout.sequence_ids[bad]] if isinstance(outputs, Ragged) else rows[bad]
    raise NotFiniteError(
        f"the outputs of sequence {int(wrong.min())} (of {sequences}) are nan although all inputs are "
        "finite: a weight is nan, or a computation in the model overflows; find it with "
        "throughtime.diagnose.locate_not_finite"
    )
