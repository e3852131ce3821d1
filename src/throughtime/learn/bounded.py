"""Examples in a file for what needs them in memory, such as baselines: a random subset, or in parts."""

import torch
from torch import Tensor

from throughtime.baselines import Baseline
from throughtime.baselines.baseline import NO_MODEL
from throughtime.data.examples import Examples
from throughtime.data.stored_examples import AnyExamples
from throughtime.ragged import Ragged
from throughtime.tasks.outputs import by_row, joined
from throughtime.training import Score

MOST_TOKENS = 10_000_000
"""Maximum number of tokens or steps in memory at once."""


def in_memory(examples: AnyExamples, *, most: int = MOST_TOKENS) -> Examples:
    """Return the examples in memory; of those in a file, at most so many tokens, drawn at random."""
    if isinstance(examples, Examples):
        return examples
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))
    count = int((examples.lengths[order].cumsum(0) <= most).sum())
    return examples.select(order[: max(1, count)].sort().values)


def targets_of(examples: AnyExamples) -> Tensor | Ragged:
    """Return the targets of all examples; if they are in a file and of steps, those of a random subset."""
    known = isinstance(examples, Examples) or examples.target_rows is not None
    return examples.targets if known else in_memory(examples).targets


def score_of(baseline: Baseline, examples: AnyExamples) -> Score:
    """Return the metrics of a baseline on all examples; those in a file are read in parts."""
    if isinstance(examples, Examples):
        return Score(*baseline.measure(examples))
    outputs = joined([baseline.outputs(part) for part in examples.chunks()])
    return Score(*baseline.task.measure(NO_MODEL, *by_row(outputs, examples)))
