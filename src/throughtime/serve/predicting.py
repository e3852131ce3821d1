"""Predictions of several requests in one batch, each as `Predictor.predictions` returns it for one alone."""

from collections.abc import Sequence
from typing import Any

import torch

from throughtime.data.examples import Examples
from throughtime.data.table import Table
from throughtime.errors import ThroughtimeError
from throughtime.learn import Predictor
from throughtime.serve.batcher import Job
from throughtime.serve.faults import fault_of, too_long
from throughtime.serve.options import ServeOptions
from throughtime.serve.rows import Row, table_of
from throughtime.tasks.outputs import Outputs, by_row, model_outputs

Answer = list[dict[str, Any]]
"""For each row the columns of `Predictor.predictions`."""


def answer(predictor: Predictor, jobs: Sequence[Job], options: ServeOptions) -> int:
    """Set the answers of jobs, computed in one batch, and return the number of tokens.

    If a row cannot be used, only the job that it belongs to is answered with the error.
    """
    rows = [row for job in jobs for row in job.content]
    try:
        outputs, tokens = _outputs(predictor, rows, options)
        answers = _answers(predictor, outputs, [len(job.content) for job in jobs])
    except ThroughtimeError as error:
        if len(jobs) == 1:
            jobs[0].answer.set_exception(fault_of(predictor, jobs[0].content) or error)
            return 0
        middle = len(jobs) // 2
        return sum(answer(predictor, half, options) for half in (jobs[:middle], jobs[middle:]))
    for job, predictions in zip(jobs, answers, strict=True):
        job.answer.set_result(predictions)
    return tokens


def _outputs(predictor: Predictor, rows: Sequence[Row], options: ServeOptions) -> tuple[Outputs, int]:
    table = table_of(rows, predictor.recipe.columns)
    examples = predictor.encoder.unlabelled(table, predictor.task)
    _require_short(examples, table, options.max_tokens_per_row)
    outputs = model_outputs(predictor.model, examples, tokens_per_batch=options.max_batch_tokens)
    return by_row(outputs, examples)[0], examples.inputs.layout.total


def _answers(predictor: Predictor, outputs: Outputs, counts: Sequence[int]) -> list[Answer]:
    """Return the answers of requests of these numbers of rows.

    The predictions of each request are computed by themselves, because torch's element-wise functions may
    give a value other bits in a longer tensor.
    """
    answers, start = [], 0
    for count in counts:
        columns = predictor.task.predictions(predictor.model, outputs[start : start + count])
        answers.append([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
        start += count
    return answers


def _require_short(examples: Examples, table: Table, most: int) -> None:
    lengths = examples.inputs.lengths
    if examples.rows is not None:
        lengths = torch.zeros(len(table), dtype=lengths.dtype).index_add_(0, examples.rows, lengths)
    longer = (lengths > most).nonzero().flatten().tolist()
    if longer:
        raise too_long(table.place(longer[0]), int(lengths[longer[0]]), most)
