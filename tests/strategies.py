"""Hypothesis strategies for ragged batches, shared by all tests."""

import torch
from hypothesis import strategies as st

from throughtime import Ragged

LENGTHS = st.lists(st.integers(0, 6), max_size=6)
"""Lengths of a batch: empty batches and zero-length sequences are ordinary."""

SHAPES = st.sampled_from([(), (1,), (3,), (2, 3), (0,)])
"""Feature shapes."""


@st.composite
def raggeds(
    draw: st.DrawFn,
    lengths: st.SearchStrategy[list[int]] = LENGTHS,
    shapes: st.SearchStrategy[tuple[int, ...]] = SHAPES,
    dtype: torch.dtype = torch.float64,
) -> Ragged:
    """A batch of random numbers, no two alike."""
    drawn = draw(lengths)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    values = torch.randn(sum(drawn), *draw(shapes), generator=generator, dtype=torch.float64)
    return Ragged.from_lengths(values.to(dtype), drawn)
