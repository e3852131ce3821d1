"""`fold_batch_norm`: batch normalisation folded into the weights before it, for inference."""

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from throughtime.nn.conv.conv_block import ConvBlock, ConvBlock2d

_Norms = nn.BatchNorm1d | nn.BatchNorm2d
Model = TypeVar("Model", bound=nn.Module)


def fold_batch_norm(model: Model) -> Model:
    r"""Return a copy in evaluation mode whose blocks compute the same without batch normalisation.

    γ (W ∗ x + b − μ) / √(σ² + eps) + β = W' ∗ x + b', with W' = W γ / √(σ² + eps) and
    b' = (b − μ) γ / √(σ² + eps) + β, channel by channel

    μ and σ² are the running statistics. Every `ConvBlock` and `ConvBlock2d` in the model is folded; results
    agree to round-off. Weight normalisation is made plain on the way.

    Parameters
    ----------
    model : Module
        A block, or anything that holds blocks. It is not changed.

    Returns
    -------
    Module
        Of the same class.

    References
    ----------
    .. [1] B. Jacob et al., "Quantization and training of neural networks for efficient
       integer-arithmetic-only inference", CVPR (2018), equation 14.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> block = tt.nn.ConvBlock(4, 8, 3, norm="batch").eval()
    >>> folded, x = tt.nn.fold_batch_norm(block), tt.Ragged.from_list([torch.randn(5, 4)])
    >>> folded.norm is None, torch.allclose(folded(x).values, block(x).values, atol=1e-6)
    (True, True)
    """
    folded = copy.deepcopy(model).eval()
    for module in folded.modules():
        norm = getattr(module, "norm", None)
        if not isinstance(module, ConvBlock | ConvBlock2d) or not isinstance(norm, _Norms):
            continue
        if norm.running_mean is not None:
            _plain(module.conv)
            module.conv = fuse_conv_bn_eval(module.conv, norm)
            module.norm = None
    return folded


def _plain(conv: nn.Module) -> None:
    """Make a normalised weight an ordinary parameter."""
    if parametrize.is_parametrized(conv, "weight"):
        parametrize.remove_parametrizations(conv, "weight")
