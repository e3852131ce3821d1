"""Derivatives of recurrent layers of any order, and use with other features of torch."""

import copy
import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import DataLoader, Dataset

import throughtime as tt
from throughtime import Ragged
from throughtime.ops.recurrent.layer import recurrent_layer
from throughtime.ops.recurrent.reference import recurrent_layer_reference
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import BATCH_FIRST, PACKED, RAGGED, TIME_MAJOR, Steps
from throughtime.ops.recurrent.weights import PARTS, Weights

from .recurrent import CELLS, LAYERS, VARIANTS, fresh, gradients, leaves, name_of, weighted, weights_for

# Cells that torch does not have, with the context that any cell may have.
GENERAL = (
    'LSTM{"peephole": true, "coupled": true}',
    'GRU{"reset_after": false, "update": "new"}',
    "MGU",
    "LayerNormLSTM",
)
each_cell = pytest.mark.parametrize("cell", CELLS + GENERAL)
each_layer = pytest.mark.parametrize(("name", "options"), LAYERS + VARIANTS, ids=name_of)

ORDERS = {
    "ragged": (Steps(RAGGED, 4, 0, torch.tensor([0, 3, 3, 4, 6])), 6),
    "time-major": (Steps(TIME_MAJOR, 2, 3, None), 6),
    "batch-first": (Steps(BATCH_FIRST, 2, 3, None), 6),
    "packed": (Steps(PACKED, 3, 3, torch.tensor([3, 2, 1])), 6),
}
OPCHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
each_order = pytest.mark.parametrize("order", ORDERS)


