"""A tree of tensors and JSON values as one safetensors file. No pickle, no models."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from throughtime.errors import InputTypeError, RunError
from throughtime.training._checksums import read_checked, write_checked
from throughtime.training._json import MOST_BYTES, json_value, require_few_values

_KEY = "throughtime"
_PLACES = ("$tensor", "$tuple", "$items", "$float")


def write_tree(path: Path, tree: Any) -> None:
    """Write a tree as a file of a run, atomically; see `to_bytes`."""
    write_checked(path, to_bytes(tree))


def read_tree(path: Path) -> Any:
    """Read what `write_tree` wrote.

    Raises
    ------
    RunError
        If the file is missing, cut short, damaged in any byte, or not of that kind.
    """
    return from_bytes(read_checked(path), path)


def to_bytes(tree: Any) -> bytes:
    """Return a tree of dicts, lists, tuples, tensors, numbers, strings, bools and None as safetensors.

    Tensors are named by their place in the tree, such as ``state_dict.embedding.weight``.

    Raises
    ------
    InputTypeError
        If the tree holds anything else; the message says where. Also if `from_bytes` would refuse the bytes,
        so that nothing is written that cannot be read again.
    """
    tensors: dict[str, Tensor] = {}
    content = _flattened(tree, "", tensors)
    text = json.dumps(content, allow_nan=False)
    try:
        json_value(text)
    except ValueError as error:
        raise InputTypeError(f"a tensor file cannot hold this tree: {error}") from error
    data = save(tensors, metadata={_KEY: text})
    length = _header_length(data)
    if length > MOST_BYTES:
        raise InputTypeError(
            f"a tensor file cannot hold this tree: its header would have {length:,} bytes, and at most "
            f"{MOST_BYTES:,} can be read; store long lists of numbers as tensors"
        )
    try:
        require_few_values(_header(data))
    except ValueError as error:
        raise InputTypeError(f"a tensor file cannot hold this tree: {error} in its header") from error
    return data


def from_bytes(data: bytes, path: Path) -> Any:
    """Undo `to_bytes`; ``path`` is where the bytes are from.

    Raises
    ------
    RunError
        If they are something else.
    """
    length = _header_length(data)
    if length > MOST_BYTES:
        raise RunError(f"{path} is cut short or damaged (its header would have {length:,} bytes)")
    try:
        require_few_values(_header(data))
        tensors = load(data)
    except Exception as error:  # besides its own the library raises what Python and torch do
        raise _damaged(path, error) from error
    try:
        # The library has read this header already, but it does not give out the metadata of bytes.
        metadata = json.loads(_header(data))["__metadata__"]
        return _restored(json_value(metadata[_KEY]), tensors)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _header_length(data: bytes) -> int:
    return int.from_bytes(data[:8], "little")


def _header(data: bytes) -> str:
    return data[8 : 8 + _header_length(data)].decode(errors="replace")


def _damaged(path: Path, error: Exception) -> RunError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return RunError(f"{path} is cut short or damaged ({reason}); restore the file or train again")


def _flattened(node: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """Return ``node`` as JSON values; its tensors go into ``tensors``."""
    if isinstance(node, Tensor):
        tensors[place] = node.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"$tensor": place}
    if isinstance(node, float) and not math.isfinite(node):
        return {"$float": repr(node)}
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if isinstance(node, list | tuple):
        items = [_flattened(item, f"{place}.{i}", tensors) for i, item in enumerate(node)]
        return {"$tuple": items} if isinstance(node, tuple) else items
    if isinstance(node, Mapping):
        return _flattened_mapping(node, place, tensors)
    raise InputTypeError(
        f"a tensor file cannot hold a {type(node).__name__}, found at {place or 'its root'!r}"
    )


def _flattened_mapping(node: Mapping[Any, Any], place: str, tensors: dict[str, Tensor]) -> Any:
    prefix = f"{place}." if place else ""
    values = {key: _flattened(value, f"{prefix}{key}", tensors) for key, value in node.items()}
    if all(isinstance(key, str) and key not in _PLACES for key in values):
        return values
    return {"$items": [[_flattened(key, place, tensors), value] for key, value in values.items()]}


def _restored(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo `_flattened`; raises what a node of another form raises, or a ValueError that says so."""
    match node:
        case list():
            result: Any = [_restored(item, tensors) for item in node]
        case {"$tensor": str(place), **others} if not others and place in tensors:
            result = tensors[place]
        case {"$tuple": list(items), **others} if not others:
            result = tuple(_restored(item, tensors) for item in items)
        case {"$items": list(items), **others} if not others:
            result = {_restored(key, tensors): _restored(value, tensors) for key, value in items}
        case {"$float": str(text), **others} if not others:
            result = float(text)
        case dict() if not any(place in node for place in _PLACES):
            result = {key: _restored(value, tensors) for key, value in node.items()}
        case dict():
            raise ValueError(f"{', '.join(map(repr, node))} of its tree stands for nothing")
        case _:
            result = node
    return result
