"""Texts and frames for language models and models of frames."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from throughtime._options import named
from throughtime.data import frames
from throughtime.data.next_step import cut_text, frame_source, text_source
from throughtime.data.plain_text import read_text
from throughtime.data.symbols import symbol_tokenizer
from throughtime.errors import DataError
from throughtime.learn.prepared import Prepared
from throughtime.learn.recipe import Recipe
from throughtime.tasks import Frames, Language

_VOCABULARY = 20_000


def prepare_stream(recipe: Recipe, data: Path) -> Prepared:
    """Read a text, or frames, and split it.

    Raises
    ------
    DataError
        If a file cannot be read or is too short.
    """
    return _frames(recipe, data) if recipe.task == Frames.name else _text(recipe, data)


def _frames(recipe: Recipe, data: Path) -> Prepared:
    split = recipe.split
    if split.validation_file or split.test_file:
        raise DataError(
            f"files of frames hold their own parts; leave out {named('validation_file')} and "
            f"{named('test_file')}"
        )
    parts = frames.read_frames(data, validation=split.validation, test=split.test, seed=recipe.optimizer.seed)
    return Prepared(frame_source(parts), Frames(), recipe)


def _text(recipe: Recipe, data: Path) -> Prepared:
    unit = recipe.text_stream.unit
    if data.suffix.lower() in frames.SUFFIXES:
        raise DataError(f"{data} holds frames, not a text; use {named('task', Frames.name)}")
    texts, names = _texts(recipe, data)
    inputs = recipe.inputs
    source = text_source(
        texts, unit, vocabulary=inputs.vocabulary or _VOCABULARY, min_count=inputs.min_count, names=names
    )
    tokenizer = None
    if source.vocabulary is not None:
        tokenizer = symbol_tokenizer(source.vocabulary, unit).to_str(pretty=True)
    # In the run, files are named without their folders.
    without_folders: dict[str, Any] = {
        name: file and Path(file).name
        for name, file in (
            ("validation_file", recipe.split.validation_file),
            ("test_file", recipe.split.test_file),
        )
    }
    recipe = replace(recipe, split=replace(recipe.split, **without_folders))
    return Prepared(source, Language(unit), recipe, tokenizer_json=tokenizer)


def _texts(recipe: Recipe, data: Path) -> tuple[list[str], list[str]]:
    """Return the texts for training, validation and test, from separate files or cut off the end."""
    split, unit = recipe.split, recipe.text_stream.unit
    name, files = str(data), (split.validation_file, split.test_file)
    # With a separate file, nothing is cut off.
    validation, test = (
        0.0 if file else fraction
        for file, fraction in zip(files, (split.validation, split.test), strict=True)
    )
    first, second, *third = cut_text(read_text(data), unit, validation, test)
    texts, names = [first], [name]
    for file, cut, purpose in zip(files, ([second], third), ("validation", "test"), strict=True):
        if file is not None:
            if Path(file).suffix.lower() in frames.SUFFIXES:
                raise DataError(f"{file} holds frames, but {data} is a text; give a text file")
            texts.append(read_text(Path(file)))
            names.append(file)
        elif cut:
            texts += cut
            names.append(f"{name}, its end for {purpose},")
    return texts, names
