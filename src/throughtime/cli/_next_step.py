"""Sequences whose next step is predicted: windows of a text, or pieces of music."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from throughtime.cli._question import Question
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.cli._train_task import unit_of
from throughtime.data.frames import read_frames
from throughtime.data.next_step import Pairs, Unit
from throughtime.data.plain_text import read_text
from throughtime.data.symbols import LINE_END, encode_symbols, symbols_of
from throughtime.data.vocabulary import Vocabulary
from throughtime.diagnose import Finding
from throughtime.errors import DataError, RunError
from throughtime.models.next_step import NextStep
from throughtime.ops.pool.layer import last_over_time
from throughtime.ragged import Ragged
from throughtime.training import Run, figure

# Windows of a text, spread over it, and steps of each: beyond the window of the training, which the gradients
# of the training never left.
_MOST_WINDOWS = 256
_STEPS = (64, 256)

_SHOWN = {LINE_END: "⏎", " ": "␣", "\t": "⇥"}


@dataclass(frozen=True)
class NextSteps:
    """Sequences, and what came after the last step of each."""

    tokens: Ragged
    following: Tensor
    words: Sequence[Sequence[str]]
    said: str
    unit: Unit

    def question(self, run: Run, count: int) -> Question:
        """Ask for the step after the last: −log p of what came."""
        model = run.load_model()
        if not isinstance(model, NextStep):
            raise RunError(f"{run.path} holds a {type(model).__name__}, which predicts no next step")
        following, reader = self.following[:count], AfterLast(model)
        return Question(reader, lambda h: model.score(h, following).losses, at=reader.features)

    def quality(self, model: nn.Module) -> tuple[dict[str, Any], list[Finding]]:
        """Return the mean loss over all sequences, and what the field calls it."""
        reader = cast("AfterLast", model)
        with torch.no_grad():
            scored = reader.model.score(reader(self.tokens), self.following)
        loss = float(scored.losses.double().mean())
        accuracy = float(scored.right.double().mean())
        return {"loss": loss, "accuracy": accuracy, "figure": figure(loss, self.unit)}, []


class AfterLast(nn.Module):
    """What the read-out of a model of the next step reads after the last step of each sequence, (B, D)."""

    def __init__(self, model: NextStep) -> None:
        super().__init__()
        self.layers = model.layers  # first, so that they are called by this name
        self.model = model
        self.features = _Features(model)

    def forward(self, x: Ragged) -> Tensor:
        states = self.model.states_of(self.features(x))
        return last_over_time(states.values, states.layout)


class _Features(nn.Module):
    """The input of the first layer as a module of its own, which can be put in another's place."""

    def __init__(self, model: NextStep) -> None:
        super().__init__()
        self._of = model.features

    def forward(self, x: Ragged) -> Ragged:
        return x.with_values(self._of(x.values))


def next_steps(run: Run, data: Path) -> NextSteps:
    """Read a text or frames of the kind that the run was trained on.

    Raises
    ------
    DataError
        If it cannot be read, or is too short.
    """
    unit = unit_of(run)
    if unit == "frame":
        return _frames(data)
    text = symbols_of(read_text(data), unit)
    steps = min(max(2 * (run.config.settings.k1 or 0), _STEPS[0]), _STEPS[1])
    if len(text) <= steps:
        raise DataError(
            f"{data} has {len(text)} {unit}s; gradients are followed over windows of {steps}, and one step "
            "after: give a longer text"
        )
    vocabulary = Vocabulary.from_tokenizer(tokenizer_of(run))
    numbers = encode_symbols(text, vocabulary)
    count = min((len(text) - 1) // steps, _MOST_WINDOWS)
    begins = torch.linspace(0, len(text) - 1 - steps, count, dtype=torch.float64).long()
    rows = numbers[begins[:, None] + torch.arange(steps + 1)]
    words = [[_SHOWN.get(word, word) for word in text[begin : begin + steps]] for begin in begins.tolist()]
    said = f"{count:,} windows of {steps} {unit}s of {data.name}, and the {unit} after each"
    return NextSteps(Ragged.from_list(list(rows[:, :-1])), rows[:, -1], words, said, unit)


def _frames(data: Path) -> NextSteps:
    parts = read_frames(data, validation=0.5, test=0.0, seed=0)
    part = parts.validation if parts.test is None else parts.test
    part = part[(part.lengths > 1).nonzero().flatten()]
    pairs = Pairs.of_sequences(part)
    following = last_over_time(pairs.targets.values, pairs.targets.layout)
    words = [[_notes(frame) for frame in piece] for piece in pairs.inputs]
    said = f"{len(part):,} pieces of {data.name}, and the last frame of each"
    return NextSteps(pairs.inputs, following, words, said, "frame")


def _notes(frame: Tensor) -> str:
    return "+".join(str(note) for note in frame.nonzero().flatten().tolist()) or "–"
