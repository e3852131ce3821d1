"""Sequences of frames of 0 and 1, such as piano rolls, out of .npz and .mat files.

A .npz has ``frames`` (T, K) and ``lengths`` (B,), all sequences end to end; with ``validation_frames``,
``validation_lengths``, ``test_frames`` and ``test_lengths`` if these parts are chosen already. A .mat is one
of the files of polyphonic music that go with Boulanger-Lewandowski et al. (2012): cells ``traindata``,
``validdata`` and ``testdata`` of (T, K) each.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from throughtime.errors import DataError
from throughtime.ragged import Ragged

SUFFIXES = (".npz", ".mat")


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
            raise DataError(f"{path}: no sequence of {name} has two frames; it takes two to foresee one")
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
    if not path.exists():
        raise DataError(f"{path} does not exist; give a file of frames")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: frames are read from {' and '.join(SUFFIXES)} files, not {path.suffix!r}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; give a file of frames")
    return _read_npz(path) if path.suffix.lower() == ".npz" else _read_mat(path)


def _read_npz(path: Path) -> dict[str, Ragged | None]:
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read as .npz ({_one_line(error)}); write it with numpy.savez"
        ) from error
    return {
        "training": _npz_part(path, content, ""),
        "validation": _npz_part(path, content, "validation_"),
        "test": _npz_part(path, content, "test_"),
    }


def _npz_part(path: Path, content: Mapping[str, NDArray[Any]], prefix: str) -> Ragged | None:
    names = f"{prefix}frames", f"{prefix}lengths"
    if not any(name in content for name in names) and prefix:
        return None
    for name in names:
        if name not in content:
            has = ", ".join(content) or "nothing"
            raise DataError(f"{path} has no array {name!r}; it has {has}")
    frames, lengths = content[names[0]], content[names[1]]
    if frames.ndim != 2 or lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {names[0]} is (T, K) and {names[1]} is (B,) of whole numbers; got shapes "
            f"{frames.shape} and {lengths.shape} of {lengths.dtype}"
        )
    if (lengths < 0).any() or int(lengths.sum()) != len(frames):
        raise DataError(
            f"{path}: {names[1]} must add up to the {len(frames)} rows of {names[0]}, they give "
            f"{int(lengths.sum())}"
        )
    ends = np.cumsum(lengths)
    sequences = [frames[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    return _ragged(path, names[0], sequences, frames.shape[1])


def _read_mat(path: Path) -> dict[str, Ragged | None]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise DataError(f"{path} cannot be read as .mat ({_one_line(error)})") from error
    parts = dict(zip(FrameParts._fields, ("traindata", "validdata", "testdata"), strict=True))
    found: dict[str, Ragged | None] = {}
    for part, name in parts.items():
        if name not in content:
            raise DataError(f"{path} has no cell {name!r}, as files of polyphonic music have")
        sequences = list(np.ravel(content[name]))
        bad = [s for s in sequences if getattr(s, "ndim", 0) != 2]
        if bad or not sequences or len({s.shape[1] for s in sequences}) > 1:
            raise DataError(f"{path}: {name} is a cell of matrices (T, K) of one K")
        found[part] = _ragged(path, name, sequences, sequences[0].shape[1])
    return found


def _ragged(path: Path, name: str, sequences: list[NDArray[Any]], notes: int) -> Ragged:
    for number, sequence in enumerate(sequences, start=1):
        if sequence.dtype.kind not in "biuf" or not np.isin(sequence, (0, 1)).all():
            wrong = np.argwhere(~np.isin(sequence, (0, 1)))
            where = f" (frame {wrong[0][0] + 1}, note {wrong[0][1] + 1})" if len(wrong) else ""
            raise DataError(f"{path}: sequence {number} of {name}{where} is not of 0 and 1 alone")
    if not notes:
        raise DataError(f"{path}: frames of {name} have no notes")
    values = np.concatenate([*sequences, np.zeros((0, notes))]).astype(np.uint8)
    return Ragged.from_lengths(torch.from_numpy(values), [len(sequence) for sequence in sequences])


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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
