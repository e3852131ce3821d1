"""The order in which one direction reads the tokens of a ragged batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from throughtime.ragged import Layout


@dataclass(frozen=True)
class Reading:
    """Sequences end to end, each read from its start, or in reverse from its end."""

    layout: Layout
    reverse: bool

    def before(self, values: Tensor, initial: Tensor | None) -> Tensor:
        """Return for every token what the one read before has; at the start ``initial`` (B, ·), or zeros."""
        return self._adjacent(values, initial, reverse=self.reverse)

    def after(self, values: Tensor) -> Tensor:
        """Return for every token what the one read after it has; zeros at the end."""
        return self._adjacent(values, None, reverse=not self.reverse)

    def _adjacent(self, values: Tensor, edge: Tensor | None, *, reverse: bool) -> Tensor:
        layout = self.layout
        if edge is None:
            edge = values.new_zeros(layout.num_sequences, *values.shape[1:])
        offsets = layout.offsets[1:] if reverse else layout.offsets[:-1]
        first = offsets.index_select(0, layout.sequence_ids) - (1 if reverse else 0)
        here = torch.arange(values.shape[0], device=values.device)
        adjacent = here + 1 if reverse else here - 1
        place = torch.where(here == first, layout.sequence_ids, adjacent + layout.num_sequences)
        return torch.cat([edge, values]).index_select(0, place)

    def rows_at(self, t: int) -> Tensor:
        """Return the rows of the tokens that are read at time t, of the sequences that are long enough."""
        offsets = self.layout.offsets
        long = offsets.diff() > t
        return (offsets[1:] - 1 - t if self.reverse else offsets[:-1] + t)[long]
