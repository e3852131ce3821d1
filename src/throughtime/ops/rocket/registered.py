"""MiniRocket's features as an operator of torch, for torch.compile, export, subclasses and dispatch modes."""

from torch import Tensor

from throughtime.ops._registering import register
from throughtime.ops.rocket import native
from throughtime.ops.rocket.kernels import Kernels
from throughtime.ops.rocket.reference import rocket_reference
from throughtime.ragged import Layout


def rocket(values: Tensor, layout: Layout, kernels: Kernels, *, all_statistics: bool) -> Tensor:
    """Call the operator, see `throughtime.ops.rocket.layer.rocket`."""
    features: Tensor = _ROCKET(values, layout.offsets, *kernels, all_statistics)
    return features


def _elsewhere(
    values: Tensor,
    offsets: Tensor,
    dilations: Tensor,
    biases: Tensor,
    channels: Tensor,
    all_statistics: bool,  # noqa: FBT001
) -> Tensor:
    layout, kernels = Layout(offsets, total=values.shape[0]), Kernels(dilations, biases, channels)
    return rocket_reference(values, layout, kernels, all_statistics=all_statistics).contiguous()


def _on_cpu(
    values: Tensor,
    offsets: Tensor,
    dilations: Tensor,
    biases: Tensor,
    channels: Tensor,
    all_statistics: bool,  # noqa: FBT001
) -> Tensor:
    kernels = Kernels(dilations, biases, channels)
    if not native.takes(values, kernels):
        return _elsewhere(values, offsets, *kernels, all_statistics)
    return native.features(values, offsets, kernels, all_statistics=all_statistics)


def _fake(
    values: Tensor,
    offsets: Tensor,
    dilations: Tensor,
    biases: Tensor,
    channels: Tensor,
    all_statistics: bool,  # noqa: FBT001
) -> Tensor:
    features = Kernels(dilations, biases, channels).features * (4 if all_statistics else 1)
    return values.new_empty(offsets.shape[0] - 1, features)


_ROCKET = register(
    "rocket(Tensor values, Tensor offsets, Tensor dilations, Tensor biases, Tensor channels, "
    "bool all_statistics) -> Tensor",
    cpu=_on_cpu,
    elsewhere=_elsewhere,
    fake=_fake,
)
