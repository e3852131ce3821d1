"""`QuantizedEmbedding`: a table of vectors with int8 entries."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError
from throughtime.nn.description.kinds import Tokenwise
from throughtime.ops.quantized.packing import rounded
from throughtime.quantized._inference import check_inference, frozen
from throughtime.ragged import Ragged


class QuantizedEmbedding(nn.Module):
    r"""The vector of each token number, from a table with int8 entries and one scale for each token number.

    Use `throughtime.quantize` to construct one.

    Parameters
    ----------
    num_embeddings, embedding_dim, padding_idx
        As in `torch.nn.Embedding`.

    Returns
    -------
    Ragged or Tensor
        (\*, D) float32, of the kind that came in.

    Raises
    ------
    IndexError
        If a token number is not in the table.
    InputTypeError
        If the input has no integers.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> table = tt.quantize(torch.nn.Embedding(100, 16))
    >>> table(tt.Ragged.from_list([torch.tensor([4, 2]), torch.tensor([7])]))
    Ragged(lengths=[2, 1], features=(16,), dtype=float32)
    """

    rounded_weight: Tensor
    scale: nn.Parameter

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self._round(torch.zeros(num_embeddings, embedding_dim))

    @classmethod
    def of(cls, table: nn.Embedding) -> Self:
        """Return the table with rounded entries."""
        quantized = cls(table.num_embeddings, table.embedding_dim, table.padding_idx)
        quantized._round(table.weight.detach())
        return quantized

    def _round(self, weight: Tensor) -> None:
        values, scale = rounded(weight)
        self.register_buffer("rounded_weight", values)
        self.scale = frozen(scale)

    @property
    def weight(self) -> Tensor:
        """The table (V, D) that the integers stand for, in float32."""
        return self.rounded_weight * self.scale[:, None]

    def describe(self) -> Tokenwise:
        """Return the description of a layer that processes each step independently."""
        return Tokenwise()

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the vector of each token number."""
        tokens = input.values if isinstance(input, Ragged) else input
        if not isinstance(tokens, Tensor) or tokens.dtype not in {torch.int32, torch.int64}:
            kind = tokens.dtype if isinstance(tokens, Tensor) else type(tokens).__name__
            raise InputTypeError(f"{type(self).__name__} takes token numbers, int64 or int32, got {kind}")
        check_inference(type(self).__name__)
        rows = tokens.reshape(-1)
        values = self.rounded_weight.index_select(0, rows) * self.scale.index_select(0, rows).unsqueeze(1)
        values = values.view(*tokens.shape, self.embedding_dim)
        return input.with_values(values) if isinstance(input, Ragged) else values

    def extra_repr(self) -> str:
        """Return the arguments."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
