"""`Rocket` (Dempster 2021): a linear model of features of fixed convolutions, solved for its weights."""

import math
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from throughtime.models._inputs import InputKind, ModelInputs
from throughtime.models._options import Differences, Features, Normalize, Statistics
from throughtime.models.solved import SolvedModel
from throughtime.nn import MiniRocket, Parallel, Pool
from throughtime.nn.description import Series
from throughtime.ragged import Ragged

_SHARE = 0.02
_ROUNDING = 1e-4


class Rocket(SolvedModel):
    r"""Features of `throughtime.nn.MiniRocket`, means, deviations → linear; trained by ridge regression.

    o = W φ(x) + U [μ(x), σ(x)] + V e + c

    φ are proportions of positive values of convolutions with fixed kernels, μ and σ the mean and the standard
    deviation of each channel over the steps of a series, and e the extra features. Training by name sets the
    biases of φ by the training series, then W, U, V and c by ridge regression on classes or labels coded −1
    and 1, or on values: of standardized features, whose means and deviations W, U, V and c contain, and with
    a penalty by leave-one-out. Each of μ, σ and e weighs as much as 2 % of the features φ do. A model by
    itself begins with random weights.

    Parameters
    ----------
    in_channels : int or ModelInputs
        C, the features per step; or what the model reads, which is series alone.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    features : int
        Number of features φ at most; 9,996 by default, as in the paper.
    statistics : "ppv" or "all"
        The proportion of positive values (MiniRocket), or all four statistics of MultiRocket [2]_.
    differences : bool
        Whether half of the features are those of x[t + 1] − x[t], as in MultiRocket.
    normalize : bool
        Whether each channel of each series is first scaled to mean 0 and variance 1. There are no
        μ and σ then.

    Returns
    -------
    Tensor
        (B, N).

    References
    ----------
    .. [1] A. Dempster, D. F. Schmidt and G. I. Webb, "MiniRocket: a very fast (almost) deterministic
       transform for time series classification", KDD (2021).
    .. [2] C. W. Tan, A. Dempster, C. Bergmeir and G. I. Webb, "MultiRocket: multiple pooling operators and
       transformations for fast and effective time series classification", Data Mining and Knowledge
       Discovery 36 (2022).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.Rocket(in_channels=2, outputs=3, features=1000)
    >>> tuple(model(tt.Ragged.from_list([torch.randn(9, 2), torch.randn(4, 2)])).shape)
    (2, 3)
    """

    reads: ClassVar[tuple[InputKind, ...]] = ("series",)
    solver: ClassVar[Literal["logistic", "ridge"]] = "ridge"
    takes_tensors = True

    def __init__(
        self,
        in_channels: int | ModelInputs,
        outputs: int,
        *,
        features: Features = 10_000,
        statistics: Statistics = "ppv",
        differences: Differences = False,
        normalize: Normalize = False,
    ) -> None:
        inputs = ModelInputs.of(in_channels, "series")
        super().__init__(inputs)
        rocket = MiniRocket(
            self.step_features, features, statistics=statistics, differences=differences, normalize=normalize
        )
        moments = [] if normalize else [Pool("mean"), Pool("std")]
        self.features = Parallel(rocket, *moments)
        self.output = self._output(rocket.features + len(moments) * self.step_features, outputs)

    @property
    def rocket(self) -> MiniRocket:
        """The features φ."""
        return cast("MiniRocket", self.features.branches[0])

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._series("features")

    def learn(self, x: Ragged) -> None:
        """Set dilations, channels and biases of the features by training series."""
        self.rocket.learn(x)

    def design(self, x: Ragged, extra: Tensor | None = None) -> Tensor:
        """Return the features and the extra ones, (B, F + K), dense float32."""
        features: Tensor = self.features(self._checked(x, extra)).float()
        return features if extra is None else torch.cat([features, extra.to(features)], 1)

    def importance(self, x: Ragged) -> Tensor:
        """Return the factors of the features: 1, and for each of μ, σ and e the root of 0.02 times F.

        0 for means and deviations that are the same for all series but for rounding, as those of normalized
        series are.
        """
        factors = torch.full((self.output.in_features,), math.sqrt(_SHARE * self.rocket.features))
        factors[: self.rocket.features] = 1
        for number, pool in enumerate(list(self.features.branches)[1:]):
            first = self.rocket.features + number * x.shape[1]
            factors[first : first + x.shape[1]][~_differ(pool(x), x)] = 0
        return factors

    def set_solution(self, weight: Tensor, bias: Tensor) -> None:
        """Set W and V, (N, F + K), and c, (N,)."""
        with torch.no_grad():
            self.output.weight.copy_(weight)
            self.output.bias.copy_(bias)


def _differ(pooled: Tensor, x: Ragged) -> Tensor:
    """Return which statistics (B, C) of channels differ between series, (C,)."""
    between, steps = pooled.double().std(0, correction=0), x.values.double().std(0, correction=0)
    return between > _ROUNDING * steps
