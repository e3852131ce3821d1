"""The input features of a model: of its tokens, or of the embedding that reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import UnsupportedError
from throughtime.ragged import Ragged


class BatchFeatures:
    """A batch and its features: the batch itself, or the embedding of integer tokens.

    Parameters
    ----------
    model : Module
        The model.
    batch : Ragged
        (T,) of integers, or (T, D) of features.
    features_of : Module, optional
        The module whose output is taken as the features; by default the model's only `torch.nn.Embedding`.

    Raises
    ------
    UnsupportedError
        If the model has no embedding, or several.
    """

    def __init__(self, model: nn.Module, batch: Ragged, features_of: nn.Module | None) -> None:
        self.model, self.batch, self.embedding = model, batch, _embedding_of(model, batch, features_of)

    def output(self) -> Any:
        """Run the model on the batch."""
        return self.model(self.batch)

    def features(self) -> Tensor:
        """(T, D), detached."""
        with torch.no_grad():
            embedded = self.batch if self.embedding is None else self.embedding(self.batch)
        return embedded.values.detach()

    def output_with(self, batch: Ragged, features: Tensor) -> Any:
        """Run the model on a batch with these features."""
        if self.embedding is None:
            return self.model(batch.with_values(features))
        hook = self.embedding.register_forward_hook(lambda *_: batch.with_values(features))
        try:
            return self.model(batch)
        finally:
            hook.remove()


@dataclass(frozen=True, eq=False)
class InputGradients:
    """The gradients of one backward pass with respect to the output and the features, detached.

    Parameters
    ----------
    output : object
        Output of the model.
    of_output : Tensor or None
        ∂L/∂output, if the output is a tensor with one row per sequence.
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


def input_gradients(batch_features: BatchFeatures, loss: Callable[[Any], Tensor]) -> InputGradients:
    """Run a model forward and backward, down to its features; gradients of parameters stay as they are."""
    features = batch_features.features().requires_grad_()
    with torch.enable_grad():
        output = batch_features.output_with(batch_features.batch, features)
        rows = isinstance(output, Tensor) and output.shape[:1] == (len(batch_features.batch),)
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


def _embedding_of(model: nn.Module, batch: Ragged, features_of: nn.Module | None) -> nn.Module | None:
    """Return the module whose output is taken as the features; None for the batch itself."""
    if features_of is not None:
        if features_of not in set(model.modules()):
            raise UnsupportedError(
                "features_of is not a submodule of this model; give one of model.modules()"
            )
        return features_of
    if batch.values.is_floating_point():
        return None
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    if len(embeddings) != 1:
        raise UnsupportedError(
            f"tokens are {batch.values.dtype}, but the model has {len(embeddings)} embeddings; give the one "
            "whose output is taken as the features: features_of=module"
        )
    return embeddings[0]
