"""The equations of the layers written as cells, step by step for one sequence, with matrices and loops alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Tensor]
Step = Callable[[Any, State, Tensor], State]

_ACTIVATIONS = {"relu": lambda a: a.clamp(min=0), "tanh": torch.tanh}


def sigmoid(a: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-a))


def _plus(a: Tensor, bias: Tensor | None) -> Tensor:
    return a if bias is None else a + bias


def _layer_norm(a: Tensor, eps: float) -> Tensor:
    centred = a - a.mean()
    return centred / ((centred**2).mean() + eps).sqrt()


def _layer_norm_gru(cell: Any, state: State, x: Tensor) -> State:
    size, h = cell.hidden_size, state["h"]

    def normal(product: Tensor, gain: Tensor, bias: Tensor | None) -> list[Tensor]:
        if len(cell.blocks) == 2:
            parts = [_layer_norm(product[: 2 * size], cell.eps), _layer_norm(product[2 * size :], cell.eps)]
            product = torch.cat(parts)
        else:
            product = _layer_norm(product, cell.eps)
        total = _plus(gain * product, bias)
        return [total[:size], total[size : 2 * size], total[2 * size :]]

    from_x = normal(cell.weight_ih @ x, cell.weight_norm_ih, cell.bias_ih)
    from_h = normal(cell.weight_hh @ h, cell.weight_norm_hh, cell.bias_hh)
    r, z = sigmoid(from_x[0] + from_h[0]), sigmoid(from_x[1] + from_h[1])
    n = torch.tanh(from_x[2] + r * from_h[2])
    return {"h": (1 - z) * n + z * h}


def _li_gru(cell: Any, state: State, x: Tensor) -> State:
    size, h, norm = cell.hidden_size, state["h"], cell.norm
    product = _plus(cell.weight_ih @ x, cell.bias_ih)
    if isinstance(norm, nn.LayerNorm):
        product = _plus(norm.weight * _layer_norm(product, norm.eps), norm.bias)
    elif norm is not None:
        product = (product - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        product = _plus(norm.weight * product, norm.bias)
    z = sigmoid(product[:size] + cell.weight_hh[:size] @ h)
    candidate = _ACTIVATIONS[cell.activation](product[size:] + cell.weight_hh[size:] @ h)
    return {"h": z * h + (1 - z) * candidate}


def _ind_rnn(cell: Any, state: State, x: Tensor) -> State:
    u = cell.weight_hh
    u = u if cell.bound is None else torch.stack([torch.clamp(one, -cell.bound, cell.bound) for one in u])
    return {"h": _ACTIVATIONS[cell.activation](_plus(cell.weight_ih @ x, cell.bias_ih) + u * state["h"])}


def _multiplicative_lstm(cell: Any, state: State, x: Tensor) -> State:
    m = (cell.weight_mx @ x) * (cell.weight_hh @ state["h"])
    total = _plus(cell.weight_ih @ x, cell.bias_ih) + cell.weight_mh @ m
    i, f, g, o = total.view(4, -1)
    c = sigmoid(f) * state["c"] + sigmoid(i) * torch.tanh(g)
    return {"h": sigmoid(o) * torch.tanh(c), "c": c}


def _peephole_sru(cell: Any, state: State, x: Tensor) -> State:
    blocks = _plus(cell.weight_ih @ x, cell.bias_ih).view(-1, cell.hidden_size)
    c, (v_f, v_r) = state["c"], cell.weight_hh
    f, r = sigmoid(blocks[0] + v_f * c), sigmoid(blocks[2] + v_r * c)
    c = f * c + (1 - f) * blocks[1]
    return {"h": r * c + (1 - r) * (blocks[3] if len(blocks) > 3 else x), "c": c}


def _recurrent_highway(cell: Any, state: State, x: Tensor) -> State:
    s = state["h"]
    for level in range(cell.depth):
        total = cell.weight_hh[level] @ s
        total = total if cell.bias_ih is None else total + cell.bias_ih[level]
        total = total + cell.weight_ih @ x if level == 0 else total
        blocks = total.view(cell.gates, -1)
        a, t = torch.tanh(blocks[0]), sigmoid(blocks[1])
        c = sigmoid(blocks[2]) if cell.gates == 3 else 1 - t
        s = a * t + s * c
    return {"h": s}


def _slstm(cell: Any, state: State, x: Tensor) -> State:
    """Without a stabiliser: n and c themselves, which fit into float64 for small inputs."""
    h, heads = state["h"], len(cell.weight_hh)
    from_h = [block @ part for block, part in zip(cell.weight_hh, h.chunk(heads), strict=True)]
    by_gate = torch.stack([part.view(4, -1) for part in from_h], 1).reshape(4, -1)
    i, f, z, o = _plus(cell.weight_ih @ x, cell.bias_ih).view(4, -1) + by_gate
    forget = sigmoid(f) if cell.forget == "sigmoid" else torch.exp(f)
    c = forget * state["c"] + torch.exp(i) * torch.tanh(z)
    n = forget * state["n"] + torch.exp(i)
    return {"h": sigmoid(o) * c / n, "c": c, "n": n, "m": torch.zeros_like(h)}


def _attention_gru(cell: Any, state: State, x: Tensor) -> State:
    h, memory = state["h"], state["memory"]
    scores = []
    for vector in memory:
        query, key = cell.weight_query @ h, cell.weight_key @ vector
        if cell.score == "additive":
            scores.append(cell.weight_score @ torch.tanh(query + key))
        else:
            scores.append(query @ key / cell.attention_size**0.5)
    exponentials = torch.stack(scores).exp()
    weights = exponentials / exponentials.sum()
    read = sum(weight * vector for weight, vector in zip(weights, memory, strict=True))
    r_x, z_x, n_x = (_plus(cell.weight_ih @ x, cell.bias_ih) + cell.weight_mh @ read).view(3, -1)
    r_h, z_h, n_h = _plus(cell.weight_hh @ h, cell.bias_hh).view(3, -1)
    r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
    return {"h": (1 - z) * torch.tanh(n_x + r * n_h) + z * h, "memory": memory}


STEPS: dict[str, Step] = {
    "AttentionGRU": _attention_gru,
    "IndRNN": _ind_rnn,
    "LayerNormGRU": _layer_norm_gru,
    "LiGRU": _li_gru,
    "MultiplicativeLSTM": _multiplicative_lstm,
    "PeepholeSRU": _peephole_sru,
    "RecurrentHighway": _recurrent_highway,
    "SLSTM": _slstm,
}


def by_cell(layer: Any, sequence: Tensor, memory: Tensor | None = None) -> Tensor:
    """The output (L, H · directions) of a sequence (L, I)."""
    step, cells = STEPS[type(layer).__name__], iter(layer.cells)
    x = sequence
    for _ in range(layer.num_layers):
        outputs = [_direction(next(cells), step, x, memory)]
        if layer.bidirectional:
            outputs.append(_direction(next(cells), step, x.flip(0), memory).flip(0))
        x = torch.cat(outputs, 1)
    return x


def _direction(cell: Any, step: Step, x: Tensor, memory: Tensor | None) -> Tensor:
    state = {name: x.new_zeros(cell.hidden_size) for name in cell.state_names}
    state = state if memory is None else {**state, "memory": memory}
    outputs = []
    for x_t in x:
        state = step(cell, state, x_t)
        outputs.append(state["h"])
    return torch.stack(outputs)
