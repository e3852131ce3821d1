"""``throughtime sample``: a text or frames drawn from a run, shown as they are drawn."""

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from throughtime.cli._tokenizer import tokenizer_of
from throughtime.cli._train_next import require_next
from throughtime.cli._train_task import unit_of
from throughtime.data.frames import read_prompt, write_frames
from throughtime.data.printable import printable
from throughtime.data.symbols import LINE_END, Spelling, SymbolUnit, encode_prompt
from throughtime.data.vocabulary import Vocabulary
from throughtime.errors import DataError, RunError
from throughtime.models import FrameModel
from throughtime.models import sample as draw
from throughtime.models.next_step import NextStep
from throughtime.training import Run


@dataclass(frozen=True)
class SampleOptions:
    """The options of the command, as its help describes them."""

    prompt: str | None
    length: int
    temperature: float
    top_p: float
    unknown: bool
    seed: int
    out: Path | None


def sample(path: Path, options: SampleOptions) -> None:
    """Draw from a run, and print each step as it comes; frames may go into a file instead."""
    run = Run.open(path)
    require_next(run)
    model = run.load_model()
    if not isinstance(model, NextStep):
        raise RunError(f"{path} holds a {type(model).__name__}, which is not a next-step model; train again")
    if isinstance(model, FrameModel):
        _frames(model, options)
    else:
        _text(run, model, options)


def _steps(model: NextStep, prompt: Tensor, options: SampleOptions) -> Iterator[Tensor]:
    drawn = draw(
        model,
        prompt,
        temperature=options.temperature,
        top_p=options.top_p,
        without=() if options.unknown else (0,),
        generator=torch.Generator().manual_seed(options.seed),
    )
    return itertools.islice(drawn, options.length)


def _text(run: Run, model: NextStep, options: SampleOptions) -> None:
    if options.out is not None:
        raise DataError("--out is for frames; a text goes to standard output, from where > FILE takes it")
    vocabulary = Vocabulary.from_tokenizer(tokenizer_of(run))
    unit = cast("SymbolUnit", unit_of(run))
    if options.prompt == "":
        raise DataError("the prompt is empty; give one, or leave --prompt out to begin a line")
    prompt = encode_prompt(LINE_END if options.prompt is None else options.prompt, vocabulary, unit)
    if not len(prompt):
        raise DataError(f"the prompt has no {unit}s; give one, or leave --prompt out to begin a line")
    steps = _steps(model, prompt, options)
    spelling = Spelling(vocabulary, unit, before=vocabulary.words[int(prompt[-1])])
    # A file gets the text as it is, a terminal none that it would obey.
    shown = partial(printable, keep="\n\t") if sys.stdout.isatty() else str
    print(shown(options.prompt or ""), end="", flush=True)  # noqa: T201 - what the command is for
    for step in steps:
        print(shown(spelling.add(int(step))), end="", flush=True)  # noqa: T201
    print(flush=True)  # noqa: T201


def _frames(model: FrameModel, options: SampleOptions) -> None:
    if not options.unknown:
        raise DataError("--no-unknown is about words that the vocabulary lacks, and frames have none")
    if options.out is not None and options.out.exists():
        raise DataError(f"{options.out} exists already; choose another --out")
    if options.out is not None and options.out.suffix.lower() != ".npz":
        raise DataError(f"{options.out}: frames are written as .npz; give --out such a name")
    # Silence is what comes before a piece.
    prompt = torch.zeros(1, model.notes)
    if options.prompt is not None:
        prompt = read_prompt(Path(options.prompt), model.notes)
    steps = _steps(model, prompt, options)
    if options.out is not None:
        drawn = list(steps)
        write_frames(options.out, torch.stack(drawn))
        print(f"{len(drawn)} frames saved in {options.out}")  # noqa: T201
        return
    for step in steps:
        print(json.dumps(step.nonzero().flatten().tolist()), flush=True)  # noqa: T201
