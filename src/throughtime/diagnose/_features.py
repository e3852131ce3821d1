"""The features that a model reads of its tokens, which can be exchanged for others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import UnsupportedError
from throughtime.ragged import Ragged


class FeaturesOf:
    """A batch and its features: the batch itself, or where tokens are integers their embedding.

    Parameters
    ----------
    model : Module
        Reads the batch.
    batch : Ragged
        (T,) of integers, or (T, D) of features.
    at : Module, optional
        The module whose output counts as the features, by default the model's only `torch.nn.Embedding`.

    Raises
    ------
    UnsupportedError
        If there is no embedding to look at, or several.
    """

    def __init__(self, model: nn.Module, batch: Ragged, at: nn.Module | None) -> None:
        self.model, self.batch, self.embedding = model, batch, _embedding_of(model, batch, at)

    def output(self) -> Any:
        """Run the model on the batch as it is."""
        return self.model(self.batch)

    def features(self) -> Tensor:
        """(T, D): what counts as the input."""
        with torch.no_grad():
            found = self.batch if self.embedding is None else self.embedding(self.batch)
        return found.values.detach()

    def output_with(self, batch: Ragged, features: Tensor) -> Any:
        """Run the model on a batch whose features are these."""
        if self.embedding is None:
            return self.model(batch.with_values(features))
        hook = self.embedding.register_forward_hook(lambda *_: batch.with_values(features))
        try:
            return self.model(batch)
        finally:
            hook.remove()


@dataclass(frozen=True, eq=False)
class InputGradients:
    """What one backward pass brought to the output and to the features, without a graph.

    Parameters
    ----------
    output : object
        Of the model.
    of_output : Tensor or None
        ∂L/∂output, where that is a tensor with a row for each sequence.
    features, of_features : Tensor
        (T, D) each.
    """

    output: Any
    of_output: Tensor | None
    features: Tensor
    of_features: Tensor

    @property
    def norms(self) -> Tensor:
        """(T,): ‖∂L/∂x_t‖."""
        norms: Tensor = torch.linalg.vector_norm(self.of_features.double().flatten(1), dim=1)
        return norms


def input_gradients(question: FeaturesOf, loss: Callable[[Any], Tensor]) -> InputGradients:
    """Run a model forward and backward, down to its features; gradients of parameters are left alone."""
    features = question.features().requires_grad_()
    with torch.enable_grad():
        output = question.output_with(question.batch, features)
        rows = isinstance(output, Tensor) and output.shape[:1] == (len(question.batch),)
        wanted = (features, output) if rows else (features,)
        of_features, *of_output = torch.autograd.grad(loss(output), wanted, allow_unused=True)
    if of_features is None:
        of_features = torch.zeros_like(features)
    return InputGradients(
        output.detach() if rows else output,
        of_output[0] if of_output else None,
        features.detach(),
        of_features,
    )


def _embedding_of(model: nn.Module, batch: Ragged, at: nn.Module | None) -> nn.Module | None:
    """Return the module whose output counts as the features; None for the batch itself."""
    if at is not None:
        if at not in set(model.modules()):
            raise UnsupportedError("`at` is not a part of this model")
        return at
    if batch.values.is_floating_point():
        return None
    found = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    if len(found) != 1:
        raise UnsupportedError(
            f"tokens are {batch.values.dtype}, and the model has {len(found)} embeddings; say which module's "
            "output counts as the features, influence(..., at=module)"
        )
    return found[0]
