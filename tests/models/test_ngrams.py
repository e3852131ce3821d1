"""`NGrams`: its features and its outputs agree, and what it cannot read is named."""

import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError
from throughtime.models import ModelInputs, NGrams, build_model


def _texts(lengths: list[int], seed: int = 0) -> Ragged:
    random = torch.Generator().manual_seed(seed)
    return Ragged.from_lengths(torch.randint(11, (sum(lengths),), generator=random), lengths)


@pytest.mark.parametrize("extra", [0, 2])
def test_outputs_are_the_features_times_the_solution(extra: int) -> None:
    model = NGrams(ModelInputs(vocabulary_size=11, extra=extra), 3, longest=3, buckets=256)
    model.learn(_texts([9, 5, 0, 20]))
    weight, bias = torch.randn(3, 256 + extra), torch.randn(3)
    model.set_solution(weight, bias)
    x = _texts([7, 0, 30, 1, 12], seed=1)
    more = torch.randn(5, extra) if extra else None
    design = model.design(x, more)
    assert (design.layout, design.dtype, design.shape) == (torch.sparse_csr, torch.float32, (5, 256 + extra))
    torch.testing.assert_close(model(x, more), design.to_dense() @ weight.t() + bias)
    norms = design.to_dense()[:, :256].norm(dim=1)
    torch.testing.assert_close(norms, torch.tensor([1.0, 0, 1, 1, 1]))
    if more is not None:
        assert torch.equal(design.to_dense()[:, 256:], more)


def _known(model: NGrams) -> set[int]:
    return set(model.output.idf.nonzero().flatten().tolist())


def _grams(sequence: Tensor) -> list[tuple[int, ...]]:
    """N-grams up to 3, of which those of two and three may begin with the start."""
    marked = [-1, *sequence.tolist()]
    grams = [tuple(marked[i : i + n]) for n in (1, 2, 3) for i in range(len(marked) - n + 1)]
    return [gram for gram in grams if gram != (-1,)]


def test_the_features_are_those_of_scikit_learn() -> None:
    """Buckets are so many that no two n-grams share one."""
    training, x = _texts([9, 5, 0, 20, 14, 3, 30]), _texts([7, 0, 30, 1, 12], seed=1)
    model = NGrams(11, 3, longest=3)
    model.learn(training)
    reference = TfidfVectorizer(analyzer=_grams, binary=True, min_df=2).fit(training)
    found, expected = model.design(x).to_dense(), torch.tensor(reference.transform(x).toarray()).float()
    used = model.output.idf.nonzero().flatten()
    assert len(used) == expected.shape[1] > 20
    torch.testing.assert_close(found[:, used].sort().values, expected.sort().values)
    torch.testing.assert_close(found @ found.t(), expected @ expected.t())


def test_buckets_of_at_least_two_training_sequences_are_known() -> None:
    model = NGrams(11, 2, longest=1, buckets=16)
    model.learn(Ragged.from_list([torch.tensor([3, 3, 4]), torch.tensor([4, 5]), torch.tensor([5, 6])]))
    assert _known(model) == {5, 6}  # tokens 4 and 5: the bucket of a token is its number and 1
    x = Ragged.from_list([torch.tensor([3, 4, 9]), torch.tensor([3])])
    assert model.design(x).to_dense().nonzero().tolist() == [[0, 5]]
    torch.testing.assert_close(model(x), torch.stack([model.output.weight[:, 5], torch.zeros(2)])
                               + model.output.bias)  # fmt: skip


def test_a_sequence_without_known_n_grams_gives_the_bias() -> None:
    model = NGrams(11, 2, buckets=16)
    model.learn(_texts([]))
    assert _known(model) == set()
    assert torch.equal(model(_texts([4, 0])), model.output.bias.expand(2, 2))


def _features(values: Tensor) -> Ragged:
    return Ragged.from_lengths(values, [len(values)])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: NGrams(9, 2, buckets=1000), ShapeError, "buckets must be a power of two, got 1000"),
        (lambda: NGrams(9, 2, longest=0), ShapeError, "longest must be at least 1, got 0"),
        (
            lambda: build_model("ngrams", ModelInputs(vocabulary_size=9), 2, options={"buckets": 48}),
            ShapeError,
            "buckets must be a power of two, got 48",
        ),
        (
            lambda: NGrams(9, 2)(_features(torch.zeros(3))),
            InputTypeError,
            r"takes int64 tokens \(T,\), got torch.float32 of shape \(3,\)",
        ),
        (
            lambda: NGrams(9, 2).learn(_features(torch.zeros(3, 2))),
            InputTypeError,
            r"takes int64 tokens \(T,\), got torch.float32 of shape \(3, 2\)",
        ),
        (lambda: NGrams(9, 2)(torch.zeros(3).long()), InputTypeError, "takes a Ragged, got a tensor"),
    ],
)
def test_what_it_cannot_do_is_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
