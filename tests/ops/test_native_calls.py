"""Native code checks tensors before it reads them: invalid arguments are refused by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from throughtime import _native
from throughtime.errors import ShapeError
from throughtime.ops.linear import linear

X, OFFSETS, OUT = torch.randn(5, 4), torch.tensor([0, 2, 5]), torch.tensor([0, 1, 3])
WEIGHT = torch.randn(6, 4, 2)
LATER = {"threads": 1, "in_order": False}


def windows(size: int = 2, *, replicate: bool = False) -> _native.Windows:
    return _native.Windows(size=size, stride=1, dilation=1, left=0, right=0, replicate=replicate)


def correlate(x: Tensor = X, weight: Tensor = WEIGHT, bias: Tensor | None = None, **changed: Any) -> Any:
    options = {"windows": windows(), "groups": 1, "total": 3, "relu": False, **LATER, **changed}
    offsets, out = options.pop("offsets", OFFSETS), options.pop("out", OUT)
    return _native.conv_forward(x, weight, bias, offsets, out, **options)


def pool(x: Tensor = X, offsets: Tensor = OFFSETS, out: Tensor = OUT, **changed: Any) -> Any:
    options = {"windows": windows(), "total": 3, "nothing": 0.0, "index": True, **LATER, **changed}
    return _native.pool_max(x, offsets, out, **options)


def unpool(dy: Tensor, index: Tensor, **changed: Any) -> Any:
    options = {"windows": windows(), "total": 5, **LATER, **changed}
    return _native.pool_max_gradient(dy, index, OFFSETS, OUT, **options)


def normalize(x: Tensor = X, weight: Tensor | None = None, **changed: Any) -> Any:
    options = {"groups": 4, "eps": 1e-5, "relu": False, "fixed": False, "momentum": 0.1, "save": True}
    rows = [changed.pop(name, None) for name in ("offsets", "mean", "variance")]
    return _native.norm_forward(x, weight, None, *rows, **{**options, **LATER, **changed})  # type: ignore[arg-type]


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a weight of other channels": (
        lambda: correlate(weight=torch.randn(6, 3, 2)),
        r"got \(5, 4\), \(6, 3, 2\)",
    ),
    "a weight of another size": (lambda: correlate(weight=torch.randn(6, 4, 3)), "windows of 2"),
    "groups that do not divide": (lambda: correlate(groups=4), "in 4 groups"),
    "no groups": (lambda: correlate(groups=0), "in 0 groups"),
    "a bias of another length": (lambda: correlate(bias=torch.randn(5)), r"and \(5,\)"),
    "windows in an empty sequence": (
        lambda: correlate(
            windows=windows(replicate=True), offsets=torch.tensor([0, 0, 5]), out=torch.tensor([0, 1, 3])
        ),
        "sequence 0",
    ),
    "offsets beyond the tokens": (lambda: pool(offsets=torch.tensor([0, 2, 6])), "match its 5 tokens"),
    "offsets that fall": (lambda: pool(offsets=torch.tensor([0, 6, 5])), "match its 5 tokens"),
    "offsets beyond the results": (lambda: pool(total=2), "match its 2 tokens"),
    "a negative number of results": (lambda: pool(total=-1), "at least 0"),
    "offsets of another batch": (lambda: pool(out=torch.tensor([0, 3])), "2 sequences and 1"),
    "offsets that are no integers": (lambda: pool(offsets=torch.tensor([0.0, 2.0, 5.0])), "int64"),
    "indices of another shape": (
        lambda: unpool(torch.randn(3, 4), torch.zeros(3, 3, dtype=torch.int8)),
        r"shape \(3, 3\), got \(3, 4\)",
    ),
    "a row of another length": (lambda: normalize(weight=torch.ones(3), in_order=True), r"got \(3,\)"),
    "a mean without a variance": (lambda: normalize(mean=torch.zeros(4)), "come together"),
    "fixed without statistics": (lambda: normalize(fixed=True), "needs a mean"),
    "groups of features that do not divide": (lambda: normalize(groups=3), "3 groups"),
    "statistics of many segments": (
        lambda: normalize(offsets=OFFSETS, mean=torch.zeros(4), variance=torch.ones(4)),
        "over all tokens",
    ),
    "windows that overflow": (lambda: windows(2**40), "below 2\\^31"),
    "windows without a stride": (
        lambda: _native.Windows(size=1, stride=0, dilation=1, left=0, right=0, replicate=False),
        "stride=0",
    ),
    "a map of other features": (
        lambda: _native.linear_forward(X, torch.randn(2, 3), None, **LATER),  # type: ignore[arg-type]
        r"takes \(\*, 3\), got \(5, 4\)",
    ),
    "a gradient of other rows": (
        lambda: _native.linear_weight_gradient(X, torch.randn(4, 2), bias=True, **LATER),  # type: ignore[arg-type]
        "as many rows",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ShapeError, match=message):
        call()


@pytest.mark.parametrize(
    "call", [correlate, pool, normalize], ids=["convolution", "pooling", "normalisation"]
)
@pytest.mark.parametrize(
    "x",
    [
        X.t().contiguous().t(),
        X.half(),
        X.to("meta"),
        X.long(),
        torch.view_as_complex(torch.randn(5, 1, 2)).conj().imag,
    ],
    ids=["strided", "half", "meta", "integers", "stored with its other sign"],
)
def test_what_is_unusual_is_left_to_the_caller(call: Callable[..., object], x: Tensor) -> None:
    assert call(x) is None
    with pytest.raises(TypeError, match="contiguous, on the CPU"):
        call(x, in_order=True)


def test_results_on_tensors_as_they_are() -> None:
    x = torch.tensor([[1.0], [3.0], [2.0], [5.0], [4.0]])
    y, index = pool(x)
    assert y.flatten().tolist() == [3.0, 5.0, 5.0]
    assert index.flatten().tolist() == [1, 1, 0]
    assert unpool(torch.ones(3, 1), index).flatten().tolist() == [0.0, 1.0, 0.0, 2.0, 0.0]
    y = correlate(x, torch.tensor([[[1.0, 10.0]]]), torch.tensor([100.0]))
    assert y.flatten().tolist() == [131.0, 152.0, 145.0]
    y, mean, scale = normalize(x, groups=1, eps=0.0)
    torch.testing.assert_close(mean, torch.tensor([[3.0]]))
    torch.testing.assert_close(y, (x - 3) * scale)


def test_five_dimensions() -> None:
    x, weight = torch.randn(2, 3, 2, 2, 4).requires_grad_(), torch.randn(3, 4)
    assert torch.equal(linear(x, weight), linear(x.flatten(0, -2), weight).view(2, 3, 2, 2, 3))
