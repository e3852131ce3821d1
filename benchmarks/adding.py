"""The adding problem, three ways: an RNN whose gradients vanish, one whose gradients explode, and an LSTM.

    python benchmarks/adding.py [--steps 2000] [--length 100] [--out runs/adding.html]

A sequence holds numbers between 0 and 1, two of which are marked; the answer is their sum (Hochreiter and
Schmidhuber 1997). Predicting 1 always has an error of 0.167. Trains each model briefly, prints errors
and findings, and writes one page that compares the three.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime.diagnose import diagnose
from throughtime.report import write_diagnoses


def problem(count: int, length: int, generator: torch.Generator) -> tuple[tt.Ragged, Tensor]:
    lengths = torch.randint(length // 2, length + 1, (count,), generator=generator)
    rows, sums = [], []
    for n in lengths.tolist():
        numbers, marks = torch.rand(n, generator=generator), torch.zeros(n)
        marks[torch.randperm(n, generator=generator)[:2]] = 1.0
        rows.append(torch.stack([numbers, marks], 1))
        sums.append((numbers * marks).sum())
    return tt.Ragged.from_list(rows), torch.stack(sums)


class Adder(nn.Module):
    """A recurrent layer, and a number read off its last state."""

    def __init__(self, layer: nn.Module, hidden: int) -> None:
        super().__init__()
        self.layer, self.output = layer, nn.Linear(hidden, 1)

    def forward(self, x: tt.Ragged) -> Tensor:
        """Return (B,), read off the last state."""
        state = self.layer(x).state
        h = state[0] if isinstance(state, tuple) else state
        return self.output(h[-1])[:, 0]


def models(hidden: int) -> dict[str, Adder]:
    vanishing = tt.nn.init.orthogonal_(tt.nn.RNN(2, hidden), 0.6)
    exploding = tt.nn.init.orthogonal_(tt.nn.RNN(2, hidden, nonlinearity="relu"), 2.0)
    healthy = tt.nn.init.chrono_(tt.nn.LSTM(2, hidden), 100)
    layers = {
        "RNN, tanh, small recurrent weights": vanishing,
        "RNN, relu, large recurrent weights": exploding,
        "LSTM, chrono initialisation": healthy,
    }
    return {name: Adder(layer, hidden) for name, layer in layers.items()}


def train(model: Adder, steps: int, length: int, generator: torch.Generator) -> float:
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        x, y = problem(32, length, generator)
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    x, y = problem(256, length, generator)
    with torch.no_grad():
        return float((model(x) - y).square().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("runs/adding.html"))
    options = parser.parse_args()
    torch.manual_seed(0)
    diagnoses = {}
    for name, model in models(options.hidden).items():
        generator = torch.Generator().manual_seed(0)
        x, y = problem(32, options.length, torch.Generator().manual_seed(1))
        before = diagnose(model, x, lambda out, y=y: (out - y).square().mean(), outcome=lambda out: out)
        begin = time.perf_counter()
        error = train(model, options.steps, options.length, generator)
        seconds = time.perf_counter() - begin
        print(f"{name}: error {error:.4f} after {options.steps} steps, {seconds:.0f} s")
        for finding in before.findings:
            print(f"  {finding.severity}: {finding.verdict}")
        diagnoses[f"{name}: error {error:.3f}"] = before
    options.out.parent.mkdir(parents=True, exist_ok=True)
    subtitle = "The adding problem before training; the errors are those after it. Predicting 1 gives 0.167."
    write_diagnoses(options.out, "The adding problem with three models", subtitle, diagnoses)
    print(f"saved in {options.out}")


if __name__ == "__main__":
    main()
