"""A Ragged as a tensor: supported functions equal their results on each sequence alone, others are refused."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tests.strategies import raggeds
from throughtime import Ragged
from throughtime.errors import ShapeError, UnsupportedError
from throughtime.ragged import _tensor

LENGTHS = [3, 0, 1, 4]


def batch(features: tuple[int, ...] = (4,), seed: int = 0) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(sum(LENGTHS), *features, generator=generator, dtype=torch.float64) * 0.8 + 0.1
    return Ragged.from_lengths(values, LENGTHS)


def tokens() -> Ragged:
    return Ragged.from_lengths(torch.arange(sum(LENGTHS)) % 4, LENGTHS)


def booleans(seed: int = 0) -> Ragged:
    return batch(seed=seed) > 0.5


def integers(seed: int = 0) -> Ragged:
    return (batch(seed=seed) * 10).to(torch.int64)


Call = Callable[..., Any]

# How to call a function that takes more than one floating batch: arguments as (function, first batch) gives.
BINARY = """
    add atan2 copysign div divide eq floor_divide fmax fmin fmod ge greater greater_equal gt heaviside isclose le
    less less_equal logaddexp lt maximum minimum mul multiply ne not_equal pow remainder rsub sub subtract
    true_divide xlogy __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __div__ __rdiv__
    __floordiv__ __rfloordiv__ __mod__ __rmod__ __pow__ __rpow__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__
""".split()  # noqa: SIM905
BITWISE = """
    bitwise_and bitwise_or bitwise_xor logical_and logical_or logical_xor __and__ __rand__ __or__ __ror__ __xor__
    __rxor__
