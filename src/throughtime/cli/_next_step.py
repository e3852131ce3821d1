"""Sequences for ``throughtime diagnose`` of language and frame models: windows of a text, or frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from throughtime.cli._objective import Objective
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.data.frames import read_frames
from throughtime.data.next_step import Pairs
from throughtime.data.plain_text import read_text
from throughtime.data.symbols import LINE_END, encode_symbols, symbols_of
from throughtime.data.vocabulary import Vocabulary
from throughtime.diagnose import Finding
from throughtime.errors import DataError, RunError
from throughtime.models.next_step import NextStep
from throughtime.ops.pool.layer import last_over_time
from throughtime.ragged import Ragged
from throughtime.report import NextStepQuality
from throughtime.tasks import Language, Task
from throughtime.tasks.anomaly import Surprise
from throughtime.training import Run

# Maximum number of windows of a text, and limits of their steps. Windows are longer than those of the
# training, so that gradients can flow back further than in the training.
_MOST_WINDOWS = 256
_STEPS = (64, 256)

_SHOWN = {LINE_END: "⏎", " ": "␣", "\t": "⇥"}


@dataclass(frozen=True)
class NextSteps:
    """Sequences, and the step that follows each."""

    tokens: Ragged
    following: Tensor
    words: Sequence[Sequence[str]]
    description: str
    task: Task

    def objective(self, run: Run, count: int) -> Objective:
        """Return the loss of the step after the last, −log p."""
        loaded = run.load_model()
        model = loaded.model if isinstance(loaded, Surprise) else loaded
        if not isinstance(model, NextStep):
            raise RunError(f"{run.path} holds a {type(model).__name__}, not a model of the next step")
        following, reader = self.following[:count], AfterLast(model, after_start=isinstance(loaded, Surprise))
        return Objective(reader, lambda h: model.score(h, following).losses, features_of=reader.features)

    def quality(self, model: nn.Module) -> tuple[NextStepQuality, list[Finding], list[str]]:
        """Return the mean loss and accuracy over all sequences."""
        reader = cast("AfterLast", model)
        with torch.no_grad():
            scored = reader.model.score(reader(self.tokens), self.following)
        loss = float(scored.losses.double().mean())
        accuracy = float(scored.right.double().mean())
        figures = self.task.derived({"loss": loss, "accuracy": accuracy})
        return NextStepQuality(loss, accuracy, self.task.describe(figures)), [], []


class AfterLast(nn.Module):
    """The hidden state of a model of the next step after the last step of each sequence, (B, D).

    With ``after_start`` the model reads a step of zeros first, as in `throughtime.tasks.anomaly.Surprise`.
    """

    def __init__(self, model: NextStep, *, after_start: bool = False) -> None:
        super().__init__()
        self.after_start = after_start
        self.layers = model.layers  # first, so that named_modules() uses this name
        self.model = model
        self.features = _Features(model)

    def forward(self, x: Ragged) -> Tensor:
        features = self.features(x)
        if self.after_start:
            start = features.values.new_zeros(len(x), *features.values.shape[1:])
            features = Ragged.cat_time(
                [Ragged.from_lengths(start, torch.ones(len(x), dtype=torch.int64)), features]
            )
        states = self.model.states_of(features)
        return last_over_time(states.values, states.layout)


class _Features(nn.Module):
    """The input of the first layer as a module, whose output `diagnose` takes as the features."""

    def __init__(self, model: NextStep) -> None:
        super().__init__()
        self._features = model.features

    def forward(self, x: Ragged) -> Ragged:
        return x.with_values(self._features(x.values))


def next_steps(run: Run, data: Path) -> NextSteps:
    """Read a text or frames of the kind that the run was trained on.

    Raises
    ------
    DataError
        If it cannot be read, or is too short.
    """
    task = run.config.task
    if not isinstance(task, Language):
        return _frames(data, task)
    unit = task.unit
    text = symbols_of(read_text(data), unit)
    steps = min(max(2 * (run.config.settings.k1 or 0), _STEPS[0]), _STEPS[1])
    if len(text) <= steps:
        raise DataError(
            f"{data} has {len(text)} {unit}s, but a diagnosis takes windows of {steps} and the {unit} after "
            "each; give a longer text"
        )
    vocabulary = Vocabulary.from_tokenizer(tokenizer_of(run))
    numbers = encode_symbols(text, vocabulary)
    count = min((len(text) - 1) // steps, _MOST_WINDOWS)
    begins = torch.linspace(0, len(text) - 1 - steps, count, dtype=torch.float64).long()
    rows = numbers[begins[:, None] + torch.arange(steps + 1)]
    words = [[_SHOWN.get(word, word) for word in text[begin : begin + steps]] for begin in begins.tolist()]
    description = f"{count:,} windows of {steps} {unit}s of {data.name}, and the {unit} after each"
    return NextSteps(Ragged.from_list(list(rows[:, :-1])), rows[:, -1], words, description, task)


def _frames(data: Path, task: Task) -> NextSteps:
    parts = read_frames(data, validation=0.5, test=0.0, seed=0)
    part = parts.validation if parts.test is None else parts.test
    part = part[(part.lengths > 1).nonzero().flatten()]
    pairs = Pairs.of_sequences(part)
    following = last_over_time(pairs.targets.values, pairs.targets.layout)
    words = [[_notes(frame) for frame in sequence] for sequence in pairs.inputs]
    description = f"{len(part):,} sequences of {data.name}, and the last frame of each"
    return NextSteps(pairs.inputs, following, words, description, task)


def _notes(frame: Tensor) -> str:
    return "+".join(str(note) for note in frame.nonzero().flatten().tolist()) or "–"
