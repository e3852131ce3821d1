"""Every sequence layer under the contract of `contract.py`, in float64, values and all gradients."""

import functools
import inspect
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from throughtime import Ragged
from throughtime.errors import ShapeError

from .case import FEATURES, Case
from .contract import CASES, output_of, rows

LENGTHS = st.lists(st.integers(0, 7), min_size=1, max_size=5)
SEEDS = st.integers(0, 2**16)
TIGHT = {"rtol": 1e-10, "atol": 1e-10}

each_layer = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def _layer(case: Case, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return case.make().double().eval()


@functools.cache
def _shortest(case: Case) -> int:
    """The least steps, but for none, of which the layer leaves something; it refuses less."""
    layer = _layer(case, 0)
    for steps in range(1, 12):
        try:
            layer(_tokens([steps], 0))
        except ShapeError as error:
            assert re.search(r": sequence 0 has \d+ step", str(error))  # noqa: PT017
        else:
            return steps
    raise AssertionError(f"{case.name} refuses everything")


def _batch(case: Case, lengths: list[int], seed: int) -> Ragged:
    """A batch whose lengths, but for 0, begin at the shortest that the layer takes."""
    return _tokens([steps and steps + _shortest(case) - 1 for steps in lengths], seed)


def _tokens(lengths: list[int], seed: int) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(sum(lengths), FEATURES, dtype=torch.float64, generator=generator)
    return Ragged.from_lengths(values, lengths)


def _weighted_sum(outputs: list[Tensor]) -> Tensor:
    """A scalar whose gradient is different for every element, the same for the same rows."""
    total = torch.zeros((), dtype=torch.float64)
    for row in outputs:
        weights = torch.arange(1, row.numel() + 1, dtype=torch.float64).cos().view(row.shape)
        total = total + (row * weights).sum()
    return total


def _gradients(loss: Tensor, layer: nn.Module, x: Tensor) -> list[Tensor]:
    wanted = [x, *layer.parameters()]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [
        torch.zeros_like(target) if gradient is None else gradient
        for target, gradient in zip(wanted, found, strict=True)
    ]


def _run(layer: nn.Module, x: Ragged) -> tuple[list[Tensor], list[Tensor]]:
    values = x.values.clone().requires_grad_()
    output = output_of(layer, x.with_values(values))
    plain = output.values if isinstance(output, Ragged) else output
    # Nothing of nothing is zero; added so that a batch without sequences has a graph to walk, too.
    loss = _weighted_sum(rows(output)) + 0 * plain.sum()
    return rows(output), _gradients(loss, layer, values)


def _agree(found: list[Tensor], expected: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected, **TIGHT)


@each_layer
@given(lengths=LENGTHS, seed=SEEDS)
def test_alone_equals_in_a_batch(case: Case, lengths: list[int], seed: int) -> None:
    layer, x = _layer(case, seed), _batch(case, lengths, seed)
    outputs, gradients = _run(layer, x)
    alone = [_run(layer, x[[b]]) for b in range(len(x))]
    _agree(outputs, [output[0] for output, _ in alone])
    _agree(gradients[:1], [torch.cat([gradient[0] for _, gradient in alone])])
    summed = [sum(parts) for parts in zip(*(gradient[1:] for _, gradient in alone), strict=True)]
    _agree(gradients[1:], summed)


@each_layer
@given(lengths=LENGTHS, seed=SEEDS, where=st.integers(0, 5), data=st.data())
def test_neither_order_nor_empty_sequences_matter(
    case: Case, lengths: list[int], seed: int, where: int, data: st.DataObject
) -> None:
    layer, x = _layer(case, seed), _batch(case, lengths, seed)
    order, where = data.draw(st.permutations(range(len(x)))), min(where, len(x))
    outputs, gradients = _run(layer, x)
    shuffled = x[order]
    found, found_gradients = _run(layer, Ragged.cat([shuffled[:where], _tokens([0], seed), shuffled[where:]]))
    empty = found.pop(where)
    assert empty.shape[0] == 0 or torch.equal(empty, torch.zeros_like(empty))
    _agree(found, [outputs[b] for b in order])
    _agree(found_gradients[:1], [x.with_values(gradients[0])[order].values])
    _agree(found_gradients[1:], gradients[1:])


@each_layer
def test_a_batch_of_nothing_gives_nothing(case: Case) -> None:
    layer = _layer(case, 0)
    for lengths in ([], [0], [0, 0, 0]):
        outputs, gradients = _run(layer, _tokens(lengths, 0))
        assert len(outputs) == len(lengths)
        assert all(gradient.isfinite().all() and not gradient.any() for gradient in gradients)


@each_layer
@given(length=st.integers(1, 9), seed=SEEDS)
def test_equals_torch_on_one_sequence(case: Case, length: int, seed: int) -> None:
    if case.reference is None:
        pytest.skip("torch has no layer to compare with")
    layer, x = _layer(case, seed), _tokens([length], seed)
    values = x.values.clone().requires_grad_()
    expected = case.reference(layer, values)
    if expected is None:
        with pytest.raises(ShapeError, match=r": sequence 0 has \d+ step"):
            layer(x)
        return
    outputs, gradients = _run(layer, x)
    _agree(outputs, [expected])
    _agree(gradients, _gradients(_weighted_sum([expected]), layer, values))


@pytest.mark.parametrize("case", [case for case in CASES if case.stateful], ids=lambda case: case.name)
@given(lengths=LENGTHS, seed=SEEDS, data=st.data())
def test_split_with_carried_state_equals_whole(
    case: Case, lengths: list[int], seed: int, data: st.DataObject
) -> None:
    layer, x = _layer(case, seed), _batch(case, lengths, seed)
    steps = data.draw(st.lists(st.integers(0, 8), min_size=len(x), max_size=len(x)))
    values = x.values.clone().requires_grad_()
    whole, final = layer(x.with_values(values))
    head, tail = x.with_values(values).split_time(steps)
    first, state = layer(head)
    second, carried = layer(tail, state)
    pieces = Ragged.cat_time([first, second])
    _agree([pieces.values], [whole.values])
    torch.testing.assert_close(carried, final, **TIGHT)
    _agree(
        _gradients(_weighted_sum([pieces.values]), layer, values),
        _gradients(_weighted_sum([whole.values]), layer, values),
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.stateful], ids=lambda case: case.name)
def test_no_state_equals_zeros(case: Case) -> None:
    layer, x = _layer(case, 0), _batch(case, [3, 0, 5], 0)
    _, final = layer(x)
    zeros = torch.utils._pytree.tree_map(torch.zeros_like, final)
    flat = torch.utils._pytree.tree_leaves
    torch.testing.assert_close(flat(layer(x, zeros)), flat(layer(x)), rtol=0, atol=0)


