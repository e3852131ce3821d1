"""Two processes under torchrun: the same losses as one with the same total batch, also when one is killed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import torch

from tests.training import toy, toy_next
from throughtime import Ragged
from throughtime.data.batches import BatchLoader
from throughtime.data.examples import Examples, Source
from throughtime.data.fixed_source import FixedSource
from throughtime.learn import Recipe, prepare
from throughtime.learn.auto import planned
from throughtime.tasks import Classification, Tagging, model_outputs
from throughtime.training import ModelSpec, Run, Settings, _module
from throughtime.training._module import TrainingModule
from throughtime.training._tensor_file import read_tree


class Case(NamedTuple):
    """A training, before which restart of torchrun a process of it is killed, and whether it is as in one."""

    toy: ModuleType
    source: Callable[[], Any]
    model: ModelSpec
    settings: Settings
    more: dict[str, Any] = {}  # noqa: RUF012 - not changed
    killed_at: int | None = None
    as_one: bool = True

    def created(self, path: Path) -> Run:
        run: Run = self.toy.created(path, self.model, self.settings, self.source(), **self.more)
        return run

    def fitted(self, run: Run, *, resume: bool = False) -> None:
        self.toy.fitted(run, self.source(), resume=resume)


def _tagged(count: int, seed: int) -> Examples:
    """Return tokens of which each has the tag whether the token before it is larger; every fourth has none."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (count,), generator=random)
    lengths[::4] = 0
    tokens = torch.randint(12, (int(lengths.sum()),), generator=random)
    larger = torch.cat([tokens.new_zeros(1), (tokens[:-1] > tokens[1:]).long()])
    return Examples(Ragged.from_lengths(tokens, lengths), Ragged.from_lengths(larger, lengths))


def tagged() -> FixedSource:
    shape = {"vocabulary_size": 12}
    return FixedSource(shape, _tagged(60, 0), _tagged(20, 1), _tagged(20, 2), {"kind": "larger"})


def not_empty() -> FixedSource:
    parts = [part.select((part.inputs.lengths > 1).nonzero().flatten()) for part in
             (toy.Toy().training(0), toy.Toy().validation, toy.Toy().test)]  # fmt: skip
    return FixedSource(toy.Toy.shape, *parts, {"kind": "not empty"})


def texts() -> dict[str, list[str]]:
    """Return texts of four to nine letters with the label whether an "a" is among them."""
    drawn = [torch.randint(8, (4 + n % 6,), generator=torch.Generator().manual_seed(n)) for n in range(80)]
    return {
        "text": [" ".join("abcdefgh"[letter] for letter in letters) for letters in drawn],
        "label": ["with" if 0 in letters else "without" for letters in drawn],
    }


def stored() -> Source:
    """Return the examples of a mapped Arrow file, which is deleted but stays open."""
    random = torch.Generator().manual_seed(0)
    rows = [{"tokens": torch.randint(9, (int(n),), generator=random).tolist()} for n in range(1, 81)]
    table = pa.Table.from_pylist(
        [{**row, "label": "with" if 3 in row["tokens"] else "without"} for row in rows]
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.arrow"
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=30)
        recipe = Recipe.of("classification", tokens=("tokens",), validation=0.2, test=0.2, memory_map=True)
        prepared = prepare(recipe, path)
    return prepared.source


SMALL = {"embedding_size": 16, "hidden_size": 16, "dropout": 0.0}
# Three sequences for two processes: one runs out before the other.
NEXT_STEP = Settings(**toy_next.SETTINGS.to_json() | {"streams": 3, "k1": 7, "k2": 9, "epochs": 2})
# Many batches are a single sequence: one of the processes has none.
WHOLE = Settings(**toy.SETTINGS.to_json() | {"tokens_per_batch": 24, "learning_rate": 0.01, "epochs": 2})

# Processes draw dropout for themselves, so there is none where they are compared with one process.
CASES = {
    # An adaptive softmax, some of whose clusters may have no word in a window, and no embedding to do.
    "text": Case(
        toy_next,
        toy_next.source,
        ModelSpec("language", {**SMALL, "cutoffs": [2, 6], "tied": False}),
        NEXT_STEP,
    ),
    "tags": Case(toy, tagged, ModelSpec("bilstm", SMALL), WHOLE, {"task": Tagging(("no", "yes"), crf=True)}),
    # Batch normalisation has the statistics of a batch per process, but the model that is validated is one.
    "normalised": Case(toy, not_empty, ModelSpec("fcn", {"channels": [8, 8, 8]}), toy.SETTINGS, as_one=False),
    "frames": Case(
        toy_next,
        toy_next.frames,
        ModelSpec("frame", {"hidden_size": 8, "dropout": 0.0, "cell": "gru"}),
        NEXT_STEP,
        killed_at=0,
    ),
    "file": Case(
        toy,
        stored,
        ModelSpec("textcnn", {"embedding_size": 8, "channels": 8, "kernel_sizes": [1, 2], "dropout": 0.0}),
        WHOLE,
        killed_at=1,
    ),
    "solved": Case(toy, toy.Toy, ModelSpec("ngrams", {"buckets": 64}), WHOLE),
    "classes": Case(
        toy,
        toy.Toy,
        ModelSpec("textcnn", {"embedding_size": 8, "channels": 8, "kernel_sizes": [1, 2], "dropout": 0.0}),
        WHOLE,
    ),
}