def _call(
    cell: str,
    order: str,
    *,
    directions: int = 2,
    projection: int = 0,
    hidden: int = 3,
    bias: bool = True,
    context: bool = False,
) -> tuple[Callable[..., tuple[Tensor, ...]], Callable[..., tuple[Tensor, ...]], list[Tensor]]:
    """The op and the reference as functions of x, h0, c0 and weights, and these inputs."""
    torch.manual_seed(0)
    steps, tokens = ORDERS[order]
    weights = weights_for(
        cell,
        2,
        hidden,
        directions=directions,
        projection=projection,
        bias=bias,
        context=steps.batch if context else 0,
    )
    states = [torch.randn(directions, steps.batch, projection or hidden, dtype=torch.float64)]
    if CellSpec.parse(cell).has_c:
        states.append(torch.randn(directions, steps.batch, hidden, dtype=torch.float64))
    x = torch.randn(tokens, 2, dtype=torch.float64)
    flat = [part for direction in weights for part in direction if part is not None]
    present = [part is not None for part in weights[0]]

    def over(function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
        def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
            h0, c0 = (rest[0], rest[1]) if CellSpec.parse(cell).has_c else (rest[0], None)
            given = iter(rest[len(states) :])
            directions_of = tuple(
                Weights(*(next(given) if there else None for there in present)) for _ in range(directions)
            )
            outputs = function(x, steps, CellSpec.parse(cell), h0, c0, directions_of)
            return tuple(output for output in outputs if output.numel())

        return run

    def op(*arguments: Any) -> tuple[Tensor, ...]:
        return recurrent_layer(*arguments, save=True)

    return over(op), over(recurrent_layer_reference), [*map(fresh, (x, *states)), *flat]


CALLS = [
    *((cell, options) for cell in CELLS for options in ({}, {"directions": 1, "bias": False})),
    ("LSTM", {"projection": 2}),
    ("LSTM", {"context": True}),
    (GENERAL[0], {"context": True, "projection": 2}),
    (GENERAL[1], {"context": True}),
]


@each_order
@pytest.mark.parametrize(("cell", "options"), CALLS, ids=name_of)
def test_outputs_and_gradients_are_those_of_the_reference(cell: str, order: str, options: dict) -> None:
    op, reference, inputs = _call(cell, order, hidden=5, **options)
    found, expected = op(*inputs), reference(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        gradients(list(found), inputs, retain_graph=True),
        gradients(list(expected), inputs, retain_graph=True),
        rtol=1e-10,
        atol=1e-12,
    )
    # An output that stands alone must not need the others' gradients.
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(
            torch.autograd.grad(weighted([one]), inputs, retain_graph=True, materialize_grads=True),
            torch.autograd.grad(weighted([other]), inputs, retain_graph=True, materialize_grads=True),
            rtol=1e-10,
            atol=1e-12,
        )


@each_cell
@each_order
def test_gradcheck(cell: str, order: str) -> None:
    op, _, inputs = _call(
        cell, order, projection=2 if CellSpec.parse(cell).has_c else 0, context=cell in GENERAL
    )
    assert torch.autograd.gradcheck(op, inputs)


@each_cell
def test_gradgradcheck(cell: str) -> None:
    # Element by element once; along a random direction in the other order of steps.
    for order, fast in (("ragged", False), ("batch-first", True)):
        op, _, inputs = _call(cell, order, directions=1, hidden=2, context=cell in GENERAL)
        assert torch.autograd.gradgradcheck(op, inputs, fast_mode=fast)


def test_a_third_derivative_is_that_of_the_reference() -> None:
    op, reference, inputs = _call("LSTM", "ragged", directions=1, hidden=2)

    def third(function: Callable[..., tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        value = weighted(list(function(*inputs)))
        for _ in range(2):
            parts = torch.autograd.grad(value, inputs, create_graph=True)
            value = sum(part.square().sum() for part in parts)
        return torch.autograd.grad(value, inputs)

    torch.testing.assert_close(third(op), third(reference))


@each_layer
def test_gradcheck_of_the_layer_through_outputs_and_states(name: str, options: dict) -> None:
    torch.manual_seed(0)
    # Of a variant, which changes the cell alone, one layer.
    count = 2 if (name, options) in LAYERS else 1
    layer = getattr(tt.nn, name)(2, 3, num_layers=count, bidirectional=True, **options).double()
    names = [key for key, _ in layer.named_parameters()]
    offsets = torch.tensor([0, 2, 2, 5])
    sizes = (options.get("proj_size", 3), 3) if layer.spec.has_c else (3,)
    state = tuple(torch.randn(2 * count, 3, size, dtype=torch.float64, requires_grad=True) for size in sizes)

    def run(values: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = rest[: len(sizes)]
        parameters = dict(zip(names, rest[len(sizes) :], strict=True))
        initial = given if layer.spec.has_c else given[0]
        result = torch.func.functional_call(layer, parameters, (Ragged(values, offsets), initial))
        return tuple(leaves(result))

    values = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    parameters = [parameter.detach().requires_grad_() for parameter in layer.parameters()]
    assert torch.autograd.gradcheck(run, (values, *state, *parameters), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (values, *state, *parameters), fast_mode=True)


def test_a_gradient_penalty_trains() -> None:
    torch.manual_seed(0)
    layer = tt.nn.GRU(2, 3).double()
    x = torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)

    def penalty(layer: nn.Module) -> Tensor:
        (gradient,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
        return gradient.square().sum()

    twin = nn.GRU(2, 3).double()
    twin.load_state_dict(layer.state_dict())
    torch.testing.assert_close(
        torch.autograd.grad(penalty(layer), list(layer.parameters())),
        torch.autograd.grad(penalty(twin), list(twin.parameters())),
    )


@each_layer
def test_modes_and_graphs(name: str, options: dict) -> None:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(2, 3, **options).double()
    x = torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)
    wanted = [x, *layer.parameters()]
    trained = gradients(leaves(layer(x)), wanted)
    loss = weighted(leaves(layer.eval()(x)))
    first = torch.autograd.grad(loss, wanted, retain_graph=True)
    second = torch.autograd.grad(loss, wanted)
    for a, b, c in zip(trained, first, second, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(b, c)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, wanted)
    plain = leaves(layer(x))
    with torch.no_grad():
        unrecorded = leaves(layer(x))
    with torch.inference_mode():
        inferred = leaves(layer(x))
    for a, b, c in zip(plain, unrecorded, inferred, strict=True):
        assert a.requires_grad
        assert not b.requires_grad
        assert c.is_inference()
        assert torch.equal(a, b)
        assert torch.equal(a, c)


@each_layer
def test_frozen_weights_and_inputs(name: str, options: dict) -> None:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(2, 3, num_layers=2, **options).double()
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    everything = gradients(leaves(layer(x)), list(layer.parameters()))
    layer.weight_ih_l0.requires_grad_(False)
    layer.weight_hh_l1.requires_grad_(False)
    weighted(leaves(layer(x))).backward()
    for parameter, expected in zip(layer.parameters(), everything, strict=True):
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-12)
        else:
            assert parameter.grad is None
    layer.requires_grad_(False)
    assert not any(part.requires_grad for part in leaves(layer(x)))
    given = fresh(x)
    weighted(leaves(layer(given))).backward()
    assert given.grad is not None


@pytest.mark.parametrize(
    ("cell", "order"),
    [*(("LSTM", order) for order in ORDERS), *((cell, "ragged") for cell in CELLS[1:] + GENERAL)],
)
def test_opcheck(cell: str, order: str) -> None:
    both = (1, 0), (2, 2 if CellSpec.parse(cell).has_c else 0)
    thorough = (cell, order) == ("LSTM", "ragged")
    for directions, projection in both if thorough else both[1:]:
        _, _, inputs = _call(
            cell, order, directions=directions, projection=projection, context=cell in GENERAL
        )
        steps, _ = ORDERS[order]
        x, h0, *rest = inputs
        c0 = rest.pop(0) if CellSpec.parse(cell).has_c else None
        weights: list[Tensor | None] = []
        for _ in range(directions):
            weights += [rest.pop(0) for _ in range(4)]
            weights.append(rest.pop(0) if projection else None)
            weights.append(rest.pop(0) if CellSpec.parse(cell).own_parameters else None)
            weights.append(rest.pop(0) if cell in GENERAL else None)
        weights += [None] * (2 * PARTS - len(weights))
        reset = (torch.arange(len(x)) % 3 == 1).to(torch.int8) if directions == 2 else None
        # The graph of autograd is the same for each cell: traced for torch's cells alone, whose outputs differ in number.
        utils = OPCHECKS if cell in CELLS else ("test_schema", "test_faketensor")
        sizes = (steps.order, steps.batch, steps.length)
        arguments = (x, steps.index, reset, *sizes, cell, h0, c0, *weights)
        torch.library.opcheck(torch.ops.throughtime.recurrent_layer, arguments, test_utils=utils)
        outputs = torch.ops.throughtime.recurrent_layer(*arguments)
        y, _, _, c, gates = (output.detach() for output in outputs)
        output_gradients = [torch.randn_like(output).requires_grad_() for output in outputs]
        for needs in ((True, True, True), (False, True, False))[: directions if thorough else 1]:
            torch.library.opcheck(
                torch.ops.throughtime.recurrent_layer_backward,
                (*output_gradients, *arguments, y, c, gates, *needs),
                test_utils=utils,
            )


def _compiled_like_eager(
    layer: nn.Module, inputs: list[Any], backend: str, *, dynamic: bool | None = None
) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend=backend, dynamic=dynamic)
    for x in inputs:
        results = []
        for function in (compiled, layer):
            given = fresh(x)
            found = leaves(function(given))
            results.append((found, gradients(found, [*leaves(given), *layer.parameters()])))
        torch.testing.assert_close(*results)


# A cell is a name and parameters to the graph: `test_variants` compiles the others on tensors.
@pytest.mark.parametrize(("name", "options"), [*LAYERS[1:4], *(VARIANTS[i] for i in (3, 8))], ids=name_of)
def test_compile_in_one_graph(name: str, options: dict) -> None:
    torch.manual_seed(0)
    # torch's layers are compiled for the sizes of the first batch, then for any; of a variant, which changes the cell
    # alone, one layer is compiled for any size at once.
    plain = (name, options) in LAYERS
    layer = getattr(tt.nn, name)(3, 4, num_layers=2 if plain else 1, bidirectional=True, **options).double()
    ragged = [Ragged.from_lengths(torch.randn(sum(n), 3).double(), n) for n in ([3, 0, 2], [1, 1, 5, 2])]
    dense = [torch.randn(5, 2, 3).double(), torch.randn(7, 3).double()]
    _compiled_like_eager(layer, ragged + dense, "aot_eager", dynamic=None if plain else True)


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
def test_compile_with_inductor() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(tt.nn.GRU(3, 4), nn.Linear(4, 2)).double()
    _compiled_like_eager(model, [Ragged.from_lengths(torch.randn(5, 3).double(), [3, 0, 2])], "inductor")


def test_compile_a_trace() -> None:
    layer = tt.nn.LSTM(3, 4)
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: layer.trace(x).c.values, fullgraph=True, backend="aot_eager")
    for x in (Ragged.from_lengths(torch.randn(5, 3), [3, 0, 2]), torch.randn(4, 2, 3)):
        assert torch.equal(compiled(x), layer.trace(x).c.values)


