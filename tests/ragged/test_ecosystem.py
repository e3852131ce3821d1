"""A Ragged in other libraries: Lightning, Fabric, torch.load, distributed torch, copies and processes."""

import copy
import dataclasses
import io
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any

import lightning_fabric
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.distributed.utils import _apply_to_tensors
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

import throughtime as tt
from tests.strategies import raggeds
from throughtime import Ragged
from throughtime.errors import ShapeError


def is_a_batch(found: object, dtype: torch.dtype = torch.float64) -> None:
    """Frozen and of one piece, whatever made it."""
    assert type(found) is Ragged
    assert found.dtype == dtype
    assert found.layout.offsets is found.offsets
    assert found.offsets.dtype == torch.int64
    assert found.layout.total == len(found.values)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.values = found.values  # type: ignore[misc]


def series() -> Ragged:
    return Ragged.from_lengths(torch.randn(6, 3), [3, 1, 2])


class Classifier(pl.LightningModule):
    """A user's module: nothing in it knows of precisions."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(tt.nn.LSTM(3, 4), tt.nn.Conv1d(4, 4, 3, padding=1), tt.nn.Pool("max"))
        self.scores = nn.Linear(4, 2)
        self.seen: list[Ragged] = []

    def training_step(self, batch: dict[str, Any], index: int) -> Tensor:
        del index
        self.seen += [batch["x"], batch["tokens"]]
        return nn.functional.cross_entropy(self.scores(self.model(batch["x"])), batch["y"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore")  # Lightning's, of workers and batch sizes
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("64-true", torch.float64), ("bf16-true", torch.bfloat16), ("16-true", torch.float16)],
)
def test_lightnings_precisions(precision: Any, dtype: torch.dtype) -> None:
    samples = [{"x": torch.randn(n, 3), "tokens": torch.arange(n), "y": n % 2} for n in (3, 1, 4, 2)]
    module = Classifier()
    trainer = pl.Trainer(
        max_epochs=1,
        precision=precision,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(samples, batch_size=2, collate_fn=tt.collate))  # type: ignore[arg-type]
    assert len(module.seen) == 4
    for batch in module.seen:
        is_a_batch(batch, dtype if batch.is_floating_point() else torch.int64)
    assert all(parameter.dtype == dtype for parameter in module.parameters())


def test_fabrics_precisions() -> None:
    fabric = lightning_fabric.Fabric(accelerator="cpu", precision="64-true")
    layer = fabric.setup(tt.nn.Conv1d(3, 2, 1))
    found = layer(series())
    is_a_batch(found, torch.float32)  # Fabric converts what comes out to the default dtype


@given(raggeds())
def test_maps_over_dataclasses_make_batches(x: Ragged) -> None:
    for found in (
        apply_to_collection(x, Tensor, lambda t: t.double() if t.is_floating_point() else t),
        apply_to_collection({"x": [x]}, Tensor, lambda t: t.clone())["x"][0],
        apply_to_collection(x, Tensor, lambda t: t.clone(), include_none=False),
        _apply_to_tensors(lambda t: t.clone(), x),
        dataclasses.replace(x, values=x.values * 1, offsets=x.offsets.clone()),
    ):
        is_a_batch(found)
        assert torch.equal(found, x)
    on_meta = apply_to_collection(x, Tensor, lambda t: t.to("meta"))
    assert on_meta.device.type == on_meta.layout.offsets.device.type == "meta"


def test_a_replaced_layout_is_checked() -> None:
    with pytest.raises(ShapeError, match="end at the number of values, 6, got 5"):
        dataclasses.replace(series(), offsets=torch.tensor([0, 5]))
    with pytest.raises(ShapeError, match="must end at the number of values, 2"):
        dataclasses.replace(series(), values=series().values[:2])


@given(raggeds())
def test_copies_pickles_and_processes(x: Ragged) -> None:
    torch.equal(x.reverse(), x)  # what is derived must not matter
    shallow = copy.copy(x)
    assert shallow.values is x.values
    assert shallow.layout is x.layout
    for found in (
        shallow,
        copy.deepcopy(x),
        pickle.loads(pickle.dumps(x)),
        pickle.loads(ForkingPickler.dumps(x)),
    ):
        is_a_batch(found)
        assert torch.equal(found, x)
    one, two = copy.deepcopy([x, x])
    assert one is two


def saved(thing: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return file


def test_torch_load_reads_a_batch_by_default_and_checks_it() -> None:
    x = series()
    found = torch.load(saved({"batch": [x, x.values], "more": (x > 0).reverse()}))
    is_a_batch(found["batch"][0], torch.float32)
    assert torch.equal(found["batch"][0], x)
    assert found["batch"][0].values.data_ptr() == found["batch"][1].data_ptr()
    assert torch.equal(found["more"], (x > 0).reverse())
    output, state = torch.load(saved(tt.nn.LSTM(3, 2)(x)))
    assert output.lengths.tolist() == x.lengths.tolist()
    assert [part.shape for part in state] == [(1, 3, 2)] * 2
    assert torch.load(saved(x), map_location="meta").device.type == "meta"

    class Tampered:
        def __reduce__(self) -> Any:
            return Ragged, (x.values, torch.tensor([0, 99]))

    with pytest.raises(ShapeError, match="end at the number of values, 6, got 99"):
        torch.load(saved(Tampered()))


def test_modules_that_hold_a_batch() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.prototypes, self.layer = series(), tt.nn.LSTM(3, 2)

        def forward(self) -> Ragged:
            output: Ragged = self.layer(self.prototypes).output
            return output

    module = Holder()
    expected = module()
    for again in (copy.deepcopy(module), AveragedModel(module)):
        assert torch.equal(again(), expected)
