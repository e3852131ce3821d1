"""`Ragged` on the device: every conversion and operation gives what it gives on the CPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import throughtime as tt
from tests.gpu.compared import leaves
from tests.gpu.device import CUDA, cuda_alone
from throughtime import Ragged
from throughtime.errors import InputTypeError

LENGTHS = [3, 0, 5, 1, 2]


def _batch() -> Ragged:
    return Ragged.from_lengths(torch.arange(22.0).view(11, 2).cos(), LENGTHS)


OPERATIONS: dict[str, Callable[[Ragged], Any]] = {
    "to_list": Ragged.to_list,
    "to_padded": lambda x: x.to_padded(-1.0),
    "mask": Ragged.mask,
    "packed": lambda x: Ragged.from_packed(x[[0, 2, 3, 4]].to_packed()),
    "nested": lambda x: Ragged.from_nested(x.to_nested()),
    "sequence_ids": Ragged.sequence_ids,
    "positions": Ragged.positions,
    "from a mask": lambda x: Ragged.from_padded(torch.ones_like(x.mask()).float(), mask=x.mask()),
    "from lengths of rows": lambda x: Ragged.from_padded(torch.ones_like(x.mask()).float(), lengths=LENGTHS),
    "a sequence": lambda x: x[2],
    "a slice": lambda x: x[1:4],
    "numbers": lambda x: x[[4, 0, 0]],
    "numbers on the CPU": lambda x: x[torch.tensor([4, 1])],
    "numbers on the device": lambda x: x[torch.tensor([4, 1], device=x.device)],
    "flags on the device": lambda x: x[torch.tensor([True, False, False, True, True], device=x.device)],
    "steps": lambda x: x[:, :2],
    "every second step": lambda x: x[:, ::2],
    "the last step": lambda x: x[[0, 2], -1],
    "features": lambda x: x[..., 1],
    "cat": lambda x: Ragged.cat([x, x[:2]]),
    "cat_time": lambda x: Ragged.cat_time([x, x.reverse()]),
    "split": lambda x: x.split(2),
    "split_time": lambda x: x.split_time(2),
    "split_time of each": lambda x: x.split_time([1, 0, 9, 0, 1]),
    "reverse": Ragged.reverse,
    "spread": lambda x: x.spread(torch.arange(5.0, device=x.device)),
    "arithmetic": lambda x: (x + 1) * torch.exp(x) - x,
    "functions": lambda x: torch.where(x > 0, x, -x),
    "norm": lambda x: torch.nn.functional.layer_norm(x, (2,)),
    "empty": lambda x: Ragged.from_list([x[1], x[1]]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation(name: str) -> None:
    run, x = OPERATIONS[name], _batch()
    found, expected = run(x.to(CUDA)), run(x)
    assert {leaf.device for leaf in leaves(found)} == {CUDA}
    torch.testing.assert_close([leaf.cpu() for leaf in leaves(found)], leaves(expected))
    for one, other in zip(_raggeds(found), _raggeds(expected), strict=True):
        assert one.offsets.device == CUDA
        assert one.lengths.tolist() == other.lengths.tolist() == one.offsets.diff().tolist()


def _raggeds(result: Any) -> list[Ragged]:
    return [
        part
        for part in (result if isinstance(result, tuple | list) else [result])
        if isinstance(part, Ragged)
    ]


def test_moves_with_its_offsets() -> None:
    x = _batch()
    for moved in (x.to(CUDA), x.double().to(CUDA, torch.float32), x.to(CUDA).clone()):
        assert (moved.device, moved.offsets.device, moved.lengths.device.type) == (CUDA, CUDA, "cpu")
        assert f"device={CUDA}" in repr(moved)
        back = moved.cpu()
        assert torch.equal(back.values, x.values)
        assert torch.equal(back.offsets, x.offsets)


def test_values_and_offsets_on_different_devices_are_named() -> None:
    x = _batch()
    with pytest.raises(InputTypeError, match=f"values are on {CUDA}, but offsets are on cpu; move one"):
        Ragged(x.values.to(CUDA), x.offsets)
    with pytest.raises(InputTypeError, match=f"values are on cpu, but offsets are on {CUDA}; move one"):
        Ragged(x.values, x.offsets.to(CUDA))
    with pytest.raises(InputTypeError, match=f"batch 1 is torch.float32 on {CUDA}, but batch 0 .* on cpu"):
        Ragged.cat([x, x.to(CUDA)])
    with pytest.raises(
        InputTypeError, match=f"sequence 1 is torch.float32 on {CUDA}, but sequence 0 .* on cpu"
    ):
        Ragged.from_list([x[0], x[2].to(CUDA)])


def test_offsets_on_the_device_are_checked() -> None:
    x = _batch().to(CUDA)
    assert Ragged(x.values, x.offsets).lengths.tolist() == LENGTHS
    with pytest.raises(
        tt.errors.ShapeError, match=r"offsets must not decrease, but offsets\[2\] = 1 follows 4"
    ):
        Ragged(x.values, torch.tensor([0, 4, 1, 11], device=CUDA))


@cuda_alone
def test_batches_from_pinned_memory() -> None:
    samples = [(sequence, number) for number, sequence in enumerate(_batch().to_list())]
    loader = DataLoader(samples, batch_size=2, collate_fn=tt.collate, pin_memory=True)  # type: ignore[arg-type]
    numbers = []
    for x, label in loader:
        assert isinstance(x, Ragged)
        assert x.is_pinned()
        assert label.is_pinned()
        moved = x.to(CUDA, non_blocking=True)
        for sequence, number in zip(moved, label.tolist(), strict=True):
            assert torch.equal(sequence.cpu(), samples[number][0])
            numbers.append(number)
    assert numbers == list(range(5))


@cuda_alone
def test_cuda_is_a_method() -> None:
    x = _batch()
    assert x.cuda().device == x.cuda(0).device == x.cuda("cuda:0").device == torch.device("cuda", 0)
