"""`evaluate`: the metrics of a model on examples with targets."""

import torch
from torch import nn

from throughtime.data.examples import Examples
from throughtime.data.finite import require_finite
from throughtime.errors import ShapeError
from throughtime.ops.modes import evaluating
from throughtime.tasks import SequenceTask, model_outputs
from throughtime.tasks.outputs import by_row
from throughtime.training._metrics import Score


def evaluate(
    model: nn.Module, task: SequenceTask, examples: Examples, *, tokens_per_batch: int = 16384
) -> Score:
    """Return the metrics of a model on examples.

    Parameters
    ----------
    model : Module
        A model of the task; every module in it is left in the mode that it was in.
    task : SequenceTask
        The task; of language and frame models see ``measure`` of `throughtime.tasks.NextStepTask`.
    examples : Examples
        At least one.
    tokens_per_batch : int
        See `throughtime.tasks.model_outputs`.

    Returns
    -------
    Score
        All metrics of the task, and the number of examples, tokens or steps that their means are taken over.

    Raises
    ------
    ShapeError
        If there are no examples.
    DataError
        If a value is infinite or not a number.
    NotFiniteError
        If an output is not a number.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from throughtime.tasks import Classification
    >>> tokens = tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4, 5])])
    >>> model = tt.models.BiGRU(vocabulary_size=10, outputs=2)
    >>> evaluate(model, Classification(("no", "yes")), Examples(tokens, torch.tensor([0, 1]))).examples
    2
    """
    if len(examples) == 0:
        raise ShapeError("evaluate got no examples; give at least one")
    require_finite(examples.inputs, "the sequences to evaluate on")
    outputs = model_outputs(model, examples, tokens_per_batch=tokens_per_batch)
    with evaluating(model), torch.no_grad():
        figures, count = task.measure(model, *by_row(outputs, examples))
    return Score(figures, count)
