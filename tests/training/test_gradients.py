"""The record of gradients equals the gradients of the training, and does not change its result."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import gradient_flow, watch
from throughtime.errors import RunError, ShapeError
from throughtime.training import GradientRecord, read_gradients
from throughtime.training.callbacks import GradientRecorder, layer_gradients


class _Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.output = tt.nn.LSTM(3, 4), nn.Linear(4, 1)

    def training_step(self, batch: Ragged, batch_idx: int) -> Tensor:
        return self.output(self.layer(batch).state[0][0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def _batches() -> list[Ragged]:
    generator = torch.Generator().manual_seed(1)
    return [Ragged.from_lengths(torch.randn(9, 3, generator=generator), [5, 4]) for _ in range(5)]


def _trained(folder: Path, callbacks: list[Any]) -> _Module:
    module = _Module()
    trainer = pl.Trainer(
        max_epochs=2, callbacks=callbacks, logger=False, enable_checkpointing=False, default_root_dir=folder,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(module, DataLoader(_batches(), batch_size=None))
    return module


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # Lightning's own
def test_lines_are_the_flow_of_their_steps_and_weights_are_unchanged(tmp_path: Path) -> None:
    plain = _trained(tmp_path, [])
    recorder = GradientRecorder(tmp_path / "gradients.jsonl", every=3)
    recorded = _trained(tmp_path, [recorder])
    for a, b in zip(plain.parameters(), recorded.parameters(), strict=True):
        assert torch.equal(a, b)
    everything = read_gradients(tmp_path / "gradients.jsonl")
    norms = [norm for line in everything for norm in line.norms]
    assert len(norms) == 10
    lines = [line for line in everything if line.layers]
    assert [line.step for line in lines] == [0, 3, 6, 9]
    assert [line.epoch for line in lines] == [0, 0, 1, 1]
    assert 0 < sum(line.seconds for line in lines) <= recorder.seconds
    module, batches = _Module(), _batches() * 2
    for step in range(10):
        with watch(module) as seen:
            loss = module.training_step(batches[step], step)
            module.zero_grad()
            loss.backward()
        total = torch.cat([parameter.grad.flatten() for parameter in module.parameters()]).norm()
        assert norms[step] == pytest.approx(float(total), rel=1e-4)
        if step % 3 == 0:
            line = lines[step // 3]
            assert line.loss == pytest.approx(loss.item(), rel=1e-5)
            expected = layer_gradients(gradient_flow(seen))
            for found, right in zip(line.layers, expected, strict=True):
                assert found.h == pytest.approx(right.h, rel=1e-4)
                assert found.c == pytest.approx(right.c, rel=1e-4)
                assert found.saturation == right.saturation
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.sub_(0.1 * parameter.grad)
    assert recorded.layer._watchers is None


def _line(step: int, **changed: Any) -> dict[str, Any]:
    gate = {"closed": 0.25, "open": 0.0}
    layer = {"name": "LSTM", "layer": 0, "direction": 0, "kind": "LSTM", "h": [0.5, 1.0], "c": [0.0]}
    content = {"step": step, "epoch": 0, "loss": 1.0, "seconds": 0.1, "norms": [0.5, 2]}
    return {**content, "layers": [{**layer, "saturation": {"input": gate}}], **changed}


def test_a_record_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "gradients.jsonl"
    assert read_gradients(path) == []
    lines = [_line(0), _line(5, loss=2.0), _line(5, loss=3.0)]
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 10, "lo', encoding="utf-8")
    assert read_gradients(path) == [GradientRecord.from_json(lines[0]), GradientRecord.from_json(lines[2])]
    assert [record.to_json() for record in read_gradients(path)] == [lines[0], lines[2]]
    with pytest.raises(ShapeError, match="at least 1; got 0"):
        GradientRecorder(path, 0)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # Lightning's own
def test_a_line_that_was_cut_harms_none_after_it(tmp_path: Path) -> None:
    path = tmp_path / "gradients.jsonl"
    path.write_text('{"step": 10, "lo')
    _trained(tmp_path, [GradientRecorder(path, every=3)])
    with pytest.warns(UserWarning, match=r"gradients\.jsonl: line 1 is not JSON"):
        assert [line.step for line in read_gradients(path) if line.layers] == [0, 3, 6, 9]


def test_numbers_that_are_not_finite_are_written_as_json_knows_them(tmp_path: Path) -> None:
    path = tmp_path / "gradients.jsonl"
    recorder = GradientRecorder(path)
    recorder._add(GradientRecord(3, 0, (), (1.0, math.inf, math.nan)))
    assert json.loads(path.read_text())["norms"] == [1.0, None, None]
    (line,) = read_gradients(path)
    assert line.norms[0] == 1
    assert all(map(math.isnan, line.norms[1:]))


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    recorder = GradientRecorder(tmp_path / "gone" / "gradients.jsonl")
    with pytest.raises(
        RunError, match=r"gradients\.jsonl cannot be written: the folder .* was deleted or renamed"
    ):
        recorder._add(GradientRecord(3, 0, ()))


_LAYER = _line(0)["layers"][0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "the content must be an object"),
        ({}, "step is missing"),
        (_line("5"), "step must be a whole number"),
        (_line(5, epoch=None), "epoch must be a whole number"),
        (_line(5, norms=3), "norms must be a list"),
        (_line(5, norms=["a"]), "norms must be a list of numbers"),
        (_line(5, layers={}), "layers must be a list"),
        (_line(5, layers=[3]), "layers.0 must be an object"),
        (_line(5, layers=[{**_LAYER, "h": [[1.0]]}]), "layers.0.h must be a list of numbers"),
        (_line(5, layers=[{**_LAYER, "saturation": {"input": 1}}]), "saturation.input must be an object"),
        (_line(5, layers=[{**_LAYER, "saturation": {"input": {"closed": 0}}}]), "input.open is missing"),
        (
            _line(5, layers=[{**_LAYER, "name": "GRU"}]),
            "its layers differ from those of the lines before",
        ),
        (_line(5, layers=[_LAYER, _LAYER]), "its layers differ from those of the lines before"),
    ],
)
def test_a_line_that_is_no_record_is_named(line: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "gradients.jsonl"
    path.write_text(f"{json.dumps(_line(0))}\n{json.dumps(line)}\n", encoding="utf-8")
    with pytest.raises(RunError, match=rf"gradients\.jsonl is damaged in line 2: .*{message}"):
        read_gradients(path)


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[" * 100_000, b"NaN", b"9" * 5000, b"\x00"])
def test_a_line_that_is_not_json_is_left_out_with_a_warning_unless_it_is_the_last(
    line: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "gradients.jsonl"
    record = json.dumps(_line(0)).encode() + b"\n"
    path.write_bytes(record + line + b"\n" + record)
    with pytest.warns(UserWarning, match=r"gradients\.jsonl: line 2 is not JSON .* and is ignored"):
        assert read_gradients(path) == [GradientRecord.from_json(_line(0))]
    path.write_bytes(record + line)
    assert read_gradients(path) == [GradientRecord.from_json(_line(0))]