""".split()  # noqa: SIM905
RANDOM = "alpha_dropout bernoulli dropout rrelu rand_like randn_like empty_like".split()  # noqa: SIM905

SPECIAL: dict[str, tuple[Any, ...]] = {
    "addcdiv": (batch(), batch(seed=1), batch(seed=2)),
    "addcmul": (batch(), batch(seed=1), batch(seed=2)),
    "clamp": (batch(), 0.3, 0.6),
    "clamp_max": (batch(), 0.5),
    "clamp_min": (batch(), 0.5),
    "full_like": (batch(), 7.0),
    "lerp": (batch(), batch(seed=1), 0.3),
    "masked_fill": (batch(), booleans(), 5.0),
    "threshold": (batch(), 0.5, 0.1),
    "where": (booleans(), batch(), batch(seed=1)),
    "bitwise_not": (booleans(),),
    "logical_not": (booleans(),),
    "__invert__": (booleans(),),
    "bilinear": (batch(), batch(seed=1), torch.rand(3, 4, 4, dtype=torch.float64), torch.rand(3).double()),
    "embedding": (tokens(), torch.rand(4, 3, dtype=torch.float64)),
    "layer_norm": (batch(), (4,)),
    "linear": (batch(), torch.rand(3, 4, dtype=torch.float64), torch.rand(3, dtype=torch.float64)),
    "one_hot": (tokens(), 5),
    "prelu": (batch() - 0.5, torch.tensor([0.3], dtype=torch.float64)),
    "rms_norm": (batch(), (4,)),
    "cat": ([batch(), batch(seed=1)], -1),
    "concat": ([batch(), batch(seed=1)], -1),
    "concatenate": ([batch(), batch(seed=1)], -1),
    "stack": ([batch(), batch(seed=1)], -1),
    "chunk": (batch(), 2, -1),
    "split": (batch(), 2, -1),
    "unbind": (batch(), -1),
    "topk": (batch(), 2, -1),
    "cosine_similarity": (batch(), batch(seed=1), -1),
    "normalize": (batch(), 2.0, -1),
    "squeeze": (batch((1,)), -1),
    "flip": (batch(), (1,)),
    "any": (booleans(), -1),
    "all": (booleans(), -1),
    "binary_cross_entropy": (batch(), batch(seed=1)),
    "binary_cross_entropy_with_logits": (batch(), batch(seed=1)),
    "cross_entropy": (batch(), tokens()),
    "nll_loss": (batch(), tokens()),
}


def arguments(name: str) -> tuple[Any, ...]:
    if name in SPECIAL:
        return SPECIAL[name]
    if name in BINARY or name in _tensor._LOSSES:
        return batch(), batch(seed=1)
    if name in BITWISE:
        return booleans(), booleans(seed=1)
    if name in _tensor._ALONG_FEATURES:
        return batch(), -1
    return (batch(),)


def ordered(function: Call, name: str) -> tuple[Any, ...]:
    """The arguments in the order of this function: the method ``where`` begins with its first choice."""
    if function is torch.Tensor.where:
        return batch(), booleans(), batch(seed=1)
    return arguments(name)


def alone(arguments: Any, b: int) -> Any:
    """The same arguments with the b-th sequence in place of each batch."""
    if isinstance(arguments, Ragged):
        return arguments[b].clone()
    if isinstance(arguments, tuple | list):
        return type(arguments)(alone(argument, b) for argument in arguments)
    return arguments


def clones(arguments: Any) -> Any:
    if isinstance(arguments, Ragged):
        return arguments.clone()
    if isinstance(arguments, tuple | list):
        return type(arguments)(map(clones, arguments))
    return arguments


def leaves(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


DETERMINISTIC = [
    (function, name)
    for function, (kind, name) in _tensor.ALLOWED.items()
    if name not in RANDOM and kind != "loss"
]


@pytest.mark.parametrize(
    ("function", "name"), DETERMINISTIC, ids=lambda value: value if isinstance(value, str) else ""
)
def test_equals_the_function_on_each_sequence_alone(function: Call, name: str) -> None:
    given_arguments = ordered(function, name)
    # As torch calls it: a method of Tensor arrives here when a tensor meets a batch.
    found = leaves(Ragged.__torch_function__(function, (Ragged,), clones(given_arguments)))
    for b, length in enumerate(LENGTHS):
        if length == 0 and name in {"embedding", "one_hot", "std", "var"}:
            continue  # torch refuses some of these without tokens, or warns
        expected = leaves(function(*alone(given_arguments, b)))
        assert len(found) == len(expected)
        for ours, torchs in zip(found, expected, strict=True):
            assert isinstance(ours, Ragged)
            torch.testing.assert_close(ours[b], torchs, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("name", RANDOM)
def test_random_functions_keep_offsets_and_shape(name: str) -> None:
    for function, (_, known) in _tensor.ALLOWED.items():
        if known == name:
            x = batch()
            found = Ragged.__torch_function__(function, (Ragged,), (x,))
            assert found.layout is x.layout
            assert found.shape == x.shape


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning")
@pytest.mark.parametrize("name", _tensor._LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_run_over_real_tokens_alone(name: str, reduction: str) -> None:
    function = getattr(F, name)
    prediction, target = arguments(name)
    found = function(prediction, target, reduction=reduction)
    expected = function(prediction.values, target.values, reduction=reduction)
    if reduction == "none":
        assert isinstance(found, Ragged)
        found = found.values
    torch.testing.assert_close(found, expected)


@given(raggeds(shapes=st.just((3,))))
def test_modules_act_on_real_tokens(x: Ragged) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Dropout(0.5), nn.Linear(4, 2), nn.ReLU(inplace=True)
    )
    model = model.double().eval()
    found = model(x)
    for ours, sequence in zip(found, x, strict=True):
        torch.testing.assert_close(ours, model(sequence))
    assert found.layout is x.layout


@given(
    raggeds(
        shapes=st.just((3,)), lengths=st.lists(st.integers(0, 5), min_size=1).filter(lambda n: sum(n) > 1)
    )
)
def test_batch_norm_takes_the_statistics_of_real_tokens(x: Ragged) -> None:
    norm, twin = nn.BatchNorm1d(3).double(), nn.BatchNorm1d(3).double()
    torch.testing.assert_close(norm(x).values, twin(x.values))
    torch.testing.assert_close(norm.state_dict(), twin.state_dict())


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_by_running_statistics_is_torchs(affine: bool) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(3, affine=affine).double().eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.2, 2)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    values = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    found, expected = norm(Ragged.from_lengths(values, [4, 0, 3])).values, norm(values)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    wanted = [values, *norm.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), wanted),
        torch.autograd.grad((expected * weights).sum(), wanted),
    )


def test_batch_norm_of_other_features_or_half_precision_is_left_to_torch() -> None:
    with pytest.raises(RuntimeError, match="running_mean should contain 3 elements"):
        nn.BatchNorm1d(5).eval()(Ragged.from_lengths(torch.randn(4, 3), [4]))
    norm = nn.BatchNorm1d(1).half().eval()
    norm.running_mean.fill_(1000)
    norm.running_var.fill_(1e-4)
    values = torch.full((2, 1), 1000.0, dtype=torch.float16)
    assert torch.equal(norm(Ragged.from_lengths(values, [2])).values, norm(values))


def test_batch_norm_without_tokens_leaves_its_statistics() -> None:
    norm = nn.BatchNorm1d(3)
    assert norm(Ragged.empty(3)).shape == (0, 3)
    assert norm.running_mean is not None
    assert not norm.running_mean.any()


OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
             operator.pow, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]  # fmt: skip


@pytest.mark.parametrize("function", OPERATORS, ids=lambda function: function.__name__)
def test_operators_from_both_sides(function: Call) -> None:
    x, y = batch(), batch(seed=1)
    row = torch.rand(4, dtype=torch.float64) + 0.1
    for left, right in (
        (x, y),
        (x, 2.0),
        (2.0, x),
        (x, row),
        (row, x),
        (x, row[None]),
        (x, torch.tensor(0.5).double()),
    ):
        plain = [v.values if isinstance(v, Ragged) else v for v in (left, right)]
        found = function(left, right)
        assert isinstance(found, Ragged)
        torch.testing.assert_close(found.values, function(*plain))


def test_unary_and_bitwise_operators() -> None:
    x, a, b = batch() - 0.5, booleans(), booleans(seed=1)
    torch.testing.assert_close((-x).values, -x.values)
    torch.testing.assert_close(abs(x).values, x.values.abs())
    torch.testing.assert_close((~a).values, ~a.values)
    for function in (operator.and_, operator.or_, operator.xor):
        torch.testing.assert_close(function(a, b).values, function(a.values, b.values))
        torch.testing.assert_close(function(a, True).values, function(a.values, True))
        torch.testing.assert_close(function(True, a).values, function(True, a.values))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: torch.sum(x), "without dim.*Pool"),
        (lambda x: torch.max(x), "without dim"),
        (lambda x: torch.mean(x, dim=0), "along dim 0.*Pool"),
        (lambda x: torch.mean(x, dim=(0, 1)), "along dim 0"),
        (lambda x: torch.softmax(x, 0), "along dim 0"),
        (lambda x: F.softmax(x), "without dim"),
        (lambda x: torch.softmax(x, -2), "along dim 0"),
        (lambda x: torch.cat([x, x]), "Ragged.cat.*Ragged.cat_time"),
        (lambda x: torch.stack([x, x]), "along dim 0"),
        (lambda x: torch.split(x, 2), r"x.split\(sizes\).*split_time"),
        (lambda x: torch.chunk(x, 2), "split inside of sequences"),
        (lambda x: F.conv1d(x, torch.zeros(1, 4, 1)), "throughtime.nn.Conv1d"),
        (lambda x: F.max_pool1d(x, 2), "throughtime.nn"),
        (lambda x: F.group_norm(x, 2), "LayerNorm"),
        (lambda x: F.dropout1d(x), "torch.nn.Dropout"),
        (lambda x: torch.reshape(x, (-1,)), r"with_values"),
        (lambda x: torch.matmul(x, torch.zeros(4, 4)), "functional.linear"),
        (lambda x: torch.bmm(x, x), r"to_padded\(\)"),
        (lambda x: torch.fft.fft(x), "'fft_fft'|'fft'"),
        (lambda x: F.scaled_dot_product_attention(x, x, x), "to_nested"),
        (lambda x: nn.MultiheadAttention(4, 1)(x, x, x), "Ragged"),
    ],
)
def test_what_would_mix_sequences_is_refused_by_name(call: Call, words: str) -> None:
    with pytest.raises((UnsupportedError, AttributeError), match=words):
        call(batch())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: x + Ragged.from_lengths(x.values, [4, 0, 1, 3]), "different lengths"),
        (lambda x: torch.cat([x, Ragged.from_lengths(x.values, [8])], -1), "different lengths"),
        (lambda x: x + torch.zeros(8, 4), r"\(8, 4\) would be broadcast over the tokens.*x.spread"),
        (lambda x: torch.zeros(8, 4) + x, "broadcast over the tokens"),
        (lambda x: torch.where(torch.zeros(8, 4) > 0, x, x), "broadcast over the tokens"),
        (lambda x: torch.clamp(x, torch.zeros(8, 4)), "broadcast over the tokens"),
        (lambda x: torch.lerp(x, x, torch.zeros(8, 4)), "broadcast over the tokens"),
        (lambda x: torch.add(x, 1, out=torch.zeros(8, 4).double()), "broadcast over the tokens"),
        (lambda x: x + x.with_values(x.values[:, 0]), "2 and 1 dimensions"),
        (lambda x: torch.softmax(x, 5), "dim 5 is out of range"),
    ],
)
def test_what_does_not_fit_is_refused(call: Call, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        call(batch())


@pytest.mark.parametrize(
    ("module", "features"),
    [
        (nn.Linear(8, 8), ()),
        (nn.LayerNorm(8), ()),
        (nn.LayerNorm([8, 4]), (4,)),
        (nn.RMSNorm(8), ()),
        (nn.RMSNorm([8, 4]), (4,)),
    ],
)
def test_parameters_as_large_as_the_batch_are_not_spread_over_its_tokens(
    module: nn.Module, features: tuple[int, ...]
) -> None:
    x = batch(features)
    assert len(x.values) == 8
    with pytest.raises(ShapeError, match="would mix tokens"):
        module.double()(x)
    with pytest.raises(ShapeError, match="would mix tokens"):
        F.bilinear(batch(()), batch(()), torch.zeros(8, 8, 8).double())


def test_the_places_of_all_tokens_are_not_tokens() -> None:
    x = batch(())
    with pytest.raises(UnsupportedError, match=r"x\[mask\]"):
        torch.where(x)
    for found in (torch.where(x > 0.5, x, 0.0), torch.where(condition=x > 0.5, input=x, other=x)):
        assert found.layout is x.layout
    with pytest.raises(UnsupportedError, match=r"torch.maximum\(x, y\)"):
        torch.max(x, x)


def test_methods_of_tensors_are_named() -> None:
    with pytest.raises(AttributeError, match=r"no 'relu'; call torch.relu\(x"):
        batch().relu()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        batch().nonsense  # noqa: B018
    with pytest.raises(UnsupportedError, match=r"len\(x\) > 0"):
        bool(batch())


def test_gradients_flow_through_functions() -> None:
    x = batch()
    leaf = x.values.clone().requires_grad_()
    (torch.tanh(x.with_values(leaf)) * x).values.sum().backward()
    torch.testing.assert_close(leaf.grad, (1 - leaf.tanh() ** 2) * x.values)


def test_compiles_without_a_break() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Embedding(4, 3), nn.Linear(3, 4), nn.LayerNorm(4), nn.BatchNorm1d(4), nn.GELU()
    ).eval()

    def function(x: Ragged) -> Ragged:
        return torch.tanh(model(x)) * 2 + 1

    compiled = torch.compile(function, backend="eager", fullgraph=True)
    x = tokens()
    torch.testing.assert_close(compiled(x).values, function(x).values)
    assert compiled(x).lengths.tolist() == LENGTHS
