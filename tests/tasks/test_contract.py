"""What training, reports and the command line expect of every task."""

import dataclasses
import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from tests.training import toy_next
from tests.training.test_resume import check_same, signalled
from throughtime import Ragged
from throughtime._options import options_of
from throughtime.bptt import Carried
from throughtime.data.examples import Examples, Source
from throughtime.data.fixed_source import FixedSource
from throughtime.models import MODELS
from throughtime.tasks import (
    METRICS,
    TASKS,
    Anomaly,
    Classification,
    Frames,
    Language,
    MultiLabel,
    Regression,
    SequenceTask,
    Tagging,
    Task,
    model_outputs,
    task_from_json,
)
from throughtime.training import ModelSpec, Run, Score, Settings, fit

WORDS = 9
TOKENS = {"vocabulary_size": WORDS}


def _tokens(count: int, seed: int) -> Ragged:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 12, (count,), generator=random)
    return Ragged.from_lengths(torch.randint(WORDS, (int(lengths.sum()),), generator=random), lengths)


def _series(count: int, seed: int) -> Ragged:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 12, (count,), generator=random)
    return Ragged.from_lengths(torch.randn(int(lengths.sum()), 2, generator=random), lengths)


def _has(tokens: Ragged, *words: int) -> torch.Tensor:
    return torch.stack([torch.stack([(s == word).any() for s in tokens]) for word in words], 1).long()


def classes(count: int, seed: int) -> Examples:
    """Does word 3 occur?"""
    tokens = _tokens(count, seed)
    return Examples(tokens, _has(tokens, 3)[:, 0])


def labels(count: int, seed: int) -> Examples:
    """Which of words 3, 4 and 5 occur?"""
    tokens = _tokens(count, seed)
    return Examples(tokens, _has(tokens, 3, 4, 5).float())


def means(count: int, seed: int) -> Examples:
    """The mean of each channel, standardised."""
    series = _series(count, seed)
    return Examples(series, torch.stack([3 * sequence.mean(0) for sequence in series]))


def spans(count: int, seed: int) -> Examples:
    """A span goes from a word below 3 up to the next above 5."""
    tokens = _tokens(count, seed)
    tags = []
    for sequence in tokens.to_list():
        inside = False
        for word in sequence.tolist():
            tags.append(1 if inside and word <= 5 else 0 if word < 3 else 2)
            inside = tags[-1] < 2
    return Examples(tokens, tokens.with_values(torch.tensor(tags)))


