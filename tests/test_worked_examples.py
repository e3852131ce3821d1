"""The worked examples of CONTRIBUTING.md; that of a cell is in `tests/nn/test_own_cell.py`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.data import tables
from throughtime.data.files import read_bytes
from throughtime.data.tables import decode, read_texts
from throughtime.diagnose import Finding, _findings
from throughtime.errors import DataError, InputTypeError, ShapeError
from throughtime.nn.description import Windowed, Windows
from throughtime.nn.pool import whole_sequences
from throughtime.ops.pool.layer import mean_over_time
from throughtime.ragged import Layout

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
    contract.test_order_of_sequences_does_not_matter(case=case)
    contract.test_empty_sequences_harm_nobody(case=case)
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


def std_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Return the standard deviation of each feature over each sequence; zeros if empty."""
    mean = mean_over_time(values, layout).index_select(0, layout.sequence_ids)
    return mean_over_time((values - mean).square(), layout).clamp(min=1e-12).sqrt()


def test_a_pooling_kind_is_a_function_and_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShapeError, match=r"kind is one of max, mean, last, sum, top-k; got 'std'"):
        tt.nn.Pool("std")
    monkeypatch.setitem(whole_sequences._KINDS, "std", whole_sequences._Kind(std_over_time))
    with pytest.raises(ShapeError, match="k is for 'top-k'"):
        tt.nn.Pool("std", k=2)
    x = Ragged.from_lengths(torch.randn(9, 3, dtype=torch.float64), [5, 0, 4])
    expected = torch.stack([x[0].std(0, correction=0), torch.full((3,), 1e-6), x[2].std(0, correction=0)])
    torch.testing.assert_close(tt.nn.Pool("std")(x), expected.double())
    model = nn.Sequential(tt.nn.Conv1d(3, 4, 3, padding="same"), tt.nn.Pool("std"))
    assert tt.nn.receptive_field(model) == tt.nn.receptive_field(tt.nn.Pool("max"))
    with pytest.raises(
        InputTypeError, match=r"1: the operator throughtime::std_over_time has no form in ONNX"
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


def _read_lines_of_fields(path: Path, columns: Sequence[str]) -> list[list[Any]]:
    """Read a table whose first line names the columns, with vertical bars between fields."""
    header, *lines = (line.split("|") for line in decode(read_bytes(path), str(path)).splitlines())
    if missing := [column for column in columns if column not in header]:
        raise DataError(f"{path} has no column {missing[0]!r}; it has {', '.join(header)}")
    return [[line[header.index(column)] for line in lines] for column in columns]


def test_a_file_format_is_a_reader_and_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plays.psv"
    path.write_text("words|play\nto be|Hamlet\nor not|Hamlet\n")
    with pytest.raises(DataError, match=r"'\.psv' is not supported; use one of"):
        read_texts(path, "words", "play")
    monkeypatch.setitem(tables._READERS, ".psv", _read_lines_of_fields)
    assert tables.is_table(path)
    table = read_texts(path, "words", "play")
    assert (table.texts, table.labels) == (["to be", "or not"], ["Hamlet", "Hamlet"])
    path.write_text("words|play\nto be|Hamlet\n  |Hamlet\n")
    with pytest.raises(DataError, match=r"plays\.psv"):  # what is checked of every table
        read_texts(path, "words", "play")
