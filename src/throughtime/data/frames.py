"""Readers of binary frames, such as piano rolls, from .npz and .mat files.

A .npz file has ``frames`` (T, K), the concatenated sequences, and ``lengths`` (B,); optionally also
``validation_frames``, ``validation_lengths``, ``test_frames`` and ``test_lengths`` for a given split. A .mat
file is one of the polyphonic music data sets of Boulanger-Lewandowski et al. (2012): cell arrays
``traindata``, ``validdata`` and ``testdata`` of (T, K) matrices.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from throughtime._words import counted
from throughtime.data.columns import short
from throughtime.data.files import size_of
from throughtime.data.fractions import LOWER_FRACTIONS, require_training_fraction
from throughtime.data.matlab import read_cells
from throughtime.data.npz import read_arrays
from throughtime.errors import DataError
from throughtime.ragged import Ragged

SUFFIXES = (".npz", ".mat")

_MAX_RATIO = 500
"""Maximum compression ratio of a file: float64 piano rolls with long notes reach 220."""
_INVALID = 2


class FrameParts(NamedTuple):
    """Training, validation and test sequences of frames, (T, K) uint8 each."""

    training: Ragged
    validation: Ragged
    test: Ragged | None


def read_frames(path: Path, *, validation: float, test: float, seed: int) -> FrameParts:
    """Read sequences of frames with the split of the file, or a random split if the file has none.

    Parameters
    ----------
    path
        A .npz or .mat file.
    validation, test
        Fractions of the sequences for validation and test, for a random split; a test fraction of 0 gives no
        test part.
    seed
        Random seed for the split.

    Raises
    ------
    DataError
        If the file cannot be read or is incomplete, or if values other than 0 and 1 occur.

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
    stored = _read(path)
    training = stored["training"]
    if training is None:
        raise DataError(f"{path} has no sequences for training; see docs/next-step.md for the file format")
    if stored["validation"] is not None:
        parts = FrameParts(training, stored["validation"], stored["test"])
    else:
        parts = _split(training, validation, test, seed, str(path))
    for name, part in zip(FrameParts._fields, parts, strict=True):
        if part is not None and part.shape[1] != training.shape[1]:
            raise DataError(
                f"{path}: the {name} frames have {part.shape[1]} notes, but the training frames have "
                f"{training.shape[1]}; give all frames the same notes"
            )
        if part is not None and not (part.lengths > 1).any():
            raise DataError(
                f"{path}: no {name} sequence has two frames, the minimum to predict one; give longer ones"
            )
    return parts


def read_prompt(path: Path, notes: int) -> torch.Tensor:
    """Return the first sequence of a file as a prompt, (T, K) float32.

    Raises
    ------
    DataError
        As `read_frames`, or if the frames have another number of notes.
    """
    sequences = _read(path)["training"]
    if sequences is None or not len(sequences) or not len(sequences[0]):
        raise DataError(f"{path} has no frames; its first sequence is the prompt, so give at least one frame")
    if sequences.shape[1] != notes:
        raise DataError(
            f"{path} has frames of {sequences.shape[1]} notes, but the run was trained on {notes}; give "
            f"frames of {notes} notes"
        )
    return sequences[0].float()


def write_frames(path: Path, frames: torch.Tensor) -> None:
    """Write one sequence of frames, (T, K), to a .npz file for `read_frames` and `read_prompt`."""
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
    present, content = read_arrays(path, names, _MAX_RATIO)
    return {part: _npz_part(path, present, content, prefix) for part, prefix in prefixes.items()}


def _npz_part(
    path: Path, present: Sequence[str], content: Mapping[str, NDArray[Any]], prefix: str
) -> Ragged | None:
    names = f"{prefix}frames", f"{prefix}lengths"
    if not any(name in content for name in names) and prefix:
        return None
    for name in names:
        if name not in content:
            existing = short(", ".join(present)) or "none"
            raise DataError(f"{path} has no array {name!r}; its arrays are {existing}")
    frames, lengths = content[names[0]], content[names[1]]
    if frames.ndim != 2 or lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {names[0]} must have shape (T, K) and {names[1]} shape (B,) with integers; got shapes "
            f"{frames.shape} and {lengths.shape} of {lengths.dtype}"
        )
    # The sum of lengths that are out of range may overflow.
    outside = (lengths < 0) | (lengths > len(frames))
    total = -1 if outside.any() else int(lengths.sum(dtype=np.int64))
    if total != len(frames):
        problem = f"length {lengths[outside][0]} is out of range" if total < 0 else f"their sum is {total}"
        raise DataError(
            f"{path}: {names[1]} must add up to the {len(frames)} rows of {names[0]}, but {problem}"
        )
    return _ragged(path, names[0], [frames], torch.from_numpy(lengths.astype(np.int64)))


def _read_mat(path: Path) -> dict[str, Ragged | None]:
    names = dict(zip(FrameParts._fields, ("traindata", "validdata", "testdata"), strict=True))
    content = read_cells(path, names.values(), _MAX_RATIO)
    parts: dict[str, Ragged | None] = {}
    for part, name in names.items():
        if name not in content:
            raise DataError(
                f"{path} has no cell array {name!r}; expected traindata, validdata and testdata, as in the "
                "polyphonic music data sets"
            )
        matrices = content[name]
        widths = sorted({matrix.shape[1] for matrix in matrices})
        if len(widths) != 1:
            raise DataError(
                f"{path}: {name} must be a cell array of matrices (T, K) with the same K, got K of {widths}"
            )
        parts[part] = _ragged(path, name, matrices, torch.tensor([len(matrix) for matrix in matrices]))
    return parts


def _ragged(path: Path, name: str, parts: Sequence[NDArray[Any]], lengths: torch.Tensor) -> Ragged:
    """Return the sequences of these lengths from the concatenated rows of ``parts``."""
    if not parts[0].shape[1]:
        raise DataError(f"{path}: the frames in {name} have no notes; give arrays of shape (T, K), K ≥ 1")
    values = torch.from_numpy(np.concatenate([_as_binary(part) for part in parts]))
    invalid = (values == _INVALID).nonzero()
    if len(invalid):
        row, note = invalid[0].tolist()
        ends = lengths.cumsum(0)
        number = int(torch.searchsorted(ends, row, right=True))
        frame = row - int(ends[number] - lengths[number])
        raise DataError(
            f"{path}: sequence {number + 1} of {name} (frame {frame + 1}, note {note + 1}) is neither 0 nor "
            "1; give binary frames"
        )
    return Ragged.from_lengths(values, lengths)


def _as_binary(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Return zeros and ones as uint8, and `_INVALID` for all other values."""
    ones = frames == 1
    return np.where(ones | (frames == 0), ones, _INVALID).astype(np.uint8)


def _split(sequences: Ragged, validation: float, test: float, seed: int, name: str) -> FrameParts:
    require_training_fraction(validation, test)
    counts = [max(1, round(share * len(sequences))) if share else 0 for share in (validation, test)]
    if sum(counts) >= len(sequences) or not counts[0]:
        raise DataError(
            f"{name} has {counted(len(sequences), 'sequence')}, too few for training, "
            f"validation{' and test' if test else ''}; give more sequences or {LOWER_FRACTIONS}"
        )
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(sequences)))
    split = order.split([len(sequences) - sum(counts), *counts])
    parts = [sequences[rows.sort().values] for rows in split]
    return FrameParts(parts[0], parts[1], parts[2] if test else None)
