"""Convolution by its definition against numpy, scipy and `Conv1d`; linearity and shifts."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.functional import convolution_matrix, convolve, cross_correlate

MODES = ["same", "valid", "full", "causal"]
SIZES = [1, 2, 3, 4, 5, 9]


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def _of_numpy(f: Tensor, g: Tensor, mode: str) -> Tensor:
    """Numpy swaps f and g where f is shorter, so the parts of the full convolution are cut out here."""
    full, size, length = np.convolve(f.numpy(), g.numpy()), len(g), len(f)
    start = {"full": 0, "causal": 0, "same": (size - 1) // 2, "valid": size - 1}[mode]
    count = {"full": length + size - 1, "valid": max(0, length - size + 1)}.get(mode, length)
    return torch.from_numpy(full[start : start + count])


def _by_definition(f: Tensor, g: Tensor) -> Tensor:
    """The lecture's sum, counted from 1, half of the kernel rounded up."""
    m, length = len(g), len(f)
    y = torch.zeros(length, dtype=f.dtype)
    for t in range(length):
        for j in range(1, m + 1):
            u = t - j + -(-m // 2)
            y[t] += g[j - 1] * f[u] if 0 <= u < length else 0
    return y


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES)
def test_is_numpys_convolution_for_each_sequence(mode: str, size: int) -> None:
    torch.manual_seed(size)
    g, rows = _random(size), [_random(n) for n in (7, 1, 4, 12)]
    y = convolve(Ragged.from_list([*rows, _random(0)]), g, mode)
    for row, found in zip(rows, y, strict=False):
        torch.testing.assert_close(found, _of_numpy(row, g, mode))
        torch.testing.assert_close(convolve(row, g, mode), found)
    assert len(y[4]) == 0


@pytest.mark.parametrize("size", SIZES)
def test_same_is_the_lectures_sum(size: int) -> None:
    f, g = _random(8), _random(size)
    torch.testing.assert_close(convolve(f, g), _by_definition(f, g))


@pytest.mark.parametrize("mode", MODES)
def test_the_matrix_is_toeplitz_and_computes_the_convolution(mode: str) -> None:
    for size in (1, 2, 3, 4):
        f, g = _random(9), _random(size)
        matrix = convolution_matrix(g, 9, mode)
        torch.testing.assert_close(matrix @ f, convolve(f, g, mode))
        assert torch.equal(matrix[1:, 1:], matrix[:-1, :-1])
        assert int((matrix != 0).sum(1).max()) <= size
        if mode != "causal":
            expected = scipy.linalg.convolution_matrix(g.numpy(), 9, mode)
            torch.testing.assert_close(matrix, torch.from_numpy(expected))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [2, 3])
def test_cross_correlation_is_what_the_layer_computes(mode: str, size: int) -> None:
    padding = {"full": size - 1}.get(mode, mode)
    conv = tt.nn.Conv1d(1, 1, size, padding=padding, bias=False).double()
    x = Ragged.from_list([_random(n, 1) for n in (6, 4, 5)])
    torch.testing.assert_close(cross_correlate(x, conv.weight[0, 0], mode).values, conv(x).values)


@pytest.mark.parametrize("mode", MODES)
def test_convolution_is_cross_correlation_with_the_kernel_reversed(mode: str) -> None:
    f, g = _random(3, 2, 10), _random(5)
    torch.testing.assert_close(convolve(f, g, mode), cross_correlate(f, g.flip(0), mode))
    even = _random(4)
    torch.testing.assert_close(convolve(f, even)[..., 1:], cross_correlate(f, even.flip(0))[..., :-1])


def test_is_linear_commutes_and_moves_with_a_shift() -> None:
    f, other, g, kernel = _random(8), _random(8), _random(3), _random(4)
    mixed = convolve(2.5 * f - other, g)
    torch.testing.assert_close(mixed, 2.5 * convolve(f, g) - convolve(other, g))
    torch.testing.assert_close(convolve(f, g, "full"), convolve(g, f, "full"))
    torch.testing.assert_close(
        convolve(convolve(f, g, "full"), kernel, "full"), convolve(f, convolve(g, kernel, "full"), "full")
    )
    late = torch.cat([torch.zeros(3, dtype=torch.float64), f])
    torch.testing.assert_close(convolve(late, g, "full")[3:], convolve(f, g, "full"))
    assert not convolve(late, g, "full")[:3].any()
    assert not torch.allclose(convolve(f, g), cross_correlate(f, g))


