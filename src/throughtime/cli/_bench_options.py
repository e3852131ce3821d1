"""Options and output shared by the commands of ``throughtime bench``."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.console import Console

from throughtime.bench.machine import Machine
from throughtime.errors import ShapeError

# Mean number of busy threads in the last minute, which includes a benchmark that has just ended.
_QUIET = 0.5


def console_of() -> Console:
    """Return a console that does not fold tables at 80 columns when writing to a file or pipe."""
    return Console(width=None if Console().is_terminal else 140, highlight=False)


def busy(machine: Machine) -> list[str]:
    """Return a warning if the machine was busy at the start."""
    if machine.load is None or machine.load <= _QUIET:
        return []
    return [f"the load average was {machine.load:.1f} at the start; other programs may distort the times"]


def time_shown(seconds: float) -> str:
    """Return a time in s, ms, us or ns, with three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def machine_line(machine: Machine) -> str:
    """Return the processor, its threads and its peak FMA throughput as one line."""
    return (
        f"{machine.processor}, {machine.cores} cores, {machine.threads} threads, "
        f"{machine.instruction_set}; peak FMA throughput: {machine.fma_gflops:.0f} GFLOP/s"
    )


def chosen(text: str, known: Sequence[str], option: str) -> list[str]:
    """Return the distinct values of a comma-separated option; "none" gives an empty list."""
    if text.strip() == "none":
        return []
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if part not in known:
            raise ShapeError(f"--{option}: unknown value {part!r}; choose from {', '.join(known)}, or none")
    return list(dict.fromkeys(parts))


Shape = TypeVar("Shape", bound=tuple[int, ...])


def shape_of(text: str, kind: Callable[..., Shape], numbers: str) -> Shape:
    """Parse comma-separated positive numbers into a ``kind``; ``numbers`` describes them in the error."""
    try:
        shape = kind(*map(int, text.split(",")))
    except (TypeError, ValueError):
        shape = None
    if shape is None or min(shape) < 1:
        raise ShapeError(f"--shape takes {numbers}, got {text!r}")
    return shape
