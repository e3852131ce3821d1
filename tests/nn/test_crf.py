"""`CRF` against the enumeration of all tag sequences, and its gradients of all orders."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import throughtime as tt
from throughtime import Ragged, _native
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.crf._recursion import Scores, both_directions, plain_forward
from throughtime.nn.crf._viterbi import best_tags, plain_best

from . import crf_enumeration as enumeration

TAGS = 3
BIO = ["O", "B-A", "I-A"]
LENGTHS = st.lists(st.integers(0, 5), max_size=5)


def _crf(*, constrained: bool = False, seed: int = 0) -> tt.nn.CRF:
    torch.manual_seed(seed)
    crf = tt.nn.CRF(TAGS, *(tt.nn.bio_constraints(BIO) if constrained else ())).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def _emissions(lengths: list[int], seed: int = 1, tags: int = TAGS) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    values = 2 * torch.randn(sum(lengths), tags, generator=generator, dtype=torch.float64)
    return Ragged.from_lengths(values, lengths)


def _tags(crf: tt.nn.CRF, lengths: list[int], seed: int = 2) -> Ragged:
    """Random tags that the constraints allow."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for length in lengths:
        sequences = enumeration.all_tags(crf, length)
        rows.append(sequences[int(torch.randint(len(sequences), (), generator=generator))])
    values = torch.tensor([tag for row in rows for tag in row], dtype=torch.int64)
    return Ragged.from_lengths(values, lengths)


each_constraint = pytest.mark.parametrize("constrained", [False, True], ids=["free", "constrained"])


@each_constraint
@given(lengths=LENGTHS, seed=st.integers(0, 2**16))
def test_equals_the_enumeration_of_all_tag_sequences(
    constrained: bool, lengths: list[int], seed: int
) -> None:
    crf, x = _crf(constrained=constrained, seed=seed), _emissions(lengths, seed)
    y = _tags(crf, lengths, seed)
    with torch.no_grad():
        partitions = [enumeration.log_partition(crf, row) for row in x]
        scores = [enumeration.score(crf, row, tuple(tags.tolist())) for row, tags in zip(x, y, strict=True)]
        expected = [score - partition for score, partition in zip(scores, partitions, strict=True)]
        torch.testing.assert_close(list(crf.log_partition(x)), partitions)
        torch.testing.assert_close(list(crf.score(x, y)), scores)
        torch.testing.assert_close(list(crf.log_likelihood(x, y)), expected)
        for row, found in zip(x, crf.marginals(x), strict=True):
            if len(row):
                torch.testing.assert_close(found, enumeration.crf_marginals(crf, row))
        assert [row.tolist() for row in crf.decode(x)] == [enumeration.best(crf, row) for row in x]
    # With a graph another function computes the same.
    torch.testing.assert_close(crf.log_likelihood(x, y).tolist(), [float(value) for value in expected])


@each_constraint
def test_gradients_equal_those_of_the_enumeration(constrained: bool) -> None:
    lengths = [4, 0, 1, 5, 4, 2]
    crf, x = _crf(constrained=constrained), _emissions(lengths)
    y, values = _tags(crf, lengths), x.values.clone().requires_grad_()
    x = x.with_values(values)
    weights = torch.arange(1.0, 7.0).cos().double()
    wanted = [values, *crf.parameters()]
    found = torch.autograd.grad(crf.log_likelihood(x, y) @ weights, wanted)
    terms = [
        enumeration.score(crf, row, tuple(tags.tolist())) - enumeration.log_partition(crf, row)
        for row, tags in zip(x, y, strict=True)
    ]
    expected = torch.autograd.grad(torch.stack(terms) @ weights, wanted)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scale", [1, 100])
def test_gradients_of_several_losses_at_once(scale: float) -> None:
    lengths = [4, 0, 5]
    crf, x = _crf(), _emissions(lengths)
    with torch.no_grad():
        crf.transitions.mul_(scale)  # where products underflow, too
    wanted = list(crf.parameters())
    losses = crf.log_likelihood(x * scale, _tags(crf, lengths))
    found = torch.autograd.grad(
        losses, wanted, torch.eye(3).double(), is_grads_batched=True, retain_graph=True
    )
    each = [torch.autograd.grad(loss, wanted, retain_graph=True) for loss in losses]
    torch.testing.assert_close(list(found), [torch.stack(parts) for parts in zip(*each, strict=True)])