def test_export_has_the_operator() -> None:
    layer = tt.nn.LSTM(3, 4).eval()
    program = torch.export.export(layer, (torch.randn(5, 2, 3),))
    assert "throughtime.recurrent_layer" in str(program.graph)
    x = torch.randn(5, 2, 3)
    assert torch.equal(program.module()(x)[0], layer(x)[0])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_transforms_of_torch_func() -> None:
    torch.manual_seed(0)
    layer = tt.nn.GRU(2, 3).double()
    parameters = dict(layer.named_parameters())
    x = torch.randn(5, 4, 2, dtype=torch.float64)

    def loss(parameters: dict[str, Tensor], sequence: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (sequence,))[0].sum()

    per_sample = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(parameters, x)
    for b in range(4):
        expected = torch.autograd.grad(loss(parameters, x[:, b]), list(parameters.values()))
        torch.testing.assert_close([part[b] for part in per_sample.values()], list(expected))
    tangent = torch.randn_like(x)
    _, forward = torch.func.jvp(lambda x: layer(x)[0], (x,), (tangent,))
    nearby = (layer(x + 1e-6 * tangent)[0] - layer(x - 1e-6 * tangent)[0]) / 2e-6
    torch.testing.assert_close(forward, nearby, rtol=1e-6, atol=1e-8)


