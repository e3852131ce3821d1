"""JAX: `lax.scan` over time, compiled, the input's product in front of it; masked where lengths differ."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from throughtime.bench._lengths import Mode
from throughtime.bench.recurrent.case import Case
from throughtime.bench.recurrent.peers._contender import Prepared
from throughtime.ragged import Ragged


class _Jax:
    name = "jax"
    version = jax.__version__

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        """Return the case ready to run."""
        weights = {name: jnp.asarray(value.numpy()) for name, value in case.weights.items()}
        x, gradient = jnp.asarray(_padded(case.values, case)), jnp.asarray(_padded(case.gradient, case))
        mask = None
        if case.kind == "ragged":
            steps = torch.arange(case.shape.steps)
            mask = jnp.asarray((steps[:, None] < case.lengths)[..., None].numpy())

        def forward(weights: Any, x: Any) -> Any:
            return _STEPS[case.cell](weights, x, mask)

        if mode == "inference":
            infer = jax.jit(forward)
            return Prepared(lambda: infer(weights, x).block_until_ready(), lambda y: (_tokens(y, case),))

        def gradients(weights: Any, x: Any, gradient: Any) -> Any:
            _, pull = jax.vjp(forward, weights, x)
            return pull(gradient)

        train = jax.jit(gradients)

        def results(found: Any) -> tuple[Tensor, ...]:
            of_weights, dx = found
            return (
                _tokens(dx, case),
                *(torch.from_numpy(np.array(of_weights[name])) for name in case.weights),
            )

        return Prepared(lambda: jax.block_until_ready(train(weights, x, gradient)), results)


def contender(threads: int) -> _Jax:
    """Return JAX on the CPU with so many threads, if it has not begun to compute with others."""
    os.environ["PJRT_NPROC"] = str(threads)  # read when the first array is made; there is no option for it
    jax.config.update("jax_platforms", "cpu")
    return _Jax()


def _padded(values: Tensor, case: Case) -> np.ndarray:
    ragged = Ragged.from_lengths(values, case.lengths)
    return ragged.to_padded(length=case.shape.steps, batch_first=False).contiguous().numpy()


def _tokens(y: Any, case: Case) -> Tensor:
    padded = torch.from_numpy(np.array(y))
    return Ragged.from_padded(padded, lengths=case.lengths, batch_first=False).values


def _scan(step: Any, state: Any, projected: Any, mask: Any) -> Any:
    if mask is None:
        return jax.lax.scan(step, state, projected)[1]

    def masked(state: Any, inputs: Any) -> Any:
        pre, alive = inputs
        new, y = step(state, pre)
        return jax.tree.map(lambda n, o: jnp.where(alive, n, o), new, state), jnp.where(alive, y, 0.0)

    return jax.lax.scan(masked, state, (projected, mask))[1]


def _zeros(x: Any, hidden: int) -> Any:
    return jnp.zeros((x.shape[1], hidden), x.dtype)


def _lstm(w: Any, x: Any, mask: Any) -> Any:
    hidden = w["weight_hh"].shape[1]
    projected = x @ w["weight_ih"].T + (w["bias_ih"] + w["bias_hh"])

    def step(state: Any, pre: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(pre + h @ w["weight_hh"].T, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return _scan(step, (_zeros(x, hidden), _zeros(x, hidden)), projected, mask)


def _gru(w: Any, x: Any, mask: Any) -> Any:
    hidden = w["weight_hh"].shape[1]
    projected = x @ w["weight_ih"].T + w["bias_ih"]

    def step(h: Any, pre: Any) -> Any:
        recurrent = h @ w["weight_hh"].T + w["bias_hh"]
        r = jax.nn.sigmoid(pre[:, :hidden] + recurrent[:, :hidden])
        z = jax.nn.sigmoid(pre[:, hidden : 2 * hidden] + recurrent[:, hidden : 2 * hidden])
        n = jnp.tanh(pre[:, 2 * hidden :] + r * recurrent[:, 2 * hidden :])
        h = (1 - z) * n + z * h
        return h, h

    return _scan(step, _zeros(x, hidden), projected, mask)


def _rnn(w: Any, x: Any, mask: Any) -> Any:
    projected = x @ w["weight_ih"].T + (w["bias_ih"] + w["bias_hh"])

    def step(h: Any, pre: Any) -> Any:
        h = jnp.tanh(pre + h @ w["weight_hh"].T)
        return h, h

    return _scan(step, _zeros(x, w["weight_hh"].shape[1]), projected, mask)


_STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}
