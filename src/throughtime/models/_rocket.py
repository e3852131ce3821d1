"""`Rocket` (Dempster 2021): a linear model of features of fixed convolutions, solved for its weights."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from throughtime.models._inputs import InputKind, ModelInputs
from throughtime.models._options import Differences, Features, Normalize, Statistics
from throughtime.models.solved import SolvedModel
from throughtime.nn import MiniRocket
from throughtime.nn.description import Series
from throughtime.ragged import Ragged


class Rocket(SolvedModel):
    r"""Features of `throughtime.nn.MiniRocket` → linear; trained by ridge regression.

    o = W φ(x) + V e + c

    φ are proportions of positive values of convolutions with fixed kernels, and e the extra features.
    Training by name sets the features' biases by the training series, then W, V and c by ridge regression on
    classes or labels coded −1 and 1, or on values: of standardized features, whose means and deviations W and
    c contain, and with a penalty by leave-one-out error. A model by itself begins with random weights.

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
        self.output = self._output(self.features.features, outputs)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._series("features")

    def learn(self, x: Ragged) -> None:
        """Set dilations, channels and biases of the features by training series."""
        self.features.learn(x)

    def design(self, x: Ragged, extra: Tensor | None = None) -> Tensor:
        """Return the features and the extra ones, (B, F + K), dense float32."""
        features: Tensor = self.features(self._checked(x, extra)).float()
        return features if extra is None else torch.cat([features, extra.to(features)], 1)

    def set_solution(self, weight: Tensor, bias: Tensor) -> None:
        """Set W and V, (N, F + K), and c, (N,)."""
        with torch.no_grad():
            self.output.weight.copy_(weight)
            self.output.bias.copy_(bias)
