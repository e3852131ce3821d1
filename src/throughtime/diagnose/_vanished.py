"""`vanished_not_converged`: tells a gradient that vanished on its way back from a minimum."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.diagnose._features import BatchFeatures, InputGradients, input_gradients
from throughtime.diagnose._findings import VANISHED, Finding
from throughtime.diagnose._unread import FEWEST, Dependence, strongest_dependence
from throughtime.ops.modes import evaluating
from throughtime.ragged import Layout, Ragged

# Unread steps count if they explain at least this fraction of the error of a constant output.
MATTERS = 0.05
# Below this fraction it may be due to correlation with nearer steps: a warning, not a problem.
_CERTAIN = 0.1
# A change below this fraction of the output's spread counts as none.
UNMOVED = 0.1


def vanished_not_converged(
    model: nn.Module,
    batch: Ragged,
    loss: Callable[[Any], Tensor],
    *,
    features_of: nn.Module | None = None,
    seed: int = 0,
) -> Finding | None:
    r"""Distinguish a vanished gradient from a minimum, at any scale of the loss.

    Gradients are small in both cases. In the first, the loss would fall if the model could read the steps
    that its gradients do not reach. Three ratios are measured:

    - which steps the gradient reaches: ‖∂L/∂x_t‖ is at least 1 % of the largest of its sequence;
    - whether the loss depends on the others: with δ_b = ∂L/∂y_b the gradient of sequence b's output,
      Σ_b δ_b x_btᵀ is the gradient that a direct connection from step t to the output would have. It is zero
      at a minimum, up to chance, which permutations of the δ_b measure (p <= 0.001 over all steps together).
      What x_bt explains of δ, out of fold, has to be 5 % of ‖δ‖² at a constant output;
    - whether the model nevertheless uses them: exchanging these steps between sequences has to move the
      output by less than 10 % of its spread. A state that has latched has no slope, but it moves the output.

    Parameters
    ----------
    model : Module
        Maps the batch to a tensor with one row per sequence; used in evaluation mode. It may be
        convolutional: steps outside of its receptive field have no gradient.
    batch : Ragged
        At least 16 sequences, better some hundred.
    loss : callable
        Maps the model's output to a scalar, the mean or sum over sequences.
    features_of : Module, optional
        The module whose output is taken as the features, as in `influence`.
    seed
        Random seed of the permutations.

    Returns
    -------
    Finding or None
        None at a minimum, if the labels are noise, if the gradient reaches all steps that matter, if there
        are too few sequences, or if the output does not have one row per sequence. Only dependence on single
        steps is detected, so None does not prove a minimum. Below 10 % of the error the finding is a warning:
        if steps are strongly correlated, distant ones may carry a little of the information of nearer ones.

    Raises
    ------
    UnsupportedError
        If the model has no embedding, or several.

    References
    ----------
    .. [1] Y. Bengio, P. Simard and P. Frasconi, "Learning long-term dependencies with gradient descent is
       difficult", IEEE Transactions on Neural Networks 5 (1994): latching.
    .. [2] P. Westfall and S. Young, "Resampling-based multiple testing", Wiley (1993), section 2.6.

    Examples
    --------
    The class is the sign of the first of 40 numbers, of which a forgetful RNN keeps nothing:

    >>> import torch, throughtime as tt
    >>> _ = torch.manual_seed(0)
    >>> x = tt.Ragged.from_lengths(torch.randn(64 * 40, 1), [40] * 64)
    >>> target = torch.stack([row[0, 0].sign() for row in x])
    >>> class Last(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer, self.output = tt.nn.RNN(1, 8), torch.nn.Linear(8, 1)
    ...     def forward(self, x):
    ...         return self.output(self.layer(x).state[0])[:, 0]
    >>> loss = lambda y: (y - target).square().mean()
    >>> tt.diagnose.vanished_not_converged(Last(), x, loss).verdict
    'the loss depends on the first step, which no gradient reaches and the model does not use'
    """
    batch_features = BatchFeatures(model, batch, features_of)
    with evaluating(model):
        return vanished_finding(batch_features, input_gradients(batch_features, loss), loss, seed)


def vanished_finding(
    batch_features: BatchFeatures, measured: InputGradients, loss: Callable[[Any], Tensor], seed: int = 0
) -> Finding | None:
    """Return the finding of `vanished_not_converged`, for a model in evaluation mode."""
    layout, sequences = batch_features.batch.layout, len(batch_features.batch)
    delta, output, x = measured.of_output, measured.output, measured.features
    if sequences < FEWEST or delta is None or not bool(measured.norms.isfinite().all()):
        return None
    flow = _relative(measured.norms, layout)
    delta = delta.reshape(sequences, -1)
    dependence = strongest_dependence(
        delta,
        output.reshape(sequences, -1),
        x.flatten(1),
        flow,
        layout,
        unread=VANISHED,
        embedded=batch_features.embedding is not None,
        seed=seed,
    )
    if dependence is None:
        return None
    at_a_constant = float(_at_a_constant(output, loss).double().square().sum())
    share = dependence.explained / at_a_constant if at_a_constant else 0.0
    moved = _moved(batch_features, x, output, dependence, seed)
    if share < MATTERS or moved > UNMOVED:
        return None
    return Finding(
        "vanished_not_converged",
        "problem" if share >= _CERTAIN else "warning",
        "the training",
        f"the loss depends on {dependence.where}, which no gradient reaches and the model does not use",
        {
            "largest gradient there over the largest of the sequence": float(flow[dependence.rows].max()),
            "fraction of the error that they explain": share,
            "change of the output without them": moved,
        },
        "A vanished gradient looks like a minimum, but here the loss would fall if the model used these "
        "steps.",
        "Let gradients reach them: with an LSTM with chrono initialization (tt.nn.init.chrono_), orthogonal "
        "recurrent weights, a bidirectional layer, pooling over all steps, or a larger receptive field; or "
        "start training on shorter sequences.",
        "Y. Bengio et al., IEEE Transactions on Neural Networks 5, 1994",
        "two forward passes, a backward pass and 999 permutations",
    )


def _relative(size: Tensor, layout: Layout) -> Tensor:
    """Return (T,): each step's fraction of the largest of its sequence; 0 if all are 0."""
    largest = size.new_zeros(len(layout)).scatter_reduce(0, layout.sequence_ids, size, "amax")
    return size / largest[layout.sequence_ids].clamp_min(torch.finfo(torch.float64).tiny)


def _at_a_constant(output: Tensor, loss: Callable[[Any], Tensor]) -> Tensor:
    """Return (B, C): the gradient with respect to the output, at its mean over sequences."""
    with torch.enable_grad():
        constant = output.mean(0).expand_as(output).clone().requires_grad_()
        return torch.autograd.grad(loss(constant), constant)[0].reshape(len(output), -1)


def _moved(
    batch_features: BatchFeatures, x: Tensor, output: Tensor, dependence: Dependence, seed: int
) -> float:
    """Return the change of the output when steps are exchanged between sequences, over its spread."""
    order = torch.randperm(len(dependence.rows), generator=torch.Generator().manual_seed(seed))
    exchanged = x.clone()
    exchanged[dependence.rows] = x[dependence.rows[order]]
    with torch.no_grad():
        change = batch_features.output_with(batch_features.batch, exchanged) - output
    # An almost constant output changes by rounding alone.
    rounding = 1e-5 * output.double().square().mean().sqrt()
    spread = (output - output.mean(0)).double().square().mean().sqrt()
    return float(change.double().square().mean().sqrt() / (spread + rounding).clamp_min(1e-300))
