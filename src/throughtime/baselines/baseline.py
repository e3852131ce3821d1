"""`Baseline`: a simple model that a network is compared with."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from throughtime.data.examples import Examples
from throughtime.tasks import Outputs, SequenceTask
from throughtime.tasks.intervals import Interval
from throughtime.tasks.outputs import by_row

NO_MODEL = nn.Identity()
"""For functions of tasks that take a model beside its outputs."""

Predictor = Callable[[Examples], Outputs]
"""Outputs of a fitted baseline, in the form of those of a model for the same task; targets are not used."""


@dataclass(frozen=True)
class Fit:
    """What fitting gave: a predictor, and how much it took.

    Parameters
    ----------
    predictor : callable
        See `Predictor`.
    parameters : int
        Number of fitted numbers.
    rows : int
        Number of training examples used, which is less than all if these take too long.
    tokens : int
        Number of tokens or steps processed, counted again for each setting that was tried.
    """

    predictor: Predictor
    parameters: int
    rows: int
    tokens: int


@dataclass(frozen=True)
class Baseline:
    """A simple model, fitted to the same training examples as a network.

    Use `fit_baselines` to construct them.

    Parameters
    ----------
    name : str
        Such as ``"majority"``.
    fit : Fit
        The predictor and its size.
    task : SequenceTask
        The task, with the threshold or temperature that suits this baseline if the task has one.
    seconds : float
        Time of fitting.
    """

    name: str
    fit: Fit
    task: SequenceTask
    seconds: float

    @property
    def parameters(self) -> int:
        """Number of fitted numbers."""
        return self.fit.parameters

    @property
    def reads_inputs(self) -> bool:
        """Whether outputs depend on the inputs; those of a majority class do not."""
        return self.fit.parameters > 0

    @property
    def rows(self) -> int:
        """Number of training examples used."""
        return self.fit.rows

    @property
    def tokens(self) -> int:
        """Number of tokens or steps processed in fitting."""
        return self.fit.tokens

    def outputs(self, examples: Examples) -> Outputs:
        """Return what a model for the task would put out, such as log probabilities (B, C), in float64."""
        return self.fit.predictor(examples)

    def measure(self, examples: Examples) -> tuple[dict[str, float], int]:
        """Return all metrics of the task, and the number of examples that they are means over."""
        return self.task.measure(NO_MODEL, *by_row(self.outputs(examples), examples))

    def assess(self, examples: Examples) -> tuple[dict[str, float], int, dict[str, Interval]]:
        """Return what `measure` does, with the 95 % interval of each metric that has one."""
        return self.task.measure_with_intervals(NO_MODEL, *by_row(self.outputs(examples), examples))