@pytest.mark.parametrize("function", [convolve, cross_correlate])
def test_features_of_any_shape_each_by_itself_and_gradients(function) -> None:
    values, g = _random(6, 2, 3).requires_grad_(), _random(3).requires_grad_()

    def of(values: Tensor, g: Tensor) -> Tensor:
        return function(Ragged.from_lengths(values, [4, 0, 2]), g, "full").values

    y = of(values, g)
    torch.testing.assert_close(y[:6, 1, 2], function(values[:4, 1, 2], g, "full"))
    assert torch.autograd.gradcheck(of, (values, g))


def test_nothing_in_is_nothing_out() -> None:
    for lengths in ([], [0, 0]):
        x = Ragged.from_lengths(torch.empty(0, 2), lengths)
        assert convolve(x, torch.ones(3), "full").lengths.tolist() == lengths


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: convolve([1.0], torch.ones(2)),
            InputTypeError,
            "f is a tensor or Ragged, got <class 'list'>",
        ),
        (lambda: convolve(torch.ones(3), [1.0]), InputTypeError, "g is a tensor, got"),
        (
            lambda: convolve(torch.ones(3).long(), torch.ones(2)),
            InputTypeError,
            "f has floating-point numbers",
        ),
        (
            lambda: convolve(torch.ones(3).double(), torch.ones(2)),
            InputTypeError,
            "float64 and torch.float32",
        ),
        (lambda: convolve(torch.ones(3), torch.ones(1, 2)), ShapeError, r"\(K,\).*got \(1, 2\)"),
        (lambda: cross_correlate(torch.ones(3), torch.ones(0)), ShapeError, r"at least 1, got \(0,\)"),
        (lambda: convolve(torch.ones(2, 0), torch.ones(2)), ShapeError, r"f is \(\*, L\).*\(2, 0\)"),
        (lambda: convolve(torch.ones(3), torch.ones(2), "wide"), ShapeError, "got 'wide'"),
        (lambda: convolution_matrix(torch.ones(3), 0), ShapeError, "length is at least 1, got 0"),
    ],
)
def test_what_cannot_be_convolved_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_linear_scan_sums_with_weights_that_fade(*, reverse: bool) -> None:
    rows = [torch.randn(length, 2, dtype=torch.float64) for length in (5, 0, 70)]
    x, decay = Ragged.from_list(rows), 0.9
    output, state = tt.nn.functional.linear_scan(
        x.with_values(torch.full_like(x.values, decay)), x, reverse=reverse
    )
    for row, h, last in zip(rows, output, state, strict=True):
        steps = torch.arange(len(row), dtype=torch.float64)
        distance = (steps[None] - steps[:, None]) if reverse else (steps[:, None] - steps[None])
        expected = torch.where(distance >= 0, decay ** distance.clamp(min=0), 0) @ row
        torch.testing.assert_close(h, expected)
        end = expected[:1] if reverse else expected[-1:]
        torch.testing.assert_close(last, end.sum(0))


def test_a_linear_scan_refuses_what_does_not_fit() -> None:
    x = Ragged.from_lengths(torch.ones(5, 2), [3, 2])
    with pytest.raises(ShapeError, match=r"same lengths, got \[3, 2\] and \[2, 3\]"):
        tt.nn.functional.linear_scan(x, Ragged.from_lengths(torch.ones(5, 2), [2, 3]))
    with pytest.raises(InputTypeError, match="linear_scan takes a Ragged"):
        tt.nn.functional.linear_scan(x.values, x.values)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="initial state"):
        tt.nn.functional.linear_scan(x, x, torch.ones(2, 3))
