"""Equal trainings give equal weights, bit for bit: on several threads and a busy machine, too, in every task."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from throughtime.training import ModelSpec, Run
from throughtime.training._module import TrainingModule
from throughtime.training._surroundings import reproducible
from throughtime.training.next_step_module import NextStepModule

from . import toy, toy_next


class Task(NamedTuple):
    """A model and how it is trained: as a whole, and step by step without Lightning's loops."""

    model: ModelSpec
    settings: Any
    source: Callable[[], Any]
    fit: Callable[[Run, Any], object]
    module: Callable[..., Any]

    def trained_steps(self, steps: int) -> list[torch.Tensor]:
        """Return the weights after so many steps."""
        with reproducible():
            source = self.source()
            torch.manual_seed(0)
            model = self.model.build(source.vocabulary_size, len(source.classes))
            module = self.module(model, source, self.settings).train()
            optimizer = module.configure_optimizers()
            module.loader.set_epoch(0)
            for number, batch in zip(range(steps), module.loader, strict=False):
                module.seed_step(number)
                optimizer.zero_grad()
                module.training_step(batch, number).backward()
                module.configure_gradient_clipping(optimizer)
                optimizer.step()
        return [parameter.detach() for parameter in model.parameters()]


def _classifier(kind: str, **options: Any) -> Task:
    settings = replace(toy.SETTINGS, epochs=1, tokens_per_batch=400)
    return Task(ModelSpec(kind, options), settings, toy.Toy, toy.fitted, TrainingModule)


def _next_step(kind: str, source: Callable[[], Any], **options: Any) -> Task:
    model = ModelSpec(kind, {**toy_next.OPTIONS, **options})
    return Task(model, replace(toy_next.SETTINGS, epochs=1), source, toy_next.fitted, NextStepModule)


TASKS = {
    "TextCNN": _classifier("textcnn", embedding_size=64, channels=96, kernel_sizes=[1, 2]),
    "BiLSTM": _classifier("bilstm", embedding_size=32, hidden_size=64),
    "BiGRU": _classifier("bigru", embedding_size=32, hidden_size=64),
    "words": _next_step("language", toy_next.source, embedding_size=64, hidden_size=64),
    "words, adaptive": _next_step("language", toy_next.source, embedding_size=64, cutoffs=[3, 6]),
    "frames": _next_step("frame", toy_next.frames, hidden_size=64),
}
each_task = pytest.mark.parametrize("name", TASKS)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """Keep the cores from us now and then, for two minutes at most."""
    code = "import time; end = time.monotonic() + 120\nwhile time.monotonic() < end: sum(range(20000))"
    with ExitStack() as stack:
        for _ in range(processes):
            other = subprocess.Popen([sys.executable, "-c", code])
            stack.callback(other.wait)
            stack.callback(other.kill)
        yield


@each_task
@pytest.mark.parametrize("threads", [2, 3])
def test_twenty_trainings_on_a_busy_machine_give_one_model(name: str, threads: int) -> None:
    with _busy(1), _threads(threads):
        expected = TASKS[name].trained_steps(2)
        for _ in range(19):
            assert all(map(torch.equal, TASKS[name].trained_steps(2), expected))


@each_task
def test_no_product_of_a_training_is_torchs(name: str, tmp_path: Path) -> None:
    """Those of a BLAS may be summed in an order that depends on the threads, the processor and the memory."""
    task = TASKS[name]
    source = task.source()
    run = Run.create(tmp_path / "run", source=source, model=task.model, settings=task.settings)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        task.fit(run, source)
    seen = {event.key for event in profile.key_averages()}
    products = [
        "mm",
        "addmm",
        "bmm",
        "baddbmm",
        "addmv",
        "mv",
        "dot",
        "linear",
        "convolution",
        "einsum",
        "matmul",
    ]
    assert not seen & {f"aten::{product}" for product in products}
    assert {"aten::embedding", "aten::tanh", "aten::sub"} & seen  # the profile has seen the model
