"""The result for a sequence has the same bits for any batch, order, number of threads and kind of input."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import throughtime as tt
from throughtime import Ragged

from .recurrent import LAYERS, VARIANTS, leaves, name_of

each_layer = pytest.mark.parametrize(("name", "options"), LAYERS + VARIANTS, ids=name_of)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
LENGTHS = [7, 0, 1, 33, 12, 12, 2, 64, 0, 5, 9, 17, 3, 28, 1, 6, 4, 11, 2]


def _layer(
    name: str, options: dict[str, Any], dtype: torch.dtype, hidden: int = 37, **more: Any
) -> nn.Module:
    torch.manual_seed(0)
    more = {"num_layers": 2, "bidirectional": True, **more}
    return getattr(tt.nn, name)(11, hidden, **more, **options).to(dtype)


def _batch(dtype: torch.dtype, lengths: list[int] = LENGTHS) -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(lengths), 11, dtype=dtype), lengths)


def _of_each(result: Any) -> list[list[Tensor]]:
    """For every sequence, its output and its states."""
    output, state = result
    states = leaves(state)
    return [[row, *(part[:, b] for part in states)] for b, row in enumerate(output)]


def _same(found: list[list[Tensor]], expected: list[list[Tensor]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for part, right in zip(one, other, strict=True):
            assert torch.equal(part, right)


def _with_threads(count: int, function: Callable[[], Any]) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return function()
    finally:
        torch.set_num_threads(before)


@each_layer
@each_dtype
@pytest.mark.parametrize("hidden", [5, 16, 37])
def test_alone_in_any_batch_and_in_any_order(
    name: str, options: dict[str, Any], dtype: torch.dtype, hidden: int
) -> None:
    layer, x = _layer(name, options, dtype, hidden), _batch(dtype)
    expected = _of_each(layer(x))
    _same([_of_each(layer(x[[b]]))[0] for b in range(len(x))], expected)
    order = torch.randperm(len(x)).tolist()
    _same(_of_each(layer(x[order])), [expected[b] for b in order])
    _same(_of_each(layer(x[:7])), expected[:7])
    _same(_of_each(layer(Ragged.cat([x, _batch(dtype), x[3:5]])))[: len(x)], expected)


@each_layer
@each_dtype
def test_on_any_number_of_threads(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    layer, x = _layer(name, options, dtype), _batch(dtype)
    for batch in (x, x[[7]], x[3:5]):
        alone = _with_threads(1, lambda batch=batch: _of_each(layer(batch)))
        for count in (2, 3):
            _same(_with_threads(count, lambda batch=batch: _of_each(layer(batch))), alone)


@each_layer
@each_dtype
def test_in_any_kind_of_input(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    layer = _layer(name, options, dtype)
    x = _batch(dtype, [13] * 5)
    expected = _of_each(layer(x))
    rows = x.to_list()
    packed, packed_state = layer(pack_sequence(rows))
    _same(_of_each((Ragged.from_packed(packed), packed_state)), expected)
    dense, state = layer(torch.stack(rows, 1))
    _same(_of_each((dense.unbind(1), state)), expected)
    layer.batch_first = True
    dense, state = layer(torch.stack(rows))
    _same(_of_each((dense.unbind(0), state)), expected)
    for b, row in enumerate(rows):
        output, state = layer(row)
        _same([[output, *leaves(state)]], [expected[b]])


@each_layer
@each_dtype
def test_in_a_packed_batch_of_unequal_lengths(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    layer = _layer(name, options, dtype)
    x = _batch(dtype, [length for length in LENGTHS if length])
    packed, state = layer(pack_sequence(x.to_list(), enforce_sorted=False))
    _same(_of_each((Ragged.from_packed(packed), state)), _of_each(layer(x)))


@each_layer
@each_dtype
def test_with_and_without_gradients_and_traced(
    name: str, options: dict[str, Any], dtype: torch.dtype
) -> None:
    layer, x = _layer(name, options, dtype), _batch(dtype)
    expected = _of_each(layer(x))
    with torch.no_grad():
        _same(_of_each(layer(x)), expected)
    trace = layer.trace(x)
    _same(_of_each(trace.result), expected)
    alone = [layer.trace(x[[b]]) for b in range(len(x))]
    for number in range(2):
        for direction in range(2):
            whole = trace[number, direction]
            for part in (*whole.states, *whole.gates):
                rows = [getattr(one[number, direction], part).values for one in alone]
                assert torch.equal(getattr(whole, part).values, torch.cat(rows))


@each_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)  # a state of bfloat16 is rounded
def test_step_by_step(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    layer = _layer(name, options, dtype, bidirectional=False)
    x = torch.randn(9, 4, 11, dtype=dtype)
    for recorded in (False, True):
        with torch.set_grad_enabled(recorded):
            whole, final = layer(x)
            state, outputs = None, []
            for x_t in x:
                y_t, state = layer.step(x_t, state)
                outputs.append(y_t)
            assert torch.equal(torch.stack(outputs), whole)
            for part, right in zip(leaves(state), leaves(final), strict=True):
                assert torch.equal(part, right)
            state = None
            for t in range(9):
                y_t, state = layer.step(x[t, 2], state)
                assert torch.equal(y_t, whole[t, 2])


def test_where_threads_share_units_of_many_steps() -> None:
    """Parts of a step that divide the units otherwise than the next block of steps does."""
    layer = _layer("GRU", {"reset_after": False}, torch.float32, 600, num_layers=1, bidirectional=False)
    x = torch.randn(40, 6, 11)
    expected = _with_threads(1, lambda: layer(x).output)
    for count in (2, 4):
        assert all(torch.equal(_with_threads(count, lambda: layer(x).output), expected) for _ in range(3))
