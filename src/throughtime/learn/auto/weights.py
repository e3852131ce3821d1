"""The weights of a blend, fitted to held-out outputs of its models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.tasks import SequenceTask

_NONE = 0.02
"""Models with less than this share of the weights are left out."""


def fitted_weights(
    task: SequenceTask, outputs: Sequence[Tensor], targets: Any, weights: Tensor | None = None
) -> Tensor:
    """Return the weights a ≥ 0 of models that minimise the task's loss of Σ_j a_j o_j on held-out examples.

    The objective is mean loss + Σ_j (a_j − 1 / J)² / B, convex in a. The second term, which counts as much as
    one example, keeps the equal weights where there are few examples, and the weights finite where all
    predictions are right.

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

    def objective(a: Any) -> tuple[float, Any]:
        factors = torch.tensor(a, dtype=torch.float64, requires_grad=True)
        blended = torch.einsum("j,jbn->bn", factors, stacked)
        losses = task.score(_NO_MODEL, blended, targets)["loss"]
        loss = (losses * share).sum() + ((factors - 1 / count) ** 2).sum() / rows
        (slope,) = torch.autograd.grad(loss, [factors])
        return loss.item(), slope.numpy()

    used = np.ones(count, dtype=bool)
    while True:
        bounds = [(0.0, None) if use else (0.0, 0.0) for use in used]
        start = used / used.sum()
        fitted = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        small = used & (fitted < _NONE * fitted.sum())
        if not small.any() or fitted.sum() <= 0:
            return torch.from_numpy(fitted if fitted.sum() > 0 else start).float()
        used &= ~small


_NO_MODEL = nn.Identity()
