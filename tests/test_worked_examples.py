"""The worked examples of CONTRIBUTING.md; that of a cell is in `tests/nn/test_own_cell.py`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.data.columns import with_columns
from throughtime.data.files import read_bytes
from throughtime.data.read_options import ReadOptions
from throughtime.data.read_table import FORMATS, Format, read_table
from throughtime.data.table import Table
from throughtime.diagnose import Finding, _findings
from throughtime.errors import DataError, InputTypeError, ShapeError, UnsupportedError
from throughtime.models import MODELS, ModelInputs, NamedModel
from throughtime.models._options import HiddenSize
from throughtime.models._sequence_model import SequenceModel
from throughtime.nn.description import Series, Windowed, Windows
from throughtime.nn.pool import whole_sequences
from throughtime.ops.pool.layer import mean_over_time
from throughtime.ragged import Layout
from throughtime.tasks import TASKS, Level, SequenceTask
from throughtime.tasks.intervals import WeightedMetrics
from throughtime.tasks.metrics import regression

from .nn import test_contract as contract
from .nn.case import Case

# ---------------------------------------------------------------------------------------- a layer


class Difference(nn.Module):
    """y_t = x_t − x_{t−1}, of every sequence with x_0 = 0."""

    def describe(self) -> Windowed:
        """State that an output depends on this step and the one before."""
        return Windowed(Windows(2, left=1), run=self.run)

    def forward(self, x: Ragged) -> Ragged:
        """Return the differences."""
        return self.run(x, Windows(2, left=1))

    @staticmethod
    def run(x: Ragged, windows: Windows) -> Ragged:
        """Return the differences; without the border the first step of a sequence has none."""
        before = torch.cat([x.values[:1], x.values[:-1]])
        first = torch.zeros(len(x.values), dtype=torch.bool).index_fill(
            0, x.offsets[:-1][x.lengths > 0], True
        )
        y = x.with_values(x.values - before.masked_fill(first[:, None], 0))
        return y if windows.left else y.split_time(x.lengths.clamp(max=1))[1]


def test_a_layer_joins_the_contract_and_runs_on_streams() -> None:
    case = Case("Difference", Difference, lambda _, x: x.diff(dim=0, prepend=torch.zeros_like(x[:1])))
    contract.test_alone_equals_in_a_batch(case=case)
    contract.test_neither_order_nor_empty_sequences_matter(case=case)
    contract.test_a_batch_of_nothing_gives_nothing(case)
    contract.test_equals_torch_on_one_sequence(case=case)
    model, x = nn.Sequential(Difference(), tt.nn.GRU(3, 4)), Ragged.from_lengths(torch.randn(9, 3), [5, 4])
    assert tt.nn.receptive_field(Difference()) == tt.nn.ReceptiveField(-1, 0, 1)
    stream = tt.nn.Stream(model)
    first, second = x.split_time(2)
    (early, state), whole = stream(first), model(x).output
    late, _ = stream(second, state)
    torch.testing.assert_close(Ragged.cat_time([early, late]).values, whole.values)
    with pytest.raises(InputTypeError, match=r"0 is a Difference, which has no form in ONNX here"):
        tt.export.onnx(model, "never.onnx")


# ---------------------------------------------------------------------------------------- a pooling kind


def rms_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Return the root of the mean square of each feature over each sequence."""
    return mean_over_time(values.square(), layout).clamp(min=1e-12).sqrt()


