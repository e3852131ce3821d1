"""`InceptionTime` (Fawaz 2020): an ensemble of networks of wide convolutions."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import ShapeError
from throughtime.models._embedding import token_embedding
from throughtime.models._inputs import ModelInputs
from throughtime.models._options import (
    Depth,
    DropoutRate,
    EmbeddingSize,
    InceptionChannels,
    InceptionKernelSizes,
    Members,
)
from throughtime.models._sequence_model import ExtraFeatures, InOrder, SequenceModel
from throughtime.nn import Conv1d, ConvBlock, Dropout, Linear, MaxPool1d, Parallel, Pool, Residual, WideConv
from throughtime.nn.description import Series, SideBySide
from throughtime.ragged import Ragged


class InceptionTime(SequenceModel):
    """Networks of inception modules, three to a residual block, whose probabilities or outputs are averaged.

    A module is a bottleneck of one step → convolutions of 40, 20 and 10 steps side by side, next to a maximum
    over 3 steps → a convolution of one step; then batch normalisation and ReLU. Each network ends with the
    mean over time and a linear layer. With univariate input the first module has no bottleneck.

    Parameters
    ----------
    in_channels : int or ModelInputs
        Features per step; or what the model reads. Tokens are read through an embedding for each network.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    members : int
        Networks (5 in the paper; 1 is its "Inception" network). They are trained one by one: ``members[i]``
        gives the logits of one, and the whole is for prediction.
    depth : int
        Inception modules in each network.
    channels : int
        Features of each convolution, and of the bottleneck.
    kernel_sizes : sequence of int
        Of the convolutions side by side.
    embedding_size : int
        Features per token; without effect on a series.
    dropout : float
        On embeddings of tokens and on the pooled features (none in the paper).
    per_step : bool
        Whether there is an output for each step: the features are not pooled.
    average : "probabilities" or "outputs"
        Of what a call returns the mean: of the networks' class probabilities softmax(o), as logarithms, as in
        the paper; or of their outputs o, which also serves regression and multi-label targets.

    Returns
    -------
    Tensor or Ragged
        (B, N), with ``per_step`` a Ragged (T, N).

    Raises
    ------
    ShapeError
        If there is no member, or ``average`` is another.

    Notes
    -----
    `throughtime.models.build_model` builds one network with ``average="outputs"`` unless told otherwise. A
    training of the whole would minimise the loss of the mean, not the mean of the losses, which makes one
    wide network of the ensemble; for the paper's, train networks with several seeds.

    References
    ----------
    .. [1] H. Ismail Fawaz et al., "InceptionTime: finding AlexNet for time series classification", Data
       Mining and Knowledge Discovery 34 (2020), section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.InceptionTime(in_channels=2, outputs=3, members=2)
    >>> logits = model(tt.Ragged.from_list([torch.randn(9, 2), torch.randn(4, 2)]))
    >>> torch.allclose(logits.exp().sum(1), torch.ones(2))  # they are those of the mean probabilities
    True
    """

    takes_tensors = True

    def __init__(
        self,
        in_channels: int | ModelInputs,
        outputs: int,
        *,
        members: Members = 5,
        depth: Depth = 6,
        channels: InceptionChannels = 32,
        kernel_sizes: InceptionKernelSizes = (40, 20, 10),
        embedding_size: EmbeddingSize = 128,
        dropout: DropoutRate = 0.0,
        per_step: bool = False,
        average: Literal["probabilities", "outputs"] = "probabilities",
    ) -> None:
        inputs = ModelInputs.of(in_channels, "series")
        super().__init__(inputs, per_step=per_step)
        if members < 1:
            raise ShapeError(f"InceptionTime: an ensemble has at least 1 member, got {members}")
        if average not in _AVERAGES:
            raise ShapeError(f"InceptionTime: average is one of {', '.join(_AVERAGES)}; got {average!r}")
        self.average = average
        sizes = _Sizes(depth, channels, tuple(kernel_sizes), embedding_size)
        self.members = nn.ModuleList(
            _network(inputs, outputs, sizes, dropout, per_step=per_step) for _ in range(members)
        )

    def describe(self) -> Series | SideBySide:
        """Return the members, whose probabilities or outputs are averaged."""
        named = tuple((f"members.{place}", member) for place, member in enumerate(self.members))
        function, merge = _AVERAGES[self.average]
        if function is None:
            return Series(named) if len(named) == 1 else SideBySide(named, merge)
        branches = ((path, Series((("", member), ("log_softmax", function)))) for path, member in named)
        return SideBySide(tuple(branches), merge)

    def forward(self, x: Ragged | Tensor, extra: Tensor | None = None) -> Any:
        """Return the logarithm of the members' mean probabilities, or their mean outputs, (B, N).

        Of series (T, in_channels), of a tensor (B, in_channels, L), or of tokens.
        """
        x = self._checked(x, extra)
        function, merge = _AVERAGES[self.average]
        outputs = [member(x, extra) for member in self.members]
        return merge(outputs if function is None else [function(output) for output in outputs])


def _log_probabilities(logits: Any) -> Any:
    return F.log_softmax(logits, 1)


def _log_of_mean(log_probabilities: list[Any]) -> Any:
    count = math.log(len(log_probabilities))
    return _of_values(lambda values: torch.stack(values).logsumexp(0) - count, log_probabilities)


def _mean(outputs: list[Any]) -> Any:
    return _of_values(lambda values: torch.stack(values).mean(0), outputs) if outputs[1:] else outputs[0]


def _of_values(function: Callable[[list[Tensor]], Tensor], outputs: list[Any]) -> Any:
    """Apply a function to tensors, or to the values of ragged batches."""
    if isinstance(outputs[0], Tensor):
        return function(outputs)
    return outputs[0].with_values(function([output.values for output in outputs]))


_AVERAGES: Mapping[str, tuple[Callable[[Any], Any] | None, Callable[[list[Any]], Any]]] = {
    "probabilities": (_log_probabilities, _log_of_mean),
    "outputs": (None, _mean),
}


class _Sizes(NamedTuple):
    depth: int
    channels: int
    kernel_sizes: tuple[int, ...]
    embedding_size: int


def _network(inputs: ModelInputs, outputs: int, sizes: _Sizes, dropout: float, *, per_step: bool) -> InOrder:
    """Return one network; it has no layers without effect, which would change the names of weights."""
    drop = (Dropout(dropout),) if dropout else ()
    read: tuple[nn.Module, ...] = ()
    if inputs.vocabulary_size is not None:
        read = (token_embedding(inputs.vocabulary_size, sizes.embedding_size), *drop)
    body = _body(inputs.channels or sizes.embedding_size, sizes)
    pool = () if per_step else (Pool("mean"),)
    extra = (ExtraFeatures(inputs.extra),) if inputs.extra else ()
    width = sizes.channels * (len(sizes.kernel_sizes) + 1)
    return InOrder(*read, *body, *pool, *drop, *extra, Linear(width + inputs.extra, outputs))


def _body(in_channels: int, sizes: _Sizes) -> list[nn.Module]:
    """Return the inception modules, each three of them with a shortcut around."""
    depth, channels, kernel_sizes, _ = sizes
    width = channels * (len(kernel_sizes) + 1)
    modules = [_module(width if place else in_channels, channels, kernel_sizes) for place in range(depth)]
    body: list[nn.Module] = []
    for start in range(0, depth - depth % 3, 3):
        shortcut = ConvBlock(width if start else in_channels, width, 1, norm="batch", activation=None)
        body.append(Residual(nn.Sequential(*modules[start : start + 3]), shortcut, activation=F.relu))
    return body + modules[depth - depth % 3 :]


def _module(in_channels: int, channels: int, kernel_sizes: tuple[int, ...]) -> nn.Sequential:
    bottleneck = Conv1d(in_channels, channels, 1, bias=False) if in_channels > 1 else nn.Identity()
    wide = WideConv(channels if in_channels > 1 else 1, channels, kernel_sizes, bias=False, activation=None)
    pooled = nn.Sequential(MaxPool1d(3, 1, 1), Conv1d(in_channels, channels, 1, bias=False))
    both = Parallel(nn.Sequential(bottleneck, wide), pooled)
    return nn.Sequential(both, nn.BatchNorm1d(channels * (len(kernel_sizes) + 1)), nn.ReLU())
