"""The embedding of a ragged batch: torch's bits in values and gradients, options, derivatives, refusals."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import throughtime as tt
from throughtime import _native
from throughtime.errors import ShapeError
from throughtime.ops.embedding import layer

SIZES = [(1, 1, 1), (7, 3, 5), (50, 17, 200), (3000, 128, 900), (9000, 33, 2500), (5, 600, 0)]


def ragged(tokens: Tensor) -> tt.Ragged:
    return tt.Ragged.from_lengths(tokens, [len(tokens) // 3, 0, len(tokens) - len(tokens) // 3])


def results(tokens: Any, table: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """The rows, and the gradient of the table."""
    y = F.embedding(tokens, table, **options)
    values = y.values if isinstance(y, tt.Ragged) else y
    weights = torch.arange(values.numel(), dtype=values.dtype).cos().view(values.shape)
    return values, torch.autograd.grad(values, table, weights)[0]


@pytest.fixture
def native_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Tensor:
        raise AssertionError("torch's embedding ran")

    monkeypatch.setattr(torch, "embedding", refuse)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "features", "count"), SIZES)
@pytest.mark.parametrize("padding", [None, 0, -1])
def test_bits_are_torchs_with_any_number_of_threads(
    rows: int, features: int, count: int, padding: int | None, dtype: torch.dtype
) -> None:
    torch.manual_seed(rows)
    table = torch.randn(rows, features, dtype=dtype, requires_grad=True)
    tokens, threads = torch.randint(rows, (count,)), torch.get_num_threads()
    wanted = results(tokens, table, padding_idx=padding)
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found = results(ragged(tokens), table, padding_idx=padding)
            assert all(map(torch.equal, found, wanted)), number
    finally:
        torch.set_num_threads(threads)


@pytest.mark.usefixtures("native_alone")
def test_torchs_layer_on_a_batch_is_native() -> None:
    embedding = nn.Embedding(6, 4, padding_idx=2)
    y = embedding(ragged(torch.tensor([1, 2, 5])))
    assert torch.equal(y.values, embedding.weight[[1, 2, 5]])
    y.values.sum().backward()
    assert embedding.weight.grad is not None
    assert embedding.weight.grad[:, 0].tolist() == [0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    "options",
    [{"max_norm": 1.0}, {"max_norm": 1.0, "norm_type": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}],
    ids=str,
)
def test_other_options_are_torchs(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    tokens = torch.randint(9, (30,))
    tables = [
        torch.randn(9, 4, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)
    ]
    found, wanted = results(ragged(tokens), tables[0], **options), results(tokens, tables[1], **options)
    torch.testing.assert_close(found, wanted)
    assert torch.equal(*tables)  # which max_norm changes


@pytest.mark.parametrize("tokens", [torch.randint(9, (8,), dtype=torch.int32), torch.randint(9, (8, 3))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes_and_shapes_are_torchs(tokens: Tensor, dtype: torch.dtype) -> None:
    table = torch.randn(9, 4).to(dtype).requires_grad_()
    found, wanted = results(ragged(tokens), table), results(tokens, table)
    assert all(map(torch.equal, found, wanted))


def test_a_gradient_that_is_not_contiguous() -> None:
    table, tokens = torch.randn(9, 4, requires_grad=True), torch.randint(9, (12,))
    y = F.embedding(ragged(tokens), table).values  # type: ignore[arg-type]
    for dy in (torch.ones(1, 1).expand(12, 4), torch.randn(4, 12).t()):
        found, wanted = (
            torch.autograd.grad(part, table, dy, retain_graph=True)[0] for part in (y, table[tokens])
        )
        torch.testing.assert_close(found, wanted)


def test_derivatives_of_first_and_second_order() -> None:
    table = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    tokens = torch.tensor([1, 4, 1, 0])

    def rows(table: Tensor) -> Tensor:
        y = layer._rows(tokens, table, None)
        assert y is not None
        return y.square()

    assert torch.autograd.gradcheck(rows, (table,), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(rows, (table,))


def test_a_table_that_is_also_the_output() -> None:
    torch.manual_seed(0)
    table, tokens = torch.randn(9, 4, dtype=torch.float64, requires_grad=True), torch.randint(9, (12,))
    gradients = []
    for batch in (ragged(tokens), tokens):
        scores = F.linear(F.embedding(batch, table), table)  # type: ignore[arg-type]
        values = scores.values if isinstance(scores, tt.Ragged) else scores
        gradients += torch.autograd.grad(values.logsumexp(-1).sum(), table)
    torch.testing.assert_close(*gradients)


def test_a_compiled_graph_has_torchs_embedding() -> None:
    torch._dynamo.reset()
    model = nn.Sequential(nn.Embedding(9, 4, padding_idx=3), tt.nn.Pool("max")).double()
    x, gradients = ragged(torch.randint(9, (12,))), []
    for call in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
        gradients += torch.autograd.grad(call(x).square().sum(), model[0].weight)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("token", [-1, 9])
@pytest.mark.parametrize("requires_grad", [True, False])
def test_a_token_that_is_no_row_is_torchs_error(token: int, requires_grad: bool) -> None:
    table = torch.randn(9, 4, requires_grad=requires_grad)
    with pytest.raises(IndexError, match="index out of range"):
        F.embedding(ragged(torch.tensor([1, token, 2])), table)  # type: ignore[arg-type]


@pytest.mark.parametrize("padding", [9, -10])
def test_a_padding_that_is_no_row_is_torchs_error(padding: int) -> None:
    with pytest.raises(AssertionError, match="within num_embeddings"):
        F.embedding(ragged(torch.tensor([1, 2])), torch.randn(9, 4, requires_grad=True), padding)  # type: ignore[arg-type]


def test_native_code_refuses_what_does_not_fit() -> None:
    options: Any = {"rows": 3, "padding": -1, "threads": 1, "in_order": False}
    for tokens in (torch.tensor([0, 3]), torch.tensor([0, 1, 2]), torch.tensor([[0, 1]])):
        with pytest.raises(ShapeError, match=r"tokens \(T,\) below 3 has a gradient \(T, D\), got"):
            _native.embedding_gradient(torch.ones(2, 4), tokens, **options)
    assert _native.embedding_gradient(torch.ones(2, 4), torch.tensor([0.0, 1.0]), **options) is None