def test_a_pooling_kind_is_a_function_and_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShapeError, match=r"kind is one of max, mean, last, sum, std, top-k; got 'rms'"):
        tt.nn.Pool("rms")
    monkeypatch.setitem(whole_sequences._KINDS, "rms", whole_sequences._Kind(rms_over_time))
    with pytest.raises(ShapeError, match="k is for 'top-k'"):
        tt.nn.Pool("rms", k=2)
    x = Ragged.from_lengths(torch.randn(9, 3, dtype=torch.float64), [5, 0, 4])
    expected = torch.stack(
        [x[0].square().mean(0).sqrt(), torch.full((3,), 1e-6), x[2].square().mean(0).sqrt()]
    )
    torch.testing.assert_close(tt.nn.Pool("rms")(x), expected.double())
    model = nn.Sequential(tt.nn.Conv1d(3, 4, 3, padding="same"), tt.nn.Pool("rms"))
    assert tt.nn.receptive_field(model) == tt.nn.receptive_field(tt.nn.Pool("max"))
    with pytest.raises(
        InputTypeError, match=r"1: the operator throughtime::rms_over_time has no form in ONNX"
    ):
        tt.export.onnx(model, "never.onnx")


# ---------------------------------------------------------------------------------------- a finding


def _no_gradient(layer: tt.diagnose.LayerFlow) -> Iterator[Finding]:
    if len(layer.state.values) and not bool(layer.state.values.any()):
        yield Finding(
            "no_gradient",
            "problem",
            layer.name,
            "the loss does not depend on the states",
            {"largest gradient": 0.0},
            "Nothing is learned.",
            "Use the layer's output in the loss.",
            "this test",
        )


def test_a_finding_is_a_rule_and_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = tt.nn.RNN(3, 4)
    with tt.diagnose.watch(layer) as record:
        (layer(torch.randn(6, 3)).output * 0).sum().backward()
    flow = tt.diagnose.gradient_flow(record)
    assert "no_gradient" not in {finding.code for finding in tt.diagnose.findings_of_flow(flow)}
    monkeypatch.setattr(_findings, "_RULES", (*_findings._RULES, _no_gradient))
    (finding,) = [one for one in tt.diagnose.findings_of_flow(flow) if one.code == "no_gradient"]
    assert str(finding).startswith("problem: ")
    assert "Use the layer's output in the loss." in str(finding)


# ---------------------------------------------------------------------------------------- a file format


def _read_lines_of_fields(path: Path, options: ReadOptions) -> Table:
    """Read a table whose first line names the columns, with vertical bars between fields."""
    header, *lines = (line.split("|") for line in read_bytes(path).decode(options.encoding).splitlines())
    columns = {name: pa.array([line[i] for line in lines]) for i, name in enumerate(header)}
    return Table(with_columns(pa.table(columns), path, options.columns), str(path), "line")


def test_a_file_format_is_a_reader_and_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plays.psv"
    path.write_text("words|play\nto be|Hamlet\nor not|Hamlet\n")
    with pytest.raises(DataError, match=r"\.psv' is not supported"):
        read_table(path)
    monkeypatch.setitem(FORMATS, ".psv", Format(_read_lines_of_fields))
    table = read_table(path)
    assert table.column("words").to_pylist() == ["to be", "or not"]
    assert table.column("play").to_pylist() == ["Hamlet", "Hamlet"]
    with pytest.raises(DataError, match=r"no column 'year'"):
        read_table(path, columns=["year"])


# ---------------------------------------------------------------------------------------- a task


