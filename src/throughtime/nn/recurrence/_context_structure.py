"""The structure of a context as text, a constant of the graphs of torch.compile."""

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree


def structure_text(context: Any) -> str | None:
    """Return a tuple, list or dict of tensors as text, with ``0`` for each; None for other structures.

    torch.compile follows it: nothing here depends on the values of tensors.
    """
    if isinstance(context, Tensor):
        return "0"
    if type(context) is dict:
        parts = [(name, structure_text(part)) for name, part in context.items()]
        known = all(isinstance(name, str) and part is not None for name, part in parts)
        return "{" + ", ".join([f"{name!r}: {part}" for name, part in parts]) + "}" if known else None
    if type(context) is tuple or type(context) is list:
        texts = [structure_text(part) for part in context]
        if None in texts:
            return None
        inner = "".join([f"{text}, " for text in texts])
        return f"({inner})" if type(context) is tuple else f"[{inner}]"
    return None


def with_structure(leaves: Sequence[Tensor], text: str) -> Any:
    """Return the structure with these tensors, in the order of `torch.utils._pytree`."""
    following: Iterator[Tensor] = iter(leaves)
    return pytree.tree_map(lambda _: next(following), _parsed(text))


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    return ast.literal_eval(text)
