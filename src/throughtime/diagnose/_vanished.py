"""`vanished_not_converged`: tells a gradient that vanished on its way back from a minimum."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.diagnose._features import FeaturesOf, InputGradients, input_gradients
from throughtime.diagnose._findings import VANISHED, Finding
from throughtime.diagnose._unread import FEWEST, Dependence, strongest_dependence
from throughtime.ops.modes import evaluating
from throughtime.ragged import Layout, Ragged

# Share of what a constant output gets wrong, from which on steps that are not read count.
MATTERS = 0.05
# So little may also be what correlated steps tell of nearer ones: a warning, and no problem yet.
_CERTAIN = 0.1
# Below this share of the output's spread, a change of it counts as none.
UNMOVED = 0.1


def vanished_not_converged(
    model: nn.Module,
    batch: Ragged,
    loss: Callable[[Any], Tensor],
    *,
    at: nn.Module | None = None,
    seed: int = 0,
) -> Finding | None:
    r"""Tell a vanished gradient from a minimum, whatever the scale of the loss.

    Small gradients alone look the same in both. What tells them apart is whether the loss would fall if the
    model could read the steps that its gradients do not reach. Three things are measured, each of them a
    ratio:

    - which steps the gradient reaches: ‖∂L/∂x_t‖ is at least 1 % of the largest of its sequence;
    - whether the loss asks for the others: with δ_b = ∂L/∂y_b the gradient of sequence b's output,
      Σ_b δ_b x_btᵀ is the gradient that a direct connection from step t to the output would have. It is zero
      at a minimum, up to chance, which permutations of the δ_b measure (p <= 0.001 over all steps together).
      What x_bt explains of δ, out of fold, has to be 5 % of ‖δ‖² at a constant output;
    - whether the model nevertheless uses them: exchanging these steps between sequences has to move the
      output by less than 10 % of its spread. A state that has latched has no slope, but it moves the output.

    Parameters
    ----------
    model : Module
        From the batch to a tensor with a row for each sequence; used in evaluation mode. It may be
        convolutional: steps outside of its receptive field have no gradient at all.
    batch : Ragged
        Sequences that the loss is of, at least 16 and better some hundred.
    loss : callable
        From the model's output to a scalar, the mean or sum over sequences.
    at : Module, optional
        The module whose output counts as the features, as in `influence`.
    seed
        Of the permutations.

    Returns
    -------
    Finding or None
        None at a minimum, where the labels are noise, where the gradient reaches all steps that matter, and
        where there are too few sequences or the output has no row for each of them. Only what single steps
        tell is found; a None is no proof of a minimum. Below 10 % of the error it is a warning: where steps
        are strongly correlated, those far back may tell a little of what nearer ones tell as well.

    Raises
    ------
    UnsupportedError
        If there is no embedding to look at, or several.

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
    >>> found = tt.diagnose.vanished_not_converged(Last(), x, lambda y: (y - target).square().mean())
    >>> found.verdict
    'the loss depends on the first step, which no gradient reaches and the model does not use'
    """
    question = FeaturesOf(model, batch, at)
    with evaluating(model):
        return verdict_of(question, input_gradients(question, loss), loss, seed)


def verdict_of(
    question: FeaturesOf, measured: InputGradients, loss: Callable[[Any], Tensor], seed: int = 0
) -> Finding | None:
    """Return the finding of `vanished_not_converged`, for a model in evaluation mode."""
    layout, sequences = question.batch.layout, len(question.batch)
    delta, output, x = measured.of_output, measured.output, measured.features
    if sequences < FEWEST or delta is None or not bool(measured.norms.isfinite().all()):
        return None
    flow = _relative(measured.norms, layout)
    delta = delta.reshape(sequences, -1)
    found = strongest_dependence(
        delta,
        output.reshape(sequences, -1),
        x.flatten(1),
        flow,
        layout,
        unread=VANISHED,
        embedded=question.embedding is not None,
        seed=seed,
    )
    if found is None:
        return None
    at_a_constant = float(_at_a_constant(output, loss).double().square().sum())
    share = found.explained / at_a_constant if at_a_constant else 0.0
    moved = _moved(question, x, output, found, seed)
    if share < MATTERS or moved > UNMOVED:
        return None
    return Finding(
        "vanished_not_converged",
        "problem" if share >= _CERTAIN else "warning",
        "the training",
        f"the loss depends on {found.where}, which no gradient reaches and the model does not use",
        {
            "largest gradient there over that of the step read most": float(flow[found.rows].max()),
            "share of the error that they explain": share,
            "change of the output without them": moved,
        },
        "A vanished gradient looks like a minimum. This is not one: the loss would fall if the model used "
        "these steps.",
        "Let gradients reach them: an LSTM with chrono initialisation (tt.nn.init.chrono_), orthogonal "
        "recurrent weights, both directions, pooling over all steps, a larger receptive field; or begin with "
        "shorter sequences.",
        "Y. Bengio et al., IEEE Transactions on Neural Networks 5, 1994",
        "two forward passes, a backward pass and 999 permutations",
    )


def _relative(size: Tensor, layout: Layout) -> Tensor:
    """Return (T,): each step's share of the largest of its sequence; 0 where all are 0."""
    largest = size.new_zeros(len(layout)).scatter_reduce(0, layout.sequence_ids, size, "amax")
    return size / largest[layout.sequence_ids].clamp_min(torch.finfo(torch.float64).tiny)


def _at_a_constant(output: Tensor, loss: Callable[[Any], Tensor]) -> Tensor:
    """Return (B, C): the gradient of the output where it is its mean for every sequence."""
    with torch.enable_grad():
        constant = output.mean(0).expand_as(output).clone().requires_grad_()
        return torch.autograd.grad(loss(constant), constant)[0].reshape(len(output), -1)


def _moved(question: FeaturesOf, x: Tensor, output: Tensor, found: Dependence, seed: int) -> float:
    """Return by how much the output changes when steps are exchanged, as a share of its spread."""
    order = torch.randperm(len(found.rows), generator=torch.Generator().manual_seed(seed))
    exchanged = x.clone()
    exchanged[found.rows] = x[found.rows[order]]
    with torch.no_grad():
        change = question.output_with(question.batch, exchanged) - output
    # Rounding moves an output that is all but constant, too.
    rounding = 1e-5 * output.double().square().mean().sqrt()
    spread = (output - output.mean(0)).double().square().mean().sqrt()
    return float(change.double().square().mean().sqrt() / (spread + rounding).clamp_min(1e-300))
