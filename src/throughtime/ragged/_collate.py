"""Collate function for `torch.utils.data.DataLoader`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged._ragged import Ragged


def collate(samples: Sequence[Any]) -> Any:
    """Collate samples into a batch: sequences become `Ragged`, numbers become a tensor.

    Use it as ``DataLoader(dataset, collate_fn=throughtime.collate)``. The type of a field in the batch
    depends on its type and rank, not on whether lengths are equal:

    ===============================  ====================================
    field of a sample                field of the batch
    ===============================  ====================================
    tensor or array, rank 1 or more  Ragged, one sequence per sample
    Ragged                           Ragged, all sequences of all samples
    number, bool, rank-0 tensor      Tensor (B,)
    str, bytes, None                 list
    tuple, list, dict, namedtuple    the same, field by field
    ===============================  ====================================

    Raises
    ------
    ShapeError
        If there are no samples, or samples differ in structure.
    InputTypeError
        If the type of a field is not supported.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> tokens, labels = tt.collate([(torch.tensor([5, 3]), 0), (torch.tensor([7]), 1)])
    >>> tokens
    Ragged(lengths=[2, 1], features=(), dtype=int64)
    >>> labels
    tensor([0, 1])
    """
    samples = list(samples)
    if not samples:
        raise ShapeError("collate got no samples; a batch needs at least one")
    first = samples[0]
    _check_same_kind(samples)
    if isinstance(first, Mapping):
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(collate(column) for column in zip(*samples, strict=True)))
    if isinstance(first, tuple | list):
        return type(first)(collate(column) for column in zip(*samples, strict=True))
    return _collate_leaves(samples)


def _check_same_kind(samples: list[Any]) -> None:
    first = samples[0]
    for i, sample in enumerate(samples):
        same = isinstance(sample, type(first)) or isinstance(first, type(sample))
        if isinstance(first, Mapping):
            same = isinstance(sample, Mapping) and sample.keys() == first.keys()
        elif isinstance(first, tuple | list) and same:
            same = len(sample) == len(first)
        elif isinstance(first, int | float) and isinstance(sample, int | float):
            same = True
        if not same:
            raise ShapeError(
                f"sample {i} ({_describe(sample)}) has another structure than "
                f"sample 0 ({_describe(first)}); all samples of a batch must have the same structure"
            )


def _describe(sample: Any) -> str:
    if isinstance(sample, Mapping):
        return f"keys {sorted(map(str, sample))}"
    if isinstance(sample, tuple | list):
        return f"{type(sample).__name__} of {len(sample)}"
    return type(sample).__name__


def _collate_leaves(samples: list[Any]) -> Any:
    first = samples[0]
    if isinstance(first, Ragged):
        return Ragged.cat(samples)
    if isinstance(first, np.ndarray | np.generic):
        samples = [torch.as_tensor(sample) for sample in samples]
        first = samples[0]
    if isinstance(first, Tensor):
        return torch.stack(samples) if first.dim() == 0 else Ragged.from_list(samples)
    if isinstance(first, bool | int | float):
        return torch.tensor(samples)
    if first is None or isinstance(first, str | bytes):
        return samples
    raise InputTypeError(
        f"collate does not support {type(first).__name__}; give tensors, arrays, numbers, strings, "
        "Ragged, or tuples, lists and dicts of them"
    )


def _collate_raggeds(batch: list[Ragged], *, collate_fn_map: object = None) -> Ragged:  # noqa: ARG001
    return Ragged.cat(batch)


# With this entry, torch's default_collate concatenates samples that are Ragged.
default_collate_fn_map[Ragged] = _collate_raggeds