AUTO = Recipe.of("classification", text=("text",), epochs=2, test=0.2)
"""The default, which trains its first network alone in several processes."""


def _in_two_processes(folder: Path) -> None:
    """Run all trainings in two processes; torchrun restarts them after each one that is killed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["--max-restarts=2", "-m", "tests.training.two", str(folder)]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("exitcode: -9") == 2, done.stderr


def test_two_processes_are_as_one(tmp_path: Path) -> None:
    _in_two_processes(tmp_path)
    for kind, case in CASES.items():
        two = Run.open(tmp_path / kind)
        _check_one_model(two)
        if case.as_one:
            one = case.created(tmp_path / "one" / kind)
            case.fitted(one)
            _check_close(two, one)
    _check_default(Run.open(tmp_path / "auto"), prepare(AUTO, texts()).source)


def _check_default(run: Run, source: Source) -> None:
    """Check that both processes trained the first network, each on its part of the tokens, and saved it."""
    plan = planned(run)
    assert plan is not None
    assert plan.is_single
    assert (run.config.model.name, plan.members[0].model) == ("textcnn", "textcnn")
    assert [epoch.tokens for epoch in run.metrics.history] == [int(source.training(0).lengths.sum())] * 2
    assert run.metrics.validation is not None
    outputs = model_outputs(run.load_model(), source.validation)
    loss = torch.nn.functional.cross_entropy(outputs, source.validation.labels)  # type: ignore[arg-type]
    assert run.metrics.validation["loss"] == pytest.approx(float(loss), rel=1e-4)


def _check_one_model(run: Run) -> None:
    """Check that all processes have validated the model that is saved."""
    metrics = run.metrics
    assert metrics.best_epoch is not None
    assert metrics.validation is not None
    validated = metrics.history[metrics.best_epoch - 1].validation
    assert metrics.validation["loss"] == pytest.approx(validated["loss"], rel=1e-5)


def _check_close(two: Run, one: Run) -> None:
    for found, expected in zip(two.metrics.history, one.metrics.history, strict=True):
        assert (found.steps, found.tokens) == (expected.steps, expected.tokens)
        for name in expected.validation:
            tolerance = {"rel": 1e-4} if name == "loss" else {"rel": 2e-4, "abs": 0.05}
            assert found.train[name] == pytest.approx(expected.train[name], **tolerance), name
            assert found.validation[name] == pytest.approx(expected.validation[name], **tolerance), name
    assert two.metrics.test is not None
    assert one.metrics.test is not None
    assert two.metrics.test["loss"] == pytest.approx(one.metrics.test["loss"], rel=1e-4)
    if one.config.model.solved:
        assert toy.same_weights(toy.weights(two), toy.weights(one))
        return
    weights, expected_weights = (read_tree(run.state_path)["state_dict"] for run in (two, one))
    for name, value in expected_weights.items():
        torch.testing.assert_close(weights[name], value, rtol=5e-3, atol=2e-4)


# ------------------------------------------------------------------ batches of whole sequences


@pytest.mark.parametrize("processes", [2, 3])
def test_a_process_has_no_sequence_only_if_there_are_fewer_than_processes(processes: int) -> None:
    loaders = [
        BatchLoader(toy.Toy(), 24, 0, process=process, processes=processes) for process in range(processes)
    ]
    whole = list(BatchLoader(toy.Toy(), 24, 0))
    sizes = [len(batch) for batch in whole]
    assert min(sizes) < processes < max(sizes)
    for batch, *parts in zip(whole, *loaders, strict=True):
        assert sum(map(len, parts)) == len(batch)
        assert (min(map(len, parts)) == 0) == (len(batch) < processes)
        tokens = torch.cat([part.inputs.values for part in parts])
        assert sorted(tokens.tolist()) == sorted(batch.inputs.values.tolist())


@pytest.mark.parametrize("name", ["fcn", "bilstm", "textcnn"])
def test_a_process_without_a_sequence_has_a_loss_and_gradients_of_zero(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even batch normalisation, which cannot run on nothing, sees the empty batch."""
    monkeypatch.setattr(_module, "processes", lambda: 2)
    task = Classification(("without", "with"))
    model = ModelSpec(name).build(toy.Toy.shape, task)
    nothing = toy.Toy().validation.select(torch.zeros(0, dtype=torch.int64))
    values = task.step(model, nothing, carried=None)  # type: ignore[arg-type]
    assert (len(values), values.tokens, values.weight) == (0, 0, 0.0)
    assert values.sums() == {"loss": 0.0, "accuracy": 0.0}
    module = TrainingModule(model, task, toy.Toy(), WHOLE)
    module.training_step(nothing, 0).backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)
