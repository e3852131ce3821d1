"""`SequenceModel`: what models with one output per sequence, or one per step, share.

The classes that derive from it name their layers in ``describe``; a call runs these.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.models._embedding import token_embedding
from throughtime.models._inputs import InputKind, ModelInputs
from throughtime.nn import Linear
from throughtime.nn.description import NoSequence, Operator, Series, concatenated
from throughtime.nn.inputs.output import as_ragged, unwrapped
from throughtime.ragged import Ragged


class ExtraFeatures(nn.Module):
    """Puts K features of each sequence beside its pooled features, or beside those of each of its steps."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def describe(self) -> NoSequence:
        """State that it needs a second input."""
        return NoSequence(
            f"reads {self.size} extra features of each sequence beside its steps; build the model without"
        )

    def operators(self) -> tuple[Operator, ...]:
        """Return the operator."""
        return (Operator.of("throughtime.models.ExtraFeatures", extra=self.size),)

    def forward(self, x: Any, extra: Tensor) -> Any:
        """Return (B, F + K) of (B, F), or (T, F + K) of (T, F)."""
        return concatenated([x, x.spread(extra) if isinstance(x, Ragged) else extra])

    def extra_repr(self) -> str:
        """Name the number of features."""
        return str(self.size)


class InOrder(nn.Sequential):
    """A `torch.nn.Sequential` that passes extra features on to the layer among its own which reads them."""

    def describe(self) -> Series:
        """Return the layers."""
        return Series(tuple(self._modules.items()))

    def forward(self, input: Any, extra: Tensor | None = None) -> Any:  # noqa: A002 - torch's name
        """Return what the last layer returns."""
        return run(self.describe(), input, extra)


def run(series: Series, x: Any, extra: Tensor | None) -> Any:
    """Call the layers one after the other, the one that reads them with extra features."""
    for _, part in series.parts:
        x = unwrapped(part(x, extra) if isinstance(part, ExtraFeatures) else part(x))
    return x


class SequenceModel(nn.Module):
    """A model with an output for each sequence, or for each step; layers in order, the last one linear."""

    reads: ClassVar[tuple[InputKind, ...]] = ("tokens", "series")
    takes_tensors: ClassVar[bool] = False
    """Whether series of one length may come as a tensor (B, C, L), as torch.nn has it."""

    def __init__(
        self, inputs: ModelInputs, *, embedding_size: int | None = None, per_step: bool = False
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if inputs.kind not in self.reads:
            raise UnsupportedError(f"{name} reads {' or '.join(self.reads)}, not {inputs.kind}")
        self.inputs, self.per_step = inputs, per_step
        self.embedding = (
            None
            if embedding_size is None or inputs.vocabulary_size is None
            else token_embedding(inputs.vocabulary_size, embedding_size)
        )
        self.extra = ExtraFeatures(inputs.extra) if inputs.extra else None

    @property
    def step_features(self) -> int:
        """Features of each step as the layers behind the embedding read them."""
        features = self.inputs.channels if self.embedding is None else self.embedding.embedding_dim
        return int(features or 0)

    def describe(self) -> Any:
        """Return the layers in the order in which they run."""
        raise NotImplementedError

    def forward(self, x: Any, extra: Tensor | None = None) -> Any:
        """Return the outputs (B, N) of the sequences, or with ``per_step`` (T, N) of their steps.

        Parameters
        ----------
        x : Ragged
            Tokens (T,) or a series (T, C).
        extra : Tensor, optional
            (B, K): features of each sequence, for a model that was built with K > 0.
        """
        x = self._checked(x, extra)
        return run(self.describe(), x, extra)

    def _output(self, features: int, outputs: int) -> Linear:
        """Return the last layer, which also reads the extra features."""
        return Linear(features + self.inputs.extra, outputs)

    def _series(self, *names: str) -> Series:
        """Return the layers of these names that the model has, behind its embedding."""
        read = () if self.embedding is None else ("embedding", "dropout")
        parts = ((name, getattr(self, name)) for name in (*read, *names, "extra", "output"))
        return Series(tuple((name, part) for name, part in parts if part is not None))

    def _checked(self, x: Any, extra: Tensor | None) -> Any:
        """Return the input if it is one that the model reads."""
        x, name = unwrapped(x), type(self).__name__
        if self.per_step and isinstance(x, Tensor):
            raise UnsupportedError(
                f"{name} with an output for each step takes a Ragged, got a tensor {tuple(x.shape)}; make "
                "one with Ragged.from_list"
            )
        if not (self.takes_tensors and self.inputs.kind == "series" and isinstance(x, Tensor)):
            x = as_ragged(x, name)
        self._check_extra(x, extra)
        return x

    def _check_extra(self, x: Ragged | Tensor, extra: Tensor | None) -> None:
        size, name = self.inputs.extra, type(self).__name__
        if extra is None and not size:
            return
        wanted = f"{name} expects extra features (B, {size})" if size else f"{name} takes no extra features"
        if not isinstance(extra, Tensor):
            raise InputTypeError(f"{wanted}, got {type(extra).__name__}; call model(x, extra)")
        if not size or extra.dim() != 2 or extra.shape[1] != size:
            raise ShapeError(
                f"{wanted}, got shape {tuple(extra.shape)}; their number is given by ModelInputs(extra=K)"
            )
        if not torch.compiler.is_compiling() and len(extra) != len(x):
            raise ShapeError(f"{name}: {len(extra)} rows of extra features for {len(x)} sequences")
