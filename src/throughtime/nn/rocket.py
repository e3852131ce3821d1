"""`MiniRocket`: features of series from fixed convolutions, with biases learned of training series."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.errors import DataError, InputTypeError, ShapeError
from throughtime.nn.description.kinds import WholeSequence
from throughtime.nn.description.operator import Operator
from throughtime.nn.description.torch_layers import POOLS
from throughtime.nn.inputs.output import check_features, check_real, sequences_of
from throughtime.ops.norm.layer import normalize_sequences
from throughtime.ops.plain import HALF
from throughtime.ops.rocket.kernels import KERNELS, TAPS, DilatedKernels, Kernels, by_dilation
from throughtime.ops.rocket.layer import rocket
from throughtime.ops.rocket.reference import differences, outputs_reference
from throughtime.ragged import Ragged

_MOST_DILATIONS = 32
_MOST_CHANNELS = 9
_EPS = 1e-5
_STATISTICS = {"ppv": 1, "all": 4}


class MiniRocket(nn.Module):
    r"""Features of series: how often dilated convolutions exceed biases that `learn` takes from outputs.

    PPV = #{t : c[t] > b} / n,  c[t] = Σ_g w[g] x[t + (g − 4) d]

    The kernels w have nine weights: 2 at three taps, and −1 at the other six. Dilations d grow exponentially
    up to (L − 1) / 8 for training series of at most L steps, and biases b are quantiles of the outputs c of
    training series drawn at random. Of C channels a kernel sums a random subset of at most nine for each
    dilation. The outputs are those of all steps, with zeros beyond the ends of a series, or for every second
    combination of kernel and dilation those whose taps are all inside the series, if it has at least 16 d
    steps, so that at least half of the outputs are left. The PPV of an empty series is 0.
    `throughtime.ops.rocket.layer.rocket` has the equations.

    With ``statistics="all"`` and ``differences=True`` these are the features of MultiRocket [2]_; its LSPV is
    here a number of steps. There are no parameters to train, and the gradient of PPV is 0. Before `learn`,
    all dilations are 1, all biases are 0, and kernels read the first channel.

    Parameters
    ----------
    channels : int
        C.
    features : int
        F at most: F is the next smaller multiple of 84 (9,996 of 10,000), times series and statistics.
    statistics : "ppv" or "all"
        The proportion of positive values; or also their mean (MPV), the mean of their indices (MIPV) and the
        longest stretch of them (LSPV).
    differences : bool
        Whether half of the features are those of x[t + 1] − x[t].
    normalize : bool
        Whether each channel of each series is first scaled to mean 0 and variance 1.

    Returns
    -------
    Tensor
        (B, F), of the dtype of the input. A plain tensor (N, C, L) is N series of L steps.

    Raises
    ------
    ShapeError
        If ``features`` is too small for one of each kernel, another argument is out of range, or steps have
        other channels.
    InputTypeError
        If the series are not floating-point.
    UnsupportedError
        If ``statistics="all"`` and the series require a gradient.

    References
    ----------
    .. [1] A. Dempster, D. F. Schmidt and G. I. Webb, "MiniRocket: a very fast (almost) deterministic
       transform for time series classification", KDD (2021), section 3, where series have one length
       and the outputs without zeros may be few. Channels are chosen as in the authors' code.
    .. [2] C. W. Tan, A. Dempster, C. Bergmeir and G. I. Webb, "MultiRocket: multiple pooling operators and
       transformations for fast and effective time series classification", Data Mining and Knowledge
       Discovery 36 (2022), section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_list([torch.randn(30, 2), torch.randn(4, 2)])
    >>> layer = tt.nn.MiniRocket(channels=2, features=1000)
    >>> layer.learn(x)
    >>> tuple(layer(x).shape)
    (2, 924)
    """

    dilations: Tensor
    biases: Tensor
    read: Tensor

    def __init__(
        self,
        channels: int,
        features: int = 10_000,
        *,
        statistics: Literal["ppv", "all"] = "ppv",
        differences: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if statistics not in _STATISTICS:
            raise ShapeError(f"MiniRocket: statistics is one of {', '.join(_STATISTICS)}; got {statistics!r}")
        if channels < 1:
            raise ShapeError(f"MiniRocket: channels must be at least 1, got {channels}")
        rows = 2 if differences else 1
        least = rows * _STATISTICS[statistics] * len(KERNELS)
        slots = features // least
        if slots < 1:
            raise ShapeError(
                f"MiniRocket: features must be at least {least}, one for each kernel, statistic and series; "
                f"got {features}"
            )
        self.channels, self.statistics = channels, statistics
        self.differences, self.normalize = differences, normalize
        self.features = slots * least
        groups = min(slots, _MOST_DILATIONS) * len(KERNELS)
        self.register_buffer("dilations", torch.ones(rows, slots, dtype=torch.int64))
        self.register_buffer("biases", torch.zeros(rows, slots * len(KERNELS)))
        read = torch.full((rows, groups, min(channels, _MOST_CHANNELS)), -1)
        read[:, :, 0] = 0
        self.register_buffer("read", read)

    def describe(self) -> WholeSequence:
        """State that no steps are left."""
        return WholeSequence(POOLS, pools=True)

    def operators(self) -> tuple[Operator, ...]:
        """Return the normalization, if there is one, and the features."""
        arguments = {**self._kernels()._asdict(), "all_statistics": self.statistics == "all"}
        features = Operator.of("throughtime::rocket", in_channels=self.channels, **arguments)
        if not self.normalize:
            return (features,)
        norm = {"weight": None, "bias": None, "groups": self.channels, "features": self.channels}
        return (Operator.of("throughtime::normalize_sequences", eps=_EPS, **norm), features)

    def learn(self, x: Any, generator: torch.Generator | None = None) -> None:
        """Set dilations, channels and biases by training series.

        Parameters
        ----------
        x : Ragged or Tensor
            The series.
        generator : torch.Generator, optional
            Of the channels, and of the series whose outputs give biases; by default torch's own. A bias is
            taken from a series that is longer than 8 d steps where there is one.

        Raises
        ------
        DataError
            If no series has a step, or with ``differences`` two.
        """
        x = self._prepared(self._checked(x).detach())
        for row in range(len(self.dilations)):
            series = _differences(x) if row else x
            if not series.layout.total:
                raise DataError(
                    f"MiniRocket: no training series has more than {row} steps; give at least one that has"
                )
            self.dilations[row] = dilations_for(series.longest, self.dilations.shape[1])
            self.read[row] = drawn_channels(self.channels, self.read.shape[1], generator).to(self.read)
            groups = by_dilation(self.dilations[row], self.biases[row], self.read[row])
            self.biases[row] = torch.cat(list(_learned(series, groups, generator))).to(self.biases)

    def forward(self, input: Any) -> Tensor:  # noqa: A002 - torch's name
        """Return (B, F)."""
        x = self._checked(input)
        series, every = self._prepared(x), self.statistics == "all"
        features = rocket(series.values, series.layout, self._kernels(), all_statistics=every)
        return features.to(x.dtype)

    def extra_repr(self) -> str:
        """Name the options."""
        options = (f"{name}=True" for name in ("differences", "normalize") if getattr(self, name))
        statistics = [f"statistics={self.statistics!r}"] if self.statistics != "ppv" else []
        return ", ".join([f"{self.channels}, features={self.features}", *statistics, *options])

    def _kernels(self) -> Kernels:
        return Kernels(self.dilations, self.biases, self.read)

    def _checked(self, x: Any) -> Ragged:
        series = sequences_of(x, "MiniRocket")
        check_real(series, "MiniRocket")
        check_features(series, self.channels, "MiniRocket")
        if not series.is_floating_point():
            raise InputTypeError(f"MiniRocket takes floating-point series, got {series.dtype}; call .float()")
        return series

    def _prepared(self, series: Ragged) -> Ragged:
        """Return the series as kernels read them, at least in float32: comparisons show what is rounded."""
        values = series.values.float() if series.dtype in HALF else series.values
        if self.normalize:
            values = normalize_sequences(values, series.layout, self.channels, _EPS)
        return series.with_values(values)


def dilations_for(longest: int, slots: int) -> Tensor:
    """Return the dilations (slots,) int64 of the biases of a kernel, for series of so many steps.

    At most 32 powers of two with exponents from 0 to log2((longest − 1) / 8), rounded down, each for as many
    biases as it occurs, relative to the others; what is left goes to the smallest dilations, one each.

    Examples
    --------
    >>> dilations_for(500, 12).tolist()
    [1, 1, 2, 3, 4, 6, 9, 13, 20, 29, 42, 62]
    """
    count = min(slots, _MOST_DILATIONS)
    exponent = max(0.0, math.log2(max(longest - 1, 1) / (TAPS - 1)))
    dilations, counts = np.unique(
        np.logspace(0, exponent, count, base=2).astype(np.int64), return_counts=True
    )
    counts = (counts * (slots / count)).astype(np.int64)
    left = slots - counts.sum()
    counts += left // len(counts)
    counts[: left % len(counts)] += 1
    return torch.from_numpy(np.repeat(dilations, counts))


def drawn_channels(channels: int, rows: int, generator: torch.Generator | None = None) -> Tensor:
    """Return for each row the channels that are read, (rows, min(C, 9)) int64, −1 behind the last.

    There are ⌊2^u⌋ of them, u uniform from 0 to log2(min(C, 9) + 1), without repetition.
    """
    most = min(channels, _MOST_CHANNELS)
    exponents = torch.rand(rows, 1, generator=generator, dtype=torch.float64) * math.log2(most + 1)
    counts = (2**exponents).long().clamp(max=most)
    chosen = torch.rand(rows, channels, generator=generator).argsort(1)[:, :most]
    return torch.where(torch.arange(most) < counts, chosen, -1)


def quantiles_of(count: int) -> Tensor:
    """Return i (√5 + 1) / 2 mod 1 for i from 1 to count, (count,) float64: evenly spread, in any part."""
    return (torch.arange(1, count + 1, dtype=torch.float64) * ((math.sqrt(5) + 1) / 2)) % 1


def _differences(x: Ragged) -> Ragged:
    values, layout = differences(x.values, x.layout)
    return Ragged.from_lengths(values, layout.lengths)


def _learned(
    series: Ragged, groups: Sequence[DilatedKernels], generator: torch.Generator | None
) -> Iterator[Tensor]:
    """Yield the biases (84 · n,) of each dilation: quantiles of the outputs of one series for each kernel."""
    lengths, longest = series.lengths, series.longest
    quantiles = quantiles_of(sum(group.biases.numel() for group in groups))
    for group, levels in zip(
        groups, quantiles.split([group.biases.numel() for group in groups]), strict=True
    ):
        long_enough = (lengths > min(8 * group.dilation, longest - 1)).nonzero()[:, 0]
        chosen = long_enough[torch.randint(len(long_enough), (len(KERNELS),), generator=generator)]
        yield _quantiles(series, group, chosen, levels.view(len(KERNELS), -1)).flatten()


def _quantiles(series: Ragged, group: DilatedKernels, chosen: Tensor, levels: Tensor) -> Tensor:
    """Return the quantiles (84, n) of the outputs of kernel k of the series chosen[k]."""
    x = series[chosen]
    outputs = outputs_reference(x.values, x.layout, group, x.layout.sequence_ids[:, None])
    rows = x.with_values(outputs[:, 0].double())
    return torch.stack([_quantile(row, q) for row, q in zip(rows, levels, strict=True)])


def _quantile(row: Tensor, levels: Tensor) -> Tensor:
    """Return quantiles by linear interpolation, as `torch.quantile`, which refuses more than 2²⁴ numbers."""
    ordered, place = row.sort().values, levels * (len(row) - 1)
    low = place.long()
    return torch.lerp(ordered[low], ordered[(low + 1).clamp(max=len(row) - 1)], place - low)
