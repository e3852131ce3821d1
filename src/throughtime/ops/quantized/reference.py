"""Layers with int8 weights in plain PyTorch: the reference that the kernels are tested against.

A token x is rounded with a scale of its own, a = max |x| / 127: q = round(x / a), ties to even. Sums of
products of integers are exact; they are scaled in float32. A token with NaN or an infinity makes NaN.
"""

import torch
from torch import Tensor

from throughtime.ops.quantized.packing import Rounded, rounded
from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.weights import Weights
from throughtime.ops.windows import Windows
from throughtime.ragged import Ragged


def rounded_tokens(x: Tensor) -> Rounded:
    """Return the integers of tokens (…, D), and the scale (…) of each."""
    finite = x.isfinite().all(-1, keepdim=True)
    result = rounded(torch.where(finite, x, 0))
    return Rounded(result.values, torch.where(finite.squeeze(-1), result.scale, torch.nan))


def linear_reference(x: Tensor, weight: Rounded, bias: Tensor | None = None) -> Tensor:
    """Return y = bias + s · a · (q_x · q_Wᵀ) of tokens (…, D) and a weight (O, D)."""
    tokens = rounded_tokens(x)
    sums = (tokens.values.double() @ weight.values.double().mT).float()
    y = sums * tokens.scale.unsqueeze(-1) * weight.scale
    return y if bias is None else y + bias


def correlate_reference(x: Ragged, weight: Rounded, bias: Tensor | None, windows: Windows) -> Ragged:
    """Return the correlation of a Ragged (T, C) with a weight (O, K, C), each token with its own scale."""
    outputs = [_correlated(sequence, weight, bias, windows) for sequence in x]
    return Ragged.from_list(outputs)


def _correlated(x: Tensor, weight: Rounded, bias: Tensor | None, windows: Windows) -> Tensor:
    size, stride, dilation, left, right, replicate = windows
    count = max(0, (len(x) + left + right - (size - 1) * dilation - 1) // stride + 1) if len(x) else 0
    y = x.new_zeros(count, len(weight.values))
    for tap in range(size):
        steps = torch.arange(count) * stride + tap * dilation - left
        inside = (steps >= 0) & (steps < len(x))
        if replicate:
            steps, inside = steps.clamp(0, len(x) - 1), torch.ones_like(inside)
        tokens = x.new_zeros(count, x.shape[1])
        tokens[inside] = x[steps[inside]]
        y = y + linear_reference(tokens, Rounded(weight.values[:, tap], torch.ones_like(weight.scale)))
    y = y * weight.scale
    return y if bias is None else y + bias


def recurrent_layer_reference(
    x: Tensor, spec: CellSpec, state: State, weights: Weights, ih: Rounded, hh: Rounded
) -> tuple[Tensor, State]:
    """Run one direction on steps (L, B, I): the cell in float32, of products with int8 weights.

    Parameters
    ----------
    state
        h (B, H) and c (B, H).
    weights
        For the biases.
    ih, hh
        The rounded weights (G·H, I) and (G·H, H).
    """
    outputs = []
    for x_t in x:
        state = _step(spec, linear_reference(x_t, ih), linear_reference(state.h, hh), state, weights)
        outputs.append(state.h)
    return torch.stack(outputs), state


def _step(spec: CellSpec, from_x: Tensor, from_h: Tensor, state: State, weights: Weights) -> State:
    hidden = state.h.shape[1]
    if weights.bias_ih is not None and weights.bias_hh is not None:
        from_x, from_h = from_x + weights.bias_ih, from_h + weights.bias_hh
    if spec.kind == "RNN":
        activation = torch.relu if spec.activations[0].name == "relu" else torch.tanh
        return State(activation(from_x + from_h), state.c)
    if spec.kind == "LSTM":
        i, f, g, o = (from_x + from_h).split(hidden, 1)
        c = f.sigmoid() * state.c + i.sigmoid() * g.tanh()
        return State(o.sigmoid() * c.tanh(), c)
    r, z, n = from_x.split(hidden, 1)
    r_h, z_h, n_h = from_h.split(hidden, 1)
    new = (n + (r + r_h).sigmoid() * n_h).tanh()
    z = (z + z_h).sigmoid()
    return State((1 - z) * new + z * state.h, state.c)