@each_layer
def test_many_gradients_pass_back_together(name: str, options: dict) -> None:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(2, 3, num_layers=2, bidirectional=True, **options).double()
    x = torch.randn(3, 2, 2, dtype=torch.float64)

    def states(x: Tensor) -> tuple[Tensor, ...]:
        return tuple(leaves(layer(x)))

    def energy(x: Tensor) -> Tensor:
        return sum(part.square().sum() for part in states(x))

    for derivative, function in ((jacobian, states), (hessian, energy)):
        one_by_one = derivative(function, x)
        torch.testing.assert_close(derivative(function, x, vectorize=True), one_by_one)


def _changes() -> list[tuple[str, Callable[[nn.Module], Any]]]:
    def step(layer: nn.Module) -> None:
        optimiser = torch.optim.SGD(layer.parameters(), lr=1.0)
        with torch.enable_grad():
            weighted(leaves(layer(torch.ones(4, 2, 3, dtype=torch.float64)))).backward()
        optimiser.step()

    def data(layer: nn.Module) -> None:
        layer.weight_hh_l0.data.mul_(-1)
        layer.weight_ih_l0.data = layer.weight_ih_l0.data + 1

    def in_inference(layer: nn.Module) -> None:
        with torch.inference_mode():
            layer.weight_hh_l0.mul_(-1)

    def assigned(layer: nn.Module) -> None:
        layer.weight_hh_l0 = nn.Parameter(-layer.weight_hh_l0.detach())

    def loaded(layer: nn.Module) -> None:
        layer.load_state_dict({key: -value for key, value in layer.state_dict().items()})

    def moved(layer: nn.Module) -> None:
        layer.float().double()
        layer.weight_hh_l0.data.mul_(-1)

    def parametrized(layer: nn.Module) -> None:
        torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
        with torch.no_grad():
            layer.parametrizations.weight_hh_l0.original0.mul_(2)

    every = (step, data, in_inference, assigned, loaded, moved, parametrized)
    return [(change.__name__, change) for change in every]


@pytest.mark.parametrize(("_", "change"), _changes(), ids=name_of)
def test_weights_are_followed(_: str, change: Callable[[nn.Module], Any]) -> None:
    torch.manual_seed(0)
    layer = tt.nn.LSTM(3, 4).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        before = layer(x)[0]
        kept = copy.deepcopy(layer)
        change(layer)
        twin = nn.LSTM(3, 4).double()
        for key in twin.state_dict():
            getattr(twin, key).copy_(getattr(layer, key))
        assert not torch.allclose(layer(x)[0], before)
        torch.testing.assert_close(layer(x)[0], twin(x)[0])
        torch.testing.assert_close(layer.step(x[0])[0], twin(x[:1])[0][0])
        assert torch.equal(kept(x)[0], before)


