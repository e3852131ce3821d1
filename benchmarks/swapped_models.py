"""Public models with recurrent layers, before and after `tt.convert.swap_`: results, and times of training.

    python benchmarks/swapped_models.py [--rounds 7] [--threads 1] [--only NAME] [--processor-time]

The models are those of `public_models.py`; a model whose package is missing is skipped.

For each, prints the largest absolute difference between the outputs of torch's layers and ours in float32 and
float64, in evaluation mode, and that of all gradients relative to the largest gradient. A training step is a
forward pass in training mode, a backward pass and a step of the model's optimizer. Torch's model and ours run
in turns, and a ratio is the median over rounds. The same is measured for RNN, LSTM and GRU layers alone,
forward and backward, on the inputs that they get in the model.

The share of the recurrent layers is their time alone divided by that of the step, with torch's layers; no
layer, however fast, could make the step faster than the bound, 1 / (1 - share).
"""

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from public_models import CASES, Case, Results
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

import throughtime as tt

Run = Callable[[nn.Module], Results]


@dataclass(frozen=True)
class Times:
    """Median seconds with torch's layers and with ours, and the median ratio of both."""

    theirs: float
    ours: float
    ratio: float

    def __str__(self) -> str:
        """Return them as text."""
        times = f"{self.theirs * 1e3:.1f} ms with torch, {self.ours * 1e3:.1f} ms with ours"
        return f"{times}: {self.ratio:.2f} times"


def _results_and_gradients(model: nn.Module, run: Run) -> tuple[Results, list[Tensor]]:
    model.zero_grad()
    results = run(model)
    results[0].backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return tuple(result.detach() for result in results), [gradient.clone() for gradient in gradients]


def differences(model: nn.Module, run: Run, dtype: torch.dtype) -> tuple[float, float, bool]:
    """Return those of outputs and of gradients, and whether `unswap_` restores every bit."""
    model.to(dtype).eval()
    expected, gradients = _results_and_gradients(model, run)
    tt.convert.swap_(model)
    found, found_gradients = _results_and_gradients(model, run)
    tt.convert.unswap_(model)
    restored, _ = _results_and_gradients(model, run)
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    return (
        _largest_difference(found, expected),
        _largest_difference(found_gradients, gradients) / largest,
        all(torch.equal(a, b) for a, b in zip(restored, expected, strict=True)),
    )


def _largest_difference(found: Any, expected: Any) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


def step_times(
    case: Case, models: tuple[nn.Module, nn.Module], run: Run, rounds: int, clock: Callable[[], float]
) -> Times:
    """Measure training steps of the whole model, with torch's layers and with ours."""
    theirs, ours = (_steps(model, run, case.optimizer, clock) for model in models)
    return _in_turns(theirs, ours, rounds)


def layer_times(model: nn.Module, run: Run, rounds: int, clock: Callable[[], float]) -> Times:
    """Measure the recurrent layers alone, forward and backward, on the inputs that they get in the model."""
    calls: list[tuple[nn.Module, Any]] = []
    handles = [
        layer.register_forward_pre_hook(lambda layer, inputs: calls.append((layer, inputs)))
        for layer in model.modules()
        if isinstance(layer, nn.RNNBase)
    ]
    run(model)
    for handle in handles:
        handle.remove()
    theirs = nn.ModuleList(layer for layer, _ in calls)
    arguments = [pytree.tree_map_only(Tensor, _detached, inputs) for _, inputs in calls]
    ours = copy.deepcopy(theirs)
    tt.convert.swap_(ours)
    return _in_turns(_passes(theirs, arguments, clock), _passes(ours, arguments, clock), rounds)


def _in_turns(theirs: Iterator[float], ours: Iterator[float], rounds: int) -> Times:
    pairs = list(zip(theirs, ours, range(rounds + 1), strict=False))[1:]
    return Times(
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[0] / pair[1] for pair in pairs),
    )


def _steps(
    model: nn.Module,
    run: Run,
    optimizer_class: Callable[..., torch.optim.Optimizer],
    clock: Callable[[], float],
) -> Iterator[float]:
    """Train without end, and yield the time of each step."""
    model.train()
    optimizer = optimizer_class([p for p in model.parameters() if p.requires_grad], 1e-4)
    while True:
        start = clock()
        optimizer.zero_grad()
        run(model)[0].backward()
        optimizer.step()
        yield clock() - start


def _passes(
    layers: nn.ModuleList, arguments: list[tuple[Any, ...]], clock: Callable[[], float]
) -> Iterator[float]:
    """Run the layers forward and backward without end, and yield the time of each round."""
    while True:
        start = clock()
        for layer, inputs in zip(layers, arguments, strict=True):
            output = layer(*inputs)[0]
            (output.data if isinstance(output, PackedSequence) else output).sum().backward()
        yield clock() - start


def _detached(x: Tensor) -> Tensor:
    """Return a leaf with the same values that has a gradient if the tensor has one."""
    return x.detach().requires_grad_(x.requires_grad)


def _build(case: Case) -> tuple[nn.Module, Run]:
    """Return the model with the same weights and data at every call."""
    torch.manual_seed(0)
    return case.build()


def measure(name: str, case: Case, rounds: int, clock: Callable[[], float]) -> None:
    try:
        model, run = _build(case)
    except (ImportError, OSError) as error:
        print(f"{name}: skipped ({str(error).splitlines()[0]})", flush=True)
        return
    dtypes = (torch.float32, torch.float64) if case.double else (torch.float32,)
    results = [differences(_build(case)[0], run, dtype) for dtype in dtypes]
    swapped = _build(case)[0]
    report = tt.convert.swap_(swapped)
    step = step_times(case, (model, swapped), run, rounds, clock)
    layers = layer_times(model, run, rounds, clock)
    share = layers.theirs / step.theirs
    kinds = [layer.after.removeprefix("throughtime.nn.") for layer in report.swapped]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    print(f"{name}: {counts}; {len(report.kept)} layers kept")
    for dtype, (outputs, gradients, is_restored) in zip(dtypes, results, strict=True):
        print(f"  {dtype}: outputs {outputs:.1e}, gradients {gradients:.1e}, unswap_ exact: {is_restored}")
    print(f"  training step: {step}")
    print(f"  recurrent layers alone: {layers}")
    bound = f"at most {1 / (1 - share):.1f} times with faster layers" if share < 1 else "nothing else counts"
    print(f"  share of the recurrent layers: {share:.0%}, {bound}", flush=True)
    for layer in report.kept:
        print(f"  kept: {layer.name}: {layer.reason}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--processor-time", action="store_true", help="for one thread on a busy machine")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # of the packages
    for name, case in CASES.items():
        if options.only in {None, name}:
            measure(name, case, options.rounds, clock)


if __name__ == "__main__":
    main()
