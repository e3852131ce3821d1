"""Linear models on features: fitted to training rows, with features and penalty chosen on validation rows."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import RidgeCV

from throughtime.baselines.baseline import Fit
from throughtime.baselines.features import FeatureMap
from throughtime.baselines.linear import Features, LinearModel
from throughtime.baselines.rows import Rows, values_of_targets, weights_of_targets
from throughtime.baselines.targets import Targets
from throughtime.data.examples import Examples
from throughtime.ragged import Ragged
from throughtime.tasks import Outputs

INVERSE_PENALTIES = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
"""Inverse strengths of the L2 penalty, tried in this order until the loss on validation rows grows."""
_PENALTIES = np.logspace(-3, 3, 10)
"""Strengths that leave-one-out chooses among: those of ROCKET (Dempster et al. 2020, section 3.2)."""


@dataclass(frozen=True)
class FittedModel:
    """A linear model with its features and its loss on validation rows."""

    features: FeatureMap
    model: LinearModel
    targets: Targets
    loss: float
    of_steps: bool

    def __call__(self, examples: Examples) -> Outputs:
        """Return the outputs for other examples."""
        output = torch.from_numpy(self.targets.output(self.model.scores(self.features.transform(examples))))
        return examples.inputs.with_values(output) if self.of_steps else output


class Search:
    """Fits linear models to the same rows, and keeps the one with the least loss on validation rows.

    Parameters
    ----------
    rows : Rows
        Training and validation examples.
    targets : Targets
        What models are fitted to.
    """

    def __init__(self, rows: Rows, targets: Targets) -> None:
        self._rows, self._targets = rows, targets
        self._of_steps = isinstance(rows.training.targets, Ragged)
        self._truth = values_of_targets(rows.training)
        self._held_out_truth = values_of_targets(rows.validation)
        self._weights = weights_of_targets(rows.training)
        self._best: FittedModel | None = None
        self._step = self._fits = 0

    @property
    def learnable(self) -> bool:
        """Whether the training targets differ, and there are validation targets to choose on."""
        return len(self._held_out_truth) > 0 and self._targets.learnable(self._truth)

    def penalised(self, features: FeatureMap) -> bool:
        """Fit with ever weaker penalties while the validation loss falls; return whether one is the best.

        Penalties begin one step stronger than that of the best model so far.
        """
        design, held_out = self._designs(features)
        first, improved, last = max(0, self._step - 1), False, np.inf
        for step in range(first, len(INVERSE_PENALTIES)) if design.shape[1] else ():
            model = self._targets.fit(design, self._truth, self._weights, INVERSE_PENALTIES[step])
            fitted = self._fitted(features, model, held_out)
            if fitted.loss >= last:
                break
            last = fitted.loss
            if self._keep(fitted):
                improved, self._step = True, step
        return improved

    def leave_one_out(self, features: FeatureMap) -> bool:
        """Fit a ridge regression, its penalty by leave-one-out error; return whether it is the best model."""
        design, held_out = self._designs(features)
        coded = self._targets.coded(self._truth)
        ridge = RidgeCV(_PENALTIES).fit(design, coded, sample_weight=self._weights)
        model = LinearModel(ridge.coef_.reshape(coded.shape[1], -1), np.reshape(ridge.intercept_, -1))
        return self._keep(self._fitted(features, model, held_out))

    def result(self) -> Fit | None:
        """Return the best model, if there is one."""
        if self._best is None:
            return None
        examples = self._rows.training
        tokens = self._fits * examples.inputs.layout.total
        return Fit(self._best, self._best.model.parameters, len(examples), tokens)

    def _designs(self, features: FeatureMap) -> tuple[Features, Features]:
        return features.fit(self._rows.training), features.transform(self._rows.validation)

    def _fitted(self, features: FeatureMap, model: LinearModel, held_out: Features) -> FittedModel:
        self._fits += 1
        model, loss = self._targets.calibrated(model, held_out, self._held_out_truth)
        return FittedModel(features, model, self._targets, loss, self._of_steps)

    def _keep(self, fitted: FittedModel) -> bool:
        better = self._best is None or fitted.loss < self._best.loss
        self._best = fitted if better else self._best
        return better
