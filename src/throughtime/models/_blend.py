"""`Blend`: a weighted sum of the outputs of several models."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn.description import SideBySide, WeightedSum


class Blend(nn.Module):
    """A weighted sum of the outputs of several models, each the mean of its copies.

    o(x) = Σ_j a_j · (1 / K_j) Σ_k f_jk(x)

    Of logits, this is a logarithmic pool of the models' probabilities: softmax(o) ∝ Π_j p_j ^ a_j [1]_. The
    weights also scale the logits, so that fitting them to held-out outputs calibrates the probabilities.

    Parameters
    ----------
    members : sequence of sequences of Module
        The models; each is a list of its copies, such as one trained on each fold of the rows. All give
        outputs of the same shape.

    Attributes
    ----------
    weights : Tensor
        (J,) float32: a, without gradients; 1 / J at first.

    Raises
    ------
    ShapeError
        If there is no member, or one has no copies.

    References
    ----------
    .. [1] T. Heskes, "Selecting weighting factors in logarithmic opinion pools", NIPS (1997), equation 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> inputs = tt.models.ModelInputs(vocabulary_size=9)
    >>> copies = [tt.models.TextCNN(inputs, 2).eval() for _ in range(3)]
    >>> blend = tt.models.Blend([copies[:2], copies[2:]])
    >>> x = tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])])
    >>> first, second, third = (copy(x) for copy in copies)
    >>> torch.allclose(blend(x), (first + second) / 4 + third / 2, atol=1e-6)
    True
    """

    weights: Tensor

    def __init__(self, members: Sequence[Sequence[nn.Module]]) -> None:
        super().__init__()
        if not members or not all(members):
            raise ShapeError(
                f"Blend needs at least one model, and at least one copy of each, got {len(members)} models "
                f"with {', '.join(str(len(copies)) for copies in members) or 'no'} copies"
            )
        self.members = nn.ModuleList(nn.ModuleList(copies) for copies in members)
        self.register_buffer("weights", torch.full((len(members),), 1 / len(members)))

    @property
    def copies(self) -> list[list[nn.Module]]:
        """The copies of each model."""
        return [list(copies) for copies in self.members]  # type: ignore[call-overload]

    def of_outputs(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return Σ_j a_j · o_j of one output of each model, such as the mean of its copies, (B, N)."""
        total: Tensor = WeightedSum(self.weights)(list(outputs))
        return total

    def describe(self) -> SideBySide:
        """Return the models, and the weighted sum of their outputs."""
        parts = tuple(
            (f"members.{j}.{k}", model)
            for j, copies in enumerate(self.copies)
            for k, model in enumerate(copies)
        )
        return SideBySide(parts, self._merge())

    def forward(self, x: Any, extra: Tensor | None = None) -> Any:
        """Return the weighted sum of the outputs, (B, N)."""
        further = () if extra is None else (extra,)
        return self._merge()([model(x, *further) for copies in self.copies for model in copies])

    def _merge(self) -> WeightedSum:
        counts = [len(copies) for copies in self.copies]
        of_copies = torch.tensor([1 / count for count in counts for _ in range(count)])
        repeats = torch.tensor(counts)
        weights = self.weights.repeat_interleave(repeats.to(self.weights.device))
        return WeightedSum(weights * of_copies.to(weights))