@dataclass(frozen=True)
class Counts(SequenceTask):
    """λ − y log λ of a Poisson distribution of counts y, whose log λ the model puts out."""

    name: ClassVar[str] = "counts"
    level: ClassVar[Level] = "sequence"
    default_models: ClassVar[Mapping[str, str]] = {"tokens": "textcnn", "series": "fcn"}

    column: str

    @property
    def outputs(self) -> int:
        """One, log λ."""
        return 1

    @property
    def metrics(self) -> tuple[str, ...]:
        """Loss, and the errors of λ."""
        return ("loss", "mae", "rmse", "r2")

    @classmethod
    def learn(cls, table: Table, columns: Sequence[str]) -> Self:
        """Return the task for a column of counts."""
        return cls(columns[0])

    def encode(self, table: Table, columns: Sequence[str]) -> Tensor:
        """Return the counts (B,) float32."""
        counts = table.column(columns[0]).to_pylist()
        for row, count in enumerate(counts):
            if not isinstance(count, int) or count < 0:
                raise DataError(f"{table.place(row)} has {count!r}, expected a count; fix it")
        return torch.tensor(counts, dtype=torch.float32)

    def score(self, model: nn.Module, outputs: Tensor | Ragged, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss of each sequence."""
        return {"loss": F.poisson_nll_loss(_log_rates(outputs), targets, reduction="none")}

    def measures(self, model: nn.Module, outputs: Tensor | Ragged, targets: Tensor) -> WeightedMetrics:
        """Return the errors of λ."""
        return regression(_log_rates(outputs).exp().numpy(), targets.numpy(), [self.column])

    def predictions(self, model: nn.Module, outputs: Tensor | Ragged) -> dict[str, Any]:
        """Return λ of each sequence."""
        return {self.column: _log_rates(outputs).exp().tolist()}


def _log_rates(outputs: Tensor | Ragged) -> Tensor:
    assert isinstance(outputs, Tensor)
    return outputs[:, 0]


def test_a_task_is_a_class_and_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate of the most likely Poisson distribution is the mean of the counts."""
    rows = {"text": ["calm sea", "rough sea"] * 100, "accidents": [0, 6, 2, 10] * 50}
    with pytest.raises(ShapeError, match="unknown task 'counts'"):
        tt.fit(rows, task="counts", target="accidents", progress=False)
    monkeypatch.setitem(TASKS, "counts", Counts)  # type: ignore[arg-type]
    options: dict[str, Any] = {"target": "accidents", "learning_rate": 0.01, "progress": False}
    sizes = {"embedding_size": 8, "channels": 8, "kernel_sizes": (1,), "dropout": 0.0}
    fitted = tt.fit(rows, task="counts", out=tmp_path / "run", **options, **sizes)
    calm, rough = fitted.predict(["calm sea", "rough sea"])
    assert calm == pytest.approx(1, rel=0.2)
    assert rough == pytest.approx(8, rel=0.2)
    assert tt.load(tmp_path / "run").predict(["calm sea"]) == [calm]
    figures = fitted.score(rows)
    assert figures["mae"] == pytest.approx(1.5, rel=0.2)  # |0 − 1|, |2 − 1|, |6 − 8| and |10 − 8|
    with pytest.raises(DataError, match=r"item 1 has -1, expected a count"):
        tt.fit({**rows, "accidents": [0, -1] * 100}, task="counts", **options)


# ---------------------------------------------------------------------------------------- a model by name


class MeanOfSteps(SequenceModel):
    """The mean of all steps → linear."""

    reads = ("series",)

    def __init__(self, inputs: ModelInputs, outputs: int, *, hidden_size: HiddenSize = 16) -> None:
        super().__init__(inputs)
        self.pool = tt.nn.Pool("mean")
        self.hidden = nn.Sequential(tt.nn.Linear(self.step_features, hidden_size), nn.ReLU())
        self.output = self._output(hidden_size, outputs)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._series("pool", "hidden")


def test_a_model_by_name_is_a_class_and_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    series = [float(i % 2) + torch.randn(3 + i % 4) / 10 for i in range(60)]
    rows = {"series": [one.numpy() for one in series], "label": ["low", "high"] * 30}
    with pytest.raises(ShapeError, match="unknown model 'mean'"):
        tt.fit(rows, model="mean", progress=False)
    monkeypatch.setitem(MODELS, "mean", NamedModel(MeanOfSteps))  # type: ignore[index]
    with pytest.raises(ShapeError, match="hidden_size must be at least 1, got 0"):
        tt.fit(rows, model="mean", hidden_size=0, progress=False)
    fitted = tt.fit(rows, model="mean", hidden_size=8, learning_rate=0.02, progress=False)
    assert fitted.predict(series[:4]) == ["low", "high", "low", "high"]
    with pytest.raises(UnsupportedError, match="mean has one output per sequence"):
        tt.fit({"tokens": [["a"]] * 30, "label": [["x"]] * 15 + [["y"]] * 15}, task="tagging", model="mean")
