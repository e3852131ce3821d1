"""Normalisation whose statistics are each sequence's own: `GroupNorm`, `InstanceNorm1d`, `ChannelNorm`."""

from typing import Any

from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn.description.kinds import Tokenwise, WholeSequence
from throughtime.nn.description.operator import Operator
from throughtime.nn.description.torch_layers import SEQUENCE_STATISTICS
from throughtime.nn.inputs.output import as_ragged, check_features, check_real, unwrapped
from throughtime.ops.norm.layer import batch_norm, normalize_sequences
from throughtime.ragged import Ragged


class GroupNorm(nn.GroupNorm):
    r"""Normalise every sequence by the mean and variance of groups of its features over all its steps.

    y = γ_c (x − μ_{b,g}) / √(σ²_{b,g} + eps) + β_c,  μ and σ² over the steps of sequence b and the
    features of group g

    On a `Ragged` of (T, C) the statistics are those of real steps, each sequence's own. On a plain tensor
    (N, C, \*) it is `torch.nn.GroupNorm`.

    Parameters
    ----------
    num_groups, num_channels, eps, affine
        As in `torch.nn.GroupNorm`.

    References
    ----------
    .. [1] Y. Wu and K. He, "Group normalization", ECCV (2018), equations 1 to 7.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> tt.nn.GroupNorm(2, 4)(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)]))
    Ragged(lengths=[5, 2], features=(4,), dtype=float32, requires_grad=True)
    """

    def describe(self) -> WholeSequence:
        """State that the statistics are those of the whole sequence."""
        return WholeSequence(SEQUENCE_STATISTICS)

    def operators(self) -> tuple[Operator, ...]:
        """Return the normalisation."""
        return _normalized_by(self, self.num_groups, self.num_channels)

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the normalised batch, of the kind that came in."""
        x = unwrapped(input)
        if isinstance(x, Tensor):
            return super().forward(x)
        x = _checked(x, self.num_channels, "GroupNorm")
        return x.with_values(
            normalize_sequences(x.values, x.layout, self.num_groups, self.eps, self.weight, self.bias)
        )


class InstanceNorm1d(nn.InstanceNorm1d):
    r"""Normalise every feature of every sequence by its mean and variance over the sequence's steps.

    y[t, c] = γ_c (x[t, c] − μ_{b,c}) / √(σ²_{b,c} + eps) + β_c

    On a `Ragged` of (T, C) the statistics are those of real steps; one step alone gives β. On a plain tensor
    (N, C, L) it is `torch.nn.InstanceNorm1d`.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats
        As in `torch.nn.InstanceNorm1d`; running statistics on plain tensors alone.

    Raises
    ------
    ShapeError
        If ``track_running_stats`` is set and a Ragged comes.

    References
    ----------
    .. [1] D. Ulyanov, A. Vedaldi and V. Lempitsky, "Instance normalization: the missing ingredient for fast
       stylization", arXiv:1607.08022 (2016), equation 2.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> tt.nn.InstanceNorm1d(4)(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)]))
    Ragged(lengths=[5, 2], features=(4,), dtype=float32)
    """

    def describe(self) -> WholeSequence:
        """State that the statistics are those of the whole sequence."""
        return WholeSequence(SEQUENCE_STATISTICS)

    def operators(self) -> tuple[Operator, ...]:
        """Return the normalisation.

        Raises
        ------
        ShapeError
            If ``track_running_stats`` is set.
        """
        self._refuse_running_statistics()
        return _normalized_by(self, self.num_features, self.num_features)

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the normalised batch, of the kind that came in."""
        x = unwrapped(input)
        if isinstance(x, Tensor):
            return super().forward(x)
        x = _checked(x, self.num_features, "InstanceNorm1d")
        self._refuse_running_statistics()
        return x.with_values(
            normalize_sequences(x.values, x.layout, self.num_features, self.eps, self.weight, self.bias)
        )

    def _refuse_running_statistics(self) -> None:
        if self.track_running_stats:
            raise ShapeError(
                "InstanceNorm1d on a Ragged uses each sequence's own statistics; leave track_running_stats "
                "out, or use torch.nn.BatchNorm1d for statistics of all sequences"
            )


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the features of each step, on a Ragged (T, C), and on plain tensors (N, C, *)."""

    def describe(self) -> Tokenwise:
        """Return the description of a layer that normalizes each step independently."""
        return Tokenwise()

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the normalised batch, of the kind that came in."""
        if isinstance(input, Tensor):
            return super().forward(input.movedim(1, -1)).movedim(-1, 1)
        return super().forward(input)


def _normalized_by(norm: Any, groups: int, features: int) -> tuple[Operator, ...]:
    """Return the operator of a norm over the steps of each sequence and groups of features."""
    weights = {"weight": norm.weight, "bias": norm.bias}
    return (
        Operator.of(
            "throughtime::normalize_sequences", groups=groups, features=features, eps=norm.eps, **weights
        ),
    )


def takes_batch_statistics(norm: Any) -> bool:
    """Tell whether this is batch normalisation that now depends on the whole batch, as in training."""
    return isinstance(norm, nn.BatchNorm1d) and (norm.training or norm.running_mean is None)


def rectified_batch_norm(norm: nn.BatchNorm1d, x: Ragged) -> Ragged:
    """Return relu(norm(x)) in one pass, and update the module's statistics as it would itself."""
    check_features(x, norm.num_features, "BatchNorm1d")
    mean, variance, momentum = norm.running_mean, norm.running_var, norm.momentum
    if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        momentum = 1 / float(norm.num_batches_tracked) if momentum is None else momentum
    training = norm.training or (mean is None and variance is None)
    if norm.training and not norm.track_running_stats:
        mean = variance = None
    momentum = 0.0 if momentum is None else momentum
    normalized = batch_norm(
        x.values, mean, variance, norm.weight, norm.bias, training, momentum, norm.eps, relu=True
    )
    return x.with_values(normalized)


def _checked(x: object, features: int, layer: str) -> Ragged:
    ragged = as_ragged(x, layer)
    check_real(ragged, layer)
    check_features(ragged, features, layer)
    return ragged
