"""`Rocket` (Dempster 2021): a linear model of features of fixed convolutions, solved for its weights."""

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from throughtime.models._inputs import InputKind, ModelInputs
from throughtime.models._options import Differences, Features, Normalize, Statistics
from throughtime.models.solved import SolvedModel
from throughtime.nn import MiniRocket
from throughtime.nn.description import Series
from throughtime.ragged import Ragged

_SERIES_AT_ONCE = 256


class _Moments(NamedTuple):
    """The means of columns, and 1 over their standard deviations; 0 for a column of one number."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, parts: Iterator[Tensor]) -> "_Moments":
        """Return those of rows that come in parts."""
        rows, total, squares = 0, torch.tensor(0.0), torch.tensor(0.0)
        low, high = torch.tensor(torch.inf), torch.tensor(-torch.inf)
        for part in parts:
            rows += len(part)
            total, squares = total + part.sum(0), squares + part.square().sum(0)
            low, high = torch.minimum(low, part.amin(0)), torch.maximum(high, part.amax(0))
        mean = total / rows
        # Two numbers that differ have at least this deviation, which rounding may hide.
        least = (high - low) / (2 * rows) ** 0.5
        deviation = (squares / rows - mean.square()).clamp(min=0).sqrt().maximum(least)
        return cls(mean, torch.where(high > low, 1 / deviation, 0.0))


class Rocket(SolvedModel):
    r"""Features of `throughtime.nn.MiniRocket`, standardized → linear; trained by ridge regression.

    o = W (φ(x) − μ) / σ + V e + c

    φ are proportions of positive values of convolutions with fixed kernels, μ and σ their means and standard
    deviations over the training series, and e the extra features. A feature that is the same for all of them
    is left out. Once trained, the model keeps W / σ and c − W (μ / σ): it is one linear layer of φ and e.

    Training by name sets the features' biases by the training series, then W, V and c by ridge regression on
    classes or labels coded −1 and 1, or on values, with a penalty by leave-one-out error. A model by itself
    begins with random weights, see `throughtime.nn.MiniRocket`.

    Parameters
    ----------
    in_channels : int or ModelInputs
        C, the features per step; or what the model reads, which is series alone.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    features : int
        Number of features at most; 9,996 by default, as in the paper.
    statistics : "ppv" or "all"
        The proportion of positive values (MiniRocket), or all four statistics of MultiRocket [2]_.
    differences : bool
        Whether half of the features are those of x[t + 1] − x[t], as in MultiRocket.
    normalize : bool
        Whether each channel of each series is first scaled to mean 0 and variance 1.

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
        self.features = MiniRocket(
            self.step_features, features, statistics=statistics, differences=differences, normalize=normalize
        )
        count = self.features.features
        # Between `learn` and `set_solution`; a trained model has them in its weights.
        self._moments = _Moments(*(torch.full((count,), value, dtype=torch.float64) for value in (0.0, 1.0)))
        self.output = self._output(count, outputs)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._series("features")

    def learn(self, x: Ragged) -> None:
        """Set the biases of the features, and their means and standard deviations, by training series."""
        self.features.learn(x)
        self._moments = _Moments.of(self._parts(x))

    def design(self, x: Ragged, extra: Tensor | None = None) -> Tensor:
        """Return the standardized features and the extra ones, (B, F + K), dense float32."""
        x = self._checked(x, extra)
        mean, scale = self._moments
        standard = torch.cat([((part - mean) * scale).float() for part in self._parts(x)])
        return standard if extra is None else torch.cat([standard, extra.to(standard)], 1)

    def set_solution(self, weight: Tensor, bias: Tensor) -> None:
        """Set W and V, (N, F + K), and c, (N,)."""
        mean, scale = self._moments
        of_features = weight[:, : len(scale)].double() * scale
        with torch.no_grad():
            self.output.weight.copy_(torch.cat([of_features, weight[:, len(scale) :]], 1))
            self.output.bias.copy_(bias - of_features @ mean)

    def _parts(self, x: Ragged) -> Iterator[Tensor]:
        """Yield the features of some series at a time, float64."""
        for first in range(0, max(len(x), 1), _SERIES_AT_ONCE):
            yield self.features(x[first : first + _SERIES_AT_ONCE]).double()
