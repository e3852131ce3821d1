"""`ModelInputs`: what a model of sequences reads, tokens or numeric series, and features beside them."""

from dataclasses import dataclass
from typing import Any, Literal

from throughtime.errors import InputTypeError, ShapeError

InputKind = Literal["tokens", "series"]


@dataclass(frozen=True)
class ModelInputs:
    """What a model of sequences reads: the values of its first layer, and features beside the sequence.

    Exactly one of ``vocabulary_size`` and ``channels`` is given.

    Parameters
    ----------
    vocabulary_size : int, optional
        V: steps are int64 tokens (T,) below it, read through an embedding.
    channels : int, optional
        C: steps are C numbers each, (T, C).
    extra : int
        K, the number of features of the whole sequence, such as numeric columns beside a text. A model with
        K > 0 is called as ``model(x, extra)`` with extra (B, K), which stand beside the pooled features, or
        beside those of every step, in front of the output layer.

    Raises
    ------
    ShapeError
        If both or neither are given, or a number is out of range.
    InputTypeError
        If one is not a whole number.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.FCN(tt.models.ModelInputs(vocabulary_size=10, extra=3), outputs=2)
    >>> x = tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])])
    >>> tuple(model(x, torch.randn(2, 3)).shape)
    (2, 2)
    """

    vocabulary_size: int | None = None
    channels: int | None = None
    extra: int = 0

    def __post_init__(self) -> None:
        if (self.vocabulary_size is None) == (self.channels is None):
            both = "neither" if self.channels is None else "both"
            raise ShapeError(
                f"ModelInputs got {both} of vocabulary_size and channels; give vocabulary_size for tokens or "
                "channels for numeric series"
            )
        _check("vocabulary_size", self.vocabulary_size, 1)
        _check("channels", self.channels, 1)
        _check("extra", self.extra, 0)

    @classmethod
    def of(cls, inputs: "int | ModelInputs", kind: InputKind) -> "ModelInputs":
        """Return inputs as they are, and a number as that of a model which reads this kind."""
        if isinstance(inputs, ModelInputs):
            return inputs
        return cls(vocabulary_size=inputs) if kind == "tokens" else cls(channels=inputs)

    @property
    def kind(self) -> InputKind:
        """Whether a step is a token or a vector of a series."""
        return "series" if self.vocabulary_size is None else "tokens"


def _check(name: str, size: Any, low: int) -> None:
    if size is None and low:
        return
    if not isinstance(size, int) or isinstance(size, bool):
        raise InputTypeError(f"ModelInputs: {name} must be a whole number, got {size!r}")
    if size < low:
        raise ShapeError(f"ModelInputs: {name} must be at least {low}, got {size}")
