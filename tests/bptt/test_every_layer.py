"""Carried states of every recurrent layer of throughtime.nn, against calls that are given the states."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import throughtime as tt
from throughtime import Ragged
from throughtime.bptt import Carried, checkpointed, windows
from throughtime.errors import UnsupportedError
from throughtime.nn.inputs.resets import takes_reset
from throughtime.nn.recurrent.attached import CarriesState
from throughtime.nn.recurrent.bounding import bound_recurrent_gradients

from ..nn.case import FEATURES, Case
from ..nn.contract import CASES

LENGTHS = [7, 0, 4, 9, 0]


def _recurrent(layer: nn.Module) -> bool:
    """Tell whether a layer has a state from step to step: such layers take flags that reset it."""
    return takes_reset(layer)


def _bidirectional(case: Case) -> bool:
    return any(getattr(module, "bidirectional", False) for module in case.make().modules())


RECURRENT = [case for case in CASES if _recurrent(case.make()) and case.name != "Bidirectional Conv1d"]
BOTH_DIRECTIONS = [case for case in RECURRENT if _bidirectional(case)]
ONE_DIRECTION = [case for case in RECURRENT if case not in BOTH_DIRECTIONS]
each_layer = pytest.mark.parametrize("case", ONE_DIRECTION, ids=[case.name for case in ONE_DIRECTION])


def test_the_cases_have_every_recurrent_layer() -> None:
    public = [value for name, value in vars(tt.nn).items() if inspect.isclass(value) and name[0] != "_"]
    layers = {kind for kind in public if issubclass(kind, nn.Module) and _recurrent(kind)}
    cases = {type(module) for case in RECURRENT for module in case.make().modules()}
    assert layers <= cases
    one_direction = {type(module) for case in ONE_DIRECTION for module in case.make().modules()}
    assert layers - one_direction <= {tt.nn.Bidirectional}


def _problem(case: Case) -> tuple[nn.Module, Ragged]:
    torch.manual_seed(0)
    layer = case.make().double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.grad = None
            parameter.uniform_(-0.5, 0.5)
    return layer, Ragged.from_lengths(torch.randn(sum(LENGTHS), FEATURES).double(), LENGTHS)


@each_layer
@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (2, 5), (4, 6)])
def test_windows_continue_the_sequences(case: Case, k1: int, k2: int) -> None:
    layer, x = _problem(case)
    whole, carried, outputs = layer(x).output, Carried(), []
    for window in windows(x, k1, k2):
        if window.number == 1:  # by way of a file
            saved = carried.state_dict()
            carried = Carried()
            carried.load_state_dict(saved)
        with carried.carry(layer, window):
            outputs.append(_with_all(layer(window.of(x)).output, window))
    assert sorted(carried.ids) == [0, 2, 3]
    torch.testing.assert_close(Ragged.cat_time(outputs).values, whole.values)


def _with_all(output: Ragged, window: tt.bptt.Window) -> Ragged:
    """Return the counted steps of a window, of the sequences that it does not have none."""
    rows = dict(zip(window.sequences.tolist(), window.counted(output), strict=True))
    return Ragged.from_list([rows.get(b, output.values[:0]) for b in range(len(LENGTHS))])


@each_layer
def test_gradients_are_those_of_calls_from_detached_states(case: Case) -> None:
    layer, x = _problem(case)
    pieces = [x.with_values(x.values), x.with_values(x.values.cos()), x.with_values(x.values.exp())]
    carried, state = Carried(), None
    for piece in pieces:
        values = piece.values.clone().requires_grad_()
        result = layer(piece.with_values(values), state)
        expected = _gradients(result.output, values, layer)
        state = pytree.tree_map_only(Tensor, Tensor.detach, result.state)
        with carried.carry(layer, range(len(LENGTHS))):
            output = layer(piece.with_values(values)).output
        torch.testing.assert_close(output.values, result.output.values)
        torch.testing.assert_close(_gradients(output, values, layer), expected)


def _gradients(output: Ragged, values: Tensor, layer: nn.Module) -> list[Tensor]:
    wanted = [values, *layer.parameters()]
    return list(torch.autograd.grad(output.values.square().sum(), wanted, materialize_grads=True))


@each_layer
def test_flags_restart_streams_inside_windows(case: Case) -> None:
    layer, x = _problem(case)
    flags = x.with_values(torch.arange(len(x.values)) % 5 == 3)
    whole, carried, outputs = layer(x, reset=flags).output, Carried(), []
    for window in windows(x, 2, 5):
        with carried.carry(layer, window):
            outputs.append(_with_all(layer(window.of(x), reset=window.of(flags)).output, window))
    torch.testing.assert_close(Ragged.cat_time(outputs).values, whole.values)


@each_layer
def test_an_explicit_state_is_used_in_place_of_the_carried_one(case: Case) -> None:
    layer, x = _problem(case)
    first = layer(x)
    carried = Carried()
    with carried.carry(layer, range(len(LENGTHS))):
        layer(x)
    with carried.carry(layer, range(len(LENGTHS))):
        found = layer(x, first.state)
    torch.testing.assert_close(found.output.values, layer(x, first.state).output.values, rtol=0, atol=0)


@pytest.mark.parametrize("case", BOTH_DIRECTIONS, ids=[case.name for case in BOTH_DIRECTIONS])
def test_bidirectional_layers_are_refused(case: Case) -> None:
    with pytest.raises(UnsupportedError, match="is bidirectional"), Carried().carry(case.make(), [0]):
        pass


def test_states_of_any_structure() -> None:
    class Counting(nn.Module):
        """A state of a matrix, a number and a count, in a dict."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(FEATURES, 2, 3).double())

        def forward(self, state: dict[str, Any], x: Tensor) -> dict[str, Any]:
            matrix, (total, steps) = state["matrix"], state["rest"]
            matrix = torch.tanh(matrix + torch.einsum("ni,ijk->njk", x, self.weight))
            return {"matrix": matrix, "rest": (total + matrix.sum((1, 2)), steps + 1)}

    zeros = {"matrix": torch.ones(2, 3).double(), "rest": (torch.tensor(2.0).double(), torch.tensor(5))}
    layer = tt.nn.Recurrence(Counting(), lambda state: state["matrix"], state=zeros, native="never")
    x = Ragged.from_lengths(torch.randn(sum(LENGTHS), FEATURES).double(), LENGTHS)
    for k1, k2 in ((3, 3), (2, 5)):
        carried, outputs = Carried(), []
        for window in windows(x, k1, k2):
            with carried.carry(layer, window):
                outputs.append(_with_all(layer(window.of(x)).output, window))
        torch.testing.assert_close(Ragged.cat_time(outputs).values, layer(x).output.values)


