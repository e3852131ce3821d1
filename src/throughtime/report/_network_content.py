"""What the demo's page shows of its networks, as data: filters, gates, mistakes, influence of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A line of a figure: values y over x; a value may be None."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]


@dataclass(frozen=True)
class Filter:
    """One filter of a convolution.

    Parameters
    ----------
    ngrams : sequence of str
        The n-grams that activate it most, the highest activation first.
    activation : float
        The highest activation.
    weight : float
        The largest of its weights in the logits, less the mean of all.
    towards : str
        The class whose weight that is.
    """

    ngrams: Sequence[str]
    activation: float
    weight: float
    towards: str


@dataclass(frozen=True)
class Convolution:
    """All filters of one kernel size, and those with the largest effect."""

    kernel_size: int
    filters: Sequence[Filter]
    strongest: Sequence[Filter]


@dataclass(frozen=True)
class GateCurves:
    """Gates of one direction of a recurrent layer around a marked token.

    Parameters
    ----------
    name : str
        Name of the direction.
    means : sequence of Line
        Mean of each gate over units and sequences, by distance from the marked token.
    saturation : mapping of str to pair of float
        For each gate the fraction of closed and of open units.
    """

    name: str
    means: Sequence[Line]
    saturation: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Recurrence:
    """Gates and gradient flow of a recurrent network.

    Parameters
    ----------
    directions : sequence of GateCurves
        One for each direction.
    gradients : sequence of Line
        Mean gradient norms by distance from the last step that a direction reads.
    """

    directions: Sequence[GateCurves]
    gradients: Sequence[Line]


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy of one model on a part of the test examples, with its 95 % interval."""

    group: str
    count: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class ConfusedPair:
    """A kind of mistake: what was true, what the model saw, and how often it was wrong."""

    truth: str
    shown: str
    count: int
    wrong: int

    @property
    def rate(self) -> float:
        """Fraction of wrong predictions."""
        return self.wrong / self.count


@dataclass(frozen=True)
class Mistakes:
    """What a model is bad at.

    Parameters
    ----------
    name : str
        Name of the model.
    summary : str
        The main weaknesses in one or two sentences.
    groups, lengths : sequence of GroupAccuracy
        By kind of example, and by length.
    pairs : sequence of ConfusedPair
        The most frequent kinds of mistakes.
    """

    name: str
    summary: str
    groups: Sequence[GroupAccuracy]
    lengths: Sequence[GroupAccuracy]
    pairs: Sequence[ConfusedPair]


@dataclass(frozen=True)
class TokenScores:
    """Influence of each token on one model's log odds of the second class, and its probability."""

    name: str
    probability: float
    scores: Sequence[float]


@dataclass(frozen=True)
class TokenExample:
    """One sequence with the influence of its tokens on each model."""

    tokens: Sequence[str]
    truth: str
    where: str
    models: Sequence[TokenScores]


@dataclass(frozen=True)
class LivePage:
    """An interactive page: its title, what it shows, where it is, and a link if it has been built."""

    title: str
    about: str
    path: str
    link: str | None


@dataclass(frozen=True)
class NetworkViews:
    """Everything that the page shows of the inside of its networks.

    Parameters
    ----------
    classes : sequence of str
        The two classes.
    mistakes : sequence of Mistakes
        One for each network.
    convolution_of, recurrence_of : str
        Names of the convolutional and of the recurrent network.
    convolutions : sequence of Convolution
        One for each kernel size.
    recurrence : Recurrence
        Gates and gradients.
    influence : sequence of Line
        For each network, the mean fraction of influence in percent by distance from the marked token.
    tokens : sequence of TokenExample
        Single examples.
    live : sequence of LivePage
        Interactive pages.
    """

    classes: Sequence[str]
    mistakes: Sequence[Mistakes]
    convolution_of: str
    recurrence_of: str
    convolutions: Sequence[Convolution]
    recurrence: Recurrence
    influence: Sequence[Line]
    tokens: Sequence[TokenExample]
    live: Sequence[LivePage]
