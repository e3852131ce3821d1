"""Cross-entropy in chunks: against torch's in float64, in values, gradients and gradients of gradients; half precision."""

import pytest
import torch
from torch.nn import functional as F

from throughtime.models import _cross_entropy
from throughtime.models._cross_entropy import cross_entropy


@pytest.mark.parametrize("piece", [1, 30, 1 << 19])
@pytest.mark.parametrize("rows", [0, 1, 7, 64])
def test_values_and_gradients_are_torchs(rows: int, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cross_entropy, "_PIECE", piece)
    torch.manual_seed(rows)
    logits = (torch.randn(rows, 11).double() * 30).requires_grad_()
    classes, weights = torch.randint(11, (rows,)), torch.randn(rows).double()
    losses, right = cross_entropy(logits, classes)
    expected = F.cross_entropy(logits, classes, reduction="none")
    torch.testing.assert_close(losses, expected)
    assert torch.equal(right, logits.argmax(-1) == classes)
    (found,) = torch.autograd.grad((losses * weights).sum(), logits)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), logits)
    torch.testing.assert_close(found, wanted)


def test_gradients_of_any_order() -> None:
    torch.manual_seed(0)
    logits, classes = torch.randn(3, 5).double().requires_grad_(), torch.tensor([0, 4, 2])
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, classes)[0], logits)
    assert torch.autograd.gradgradcheck(lambda x: cross_entropy(x, classes)[0], logits)


def test_a_second_backward_pass_finds_the_same() -> None:
    logits, classes = torch.randn(3, 5, requires_grad=True), torch.tensor([0, 4, 2])
    loss = cross_entropy(logits, classes)[0].sum()
    first, second = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_error_is_at_most_twice_that_of_torch(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits, classes = (torch.randn(40, 2000) * 4).to(dtype).requires_grad_(), torch.randint(2000, (40,))
    exact = logits.detach().double().requires_grad_()
    truth = F.cross_entropy(exact, classes, reduction="none")
    (gradient,) = torch.autograd.grad(truth.sum(), exact)
    losses, _ = cross_entropy(logits, classes)
    theirs = F.cross_entropy(logits.float(), classes, reduction="none")
    assert losses.dtype == torch.float32
    (found,) = torch.autograd.grad(losses.sum(), logits)
    (other,) = torch.autograd.grad(theirs.sum(), logits)
    assert found.dtype == dtype
    for ours, torchs, true in ((losses, theirs, truth), (found, other, gradient)):
        error, bound = ((x.double() - true).abs().max() for x in (ours, torchs))
        assert error <= 2 * bound + 1e-9