def _flags(lengths: list[int], seed: int) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    return Ragged.from_lengths(torch.rand(sum(lengths), generator=generator) < 0.4, lengths)


def _split(x: Tensor, flags: Tensor) -> list[Tensor]:
    """Cut a sequence before every flagged token."""
    cuts = [t for t in flags.nonzero().flatten().tolist() if t > 0]
    return list(torch.tensor_split(x, cuts))


def _piece_by_piece(layer: nn.Module, x: Ragged, flags: Ragged) -> Ragged:
    """The outputs of sequences split at flags, each piece alone."""
    outputs = []
    for sequence, of_sequence in zip(x, flags, strict=True):
        pieces = [layer(Ragged.from_list([piece])).output.values for piece in _split(sequence, of_sequence)]
        outputs.append(torch.cat(pieces))
    return Ragged.from_list(outputs)


def _is_recurrent(case: Case) -> bool:
    """Whether a layer takes flags, without a call, which traces steps: each worker collects all tests."""
    return "reset" in inspect.signature(case.make().forward).parameters


NO_FLAGS = "Bidirectional Conv1d"  # has the argument for layers that read it
RECURRENT = [case for case in CASES if _is_recurrent(case) and case.name != NO_FLAGS]


@pytest.mark.parametrize("case", RECURRENT, ids=lambda case: case.name)
@given(lengths=LENGTHS, seed=SEEDS)
def test_reset_flags_split_sequences(case: Case, lengths: list[int], seed: int) -> None:
    x, flags = _tokens(lengths, seed), _flags(lengths, seed)
    layer = _layer(case, seed)
    values = x.values.clone().requires_grad_()
    found = layer(x.with_values(values), reset=flags).output
    expected = _piece_by_piece(layer, x.with_values(values), flags)
    _agree([found.values], [expected.values])
    _agree(*(_gradients(_weighted_sum(rows(y)), layer, values) for y in (found, expected)))


@pytest.mark.parametrize("case", [case for case in RECURRENT if case.stateful], ids=lambda case: case.name)
@given(lengths=LENGTHS, seed=SEEDS)
def test_reset_flags_and_the_states_before_and_after(case: Case, lengths: list[int], seed: int) -> None:
    """A flag at the first token ends what came before it, and the state returned is that of the last piece."""
    layer = _layer(case, seed)
    parts = [_tokens(lengths, seed + part) for part in range(3)]
    before, x, after = (part.with_values(part.values.requires_grad_()) for part in parts)
    flags = _flags(lengths, seed)
    nowhere = torch.zeros_like(flags)
    _, state = layer(before)
    middle, state = layer(x, state, reset=flags)
    last, _ = layer(after, state)
    whole = _piece_by_piece(
        layer, Ragged.cat_time([before, x, after]), Ragged.cat_time([nowhere, flags, nowhere])
    )
    found = Ragged.cat_time([layer(before).output, middle, last])
    _agree([found.values], [whole.values])
    wanted = [before.values, x.values, after.values, *layer.parameters()]
    _agree(
        *(
            list(
                torch.autograd.grad(
                    _weighted_sum(rows(y)) + 0 * y.values.sum(), wanted, materialize_grads=True
                )
            )
            for y in (found, whole)
        )
    )