@each_layer
def test_gradients_bounded_to_nothing_are_those_of_single_steps_or_the_layer_is_named(case: Case) -> None:
    layer, x = _problem(case)
    parts = [part for part in layer.modules() if isinstance(part, CarriesState)]
    reasons = {part.no_bounds for part in parts} - {""}
    assert CarriesState.no_bounds not in reasons, "a layer must override bound_gradients or say why it cannot"
    if reasons:
        with pytest.raises(UnsupportedError, match=r"has no bound on gradients: each step multiplies"):
            bound_recurrent_gradients(layer, norm=1.0)
        return
    values = x.values.clone().requires_grad_()
    bound_recurrent_gradients(layer, value=1e-30)
    found = _gradients(layer(x.with_values(values)).output, values, layer)
    bound_recurrent_gradients(layer)
    carried, outputs = Carried(), []
    for window in windows(x, 1):
        with carried.carry(layer, window):
            outputs.append(_with_all(layer(window.of(x.with_values(values))).output, window))
    torch.testing.assert_close(found, _gradients(Ragged.cat_time(outputs), values, layer))


@pytest.mark.parametrize("case", RECURRENT, ids=[case.name for case in RECURRENT])
def test_every_layer_has_a_method_for_bounds(case: Case) -> None:
    layer = case.make()
    if type(layer) in vars(tt.nn).values():
        layer.bound_gradients()  # type: ignore[operator]


# One of each kind of layer, and every stack.
OF_EACH_KIND = {case.name if "Stack" in case.name else type(case.make()): case for case in ONE_DIRECTION}


def _stored_and_results(
    layer: nn.Module, x: Ragged, **options: Any
) -> tuple[int, list[Tensor], list[Tensor]]:
    """Return the bytes that a forward pass stores beside inputs and weights, its results and gradients."""
    wanted = [x.values, *layer.parameters()]
    stored = {part.untyped_storage().data_ptr(): 0 for part in wanted}

    def pack(part: Tensor) -> Tensor:
        stored.setdefault(part.untyped_storage().data_ptr(), part.untyped_storage().nbytes())
        return part

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda part: part):
        output, state = checkpointed(layer, x, **options) if options else layer(x)
    results = [output.values, *(part for part in pytree.tree_leaves(state) if part is not None)]
    loss = torch.stack([part.sin().sum() for part in results]).sum()
    return sum(stored.values()), results, list(torch.autograd.grad(loss, wanted, materialize_grads=True))


@pytest.mark.parametrize("case", OF_EACH_KIND.values(), ids=[case.name for case in OF_EACH_KIND.values()])
def test_checkpointing_stores_less_for_the_same_results(case: Case) -> None:
    layer, _ = _problem(case)
    lengths = [33, 0, 48]
    values = torch.randn(sum(lengths), FEATURES, dtype=torch.float64, requires_grad=True)
    x = Ragged.from_lengths(values, lengths)
    whole, expected, gradients = _stored_and_results(layer, x)
    segments, found, found_gradients = _stored_and_results(layer, x, segment=12)
    for part, right in zip(found, expected, strict=True):
        assert torch.equal(part, right)
    torch.testing.assert_close(found_gradients, gradients)
    # The states between segments are not saved by autograd, but arguments of the calls that are made again.
    between = 3 * sum(part.numel() * part.element_size() for part in found[1:])
    assert segments + between < whole / 2