def test_in_inference_mode() -> None:
    crf, x = _crf(), _emissions([4, 0, 5])
    expected = crf.log_partition(x), crf.marginals(x).values, crf.decode(x).values
    with torch.inference_mode():
        found = crf.log_partition(x), crf.marginals(x).values, crf.decode(x).values
    torch.testing.assert_close(found, expected)


def test_the_gradient_of_log_z_is_the_marginals() -> None:
    crf, x = _crf(), _emissions([40, 3, 0, 17])
    values = x.values.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(crf.log_partition(x.with_values(values)).sum(), values)
    torch.testing.assert_close(gradient, crf.marginals(x).values.detach())
    for row, found in zip(x, crf.marginals(x), strict=True):
        if len(row):
            torch.testing.assert_close(found, enumeration.crf_marginals(crf, row))


@pytest.mark.parametrize("block", [2**18, 4])
def test_pairs_of_tags_whose_products_underflow(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the best tag before and the best tag after hardly follow each other, and float32 has no number."""
    monkeypatch.setattr("throughtime.nn.crf._pairs._BLOCK", block)
    crf, x = _crf(), _emissions([4, 0, 5, 1, 2])
    x = x.with_values(x.values * 100)
    with torch.no_grad():
        crf.transitions.mul_(100)
    wanted = list(crf.parameters())
    expected = torch.autograd.grad(
        torch.stack([enumeration.log_partition(crf, row) for row in x]).sum(), wanted
    )
    found = torch.autograd.grad(crf.log_partition(x).sum(), wanted)
    torch.testing.assert_close(found, expected)
    crf.float()
    found = torch.autograd.grad(crf.log_partition(x.float()).sum(), list(crf.parameters()))
    torch.testing.assert_close([part.double() for part in found], list(expected), rtol=1e-3, atol=1e-4)


@each_constraint
def test_first_and_second_derivatives(constrained: bool) -> None:
    lengths = [3, 0, 1, 2]
    crf, x = _crf(constrained=constrained), _emissions(lengths)
    y = _tags(crf, lengths)
    names = [name for name, _ in crf.named_parameters()]

    def run(method: str, *rest: Any) -> Any:
        def function(values: Tensor, *parameters: Tensor) -> Tensor:
            module = _Call(crf, method)
            named = {f"crf.{name}": value for name, value in zip(names, parameters, strict=True)}
            return torch.func.functional_call(module, named, (x.with_values(values), *rest))

        return function

    inputs = (x.values.requires_grad_(), *(part.detach().requires_grad_() for part in crf.parameters()))
    for function in (run("log_likelihood", y), run("marginals")):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


class _Call(torch.nn.Module):
    def __init__(self, crf: tt.nn.CRF, method: str) -> None:
        super().__init__()
        self.crf, self.method = crf, method

    def forward(self, x: Ragged, *rest: Any) -> Tensor:
        result = getattr(self.crf, self.method)(x, *rest)
        return result.values if isinstance(result, Ragged) else result


def _forward_algorithm(crf: tt.nn.CRF, emissions: Tensor) -> Tensor:
    """log Z of one sequence, tag by tag."""
    state = crf.start + emissions[0]
    for row in emissions[1:]:
        state = torch.stack(
            [torch.logsumexp(state + crf.transitions[:, tag], 0) + row[tag] for tag in range(crf.num_tags)]
        )
    return torch.logsumexp(state + crf.end, 0)


@pytest.mark.parametrize("tags", [1, 2, 9, 45])
def test_long_sequences_equal_the_forward_algorithm(tags: int) -> None:
    torch.manual_seed(0)
    crf, x = tt.nn.CRF(tags).double(), _emissions([60, 1, 0, 33, 60], tags=tags)
    wanted = list(crf.parameters())
    expected = torch.stack([_forward_algorithm(crf, row) for row in x if len(row)])
    found = crf.log_partition(x)
    assert found[2] == 0
    torch.testing.assert_close(found[[0, 1, 3, 4]], expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.sum(), wanted), torch.autograd.grad(expected.sum(), wanted)
    )


@each_constraint
@pytest.mark.parametrize("scale", [1, 300])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("types", [0, 1, 8, 22])
def test_native_code_equals_plain_pytorch(
    types: int, dtype: torch.dtype, rounding: float, scale: float, constrained: bool
) -> None:
    torch.manual_seed(0)
    tags = ["O", *(f"{prefix}-{number}" for number in range(types) for prefix in "BI")]
    crf = tt.nn.CRF(len(tags), *(tt.nn.bio_constraints(tags) if constrained else ()), dtype=dtype)
    x = _emissions([60, 1, 0, 33, 60, 2], tags=len(tags)).to(dtype) * scale
    with torch.no_grad():
        scores = Scores(*(part * scale for part in crf._scores(x)))
        native = both_directions(x.values, x.layout, scores)
        stacked = torch.stack([x.values, x.reverse().values], 1)
        transitions = torch.stack([scores.transitions, scores.transitions.t()])
        ends = torch.stack([scores.start, scores.end])
        ahead, behind = plain_forward(stacked, x.layout, transitions, ends).unbind(1)
        tolerance = {"rtol": rounding, "atol": rounding * scale}
        torch.testing.assert_close(native, (ahead, x.with_values(behind).reverse().values), **tolerance)
        assert torch.equal(best_tags(x.values, x.layout, scores), plain_best(x.values, x.layout, scores))


@pytest.mark.parametrize("tags", [3, 45])
def test_the_same_bits_on_any_number_of_threads(tags: int) -> None:
    torch.manual_seed(0)
    crf, x = tt.nn.CRF(tags).double(), _emissions([200, 3, 150, 0, 170, 90] * 4, tags=tags)
    before, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            with torch.no_grad():
                results.append([crf.log_partition(x), crf.marginals(x).values, crf.decode(x).values])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for other in results[1:] for pair in zip(results[0], other, strict=True))


def test_what_native_code_cannot_read_is_refused() -> None:
    x, square, row, offsets = torch.ones(3, 2), torch.ones(2, 2), torch.ones(2), torch.tensor([0, 3])
    options = {"reverse": False, "threads": 1, "in_order": True}
    with pytest.raises(ShapeError, match="at least one tag"):
        _native.crf_forward(x[:, :0].contiguous(), offsets, square, row, **options)
    with pytest.raises(ShapeError, match="have the dtype and the tags of the emissions"):
        _native.crf_forward(x, offsets, square.double(), row, **options)
    with pytest.raises(ShapeError, match="have the dtype and the tags of the emissions"):
        _native.crf_forward(x, offsets, square, torch.ones(3), **options)
    with pytest.raises(ShapeError, match="offsets of this Ragged do not match"):
        _native.crf_forward(x, torch.tensor([0, 4]), square, row, **options)
    with pytest.raises(ShapeError, match="end .C,. has the dtype"):
        _native.crf_best(x, offsets, square, row, torch.ones(3), threads=1, in_order=True)


def test_float32_keeps_its_digits_over_many_steps() -> None:
    crf, x = _crf(), _emissions([4000, 10])
    expected, single = crf.marginals(x).values, crf.float().marginals(x.float()).values
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-6)
    x = x.with_values(x.values * 1e3)
    assert crf.marginals(x.float()).values.isfinite().all()
    assert torch.equal(crf.decode(x.float()).values, crf.double().decode(x).values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tags", [1, 3, 8, 9, 17, 45])
def test_the_same_bits_alone_and_in_any_batch(tags: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    crf = tt.nn.CRF(tags, dtype=dtype)
    lengths = [7, 0, 1, 33, 12, 12, 2, 64, 0, 5, 9, 17, 3, 28, 1, 6, 4, 11, 2] * 2
    x = _emissions(lengths, tags=tags).to(dtype)
    y = Ragged.from_lengths(torch.randint(tags, (sum(lengths),)), lengths)

    def results(rows: Any) -> list[list[Tensor]]:
        values = x[rows].values.clone().requires_grad_()
        part = x[rows].with_values(values)
        (gradient,) = torch.autograd.grad(crf.log_likelihood(part, y[rows]).sum(), values)
        outputs = crf.log_likelihood(part, y[rows]), crf.marginals(part), crf.decode(part)
        return [list(row) for row in zip(*outputs, part.with_values(gradient), strict=True)]

    whole = results(slice(None))
    order = torch.randperm(len(x)).tolist()
    for rows in ([3], [7], [2], [8], [3, 4], order[:5], order):
        for b, row in zip(rows, results(rows), strict=True):
            assert all(torch.equal(part, other) for part, other in zip(row, whole[b], strict=True))


def test_of_equal_scores_the_lowest_tags() -> None:
    crf = tt.nn.CRF(4)
    for parameter in crf.parameters():
        torch.nn.init.zeros_(parameter)
    emissions = torch.tensor([[0.0, 1.0, 1.0, 0.0], [2.0, 2.0, 2.0, 2.0], [0.0, 0.0, 3.0, 3.0]])
    found = crf.decode(Ragged.from_list([emissions, emissions[:2], torch.zeros(6, 4)]))
    assert [row.tolist() for row in found] == [[1, 0, 2], [1, 0], [0] * 6]


def test_forbidden_transitions_have_probability_zero() -> None:
    crf = _crf(constrained=True).float()
    # All emissions are for I-A, which cannot be the first tag.
    x = Ragged.from_list([torch.tensor([[0.0, -50.0, 5e4]] * 3), torch.tensor([[-1.0, -1.0, 9.0]])])
    found = crf.marginals(x)
    assert found[0][0, 2] == 0
    assert found[1][0, 2] == 0
    assert [row.tolist() for row in crf.decode(x)] == [[1, 2, 2], [int(found[1][0].argmax())]]
    loss = -crf.log_likelihood(x, crf.decode(x)).sum()
    gradients = torch.autograd.grad(loss, list(crf.parameters()))
    assert all(part.isfinite().all() for part in gradients)
    assert gradients[0][0, 2] == 0
    assert gradients[1][2] == 0


def test_half_precision_and_autocast_compute_in_float32() -> None:
    crf, x = _crf().float(), _emissions([30, 4]).to(torch.bfloat16)
    y = _tags(crf, [3, 4])
    y = Ragged.from_lengths(torch.cat([torch.zeros(27).long(), y.values]), [30, 4])
    expected = crf.log_likelihood(x.float(), y)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(crf.log_likelihood(x, y), expected)
        assert torch.equal(crf.marginals(x).values, crf.marginals(x.float()).values.bfloat16())
    half = crf.bfloat16().log_likelihood(x, y)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=1e-2, atol=0.1)


def test_it_learns_a_chain() -> None:
    """Tags that alternate with noise in the emissions are found by their transitions."""
    torch.manual_seed(0)
    lengths = [12, 5, 9, 20] * 4
    y = Ragged.from_lengths(torch.cat([torch.arange(n) % 2 for n in lengths]), lengths)
    x = y.with_values(torch.nn.functional.one_hot(y.values, 2) + 0.7 * torch.randn(sum(lengths), 2))
    crf = tt.nn.CRF(2)
    optimizer = torch.optim.Adam(crf.parameters(), 0.1)
    for _ in range(60):
        optimizer.zero_grad()
        (-crf.log_likelihood(x, y).mean()).backward()
        optimizer.step()
    assert (x.values.argmax(1) == y.values).float().mean() < 0.9
    assert torch.equal(crf.decode(x).values, y.values)


def test_the_state_dict_has_the_parameters_alone() -> None:
    crf = _crf(constrained=True)
    assert list(crf.state_dict()) == ["transitions", "start", "end"]
    assert repr(crf) == "CRF(3, constrained by allowed and allowed_start)"
    assert repr(tt.nn.CRF(4)) == "CRF(4)"


def test_bio_constraints_follow_the_definition() -> None:
    tags = ["I-LOC", "O", "B-PER", "B-LOC", "I-PER"]
    allowed, start = tt.nn.bio_constraints(tags)
    for i, before in enumerate(tags):
        for j, after in enumerate(tags):
            legal = not after.startswith("I-") or before in ("B" + after[1:], after)
            assert bool(allowed[i, j]) == legal
    assert start.tolist() == [False, True, True, True, False]
    assert [part.shape for part in tt.nn.bio_constraints([])] == [(0, 0), (0,)]


@pytest.mark.parametrize(
    ("tags", "error", "message"),
    [
        ("OB", InputTypeError, "takes a list of tag names, got 'OB'"),
        ([0, 1], InputTypeError, "takes a list of tag names"),
        (["O", "E-PER"], ShapeError, "tags are O, B-X and I-X, got 'E-PER'"),
        (["O", "B-"], ShapeError, "got 'B-'"),
        (["O", "I-PER"], ShapeError, "'I-PER' can follow 'B-PER' only, which is not in the list"),
        (["O", "B-A", "O"], ShapeError, "tag 'O' is in the list more than once"),
    ],
)
def test_bio_tags_that_do_not_fit_are_named(tags: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        tt.nn.bio_constraints(tags)


def _batch() -> tuple[tt.nn.CRF, Ragged, Ragged]:
    crf = tt.nn.CRF(TAGS, *tt.nn.bio_constraints(BIO)).double()
    return crf, _emissions([2, 0, 3]), Ragged.from_lengths(torch.tensor([0, 0, 1, 2, 0]), [2, 0, 3])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c, x, y: c.decode(x.values), InputTypeError, "CRF takes a Ragged, got a tensor"),
        (lambda c, x, y: c.decode(x[..., :2]), ShapeError, "CRF expects 3 features per token"),
        (lambda c, x, y: c.marginals(x.float()), InputTypeError, "the input is torch.float32"),
        (lambda c, x, y: c.score(x, y.values), InputTypeError, "Ragged .T,. of int64, got a Tensor of"),
        (
            lambda c, x, y: c.score(x, y.to(torch.int32)),
            InputTypeError,
            "got a Ragged of torch.int32 and shape .5,.",
        ),
        (lambda c, x, y: c.score(x, x), InputTypeError, "got a Ragged of torch.float64 and shape .5, 3."),
        (
            lambda c, x, y: c.score(x, y[[0, 2, 1]]),
            ShapeError,
            r"tags have lengths \[2, 3, 0\], but emissions have \[2, 0, 3\]",
        ),
        (
            lambda c, x, y: c.log_likelihood(x, y.with_values(torch.tensor([0, 0, 1, 3, 0]))),
            ShapeError,
            "tags must be 0 to 2, but step 1 of sequence 2 has tag 3",
        ),
        (
            lambda c, x, y: c.score(x, y.with_values(y.values - 1)),
            ShapeError,
            "step 0 of sequence 0 has tag -1",
        ),
        (
            lambda c, x, y: c.log_likelihood(x, y.with_values(torch.tensor([0, 0, 2, 2, 0]))),
            ShapeError,
            "step 0 of sequence 2 has tag 2, which allowed_start forbids",
        ),
        (
            lambda c, x, y: c.log_likelihood(x, y.with_values(torch.tensor([0, 0, 0, 0, 2]))),
            ShapeError,
            "step 2 of sequence 2 has tag 2 after tag 0, which allowed forbids",
        ),
        (lambda c, x, y: tt.nn.CRF(0), ShapeError, "num_tags must be an integer of at least 1, got 0"),
        (lambda c, x, y: tt.nn.CRF(2, torch.ones(2, 2)), ShapeError, "allowed must be a bool tensor"),
        (
            lambda c, x, y: tt.nn.CRF(2, None, [True]),
            ShapeError,
            "allowed_start must be a bool tensor .* got list",
        ),
        (
            lambda c, x, y: tt.nn.CRF(2, torch.tensor([[True, True], [False, False]])),
            ShapeError,
            "no tag that may follow tag 1",
        ),
        (lambda c, x, y: tt.nn.CRF(1, None, torch.zeros(1).bool()), ShapeError, "allowed_start has no tag"),
    ],
)
def test_what_does_not_fit_is_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(*_batch())
