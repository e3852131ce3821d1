"""Sums of the marginal probabilities of pairs of tags, without a (T, C, C) tensor of them."""

import torch
from torch import Tensor

from throughtime.nn.crf._recursion import relative

# Below this sum the largest term may have been lost to underflow.
_LEAST = {torch.float32: 1e-24, torch.float64: 1e-280}
# Numbers per block of (tokens, C, C).
_BLOCK = 2**18


def sum_of_pairs(forwards: Tensor, backwards: Tensor, transitions: Tensor, weights: Tensor) -> Tensor:
    """Return (C, C) Σ_t weight_t p(y_{t−1} = i, y_t = j | x).

    p(i, j) = u_i r_ij v_j / Σ_ij u_i r_ij v_j, where u = exp(forwards_{t−1}), r = exp(transitions) and
    v = exp(backwards_t), each but for a factor. So the sum is a matrix product.

    Parameters
    ----------
    forwards, backwards : Tensor
        (T, C) of `both_directions`.
    transitions : Tensor
        (C, C).
    weights : Tensor
        (T,), 0 for first tokens.
    """
    before, after, weight = forwards[:-1], backwards[1:], weights[1:]
    highest = transitions.amax(0)
    ratios = (transitions - highest).exp()
    u, v = relative(before), relative(after + highest)
    total = ((u @ ratios) * v).sum(-1)
    rare = total < _LEAST[total.dtype]
    share = (weight / total).where(~rare, 0)
    result = ratios * (u.t() @ (v * share.unsqueeze(-1)))
    rows = rare.nonzero().flatten()
    if len(rows):
        parts = (part.index_select(0, rows) for part in (before, after, weight))
        result = result + _by_logarithms(transitions, *parts)
    return result


def _by_logarithms(transitions: Tensor, before: Tensor, after: Tensor, weights: Tensor) -> Tensor:
    result = torch.zeros_like(transitions)
    rows = max(1, _BLOCK // transitions.numel())
    for u, v, weight in zip(before.split(rows), after.split(rows), weights.split(rows), strict=True):
        joint = u.unsqueeze(-1) + transitions + v.unsqueeze(-2)
        result = result + (weight @ joint.flatten(1).softmax(-1)).view(result.shape)
    return result
