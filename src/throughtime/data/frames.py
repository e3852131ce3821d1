"""Sequences of frames of 0 and 1, such as piano rolls, out of .npz and .mat files.

A .npz has ``frames`` (T, K) and ``lengths`` (B,), all sequences end to end; with ``validation_frames``,
``validation_lengths``, ``test_frames`` and ``test_lengths`` if these parts are chosen already. A .mat is one
of the files of polyphonic music that go with Boulanger-Lewandowski et al. (2012): cells ``traindata``,
``validdata`` and ``testdata`` of (T, K) each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from throughtime.data.columns import short
from throughtime.data.files import size_of
from throughtime.data.matlab import read_cells
from throughtime.data.npz import read_arrays
from throughtime.errors import DataError
from throughtime.ragged import Ragged

SUFFIXES = (".npz", ".mat")

_UNPACKED = 500
"""How many times its size a file may unpack to: rolls of float64 whose notes are held shrink to a 220th."""
_NEITHER = 2


class FrameParts(NamedTuple):
    """Sequences of frames, (T, K) uint8 each."""

    training: Ragged
    validation: Ragged
    test: Ragged | None


def read_frames(path: Path, *, validation: float, test: float, seed: int) -> FrameParts:
    """Read sequences of frames, in the parts that the file has or else drawn by ``seed``.

    Parameters
    ----------
    path
        .npz or .mat.
    validation, test
        Shares of the sequences, where the file has no parts; a test share of 0 leaves that part out.
    seed
        Of the draw.

    Raises
    ------
    DataError
        If the file cannot be read, lacks something, or holds anything but 0 and 1.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rolls.npz"
    ...     np.savez(path, frames=np.zeros((12, 88), dtype=np.uint8), lengths=[4, 3, 5])
    ...     parts = read_frames(path, validation=0.3, test=0.3, seed=0)
    >>> [len(part) for part in parts]
    [1, 1, 1]
    """
    found = _read(path)
    whole = found["training"]
    if whole is None:
        raise DataError(f"{path} has no sequences for training; see docs/next-step.md for what it must hold")
    if found["validation"] is not None:
        parts = FrameParts(whole, found["validation"], found["test"])
    else:
        parts = _split(whole, validation, test, seed, str(path))
    for name, part in zip(FrameParts._fields, parts, strict=True):
        if part is not None and part.shape[1] != whole.shape[1]:
            raise DataError(f"{path}: frames of {name} have {part.shape[1]} notes, others {whole.shape[1]}")
        if part is not None and not (part.lengths > 1).any():
            raise DataError(f"{path}: no sequence of {name} has two frames; it takes two to predict one")
    return parts


def read_prompt(path: Path, notes: int) -> torch.Tensor:
    """Return the first sequence of a file, (T, K) float32, to go on from.

    Raises
    ------
    DataError
        As `read_frames`; or if frames have another number of notes.
    """
    whole = _read(path)["training"]
    if whole is None or not len(whole) or not len(whole[0]):
        raise DataError(f"{path} has no frames; a prompt is its first sequence")
    if whole.shape[1] != notes:
        raise DataError(f"{path} has frames of {whole.shape[1]} notes, the run was trained on {notes}")
    return whole[0].float()


def write_frames(path: Path, frames: torch.Tensor) -> None:
    """Write one sequence of frames, (T, K), as a .npz that `read_frames` and `read_prompt` read."""
    with path.open("xb") as file:
        np.savez_compressed(file, frames=frames.to(torch.uint8).numpy(), lengths=np.array([len(frames)]))


def _read(path: Path) -> dict[str, Ragged | None]:
    size = size_of(path)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: frames are read from {' and '.join(SUFFIXES)} files, not {path.suffix!r}")
    if size == 0:
        raise DataError(f"{path} is empty; give a file of frames")
    return _read_npz(path) if path.suffix.lower() == ".npz" else _read_mat(path)


def _read_npz(path: Path) -> dict[str, Ragged | None]:
    prefixes = {"training": "", "validation": "validation_", "test": "test_"}
    names = [f"{prefix}{part}" for prefix in prefixes.values() for part in ("frames", "lengths")]
    present, content = read_arrays(path, names, _UNPACKED)
    return {part: _npz_part(path, present, content, prefix) for part, prefix in prefixes.items()}


def _npz_part(
    path: Path, present: Sequence[str], content: Mapping[str, NDArray[Any]], prefix: str
) -> Ragged | None:
    names = f"{prefix}frames", f"{prefix}lengths"
    if not any(name in content for name in names) and prefix:
        return None
    for name in names:
        if name not in content:
            has = short(", ".join(present)) or "nothing"
            raise DataError(f"{path} has no array {name!r}; it has {has}")
    frames, lengths = content[names[0]], content[names[1]]
    if frames.ndim != 2 or lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {names[0]} is (T, K) and {names[1]} is (B,) of whole numbers; got shapes "
            f"{frames.shape} and {lengths.shape} of {lengths.dtype}"
        )
    # The sum of numbers that are each too large may be anything.
    outside = (lengths < 0) | (lengths > len(frames))
    total = "a sum" if outside.any() else int(lengths.sum(dtype=np.int64))
    if total != len(frames):
        raise DataError(
            f"{path}: {names[1]} must add up to the {len(frames)} rows of {names[0]}, they give {total}"
        )
    return _ragged(path, names[0], [frames], torch.from_numpy(lengths.astype(np.int64)))


def _read_mat(path: Path) -> dict[str, Ragged | None]:
    names = dict(zip(FrameParts._fields, ("traindata", "validdata", "testdata"), strict=True))
    content = read_cells(path, names.values(), _UNPACKED)
    found: dict[str, Ragged | None] = {}
    for part, name in names.items():
        if name not in content:
            raise DataError(f"{path} has no cell {name!r}, as files of polyphonic music have")
        matrices = content[name]
        if len({matrix.shape[1] for matrix in matrices}) != 1:
            raise DataError(f"{path}: {name} is a cell of matrices (T, K) of one K")
        found[part] = _ragged(path, name, matrices, torch.tensor([len(matrix) for matrix in matrices]))
    return found


def _ragged(path: Path, name: str, parts: Sequence[NDArray[Any]], lengths: torch.Tensor) -> Ragged:
    """Return the sequences of these lengths, whose frames are the rows of ``parts``, end to end."""
    if not parts[0].shape[1]:
        raise DataError(f"{path}: frames of {name} have no notes")
    values = torch.from_numpy(np.concatenate([_ones(part) for part in parts]))
    wrong = (values == _NEITHER).nonzero()
    if len(wrong):
        frame, note = wrong[0].tolist()
        ends = lengths.cumsum(0)
        number = int(torch.searchsorted(ends, frame, right=True))
        place = frame - int(ends[number] - lengths[number])
        raise DataError(
            f"{path}: sequence {number + 1} of {name} (frame {place + 1}, note {note + 1}) is not of 0 and 1 "
            "alone"
        )
    return Ragged.from_lengths(values, lengths)


def _ones(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 1 where there is a one, 0 where there is a zero, and elsewhere `_NEITHER`."""
    ones = frames == 1
    return np.where(ones | (frames == 0), ones, _NEITHER).astype(np.uint8)


def _split(whole: Ragged, validation: float, test: float, seed: int, name: str) -> FrameParts:
    if validation + test >= 1:
        raise DataError(
            f"shares of {validation:g} and {test:g} leave nothing to train on; lower --validation or --test"
        )
    counts = [max(1, round(share * len(whole))) if share else 0 for share in (validation, test)]
    if sum(counts) >= len(whole) or not counts[0]:
        raise DataError(
            f"{name} has {len(whole)} sequences, too few for training, "
            f"validation{' and test' if test else ''}"
        )
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(whole)))
    rest, chosen, last = order.split([len(whole) - sum(counts), *counts])
    parts = [whole[part.sort().values] for part in (rest, chosen, last)]
    return FrameParts(parts[0], parts[1], parts[2] if test else None)
