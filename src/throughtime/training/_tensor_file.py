"""A tree of tensors and JSON values as one safetensors file with a checksum. No pickle, no models."""

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from throughtime.errors import KindError, RunError
from throughtime.training._files import write_bytes

_KEY = "throughtime"
_PLACES = ("$tensor", "$tuple", "$items", "$float")


def write_tree(path: Path, tree: Any) -> None:
    """Write a tree of dicts, lists, tuples, tensors, numbers, strings, bools and None, atomically.

    Parameters
    ----------
    path : Path
        Is replaced when the new file is complete.
    tree : Any
        Tensors are named by their place in the tree, such as ``state_dict.embedding.weight``.

    Raises
    ------
    KindError
        If the tree holds anything else; the message says where.
    RunError
        If the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    content = {"tree": _flattened(tree, "", tensors)}
    content["crc32"] = _checksum(content["tree"], tensors)
    write_bytes(path, save(tensors, metadata={_KEY: json.dumps(content, allow_nan=False)}))


def read_tree(path: Path) -> Any:
    """Read what `write_tree` wrote.

    Raises
    ------
    RunError
        If the file is missing, cut short, or damaged in any byte.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror or error})") from error
    try:
        tensors = load(data)
        content = json.loads(_metadata(data)[_KEY])
        tree, checksum = content["tree"], content["crc32"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is cut short or damaged ({_one_line(error)}); restore the file or train again"
        ) from error
    if checksum != _checksum(tree, tensors):
        raise RunError(f"{path} is damaged (its checksum does not match); restore the file or train again")
    return _restored(tree, tensors)


def _metadata(data: bytes) -> Any:
    """Return the metadata of a safetensors file: 8 bytes of length, then a JSON header."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]


def _checksum(tree: Any, tensors: Mapping[str, Tensor]) -> int:
    checksum = zlib.crc32(json.dumps(tree, sort_keys=True).encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(name.encode(), checksum)
        if tensors[name].numel():
            checksum = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, checksum)
    return checksum


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
    raise KindError(f"a tensor file cannot hold a {type(node).__name__}, found at {place or 'its root'!r}")


def _flattened_mapping(node: Mapping[Any, Any], place: str, tensors: dict[str, Tensor]) -> Any:
    prefix = f"{place}." if place else ""
    values = {key: _flattened(value, f"{prefix}{key}", tensors) for key, value in node.items()}
    if all(isinstance(key, str) and key not in _PLACES for key in values):
        return values
    return {"$items": [[_flattened(key, place, tensors), value] for key, value in values.items()]}


def _restored(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo `_flattened`."""
    match node:
        case list():
            result: Any = [_restored(item, tensors) for item in node]
        case {"$tensor": place}:
            result = tensors[place]
        case {"$tuple": items}:
            result = tuple(_restored(item, tensors) for item in items)
        case {"$items": items}:
            result = {_restored(key, tensors): _restored(value, tensors) for key, value in items}
        case {"$float": text}:
            result = float(text)
        case dict():
            result = {key: _restored(value, tensors) for key, value in node.items()}
        case _:
            result = node
    return result


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
