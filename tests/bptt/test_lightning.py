"""Windows as batches of a user's Lightning module: accumulation, clipping and autocast work as usual."""

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime.training._surroundings import quiet_lightning

LENGTHS = [23, 9, 17]


class _Batches:
    """Lightning takes a list for several loaders."""

    def __init__(self, windows: list[tt.bptt.Window]) -> None:
        self.windows = windows

    def __iter__(self) -> Iterator[tt.bptt.Window]:
        return iter(self.windows)

    def __len__(self) -> int:
        return len(self.windows)


class _Own(pl.LightningModule):
    def __init__(self, x: tt.Ragged, y: tt.Ragged, k1: int, k2: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.output = tt.nn.LSTM(3, 4), nn.Linear(4, 1)
        self.x, self.y, self.given = x, y, (k1, k2)
        self.carried = tt.bptt.Carried()

    def train_dataloader(self) -> Any:
        return _Batches(list(tt.bptt.windows(self.x, *self.given)))

    def on_train_epoch_start(self) -> None:
        self.carried.reset()

    def training_step(self, window: tt.bptt.Window, batch_idx: int) -> Tensor:
        with self.carried.carry(self, window):
            made = window.counted(self.output(self.layer(window.of(self.x))))
        return (made.values - window.targets(self.y).values).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.3)


def _trained(k1: int, k2: int, **options: Any) -> dict[str, Tensor]:
    x, y = _data()
    module = _Own(x, y, k1, k2)
    with quiet_lightning():
        pl.Trainer(
            accelerator="cpu",
            max_epochs=2,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **options,
        ).fit(module)
    return {name: value.detach() for name, value in module.named_parameters()}


def _data() -> tuple[tt.Ragged, tt.Ragged]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(sum(LENGTHS), 3, generator=generator)
    y = torch.randn(sum(LENGTHS), 1, generator=generator)
    return tt.Ragged.from_lengths(x, LENGTHS), tt.Ragged.from_lengths(y, LENGTHS)


def test_accumulation_and_clipping_are_those_of_a_loop() -> None:
    for k1, k2 in ((5, 5), (4, 7)):
        found = _trained(k1, k2, accumulate_grad_batches=2, gradient_clip_val=0.05)
        x, y = _data()
        twin = _Own(x, y, k1, k2)
        optimizer = twin.configure_optimizers()
        for _ in range(2):
            twin.carried.reset()
            optimizer.zero_grad()
            cut = list(tt.bptt.windows(x, k1, k2))
            for number, window in enumerate(cut, start=1):
                (twin.training_step(window, 0) / 2).backward()
                if number % 2 == 0 or number == len(cut):
                    nn.utils.clip_grad_norm_(twin.parameters(), 0.05)
                    optimizer.step()
                    optimizer.zero_grad()
        for name, value in twin.named_parameters():
            torch.testing.assert_close(found[name], value.detach())


def test_autocast_changes_little_and_keeps_weights_float32() -> None:
    found, expected = _trained(5, 7, precision="bf16-mixed"), _trained(5, 7)
    for name, value in expected.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], value, rtol=0.05, atol=0.02)
    assert any(not torch.equal(found[name], value) for name, value in expected.items())
