"""`Readout`: the softmax of R2 at every step, and the loss of labels."""

from typing import Any

import pytest
import torch

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError


def _parts() -> tuple[tt.nn.Readout, Ragged, Ragged]:
    torch.manual_seed(0)
    labels = Ragged.from_list(
        [torch.tensor([0, 2, 1]), torch.tensor([], dtype=torch.long), torch.tensor([1])]
    )
    return tt.nn.Readout(5, 3).double(), Ragged.from_lengths(torch.randn(4, 5).double(), [3, 0, 1]), labels


def test_probabilities_follow_the_equation() -> None:
    readout, h, _ = _parts()
    found = readout(h)
    for got, row in zip(found.values, h.values, strict=True):
        total = readout.weight @ row + readout.bias
        torch.testing.assert_close(got, total.exp() / total.exp().sum())
    torch.testing.assert_close(readout.log_probabilities(h).values.exp(), found.values)
    torch.testing.assert_close(readout(h.values[:, None]), found.values[:, None])
    assert torch.equal(readout(tt.nn.RecurrentOutput(h, None)).values, found.values)
    extreme = readout.log_probabilities(h * 1e4).values
    assert bool(extreme.isfinite().all())


def test_the_loss_is_the_mean_over_all_steps_that_count() -> None:
    readout, h, labels = _parts()
    chosen = readout.log_probabilities(h).values[torch.arange(4), labels.values]
    torch.testing.assert_close(readout.loss(h, labels), -chosen.mean())
    torch.testing.assert_close(readout.loss(h.values, labels.values), -chosen.mean())
    hidden = labels.with_values(torch.tensor([0, -100, 1, -100]))
    torch.testing.assert_close(readout.loss(h, hidden), -chosen[[0, 2]].mean())
    other = labels.with_values(torch.tensor([0, 7, 1, 7]))
    torch.testing.assert_close(readout.loss(h, other, ignore=7), -chosen[[0, 2]].mean())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r, h, y: r(h.values[:, :4]), ShapeError, "expects 5 features, got a tensor of shape"),
        (lambda r, h, y: r([1.0]), InputTypeError, "takes a Tensor or a Ragged, got list"),
        (lambda r, h, y: r.loss(h, y.values), InputTypeError, "labels of a Ragged are a Ragged, got Tensor"),
        (
            lambda r, h, y: r.loss(h, y[[0, 2, 1]]),
            ShapeError,
            "labels have lengths [3, 1, 0], the states [3, 0, 1]",
        ),
        (
            lambda r, h, y: r.loss(h.values, y.values[:3]),
            ShapeError,
            "int64 of shape (4,), got torch.int64 of shape (3,)",
        ),
        (lambda r, h, y: r.loss(h.values, y.values.double()), ShapeError, "got torch.float64"),
    ],
)
def test_what_does_not_fit_is_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        call(*_parts())
    assert message in str(caught.value)
