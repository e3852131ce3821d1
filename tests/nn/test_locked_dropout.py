"""Locked dropout: one mask for all steps of a sequence, different between sequences; mean and backward pass."""

import itertools

import pytest
import torch

import throughtime as tt
from throughtime.errors import InputTypeError, ShapeError


def test_a_mask_holds_for_all_steps_of_a_sequence_and_of_its_gradient() -> None:
    torch.manual_seed(0)
    values = torch.rand(60, 40, dtype=torch.float64) + 1
    x = tt.Ragged.from_lengths(values.requires_grad_(), [30, 0, 10, 20])
    y = tt.nn.LockedDropout(0.25)(x)
    y.values.sum().backward()
    masks = []
    for row, made, grad in zip(x, y, x.with_values(values.grad), strict=True):
        mask = (made / row).detach()
        assert torch.equal(mask > 0, (mask[:1] > 0).expand_as(mask))
        torch.testing.assert_close(mask, torch.where(mask > 0, 4 / 3, 0.0).double())
        torch.testing.assert_close(grad, mask)
        masks += [mask[0]] if len(mask) else []
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(masks))


def test_it_leaves_out_the_share_it_says_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = tt.Ragged.from_lengths(torch.ones(1000, 50), [1] * 1000)
    y = tt.nn.LockedDropout(0.2)(x).values
    assert float((y == 0).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert float(y.mean()) == pytest.approx(1, abs=0.02)


def test_what_it_does_not_take_is_named() -> None:
    for p in (-0.1, 1.0):
        with pytest.raises(ShapeError, match="p is a probability"):
            tt.nn.LockedDropout(p)
    with pytest.raises(InputTypeError, match="LockedDropout takes a Ragged"):
        tt.nn.LockedDropout(0.5)(torch.ones(3, 4))
