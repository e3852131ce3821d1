"""`SequenceEstimator`: what the estimators share: parameters, training, and checks of what they are given."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from throughtime.data.objects import as_table
from throughtime.data.table import Table
from throughtime.errors import DataError, InputTypeError
from throughtime.estimators._parameters import COLUMNS, EstimatorParameter, offered_options
from throughtime.estimators._rows import small_parts
from throughtime.estimators._sequences import is_matrix
from throughtime.learn import AUTO, Predictor, Recipe, fit_recipe
from throughtime.tasks import SequenceTask
from throughtime.training import ModelFactory

_SEEDS = 2**31 - 1


class SequenceEstimator(BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators; `with_parameters` gives each its constructor."""

    task: ClassVar[type[SequenceTask]]
    further_parameters: ClassVar[Sequence[EstimatorParameter]] = ()

    predictor_: Predictor

    def __init__(self, **parameters: Any) -> None:
        raise InputTypeError(
            f"{type(self).__name__} has no parameters, got {', '.join(parameters) or 'none'}"
        )

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing != "refuse"
        return tags

    def export(
        self, path: str | Path | None = None, *, streaming: bool = False, intermediates: bool = False
    ) -> Any:
        """Return the fitted model as an ONNX model, and write it if there is a path.

        See `throughtime.learn.Predictor.export`; the ONNX model reads what ``predict`` reads.

        Parameters
        ----------
        path : str or Path, optional
            File to write; one that is there is replaced.
        streaming, intermediates : bool
            See `throughtime.export.onnx`.

        Returns
        -------
        onnx.ModelProto
        """
        check_is_fitted(self, "predictor_")
        return self.predictor_.export(path, streaming=streaming, intermediates=intermediates)

    def _training_table(self, data: Any) -> Table:
        """Return what ``fit`` was given as rows; sets or deletes ``n_features_in_``."""
        if is_matrix(data, columns=any(getattr(self, name) for name in COLUMNS)):
            return as_table(self._matrix(data, reset=True), "X")
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        return as_table(data, "X")

    def _rows(self, data: Any) -> Any:
        """Return what a method of the fitted estimator was given, checked if the training was on an array."""
        check_is_fitted(self, "predictor_")
        return self._matrix(data, reset=False) if hasattr(self, "n_features_in_") else data

    def _matrix(self, data: Any, *, reset: bool) -> Any:
        # NaN and infinity are refused by what reads the rows, in one line that names item and step.
        return validate_data(self, data, reset=reset, dtype="numeric", ensure_all_finite=False)

    def _train(
        self,
        table: Table,
        targets: Sequence[str] = (),
        *,
        classes: Sequence[str] | None = None,
        weights: Tensor | None = None,
        **options: Any,
    ) -> None:
        """Train on rows, and set the attributes of a fitted estimator."""
        if len(table) < 2:
            raise DataError(
                f"X has one sequence (n_samples = {len(table)}), but training needs two; give more"
            )
        recipe = self._recipe(target=tuple(targets), **options)
        fitted = fit_recipe(
            recipe,
            table,
            weights=weights,
            rows=small_parts(recipe, table, classes),
            start=getattr(self, "predictor_", None) if self.warm_start else None,
            progress=bool(self.verbose),
            device=self.device,
            factory=self._factory(),
        )
        if fitted.result.interrupted or fitted.predictor is None:
            raise KeyboardInterrupt
        self._set_fitted(fitted.predictor)

    def _set_fitted(self, predictor: Predictor) -> None:
        score = predictor.metrics.validation
        self.predictor_, self.model_ = predictor, predictor.model
        self.history_ = list(predictor.metrics.history)
        self.metrics_ = {} if score is None else dict(score.figures)

    def _recipe(self, **options: Any) -> Recipe:
        values = {name: _plain(getattr(self, name)) for name in offered_options(self.task.name)}
        for name in COLUMNS:
            values[name] = (values[name],) if isinstance(values[name], str) else tuple(values[name])
        model = AUTO if callable(self.model) else self.model
        sizes = {} if callable(self.model) else dict(self.model_options or {})
        return Recipe.of(self.task.name, model, test=0.0, seed=self._seed(), **values, **sizes, **options)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(_SEEDS))

    def _factory(self) -> ModelFactory | None:
        return partial(self.model, **(self.model_options or {})) if callable(self.model) else None


def _plain(value: Any) -> Any:
    """Return a NumPy scalar, such as one of a grid, as Python's."""
    return value.item() if isinstance(value, np.generic) else value
