"""What the commands of ``throughtime bench`` have in common."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.console import Console

from throughtime.bench.machine import Machine
from throughtime.errors import ShapeError

# Threads at work in the minute before, on average; a run of ours that has just ended counts, too.
_QUIET = 0.5


def console_of() -> Console:
    """Return where to print: into a file or a pipe rich would fold the table at 80 columns."""
    return Console(width=None if Console().is_terminal else 140, highlight=False)


def busy(machine: Machine) -> list[str]:
    """Return a line if something else was running when this began."""
    if machine.load is None or machine.load <= _QUIET:
        return []
    return [f"the load was {machine.load:.1f} when this began: whatever else runs here disturbs the times"]


def time_shown(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def machine_line(machine: Machine) -> str:
    """Return processor, threads and the limit of its arithmetic."""
    return (
        f"{machine.processor}, {machine.cores} cores, {machine.threads} threads, "
        f"{machine.instruction_set}; peak FMA throughput: {machine.fma_gflops:.0f} GFLOP/s"
    )


def chosen(text: str, known: Sequence[str], option: str) -> list[str]:
    """Return the parts of a comma-separated option, each once and known; of "none" none."""
    if text.strip() == "none":
        return []
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if part not in known:
            raise ShapeError(f"--{option}: {part!r} is none of {', '.join(known)}; none for nothing")
    return list(dict.fromkeys(parts))


Shape = TypeVar("Shape", bound=tuple[int, ...])


def shape_of(text: str, kind: Callable[..., Shape], numbers: str) -> Shape:
    """Return positive numbers that commas separate, as many as ``kind`` takes; ``numbers`` says which."""
    try:
        shape = kind(*map(int, text.split(",")))
    except (TypeError, ValueError):
        shape = None
    if shape is None or min(shape) < 1:
        raise ShapeError(f"--shape takes {numbers}, got {text!r}")
    return shape
