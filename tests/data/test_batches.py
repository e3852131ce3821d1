"""Batches of equal token count: every example once, nothing over the limit, from (seed, epoch) alone."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from throughtime import Ragged
from throughtime.data.batches import BatchLoader, derived_seed, ordered_batches, shuffled_batches
from throughtime.data.examples import Examples
from throughtime.errors import DataError, ShapeError

lengths = st.lists(st.integers(0, 60) | st.integers(0, 2000), max_size=80).map(
    lambda values: torch.tensor(values, dtype=torch.int64)
)
limits = st.integers(1, 500)


def tokens_of(lengths, batch):
    return int(lengths[batch].clamp(min=1).sum())


@given(lengths, limits, st.integers(0, 5), st.integers(0, 5))
def test_every_example_is_in_one_batch(lengths, limit, seed, epoch):
    for batches in (
        ordered_batches(lengths, limit),
        shuffled_batches(lengths, limit, seed=seed, epoch=epoch),
    ):
        together = torch.cat([torch.empty(0, dtype=torch.int64), *batches])
        assert torch.equal(together.sort().values, torch.arange(len(lengths)))
        assert all(len(batch) for batch in batches)


@given(lengths, limits)
def test_only_a_single_long_sequence_is_over_the_limit(lengths, limit):
    for batch in shuffled_batches(lengths, limit, seed=0, epoch=0):
        assert tokens_of(lengths, batch) <= limit or len(batch) == 1


@given(st.lists(st.integers(1, 20), min_size=60, max_size=150))
def test_batches_are_of_equal_size_but_for_one_sequence(values):
    lengths = torch.tensor(values)
    sizes = [tokens_of(lengths, batch) for batch in ordered_batches(lengths, 300)]
    assert len(sizes) <= -(-int(lengths.sum()) // (300 - 20))
    assert max(sizes) - min(sizes[:-1], default=max(sizes)) <= 20  # the last one takes what is left
    assert max(sizes) <= -(-int(lengths.sum()) // len(sizes)) + 20


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not():
    lengths = torch.arange(300) % 37

    def drawn(seed, epoch):
        return [b.tolist() for b in shuffled_batches(lengths, 200, seed=seed, epoch=epoch)]

    torch.manual_seed(1)
    first = drawn(0, 0)
    torch.manual_seed(2)
    assert first == drawn(0, 0)
    assert first != drawn(0, 1)
    assert first != drawn(1, 0)


def test_sequences_meet_others_in_each_epoch():
    lengths = torch.full((100,), 10)
    groups = [
        {frozenset(b.tolist()) for b in shuffled_batches(lengths, 100, seed=0, epoch=e)} for e in (0, 1)
    ]
    assert not groups[0] & groups[1]


def test_a_batch_holds_similar_lengths():
    lengths = torch.arange(1, 1001)
    for batch in shuffled_batches(lengths, 5000, seed=0, epoch=0):
        batch_lengths = lengths[batch]
        if int(batch_lengths.min()) > 100:
            assert int(batch_lengths.max()) < 1.5 * int(batch_lengths.min())


def test_ordered_batches_go_from_short_to_long():
    batches = ordered_batches(torch.tensor([5, 1, 4, 0, 9]), 6)
    assert [b.tolist() for b in batches] == [[1, 3, 2], [0], [4]]


def test_a_limit_below_one_is_refused():
    with pytest.raises(ShapeError, match="at least 1, got 0"):
        ordered_batches(torch.tensor([1]), 0)


def test_derived_seeds_do_not_run_together():
    seeds = {derived_seed(a, b) for a in range(30) for b in range(30)}
    assert len(seeds) == 900
    assert derived_seed(1, 11) != derived_seed(11, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


class Counting:
    """A source whose tokens say which example they are of, and whose epochs differ in size."""

    classes = ("a", "b")
    vocabulary_size = 100
    test = None

    def training(self, epoch):
        sizes = torch.arange(20 + epoch) % 7
        tokens = torch.arange(20 + epoch).repeat_interleave(sizes)
        labels = torch.arange(20 + epoch) % 2
        return Examples(Ragged.from_lengths(tokens, sizes), labels)

    @property
    def validation(self):
        return self.training(0)

    def describe(self):
        return {}


def contents(batch):
    return batch.inputs.values.tolist(), batch.targets.tolist()


@given(st.integers(0, 3), st.integers(0, 30))
def test_a_loader_goes_on_where_another_stopped(epoch, stop):
    whole = BatchLoader(Counting(), 9, seed=5)
    whole.set_epoch(epoch)
    expected = [contents(batch) for batch in whole]
    assert len(expected) == len(whole)

    stopped = BatchLoader(Counting(), 9, seed=5)
    stopped.set_epoch(epoch)
    got = [contents(batch) for batch in itertools.islice(stopped, stop)]

    resumed = BatchLoader(Counting(), 9, seed=5)
    resumed.load_state_dict(stopped.state_dict())
    assert len(resumed) == len(whole)
    assert got + [contents(batch) for batch in resumed] == expected


def test_the_state_counts_the_batches_that_were_given():
    loader = BatchLoader(Counting(), 9, seed=0)
    batches = iter(loader)
    next(batches)
    next(batches)
    assert loader.state_dict() == {"epoch": 0, "next_batch": 2}
    loader.set_epoch(1)
    assert loader.state_dict() == {"epoch": 1, "next_batch": 0}


def test_an_epoch_has_its_own_examples():
    loader = BatchLoader(Counting(), 9, seed=0)
    for epoch in (0, 2, 1):
        loader.set_epoch(epoch)
        assert sum(len(batch) for batch in loader) == 20 + epoch


def test_no_examples_are_an_error():
    source = Counting()
    source.training = lambda epoch: Examples(Ragged.empty(dtype=torch.int64), torch.empty(0).long())
    with pytest.raises(DataError, match="no training examples"):
        len(BatchLoader(source, 10, seed=0))
