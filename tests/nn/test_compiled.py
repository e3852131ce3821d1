"""Layers on a Ragged in one graph: torch.compile without a break and torch.export, for batches of any size."""

import inspect
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import throughtime as tt
from throughtime import Ragged
from throughtime.ragged import Layout

# Each reads another part of a layout; `test_compiled_contract` compiles all layers, for two batches.
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Pool max": lambda: tt.nn.Pool("max"),
    "Pool top-k": lambda: tt.nn.Pool("top-k", k=2),
    "InstanceNorm1d": lambda: tt.nn.InstanceNorm1d(4),
    "ConvTranspose1d": lambda: tt.nn.ConvTranspose1d(4, 3, 2, stride=2),
    "LSTM": lambda: tt.nn.LSTM(4, 3, bidirectional=True),
    # Behind a stride the number of tokens is data, which no graph can branch on.
    "strided, Pool max": lambda: nn.Sequential(tt.nn.MaxPool1d(2, ceil_mode=True), tt.nn.Pool("max")),
    "strided, AttentionPool": lambda: nn.Sequential(tt.nn.Conv1d(4, 4, 2, 2, 1), tt.nn.AttentionPool(4)),
}


def batch(lengths: list[int]) -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(lengths), 4, dtype=torch.float64), lengths)


def tensors(result: object) -> list[Tensor]:
    result = result.output if isinstance(result, tt.nn.RecurrentOutput) else result
    return [result.values, result.offsets] if isinstance(result, Ragged) else [result]  # type: ignore[list-item]


@pytest.mark.parametrize("name", LAYERS)
def test_one_graph_serves_batches_of_any_size(name: str) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    layer = LAYERS[name]().double()
    graphs = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layer, backend=graphs, fullgraph=True, dynamic=True)
    of_the_first: int | None = None
    known = batch([3, 1, 2, 5])
    for derived in ("lengths", "total", "longest", "sequence_ids", "positions"):
        getattr(known.layout, derived)
    for x in (
        batch([3, 1, 2, 1, 2, 4]),
        batch([4, 0, 2, 6, 1]),
        known,
        Ragged(known.values, known.offsets),
    ):
        leaf = x.values.requires_grad_()
        found, expected = tensors(compiled(x)), tensors(layer(x))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        weights = torch.randn_like(expected[0])
        torch.testing.assert_close(
            *(torch.autograd.grad((one[0] * weights).sum(), leaf)[0] for one in (found, expected)),
            rtol=1e-12,
            atol=1e-12,
        )
        # Sizes that happen to be equal at the first call would be taken for the same one: here none are. What a
        # batch already knows of its layout makes no other graph. Of a number such as eps torch makes a symbol, and
        # begins again with the number itself.
        of_the_first = of_the_first or graphs.frame_count
        assert graphs.frame_count == of_the_first <= 2


@pytest.mark.parametrize("kind", ["max", "last"])
def test_a_graph_may_meet_a_batch_of_which_a_layer_leaves_nothing(kind: Any) -> None:
    torch._dynamo.reset()
    layers = nn.Sequential(tt.nn.Conv1d(4, 4, 3, stride=2), tt.nn.Pool(kind)).double()
    compiled = torch.compile(layers, backend="eager", fullgraph=True, dynamic=True)
    compiled(batch([3, 5, 4, 3, 6]))
    assert torch.equal(compiled(batch([1, 2, 2])), torch.zeros(3, 4, dtype=torch.float64))


def test_locked_dropout_is_compiled_in_training() -> None:
    drop = tt.nn.LockedDropout(0.5)
    compiled = torch.compile(drop, backend="eager", fullgraph=True)
    x = batch([3, 0, 2]).with_values(torch.ones(5, 4))
    for sequence in compiled(x):
        assert ((sequence == 0) | (sequence == 2)).all()
        assert (sequence == sequence[:1]).all()


def test_what_is_traced_takes_no_lock() -> None:
    """functools.cached_property takes one before Python 3.12, wherever the tests themselves run."""
    source = inspect.getsource(inspect.getmodule(Layout) or Layout)
    assert "import cached_property" not in source
    assert not [name for name, value in vars(Layout).items() if type(value).__module__ == "functools"]


def test_a_model_is_exported_for_batches_of_any_size() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        tt.nn.Conv1d(4, 4, 3, padding=1),
        tt.nn.GRU(4, 3),
        tt.nn.MaxPool1d(2, ceil_mode=True),
        tt.nn.Pool("max"),
    ).double()
    sizes = ([{0: torch.export.Dim.AUTO}] * 2,)
    program = torch.export.export(model, (batch([3, 1, 2, 1, 2, 4]),), dynamic_shapes=sizes, strict=True)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    exported = torch.export.load(file).module()
    for x in (batch([4, 0, 2, 6, 1]), batch([2, 2])):
        torch.testing.assert_close(exported(x), model(x), rtol=1e-12, atol=1e-12)


def test_an_export_without_dynamo_does_not_fix_the_number_of_sequences() -> None:
    program = torch.export.export(
        tt.nn.Pool("max"),
        (batch([3, 1, 2]),),
        dynamic_shapes=([{0: torch.export.Dim.AUTO}] * 2,),
        strict=False,
    )
    x = batch([1, 5])
    assert torch.equal(program.module()(x), tt.nn.Pool("max")(x))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"kernel_size": (3,), "stride": 2, "padding": [1], "ceil_mode": True},
        {"kernel_size": 3, "stride": 1, "dilation": 2, "padding": 1},
    ],
)
def test_maxima_of_tensors_are_recorded_for_any_length(options: dict[str, Any]) -> None:
    """torch's own layer makes the length a constant."""
    pool, dynamic = tt.nn.MaxPool1d(**options), torch.export.Dim.DYNAMIC
    example = torch.randn(3, 2, 12)
    program = torch.export.export(pool, (example,), dynamic_shapes=({0: dynamic, 2: dynamic},)).module()
    for shape in ((5, 2, 9), (2, 2, 17)):
        x = torch.randn(shape, dtype=torch.float32, requires_grad=True)
        expected = nn.MaxPool1d(**options)(x)
        assert torch.equal(program(x), expected)
        weights = torch.randn_like(expected)
        gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (program(x), expected)]
        assert torch.equal(*gradients)
    unbatched = torch.compile(pool, backend="eager", fullgraph=True)
    assert torch.equal(unbatched(example[0]), pool(example[0]))