def test_functional_call_uses_the_weights_it_is_given() -> None:
    torch.manual_seed(0)
    layer = tt.nn.GRU(3, 4).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    other = {key: torch.randn_like(value) for key, value in layer.named_parameters()}
    twin = nn.GRU(3, 4).double()
    twin.load_state_dict(other)
    with torch.no_grad():
        torch.testing.assert_close(torch.func.functional_call(layer, other, (x,))[0], twin(x)[0])


def test_an_output_that_is_changed_in_place_is_an_error_not_a_wrong_gradient() -> None:
    y, _ = tt.nn.LSTM(3, 4)(torch.randn(5, 2, 3))
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_threads_share_a_layer() -> None:
    torch.manual_seed(0)
    layer = tt.nn.LSTM(8, 16, bidirectional=True).double()
    batches = [Ragged.from_lengths(torch.randn(60, 8).double(), [20, 0, 39, 1]) for _ in range(4)]

    def run(x: Ragged) -> list[Tensor]:
        given = fresh(x)
        found = leaves(layer(given))
        return [*found, *gradients(found, [*leaves(given), *layer.parameters()])]

    expected = [run(x) for x in batches]
    failed: list[str] = []

    def work(number: int) -> None:
        for _ in range(5):
            for found, right in zip(run(batches[number]), expected[number], strict=True):
                if not torch.equal(found, right):
                    failed.append(f"thread {number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def _encoded(layer: nn.Module, x: Ragged) -> list[list]:
    """Outputs and gradients as lists, by operations of torch so small that none of them is threaded."""
    found = leaves(layer(x))
    ones = [part.detach().clone().fill_(1) for part in found]
    return [part.tolist() for part in (*found, *torch.autograd.grad(found, list(layer.parameters()), ones))]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_the_same() -> None:
    torch.manual_seed(0)
    layer = tt.nn.GRU(16, 32).double()
    x = Ragged.from_lengths(torch.randn(200, 16).double(), [120, 0, 79, 1])
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # a parent with a thread pool is what makes forking hard
    context = multiprocessing.get_context("fork")
    try:
        expected = _encoded(layer, x)
        queue = context.Queue()
        child = context.Process(target=lambda: queue.put(_encoded(layer, x)), daemon=True)
        child.start()
        received = queue.get(timeout=30)
        child.join(30)
    finally:
        torch.set_num_threads(threads)
    assert child.exitcode == 0
    for part, right in zip(received, expected, strict=True):
        torch.testing.assert_close(torch.tensor(part), torch.tensor(right))


class _Encoded(Dataset):
    """Samples that a layer has read already."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.parent = os.getpid()

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        with torch.no_grad():
            y, _ = self.layer(torch.full((index, 3), float(index)))
        return y, os.getpid() != self.parent


def test_dataloader_workers_run_a_layer() -> None:
    torch.manual_seed(0)
    layer = tt.nn.LSTM(3, 4)

    def collated(samples: list[tuple[Tensor, bool]]) -> tuple[Ragged, list[bool]]:
        batch = Ragged.from_list([layer.step(torch.zeros(3))[0].detach()[None] + y for y, _ in samples])
        return batch, [elsewhere for _, elsewhere in samples]

    dataset = _Encoded(layer)
    loader = DataLoader(
        dataset, batch_size=4, num_workers=2, collate_fn=collated, multiprocessing_context="fork"
    )
    batches = list(loader)
    assert all(all(elsewhere) for _, elsewhere in batches)
    expected = torch.cat([collated([dataset[i]])[0].values for i in range(8)])
    torch.testing.assert_close(torch.cat([batch.values for batch, _ in batches]), expected)


def test_packed_input_needs_gradients_as_any_other() -> None:
    torch.manual_seed(0)
    layer = tt.nn.GRU(3, 4).double()
    sequences = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (2, 4, 1)]
    y, _ = layer(pack_sequence(sequences, enforce_sorted=False))
    found = torch.autograd.grad(y.data.sum(), sequences)
    ragged = torch.autograd.grad(layer(Ragged.from_list(sequences))[0].values.sum(), sequences)
    torch.testing.assert_close(found, ragged)


def test_batch_sizes_may_be_every_second_entry_of_others() -> None:
    layer = tt.nn.GRU(4, 5)
    sizes = torch.tensor([3, 9, 2, 9, 1, 9])[::2]
    data = torch.randn(6, 4)
    found = layer(PackedSequence(data, sizes)).output.data
    assert torch.equal(found, layer(PackedSequence(data, sizes.clone())).output.data)
