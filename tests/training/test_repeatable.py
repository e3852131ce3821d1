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

from throughtime.tasks import Frames, Language, Task
from throughtime.training import ModelSpec, Run
from throughtime.training._module import TrainingModule
from throughtime.training._surroundings import reproducible

from . import toy, toy_next


class Training(NamedTuple):
    """A model and how it is trained: as a whole, and step by step without Lightning's loops."""

    task: Task
    model: ModelSpec
    settings: Any
    source: Callable[[], Any]
    fit: Callable[[Run, Any], object]

    def trained_steps(self, steps: int) -> list[torch.Tensor]:
        """Return the weights after so many steps."""
        with reproducible():
            source = self.source()
            torch.manual_seed(0)
            model = self.model.build(source.shape, self.task)
            module = TrainingModule(model, self.task, source, self.settings).train()
            optimizer = module.configure_optimizers()
            module.loader.set_epoch(0)
            for number, batch in zip(range(steps), module.loader, strict=False):
                module.seed_step(number)
                optimizer.zero_grad()
                module.training_step(batch, number).backward()
                module.configure_gradient_clipping(optimizer)
                optimizer.step()
        return [parameter.detach() for parameter in model.parameters()]


def _classifier(kind: str, **options: Any) -> Training:
    settings = replace(toy.SETTINGS, epochs=1, tokens_per_batch=400)
    return Training(toy.TASK, ModelSpec(kind, options), settings, toy.Toy, toy.fitted)


def _next_step(kind: str, source: Callable[[], Any], **options: Any) -> Training:
    model = ModelSpec(kind, {**OPTIONS[kind], **options})
    task = Frames() if kind == "frame" else Language()
    return Training(task, model, replace(toy_next.SETTINGS, epochs=1), source, toy_next.fitted)


OPTIONS = {"language": toy_next.OPTIONS, "frame": {"dropout": 0.2}}
TRAININGS = {
    "TextCNN": _classifier("textcnn", embedding_size=64, channels=96, kernel_sizes=[1, 2]),
    "BiLSTM": _classifier("bilstm", embedding_size=32, hidden_size=64),
    "BiGRU": _classifier("bigru", embedding_size=32, hidden_size=64),
    "words": _next_step("language", toy_next.source, embedding_size=64, hidden_size=64),
    "words, adaptive": _next_step("language", toy_next.source, embedding_size=64, cutoffs=[3, 6]),
    "frames": _next_step("frame", toy_next.frames, hidden_size=64),
}
each_training = pytest.mark.parametrize("name", TRAININGS)


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


@each_training
@pytest.mark.parametrize("threads", [2, 3])
def test_ten_trainings_on_a_busy_machine_give_one_model(name: str, threads: int) -> None:
    with _busy(1), _threads(threads):
        expected = TRAININGS[name].trained_steps(2)
        for _ in range(9):
            assert all(map(torch.equal, TRAININGS[name].trained_steps(2), expected))


@each_training
def test_no_product_of_a_training_is_torchs(name: str, tmp_path: Path) -> None:
    """Those of a BLAS may be summed in an order that depends on the threads, the processor and the memory."""
    training = TRAININGS[name]
    source = training.source()
    run = Run.create(
        tmp_path / "run",
        source=source,
        task=training.task,
        model=training.model,
        settings=training.settings,
    )
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        training.fit(run, source)
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
