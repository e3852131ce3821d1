"""What every contender offers: a call to time, and its results in one form for comparison."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from throughtime.bench._lengths import Mode
from throughtime.bench.recurrent.case import Case
from throughtime.errors import ThroughtimeError


class SkipCaseError(ThroughtimeError, RuntimeError):
    """A contender cannot run a case; the message says why."""


@dataclass(frozen=True)
class Prepared:
    """A case that is ready to run; its setup is done once, before the measured call.

    Parameters
    ----------
    run
        The call to time.
    results
        Makes of what ``run`` returned: y of all tokens, end to end, for inference; the gradients of x and
        of the four parameters, in torch's order, for training.
    """

    run: Callable[[], Any]
    results: Callable[[Any], tuple[Tensor, ...]]


class Contender(Protocol):
    """A library with recurrent layers."""

    name: str
    version: str

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        """Return the case ready to run, or raise `SkipCaseError`."""
        ...
