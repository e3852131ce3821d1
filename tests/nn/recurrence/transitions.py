"""Transitions as users write them: name to (f, state shapes, token shape)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import throughtime as tt

if TYPE_CHECKING:
    from collections.abc import Callable

D, H = 3, 4


@dataclass
class Case:
    f: Callable[[Any, Any], Any]
    state: Any  # a structure of shapes
    token: Any = (D,)
    products: int | None = None
    tokens: int | None = None


CASES: dict[str, Callable[[], Case]] = {}


def case(
    state: Any = (H,), token: Any = (D,), products: int | None = None, tokens: int | None = None
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def add(make: Callable[[], Any]) -> Callable[[], Any]:
        CASES[make.__name__] = lambda: Case(make(), state, token, products, tokens)
        return make

    return add


def pointwise(name: str, activation: Callable[[Tensor], Tensor]) -> None:
    def make() -> Any:
        w, u = linear(D), linear(H, bias=False)
        return lambda h, x: 0.5 * torch.tanh(activation(w(x) + u(h)) * 0.7)

    make.__name__ = name
    case(products=1, tokens=1)(make)


def linear(inputs: int, outputs: int = H, *, bias: bool = True) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=bias)


class Module(nn.Module):
    """A module whose forward is given, over parts that are children."""

    def __init__(self, forward: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = forward

    def forward(self, state: Any, x: Any) -> Any:
        return self.function(self, state, x)


@case(products=1, tokens=1)
def elman() -> Any:
    w, u = linear(D), linear(H)
    return lambda h, x: torch.tanh(w(x) + u(h))


@case(products=1, tokens=1)
def elman_of_concatenation() -> Any:
    w = linear(D + H)
    return lambda h, x: torch.relu(w(torch.cat([h, x], 1)))


@case(products=1, tokens=1)
def elman_by_matrices() -> Any:
    w, u, b = (nn.Parameter(torch.randn(*shape) * 0.4) for shape in ((D, H), (H, H), (H,)))
    return lambda h, x: torch.tanh(x @ w + h @ u + b)


@case(products=1, tokens=1)
def elman_of_columns() -> Any:
    """W h + U x + b, as the textbook has it, with states as columns."""
    w, u, b = (nn.Parameter(torch.randn(*shape) * 0.4) for shape in ((H, H), (H, D), (H, 1)))
    return lambda h, x: torch.tanh(w @ h.T + u @ x.T + b).T


@case(products=1, tokens=1)
def elman_by_einsum() -> Any:
    w, u = (nn.Parameter(torch.randn(*shape) * 0.4) for shape in ((H, H), (H, D)))
    return lambda h, x: torch.tanh(torch.einsum("ij,nj->ni", w, h) + torch.einsum("nj,ij->ni", x, u))


@case(products=1, tokens=1)
def torch_rnn_cell() -> Any:
    cell = nn.RNNCell(D, H, nonlinearity="relu")
    return lambda h, x: cell(x, h)


@case(state=((H,), (H,)), products=1, tokens=1)
def torch_lstm_cell() -> Any:
    cell = nn.LSTMCell(D, H)
    return lambda state, x: cell(x, state)


@case(products=1, tokens=1)
def torch_gru_cell() -> Any:
    cell = nn.GRUCell(D, H)
    return lambda h, x: cell(x, h)


@case(state=((H,), (H,)), products=1, tokens=1)
def lstm() -> Any:
    gates = linear(D + H, 4 * H)

    def f(state: Any, x: Tensor) -> Any:
        h, c = state
        i, f, g, o = gates(torch.cat([x, h], -1)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    return f


@case(state={"h": (H,), "c": (H,)}, products=4, tokens=4)
def lstm_of_eight_matrices() -> Any:
    w = nn.ModuleDict({gate: linear(D) for gate in "ifgo"})
    u = nn.ModuleDict({gate: linear(H, bias=False) for gate in "ifgo"})

    def f(state: Any, x: Tensor) -> Any:
        i, f, g, o = (w[gate](x) + u[gate](state["h"]) for gate in "ifgo")
        c = f.sigmoid() * state["c"] + i.sigmoid() * g.tanh()
        return {"h": o.sigmoid() * c.tanh(), "c": c}

    return f


@case(products=1, tokens=1)
def gru() -> Any:
    w, u = linear(D, 3 * H), linear(H, 3 * H)

    def f(h: Tensor, x: Tensor) -> Tensor:
        (r_x, z_x, n_x), (r_h, z_h, n_h) = w(x).split(H, 1), u(h).split(H, 1)
        r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
        return (1 - z) * torch.tanh(n_x + r * n_h) + z * h

    return f


@case(products=2, tokens=1)
def gru_reset_before() -> Any:
    w, u, v = linear(D, 3 * H), linear(H, 2 * H, bias=False), linear(H, bias=False)

    def f(h: Tensor, x: Tensor) -> Tensor:
        x = w(x)
        r, z = torch.sigmoid(x[:, : 2 * H] + u(h)).chunk(2, 1)
        return torch.lerp(torch.tanh(x[:, 2 * H :] + v(r * h)), h, z)

    return f


@case(state=((H,), (H,)), products=1)
def peephole_lstm() -> Any:
    gates, peep = linear(D + H, 4 * H), nn.ParameterList([nn.Parameter(torch.randn(H)) for _ in range(3)])

    def f(state: Any, x: Tensor) -> Any:
        h, c = state
        i, f, g, o = gates(torch.cat((x, h), 1)).tensor_split(4, 1)
        c = torch.sigmoid(f + peep[0] * c) * c + torch.sigmoid(i + peep[1] * c) * torch.tanh(g)
        return torch.sigmoid(o + peep[2] * c) * torch.tanh(c), c

    return f


@case(state=((H,), (H,)), products=1, tokens=1)
def layer_norm_lstm() -> Any:
    w, u = linear(D, 4 * H, bias=False), linear(H, 4 * H, bias=False)
    norms = nn.ModuleList([nn.LayerNorm(4 * H), nn.LayerNorm(4 * H), nn.LayerNorm(H)])

    def f(self: Any, state: Any, x: Tensor) -> Any:
        h, c = state
        i, f, g, o = (norms[0](w(x)) + norms[1](u(h))).chunk(4, 1)
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(norms[2](c)), c

    return Module(f)


@case(products=2, tokens=1)
def mgu() -> Any:
    w, u, v = linear(D, 2 * H), linear(H, bias=False), linear(H, bias=False)

    def f(h: Tensor, x: Tensor) -> Tensor:
        gate, candidate = w(x).chunk(2, 1)
        gate = (gate + u(h)).sigmoid()
        return h + gate * (torch.tanh(candidate + v(gate * h)) - h)

    return f


@case(products=1, tokens=1)
def light_gru() -> Any:
    """Ravanelli et al. 2018, in evaluation: batch normalisation of what comes from the token."""
    w, u, norm = linear(D, 2 * H, bias=False), linear(H, 2 * H, bias=False), nn.BatchNorm1d(2 * H)
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    norm.eval()

    def f(h: Tensor, x: Tensor) -> Tensor:
        z, candidate = (norm(w(x)) + u(h)).chunk(2, 1)
        z = torch.sigmoid(z)
        return z * h + (1 - z) * F.relu(candidate)

    return f


@case(products=0, tokens=1)
def ind_rnn() -> Any:
    w, u = linear(D), nn.Parameter(torch.rand(H))
    return lambda h, x: F.relu(w(x) + u * h)


@case(state=((H,), (H,)), products=2, tokens=2)
def multiplicative_lstm() -> Any:
    w_m, u_m, w, u = linear(D, H, bias=False), linear(H, bias=False), linear(D, 4 * H), linear(H, 4 * H)

    def f(state: Any, x: Tensor) -> Any:
        h, c = state
        m = w_m(x) * u_m(h)
        i, f, g, o = (w(x) + u(m)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    return f


@case(products=3)
def recurrent_highway() -> Any:
    """Zilly et al. 2017, of depth 3; the token enters at the first layer alone."""
    w, layers = linear(D, 2 * H), nn.ModuleList([linear(H, 2 * H) for _ in range(3)])

    def f(h: Tensor, x: Tensor) -> Tensor:
        for depth, layer in enumerate(layers):
            both = layer(h) + (w(x) if depth == 0 else 0)
            candidate, transform = torch.tanh(both[:, :H]), torch.sigmoid(both[..., H:])
            h = candidate * transform + h * (1 - transform)
        return h

    return f


@case(state=((H,), (H,)), products=1, tokens=1)
def coupled_lstm() -> Any:
    gates = linear(D + H, 3 * H)

    def f(state: Any, x: Tensor) -> Any:
        f, g, o = gates(torch.hstack([x, state[0]])).unflatten(1, (3, H)).unbind(1)
        c = torch.sigmoid(f) * state[1] + (1 - torch.sigmoid(f)) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    return f


@case(state={"h": (H,), "c": (H,), "n": (H,), "m": (H,)}, products=1, tokens=1)
def slstm() -> Any:
    """Beck et al. 2024, with the stabiliser m."""
    w, u = linear(D, 4 * H), linear(H, 4 * H, bias=False)

    def f(state: Any, x: Tensor) -> Any:
        z, i, f, o = (w(x) + u(state["h"])).chunk(4, 1)
        log_f = F.logsigmoid(f)
        m = torch.maximum(log_f + state["m"], i)
        i, f = torch.exp(i - m), torch.exp(log_f + state["m"] - m)
        c = f * state["c"] + i * torch.tanh(z)
        n = f * state["n"] + i
        return {"h": torch.sigmoid(o) * c / (n.abs() + 1e-3), "c": c, "n": n, "m": m}

    return f


@case(state=((H,), (5, H)), products=2)
def attention_over_memory() -> Any:
    """Softmax attention of the state over keys and values of each sequence, which stay as they are."""
    query, out = linear(H), linear(D + 2 * H)

    def f(state: Any, x: Tensor) -> Any:
        h, memory = state
        scores = (memory @ query(h).unsqueeze(-1)).squeeze(-1) / H**0.5
        context = (scores.softmax(-1).unsqueeze(1) @ memory).squeeze(1)
        return torch.tanh(out(torch.cat([x, context, h], -1))), memory

    return f


@case(state=((2, H), (5, 2 * H)))
def heads_over_memory() -> Any:
    query, key, value, token = linear(H), linear(2 * H, 2 * H), linear(2 * H, 2 * H), linear(D, 2 * H)

    def f(state: Any, x: Tensor) -> Any:
        h, memory = state
        k = key(memory).view(-1, 5, 2, H).transpose(1, 2)
        v = value(memory).view(-1, 5, 2, H).transpose(1, 2)
        scores = torch.einsum("nhd,nhmd->nhm", query(h), k)
        context = torch.einsum("nhm,nhmd->nhd", torch.softmax(scores, -1), v)
        return torch.tanh(context + token(x).view(-1, 2, H)), memory

    return f


@case(state=((H,), (6, 2)))
def neural_turing_machine() -> Any:
    """Graves et al. 2014, content addressing: the memory is written, too."""
    controller, head = linear(D + 2 + H), linear(H, 8)

    def f(state: Any, x: Tensor) -> Any:
        h, memory = state
        key, strength, erase, add = head(h).split([2, 1, 2, 3], 1)
        add = add[:, :2]
        similar = F.cosine_similarity(memory, key[:, None, :], dim=-1)
        weight = F.softmax(F.softplus(strength) * similar, dim=1)
        read = (weight[:, :, None] * memory).sum(1)
        memory = (
            memory * (1 - weight[:, :, None] * erase[:, None].sigmoid()) + weight[:, :, None] * add[:, None]
        )
        return torch.tanh(controller(torch.cat([x, read, h], 1))), memory

    return f


@case(state=(H, H), products=0)
def linear_attention() -> Any:
    """A matrix as state, to which outer products are added, and which the token reads."""
    k, v, decay = linear(D), linear(D), linear(D, 1)
    return lambda s, x: decay(x).sigmoid()[:, :, None] * s + torch.einsum("ni,nj->nij", k(x), v(x))


@case(state=((3, H), (H,)))
def fast_weights() -> Any:
    key, value = linear(D + H), linear(D, 3)

    def f(state: Any, x: Tensor) -> Any:
        a, h = state
        k = torch.tanh(key(torch.cat([x, h], 1)))
        old = torch.bmm(a, k.unsqueeze(2)).squeeze(2)
        a = a + torch.bmm((value(x) - old).unsqueeze(2), k.unsqueeze(1)) * 0.5
        return a, torch.tanh(h + a.sum(1))

    return f


@case(state=(2, H))
def linear_over_last_of_three() -> Any:
    w, u = linear(D, 2 * H), linear(H)
    return lambda h, x: torch.tanh(w(x).unflatten(-1, (2, H)) + u(h))


@case(state=(2, H))
def block_diagonal() -> Any:
    u = nn.Parameter(torch.randn(2, H, H) * 0.4)
    return lambda h, x: torch.tanh(torch.einsum("nhd,hde->nhe", h, u) + x[:, :1, None])


@case(products=2, tokens=1)
def two_layers_in_a_sequential() -> Any:
    net = nn.Sequential(linear(D + H, 6), nn.GELU(), linear(6), nn.Tanh(), nn.Dropout(0.5)).eval()
    return lambda h, x: net(torch.cat([x, h], 1))


@case(products=2, tokens=1)
def tied_weights() -> Any:
    w, u = linear(D), linear(H, bias=False)
    return lambda h, x: torch.tanh(u(torch.tanh(w(x) + u(h))))


@case(products=1, tokens=1)
def weight_norm() -> Any:
    w, u = linear(D), nn.utils.parametrizations.weight_norm(linear(H))
    return lambda h, x: torch.tanh(w(x) + u(h))


@case(products=1, tokens=1)
def orthogonal() -> Any:
    class Skew(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.triu(1) - x.triu(1).mT

    class Cayley(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.solve(torch.eye(H, dtype=x.dtype) + x, torch.eye(H, dtype=x.dtype) - x)

    w, u = linear(D), linear(H, bias=False)
    nn.utils.parametrize.register_parametrization(u, "weight", Skew())
    nn.utils.parametrize.register_parametrization(u, "weight", Cayley())
    return lambda h, x: torch.relu(w(x) + u(h))


@case(products=1, tokens=1)
def transposed_weight() -> Any:
    w = linear(D)
    return lambda h, x: torch.tanh(w(x) + h @ (w.weight @ w.weight.T))


@case(products=0)
def numbers_alone() -> Any:
    alpha, steps = 0.25, (1.5, 2)
    return lambda h, x: (1 - alpha) * h + alpha * x.sum(-1, keepdim=True) / steps[0] - h**3 / (10 * steps[1])


@case(products=1)
def learned_scalar_and_constant_vector() -> Any:
    w, u = linear(D), linear(H, bias=False)
    time, taus = nn.Parameter(torch.tensor(0.3)), torch.linspace(1, 2, H)
    return lambda h, x: h + time / taus * (-h + torch.tanh(w(x) + u(h)) + torch.tensor(0.125))


@case(products=1)
def choice() -> Any:
    w, u = linear(D), linear(H)

    def f(h: Tensor, x: Tensor) -> Tensor:
        new = w(x) + u(h)
        clipped = torch.where((new > 0.5) | (new < -0.5), new.clamp(-0.5, 0.5) * 0.9, new)
        return torch.where(x[:, :1] > 0, clipped, h).masked_fill(clipped.isnan(), 0.0)

    return f


@case(state=((H,), (H,)), token={"x": (D,), "keep": (1,)}, products=1)
def token_of_two_parts() -> Any:
    w, u = linear(D), linear(H)

    def f(state: Any, token: Any) -> Any:
        h, total = state
        h = h * (token["keep"] > 0)
        h = torch.tanh(w(token["x"]) + u(h))
        return h, total + h.square()

    return f


@case(state=((H,), (H,)))
def delayed_copy() -> Any:
    w = linear(D)
    return lambda state, x: (w(x), state[0])


@case(products=1)
def in_place() -> Any:
    w, u = linear(D), linear(H)

    def f(h: Tensor, x: Tensor) -> Tensor:
        z = w(x) + u(h)
        z *= 0.5
        z += 1
        return z.tanh_()

    return f


@case(products=1)
def normalised() -> Any:
    u, norm = linear(D + H), nn.RMSNorm(H)
    return lambda h, x: (
        norm(F.normalize(u(torch.cat([x, h], 1)), dim=-1)) + torch.linalg.norm(h, dim=1, keepdim=True) * 0.1
    )


@case(products=1)
def group_norm() -> Any:
    u, norm = linear(D + H), nn.GroupNorm(2, H)
    return lambda h, x: norm(u(torch.cat([x, h], 1)))


@case(products=1)
def softmaxes() -> Any:
    u = linear(D + H, 2 * H)

    def f(h: Tensor, x: Tensor) -> Tensor:
        z = u(torch.cat([x, h], 1)).view(x.shape[0], 2, H)
        return F.softmax(z, 1)[:, 0] + F.log_softmax(z, 2)[:, 1] * 0.1 + z.logsumexp(2).mean(1, keepdim=True)

    return f


@case(products=1)
def statistics() -> Any:
    u = linear(D + H, 2 * H)

    def f(h: Tensor, x: Tensor) -> Tensor:
        z = u(torch.cat([x, h], 1)).reshape(-1, H, 2)
        spread = z.var(-1) + z.std(1, keepdim=True).mean(-1)
        return torch.tanh(
            spread + z.amax(-1) - z.amin((1, 2), keepdim=True)[:, :, 0] + z.sum(1).mean(1)[:, None]
        )

    return f


@case(products=1)
def stopped_gradient() -> Any:
    w, u = linear(D), linear(H)
    return lambda h, x: torch.tanh(w(x) + u(h)) + 0.3 * h.detach()


@case(products=1)
def convolution_of_the_token() -> Any:
    """What depends on tokens alone may be anything that treats each row alone."""
    conv, u = nn.Conv1d(1, H, D), linear(H)
    return lambda h, x: torch.tanh(conv(x.unsqueeze(1)).squeeze(-1) + x.cumsum(1)[:, -1:] + u(h))


@case(token=(3, 3), products=1)
def features_of_the_token() -> Any:
    w, u, table = linear(9), linear(H), nn.Embedding(5, H)

    def f(h: Tensor, x: Tensor) -> Tensor:
        ranks = x.triu().flip(2).repeat(1, 1, 2)[:, :, :3].sort(-1).values.flatten(1)
        return torch.tanh(w(ranks) + u(h) + table(x[:, 0].argmax(-1)) + table.weight[x[:, 1].argmax(1)])

    return f


@case(products=1)
def partial_and_defaults() -> Any:
    u, w = linear(H), linear(D)

    def f(h: Tensor, x: Tensor, scale: float = 0.5, *, shift: Tensor = torch.ones(H)) -> Tensor:  # noqa: B008
        return torch.tanh(u(h) * scale + w(x)) + shift

    return functools.partial(f, scale=0.7)


@case(products=0, tokens=0)
def nothing() -> Any:
    return lambda h, x: h


@case(products=0, tokens=0)
def decay() -> Any:
    return lambda h, x: h * 0.5


@case(state=((), (H,)), products=0)
def state_of_one_number() -> Any:
    w = linear(D)
    return lambda s, x: (s[0] + x.sum(-1), torch.tanh(w(x) + s[1] / (1 + s[0][:, None].abs())))


@case(products=1)
def moved_features() -> Any:
    u, b = linear(H), nn.Parameter(torch.randn(H))

    def f(h: Tensor, x: Tensor) -> Tensor:
        h = u(h).roll(1, 1) + h.flip(1) + F.pad(h[:, 1:], (0, 1), value=0.3) + b.repeat(x.shape[0], 1)
        turned = torch.stack([h[:, ::2] * 0.6 - h[:, 1::2] * 0.8, h[:, ::2] * 0.8 + h[:, 1::2] * 0.6], -1)
        return torch.tanh(turned.flatten(1).repeat(1, 2)[:, 1 : H + 1] + x[:, :1].expand(-1, H))

    return f


@case(products=0, tokens=1)
def bilinear_form() -> Any:
    form = nn.Bilinear(D, H, H)
    return lambda h, x: torch.tanh(form(x, h) + torch.cat([h, h.new_zeros(h.shape[0], 1)], 1)[:, 1:])


@case(state=(2, H), products=6)
def constant_on_the_left() -> Any:
    w, mix, v = linear(D), nn.Parameter(torch.randn(2, 2)), nn.Parameter(torch.randn(H))
    return lambda h, x: torch.tanh(mix @ h + w(x)[:, None] + (h @ v)[..., None])


@case(state=(H, H), products=0)
def product_of_two_states() -> Any:
    w = linear(D)
    return lambda s, x: torch.tanh(
        s @ s.mT * 0.5 + w(x)[:, None] + torch.einsum("nij,nj->ni", s, w(x))[:, :, None]
    )


@case(state=((H,), (5, H)))
def attention_of_torch() -> Any:
    w = linear(D)
    return lambda s, x: (F.scaled_dot_product_attention(s[0][:, None], s[1], s[1])[:, 0] + w(x), s[1])


@case(token=(H, H), products=0, tokens=1)
def token_as_matrix() -> Any:
    return lambda h, x: torch.tanh(torch.bmm(h[:, None], x)[:, 0])


@case(state=((H,), (H,)), products=1, tokens=1)
def cells_of_this_package() -> Any:
    cell = tt.nn.LSTMCell(D, H)
    return lambda state, x: cell(x, state)


for name, activation in {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_of_tanh": functools.partial(F.gelu, approximate="tanh"),
    "elu": F.elu,
    "celu": functools.partial(F.celu, alpha=0.5),
    "selu": F.selu,
    "leaky_relu": F.leaky_relu,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "softplus": F.softplus,
    "softplus_of_beta": functools.partial(F.softplus, beta=3.0, threshold=2.0),
    "logsigmoid": F.logsigmoid,
    "mish": F.mish,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "threshold": lambda a: F.threshold(a, 0.1, 0.2),
    "glu": lambda a: F.glu(torch.cat([a, a + 0.1], 1), 1),
    "powers": lambda a: a.pow(3) + a.abs().pow(0.5) + 2**a + a**2,
    "logarithms": lambda a: (a.square() + 1).log2() + a.exp().log1p() + (a.abs() + 1).log10(),
    "circular": lambda a: a.sin() * a.cos() + a.sinh() - a.cosh() + a.erf() + a.expm1(),
    "adds": lambda a: torch.addcmul(a, a, a.sigmoid(), value=0.5) + torch.addcdiv(a, a, a.abs() + 1, value=2),
    "roots": lambda a: (a.abs() + 1).rsqrt() + (a * a + 1).sqrt() + (a.abs() + 1).reciprocal() - (2 - a),
    "signs": lambda a: (
        a.sign() * a + a.neg() + a.relu() + torch.minimum(a, -a) + a.clamp(min=-0.2) + a.clamp_max(0.3)
    ),
}.items():
    pointwise(name, activation)
