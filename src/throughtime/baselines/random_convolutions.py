"""Features of series from random convolutions (ROCKET), on series of unequal lengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.data.batches import ordered_batches
from throughtime.nn import Pool
from throughtime.ops.conv.layer import conv1d
from throughtime.ops.windows import Windows
from throughtime.ragged import Ragged

_SIZES = (7, 9, 11)
_WIDEST = max(_SIZES)
_TOKENS_PER_BATCH = 32768


@dataclass(frozen=True)
class Kernels:
    """Random kernels of one dilation: weights (O, C, 11), shorter ones between zeros, and biases (O,)."""

    dilation: int
    weight: Tensor
    bias: Tensor

    def apply(self, series: Ragged) -> Ragged:
        """Return (T, O), each series with zeros beyond its ends."""
        border = self.dilation * (_WIDEST // 2)
        windows = Windows(_WIDEST, dilation=self.dilation, left=border, right=border)
        values, _ = conv1d(series.values, series.layout, self.weight, self.bias, windows)
        return series.with_values(values)


@dataclass(frozen=True)
class RandomConvolutions:
    """Proportion of positive values, and maximum, of series convolved with random kernels.

    Kernels are those of ROCKET [1]_: 7, 9 or 11 weights from a normal distribution with their mean taken
    off, a bias from −1 to 1, a dilation whose logarithm is uniform up to the length of the longest training
    series, and of several channels a random subset. Channels are scaled by mean and standard deviation over
    all training steps. Unlike in the paper, all series have zeros beyond their ends, so that they may be
    shorter than a kernel. Use `draw` to construct one.

    Parameters
    ----------
    mean, scale : Tensor
        (C,) mean and standard deviation of the channels.
    kernels : sequence of Kernels
        By dilation.

    References
    ----------
    .. [1] A. Dempster, F. Petitjean and G. I. Webb, "ROCKET: exceptionally fast and accurate time series
       classification using random convolutional kernels", Data Mining and Knowledge Discovery 34 (2020),
       section 3.

    Examples
    --------
    >>> import torch
    >>> series = Ragged.from_list([torch.randn(30, 2), torch.randn(4, 2)])
    >>> RandomConvolutions.draw(series, 100).features(series).shape
    (2, 200)
    """

    mean: Tensor
    scale: Tensor
    kernels: Sequence[Kernels]

    @classmethod
    def draw(cls, series: Ragged, count: int, *, seed: int = 0) -> "RandomConvolutions":
        """Return random kernels for series like these, Ragged (T, C)."""
        values = series.values.double()
        mean, scale = values.mean(0), values.std(0, correction=0)
        scale = torch.where(scale > 0, scale, 1.0)
        random = np.random.default_rng(seed)
        return cls(mean, scale, _drawn(random, values.shape[1], int(series.longest), count))

    def features(self, series: Ragged) -> NDArray[np.float64]:
        """Return (B, 2 · kernels) float64; of an empty series zeros."""
        scaled = series.with_values(((series.values.double() - self.mean) / self.scale).float())
        count = sum(len(group.bias) for group in self.kernels)
        features = torch.zeros(len(series), 2 * count, dtype=torch.float64)
        with torch.no_grad():
            for rows in ordered_batches(series.lengths, _TOKENS_PER_BATCH):
                features[rows] = self._of_batch(scaled[rows]).double()
        return features.numpy()

    def _of_batch(self, series: Ragged) -> Tensor:
        mean, maximum = Pool("mean"), Pool("max")
        parts = []
        for group in self.kernels:
            convolved = group.apply(series)
            positive = series.with_values((convolved.values > 0).float())
            parts += [mean(positive), maximum(convolved)]
        return torch.cat(parts, 1)


def _drawn(random: np.random.Generator, channels: int, longest: int, count: int) -> list[Kernels]:
    """Return kernels grouped by dilation."""
    sizes = random.choice(_SIZES, count)
    exponents = random.uniform(0, np.log2(np.maximum(longest - 1, 1) / (sizes - 1)).clip(min=0))
    dilations = np.floor(2**exponents).astype(np.int64)
    weights = np.stack([_kernel(random, channels, size) for size in sizes.tolist()])
    biases = random.uniform(-1, 1, count)
    return [
        Kernels(
            int(dilation),
            torch.from_numpy(weights[dilations == dilation]).float(),
            torch.from_numpy(biases[dilations == dilation]).float(),
        )
        for dilation in np.unique(dilations)
    ]


def _kernel(random: np.random.Generator, channels: int, size: int) -> NDArray[np.float64]:
    """Return one kernel (C, 11): the mean of its weights is 0 in each channel that it reads."""
    most = np.log2(min(channels, size) + 1)
    chosen = random.choice(channels, int(2 ** random.uniform(0, most)), replace=False)
    weights = random.normal(size=(len(chosen), size))
    kernel, border = np.zeros((channels, _WIDEST)), (_WIDEST - size) // 2
    kernel[chosen, border : border + size] = weights - weights.mean(1, keepdims=True)
    return kernel