def counting(count: int, seed: int) -> Examples:
    """Normal sequences count up; of every fourth, which is an anomaly, the words are in random order."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(5, 12, (count,), generator=random)
    rows = [torch.arange(n) % WORDS for n in lengths.tolist()]
    odd = torch.arange(count) % 4 == 3 if seed else torch.zeros(count, dtype=torch.bool)
    for row in odd.nonzero().flatten().tolist():
        rows[row] = rows[row][torch.randperm(len(rows[row]), generator=random)]
    return Examples(Ragged.from_list(rows), odd)


def _fixed(shape: Mapping[str, int], draw: Callable[[int, int], Examples]) -> Source:
    return FixedSource(shape, draw(80, 0), draw(40, 1), draw(40, 2), {"of": draw.__name__})


class Case(NamedTuple):
    """A task with tiny data that it can learn."""

    task: Task
    source: Source
    options: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}

    @property
    def kind(self) -> str:
        return "tokens" if "vocabulary_size" in self.source.shape else "series"

    @property
    def model(self) -> ModelSpec:
        return ModelSpec(self.task.default_models[self.kind], self.options)

    @property
    def all_settings(self) -> Settings:
        known = {"epochs": 2, "tokens_per_batch": 80, "learning_rate": 0.02, "patience": None}
        return Settings(**known | dict(self.settings))

    def created(self, path: Path) -> Run:
        return Run.create(
            path, source=self.source, task=self.task, model=self.model, settings=self.all_settings
        )

    def fitted(self, run: Run, *, resume: bool = False) -> bool:
        """Train, and return whether the training was interrupted."""
        arguments = self.source, self.task, self.model, self.all_settings, run
        return fit(*arguments, resume=resume, progress=False).interrupted


SMALL = {"embedding_size": 8, "hidden_size": 8}
CONVOLUTIONS = {"embedding_size": 8, "channels": 8, "kernel_sizes": [1, 2]}
WINDOWS = {"streams": 3, "k1": 5}
SCALED = Regression(("left", "right"), (1.0, 20.0), (0.5, 3.0))
CASES = {
    "classification": Case(
        Classification(("without", "with"), calibrate=True, threshold_metric="f1"),
        _fixed(TOKENS, classes),
        CONVOLUTIONS,
    ),
    "multilabel": Case(
        MultiLabel(("three", "four", "five"), threshold_metric="f1"), _fixed(TOKENS, labels), CONVOLUTIONS
    ),
    "regression": Case(SCALED, _fixed({"channels": 2}, means), {"channels": [8, 8, 8]}),
    "tagging": Case(Tagging(("B-x", "I-x", "O"), crf=True), _fixed(TOKENS, spans), SMALL),
    "anomaly": Case(Anomaly(contamination=0.1, reduce="mean"), _fixed(TOKENS, counting), SMALL),
    "language": Case(Language("word"), toy_next.source(), SMALL, WINDOWS),
    "frames": Case(Frames(), toy_next.frames(), {"hidden_size": 8}, WINDOWS),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """Finished runs."""
    folder = tmp_path_factory.mktemp("tasks")
    finished = {name: case.created(folder / name) for name, case in CASES.items()}
    for name, run in finished.items():
        assert not CASES[name].fitted(run)
    return finished


each_task = pytest.mark.parametrize("name", TASKS)


def test_every_task_is_tested() -> None:
    assert {name: type(case.task) for name, case in CASES.items()} == dict(TASKS)


@each_task
def test_it_goes_through_json(name: str, runs: Mapping[str, Run]) -> None:
    for task in (CASES[name].task, runs[name].task):
        content = json.loads(json.dumps(task.to_json()))
        assert content["name"] == name
        assert task_from_json(content) == task
        with pytest.raises(ValueError, match="task has an unknown entry 'beam'"):
            task_from_json({**content, "beam": 3})
    assert Run.open(runs[name].path).config.task == CASES[name].task


@each_task
def test_its_metrics_have_a_description_and_are_measured(name: str, runs: Mapping[str, Run]) -> None:
    task = CASES[name].task
    assert {task.monitor, *task.shown} <= set(task.metrics) <= set(METRICS)
    run, case = runs[name], CASES[name]
    validation = run.metrics.validation
    assert validation is not None
    assert set(validation.figures) == set(task.metrics)
    assert set(validation.intervals) <= set(task.metrics)
    again, examples = run.task.evaluate(
        run.load_model(), case.source, case.source.validation, case.all_settings
    )
    assert (again, examples) == (dict(validation.figures), validation.examples)


@each_task
def test_tuning_and_its_score_take_one_pass_over_the_validation_examples(
    name: str, runs: Mapping[str, Run]
) -> None:
    run, case, model = runs[name], CASES[name], runs[name].load_model()
    validation, arguments = run.metrics.validation, (model, case.source, case.source.validation)
    calls: list[nn.Module] = []
    for module in model.modules():
        module.register_forward_hook(lambda called, *_: calls.append(called))
    run.task.evaluate(*arguments, case.all_settings)
    of_one_pass = calls.copy()
    calls.clear()
    task, assessment = case.task.tune(*arguments, case.all_settings)
    assert calls == of_one_pass != []
    assert (task, Score(*assessment)) == (run.task, validation)


@each_task
def test_a_step_has_the_metrics_that_are_shown(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    model = case.model.build(case.source.shape, case.task)
    batch = next(iter(case.task.training_batches(case.source, case.all_settings)))
    values = case.task.step(model, batch, Carried())
    assert set(case.task.shown) <= set(case.task.derived(values.sums()))
    assert {len(value) for value in values.values.values()} == {len(values)}
    assert values.tokens > 0
    if isinstance(case.task, SequenceTask):  # a process without a sequence of a batch counts on it
        assert tuple(values.values) == case.task.shown
    assert case.task.describe(case.task.derived({"loss": 0.5, "accuracy": 0.5, "token_accuracy": 0.5}))


@each_task
def test_its_default_models_read_such_inputs_and_have_such_outputs(name: str) -> None:
    task = CASES[name].task
    assert task.default_models
    for kind, model in task.default_models.items():
        assert task.level in MODELS[model].levels
        assert kind in MODELS[model].reads
        if CASES[name].kind != kind:
            ModelSpec(model).build({"channels": 2} if kind == "series" else TOKENS, task)


@each_task
def test_its_options_have_a_help_text_and_a_default_in_range(name: str) -> None:
    fields = {field.name for field in dataclasses.fields(TASKS[name])}
    for option in options_of(TASKS[name], {}).values():
        assert option.name in fields
        assert option.help[0].isupper()
        assert option.help.endswith(".")
        option.check(option.default, name)


@each_task
def test_it_learns(name: str, runs: Mapping[str, Run]) -> None:
    first, second = runs[name].metrics.history
    assert second.train["loss"] < first.train["loss"]
    assert runs[name].metrics.test is not None
    assert type(runs[name].task) is TASKS[name]


@each_task
def test_a_training_resumes_to_the_same_weights(
    name: str, runs: Mapping[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CASES[name].created(tmp_path / "run")
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGINT, "training_step", runs[name].metrics.history[0].steps + 2)
        assert CASES[name].fitted(run)
    assert not CASES[name].fitted(run, resume=True)
    check_same(run, runs[name])


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if issubclass(task, SequenceTask)])
def test_predictions_have_a_row_for_each_sequence(name: str, runs: Mapping[str, Run]) -> None:
    task, model, test = runs[name].task, runs[name].load_model(), CASES[name].source.test
    assert isinstance(task, SequenceTask)
    columns = task.predictions(model, model_outputs(model, test))
    assert len(columns) >= task.main_columns >= 1
    assert {len(column) for column in columns.values()} == {len(test)}
    backwards = torch.arange(len(test)).flip(0)
    again = task.predictions(model, model_outputs(model, test.select(backwards)))
    main = next(iter(columns))
    if name == "regression":
        assert again[main][::-1] == pytest.approx(columns[main], rel=1e-5)
    else:
        assert again[main][::-1] == columns[main]
    json.dumps(columns)
