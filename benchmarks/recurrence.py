"""The general recurrence against a plain Python loop: a GRU, forward and backward.

    python benchmarks/recurrence.py [--rounds 15]

Contenders, in turns on the same ragged batch (lengths from T/4 to T), the preparation of inputs is not timed:

cell     `throughtime.nn.Recurrence` over the same `torch.nn.GRUCell` as the loop: it runs natively
ours     `throughtime.nn.Recurrence` with a transition in plain PyTorch, its input part hoisted by ``prepare``
loop     a Python loop over `torch.nn.GRUCell` on the padded batch, with a mask for sequences that have ended
native   `throughtime.nn.GRU`, for comparison
jax      `jax.lax.scan` over the padded batch, compiled, if JAX is installed

Prints medians, and each contender's time over ours.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import throughtime as tt


class Gru(nn.Module):
    """A GRU as one would write it for `Recurrence`."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.into, self.again = nn.Linear(inputs, 3 * hidden), nn.Linear(hidden, 3 * hidden)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        """Return the next h."""
        x_r, x_z, x_n = x.chunk(3, 1)
        h_r, h_z, h_n = self.again(h).chunk(3, 1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return torch.lerp(n, h, torch.sigmoid(x_z + h_z))


def padded_loop(cell: nn.GRUCell, x: Tensor, mask: Tensor) -> Tensor:
    h, outputs = x.new_zeros(x.shape[1], cell.hidden_size), []
    for x_t, m_t in zip(x, mask, strict=True):
        h = torch.where(m_t, cell(x_t, h), h)
        outputs.append(h)
    return torch.stack(outputs)


def jax_contender(x: Tensor, mask: Tensor, hidden: int) -> Callable[[], None] | None:
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        print("jax is not measured: it is not installed")
        return None
    inputs = x.shape[2]
    keys = jax.random.split(jax.random.PRNGKey(0), 2)
    w = {
        "ih": jax.random.normal(keys[0], (inputs, 3 * hidden)) / hidden**0.5,
        "hh": jax.random.normal(keys[1], (hidden, 3 * hidden)) / hidden**0.5,
        "b": jnp.zeros(3 * hidden),
    }
    xs, ms = jnp.asarray(x.numpy()), jnp.asarray(mask.numpy())

    def loss(w: dict) -> jax.Array:
        def step(h: jax.Array, given: tuple) -> tuple:
            x_t, m_t = given
            h_r, h_z, h_n = jnp.split(h @ w["hh"] + w["b"], 3, 1)
            x_r, x_z, x_n = jnp.split(x_t, 3, 1)
            z = jax.nn.sigmoid(x_z + h_z)
            new = (1 - z) * jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n) + z * h
            h = jnp.where(m_t, new, h)
            return h, h

        prepared = xs @ w["ih"] + w["b"]
        _, ys = jax.lax.scan(step, jnp.zeros((xs.shape[1], hidden)), (prepared, ms))
        return (ys * ms).sum()

    gradient = jax.jit(jax.grad(loss))
    jax.block_until_ready(gradient(w))
    return lambda: jax.block_until_ready(gradient(w))


def contenders(batch: int, steps: int, inputs: int, hidden: int) -> dict[str, Callable[[], None]]:
    lengths = [steps // 4 + (steps - steps // 4) * i // (batch - 1) for i in range(batch)]
    x = tt.Ragged.from_lengths(torch.randn(sum(lengths), inputs), lengths)
    padded = x.to_padded().transpose(0, 1).contiguous()
    mask = (torch.arange(steps)[:, None] < torch.tensor(lengths)[None])[..., None]
    f = Gru(inputs, hidden)
    ours = tt.nn.Recurrence(f, state=hidden, prepare=f.into)
    cell = nn.GRUCell(inputs, hidden)
    over_cell = tt.nn.Recurrence(cell)
    native = tt.nn.GRU(inputs, hidden)
    found = {
        "ours": lambda: ours(x).output.values.sum().backward(),
        "cell": lambda: over_cell(x).output.values.sum().backward(),
        "loop": lambda: (padded_loop(cell, padded, mask) * mask).sum().backward(),
        "native": lambda: native(x).output.values.sum().backward(),
    }
    jax = jax_contender(padded, mask, hidden)
    return found if jax is None else {**found, "jax": jax}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(2)
    for shape in ((32, 100, 64, 64), (32, 128, 256, 256), (8, 128, 128, 128), (128, 128, 128, 128)):
        runs = contenders(*shape)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds + 2):
            for name, run in runs.items():
                time.sleep(0.05)  # threads of the previous library may still spin
                begin = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - begin)
        medians = {name: statistics.median(values[2:]) for name, values in times.items()}
        row = "  ".join(f"{name} {m * 1e3:.1f} ms ({m / medians['ours']:.2f})" for name, m in medians.items())
        print(f"B, T, I, H = {shape}: {row}", flush=True)


if __name__ == "__main__":
    main()
