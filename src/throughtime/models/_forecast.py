"""`ForecastModel`: the next step of a numeric series, as a normal distribution of each channel."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import InputTypeError, ShapeError
from throughtime.models._options import (
    Cell,
    DropoutRate,
    InputDropoutRate,
    NextStepHiddenSize,
    NumLayers,
    OptionalEmbeddingSize,
)
from throughtime.models._softmax import Scored, at_least_float32
from throughtime.models.next_step import NextStep
from throughtime.nn import Linear
from throughtime.nn.description import Series

MIN_VARIANCE = 1e-4
"""Variances are above it: σ > 0.01 of a channel that has been scaled to unit variance."""

# softplus⁻¹(1): a series of unit variance begins with about its own.
_UNIT = math.log(math.e - 1)


class ForecastModel(NextStep):
    r"""A normal distribution of each channel of the next step of a series: recurrent layers → μ and σ².

    p(x_{t+1} | x_1 … x_t) = Π_c N(x_{t+1,c}; μ_{t,c}, σ²_{t,c}),  μ_t = W_μ h_t + b_μ,
    σ²_t = softplus(W_σ h_t + b_σ) + 10⁻⁴

    All channels c are independent given the past. `score` returns −log p of each step, summed over its
    channels, in nats: how surprising the step was. Channels should be scaled to unit variance, as variances
    begin near 1 and stay above 10⁻⁴; without that bound a step that is predicted exactly would have a loss
    of −∞.

    Parameters
    ----------
    channels : int
        C, the numbers of a step.
    cell : "lstm", "gru" or "rnn"
        Of the layers.
    embedding_size : int
        Features that a linear map with tanh makes of a step first; 0 for none.
    hidden_size, num_layers : int
        H, and how many layers of H units.
    dropout, input_dropout : float
        Probability that a feature is left out, after each layer, and of what the first layer reads (None: the
        same).

    Returns
    -------
    Ragged
        (T, 2, C): of the next step, ``mean, log_variance = y.values.unbind(1)``, which are μ and log σ².

    Raises
    ------
    ShapeError, InputTypeError
        If a size or an option is outside of its range, or steps have another size or are not real numbers.

    References
    ----------
    .. [1] D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target probability
       distribution", ICNN (1994), equations 3 and 4.
    .. [2] C. M. Bishop, "Mixture density networks", Aston University NCRG/94/004 (1994): with one component.
    .. [3] B. Lakshminarayanan, A. Pritzel and C. Blundell, "Simple and scalable predictive uncertainty
       estimation using deep ensembles", NIPS (2017), section 2.2: softplus and the smallest variance.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.ForecastModel(2, hidden_size=8)
    >>> series = tt.Ragged.from_lengths(torch.randn(5, 2), [3, 2])
    >>> model(series)
    Ragged(lengths=[3, 2], features=(2, 2), dtype=float32, requires_grad=True)
    """

    reads = ("series",)

    def __init__(
        self,
        channels: int,
        *,
        cell: Cell = "lstm",
        embedding_size: OptionalEmbeddingSize = 0,
        hidden_size: NextStepHiddenSize = 128,
        num_layers: NumLayers = 1,
        dropout: DropoutRate = 0.1,
        input_dropout: InputDropoutRate = 0.0,
    ) -> None:
        super().__init__(
            [embedding_size or channels] + [hidden_size] * num_layers,
            cell=cell,
            dropout=dropout,
            input_dropout=input_dropout,
        )
        self.channels = channels
        self.embedding = Linear(channels, embedding_size) if embedding_size else None
        self.output = Linear(hidden_size, 2 * channels)
        nn.init.zeros_(self.output.bias)
        nn.init.constant_(self.output.bias[channels:], _UNIT)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._in_order()

    @property
    def input_features(self) -> int:
        """The channels of a step."""
        return self.channels

    def features(self, x: Tensor) -> Tensor:
        """Return steps as the first layer reads them."""
        if x.dim() != 2 or x.shape[1] != self.channels:
            raise ShapeError(f"ForecastModel reads steps of {self.channels} channels, got {tuple(x.shape)}")
        if x.is_complex():
            raise InputTypeError(f"ForecastModel reads real numbers, got {x.dtype}")
        x = x.to(self.output.weight.dtype)
        return x if self.embedding is None else torch.tanh(self.embedding(x)).to(x.dtype)

    def read_out(self, h: Tensor) -> Tensor:
        """Return means and log-variances (T, 2, C)."""
        mean, spread = at_least_float32(self.output(h)).chunk(2, -1)
        return torch.stack([mean, (F.softplus(spread) + MIN_VARIANCE).log()], -2)

    def score(self, h: Tensor, targets: Tensor) -> Scored:
        """Return −log p of each step that came, and whether it was within one standard deviation.

        It is if its squared deviations (x_c − μ_c)² / σ²_c have a mean over the channels of at most 1: for
        one channel this is ``|x − μ| ≤ σ``, for which a calibrated model is right at 68 % of the steps.
        """
        mean, log_variance = self.read_out(h).unbind(-2)
        squared = (targets.to(mean.dtype) - mean).square() * (-log_variance).exp()
        losses = 0.5 * (squared + log_variance + math.log(2 * math.pi)).sum(-1)
        return Scored(losses, squared.detach().mean(-1) <= 1)

    def draw(
        self, following: Tensor, temperature: float, top_p: float, generator: torch.Generator | None
    ) -> Tensor:
        """Draw steps (B, C) of means and log-variances (B, 2, C), see `throughtime.models.sample`.

        p^(1/τ), scaled, is the normal distribution of variance τ σ²; temperature 0 returns the mean.
        """
        if top_p != 1:
            raise ShapeError(f"top_p = {top_p} is for words only; numbers are drawn with temperature")
        mean, log_variance = following.unbind(-2)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + (temperature * log_variance.exp()).sqrt() * noise
