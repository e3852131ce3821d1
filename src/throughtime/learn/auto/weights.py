"""The weights of a blend, fitted to held-out outputs of its models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.tasks import SequenceTask

_ROWS = 2
"""Number of examples that the priors of the weights weigh as much as."""
_NONE = 0.02
"""Models with less than this share of the weights are left out."""


def fitted_weights(
    task: SequenceTask,
    outputs: Sequence[Tensor],
    targets: Any,
    weights: Tensor | None = None,
    priors: Sequence[float] | None = None,
) -> Tensor:
    """Return the weights a ≥ 0 of models that minimise the task's loss of Σ_j a_j o_j on held-out examples.

    The objective is mean loss + (2 / B) Σ_j (a_j / p_j − 1)², convex in a. The second term, which weighs as
    much as two of the B examples, keeps the weights near the priors p where there are few examples, and
    finite where all predictions are right.

    Parameters
    ----------
    task : SequenceTask
        Whose loss is minimised.
    outputs : sequence of Tensor
        (B, N) held-out outputs of each model.
    targets : Tensor
        Targets of the examples.
    weights : Tensor, optional
        (B,) weight of each example.
    priors : sequence of float, optional
        p; by default 1 / J each.

    Returns
    -------
    Tensor
        (J,) float32; 0 for a model that has less than 2 % of the sum.
    """
    from scipy.optimize import minimize

    stacked = torch.stack([output.double() for output in outputs])
    count, rows = len(outputs), len(stacked[0])
    share = torch.ones(rows, dtype=torch.float64) if weights is None else weights.double()
    share = share / share.sum()
    prior = torch.tensor([1 / count] * count if priors is None else list(priors), dtype=torch.float64)

    def objective(a: Any) -> tuple[float, Any]:
        factors = torch.tensor(a, dtype=torch.float64, requires_grad=True)
        blended = torch.einsum("j,jbn->bn", factors, stacked)
        losses = task.score(_NO_MODEL, blended, targets)["loss"]
        loss = (losses * share).sum() + _ROWS * ((factors / prior - 1) ** 2).sum() / rows
        (slope,) = torch.autograd.grad(loss, [factors])
        return loss.item(), slope.numpy()

    used = np.ones(count, dtype=bool)
    while True:
        bounds = [(0.0, None) if use else (0.0, 0.0) for use in used]
        start = np.where(used, prior.numpy(), 0.0)
        fitted = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        small = used & (fitted < _NONE * fitted.sum())
        if not small.any() or fitted.sum() <= 0:
            return torch.from_numpy(fitted if fitted.sum() > 0 else start).float()
        used &= ~small


_NO_MODEL = nn.Identity()
