"""What a convolutional module is made of: parts in series and side by side.

A block says so once, in `Composite.parts`. How it computes, how far it sees (`receptive_field`) and how it
runs on a stream (`step`, `chunk`) all follow from that.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from throughtime.nn._output import unwrapped


class Series(NamedTuple):
    """Parts one after the other, with their names; a part is a module, a function, or parts again."""

    parts: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, **parts: Any) -> "Series":
        """Name the parts; those that are None are left out."""
        return cls(tuple((name, part) for name, part in parts.items() if part is not None))

    def __call__(self, x: Any) -> Any:
        for _, part in self.parts:
            x = unwrapped(part(x))
        return x


class SideBySide(NamedTuple):
    """Parts side by side on the same input, and how their outputs become one."""

    parts: tuple[tuple[str, Any], ...]
    merge: Callable[[list[Any]], Any]

    def __call__(self, x: Any) -> Any:
        return self.merge([unwrapped(part(x)) for _, part in self.parts])


class Composite(nn.Module):
    """A module that is what its parts are."""

    def parts(self) -> Series | SideBySide:
        """Return what the module is made of."""
        raise NotImplementedError

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the output, of the kind that came in: Ragged (T, C) or tensor (N, C, L)."""
        return self.parts()(unwrapped(input))


def concatenated(outputs: list[Any]) -> Any:
    """Put the features of several outputs side by side; dim 1 has them in (T, C) and in (N, C, L)."""
    return torch.cat(outputs, dim=1)


def named(modules: Iterable[Any], name: str) -> tuple[tuple[str, Any], ...]:
    """Name modules by their place in a list."""
    return tuple((f"{name}.{place}", module) for place, module in enumerate(modules))


def parts_of(module: Any) -> Series | SideBySide | None:
    """Return what a module is made of, or None if it is a layer."""
    if isinstance(module, Series | SideBySide):
        return module
    if isinstance(module, Composite):
        return module.parts()
    if type(module) is nn.Sequential:
        # Not named_children, which leaves out a module that comes a second time.
        return Series(tuple(module._modules.items()))  # noqa: SLF001
    return None


def join(path: str, name: str) -> str:
    """Return the path of a part."""
    return f"{path}.{name}" if path else name
