"""`fit`: from raw data to a trained run, in one call."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from throughtime._options import named
from throughtime.data.objects import as_table
from throughtime.data.table import Table
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.learn.auto import Member, Plan, fit_plan, is_in_memory, may_fold, plan_of, planned, sizes_of
from throughtime.learn.automatic import automatic_settings
from throughtime.learn.next_step import prepare_stream
from throughtime.learn.options import OptimizerOptions, changed_options
from throughtime.learn.predictor import Predictor
from throughtime.learn.prepared import Prepared, prepare_table
from throughtime.learn.reading import read_rows
from throughtime.learn.recipe import AUTO, Recipe, groups_of
from throughtime.learn.split import Parts
from throughtime.training import (
    CUSTOM,
    FitResult,
    ModelFactory,
    ModelSpec,
    Run,
    only_training,
    require_supported,
    without_flush,
)
from throughtime.training import fit as train
from throughtime.training import processes as several

if TYPE_CHECKING:
    import pytorch_lightning as pl


@dataclass(frozen=True)
class Fitted:
    """Result of `fit`.

    Parameters
    ----------
    prepared : Prepared
        The data as the model read them.
    result : FitResult
        The run and its metrics.
    """

    prepared: Prepared
    result: FitResult

    predictor: Predictor | None
    """The trained model with all that raw data needs; None for language and frame models."""


def prepare(
    recipe: Recipe,
    data: Any,
    *,
    validation_data: Any = None,
    test_data: Any = None,
    weights: Tensor | None = None,
    rows: Parts | None = None,
    start: Predictor | None = None,
) -> Prepared:
    """Read, split and encode raw data; see `fit_recipe`."""
    if "windows" in groups_of(recipe.task):
        if not isinstance(data, str | Path):
            raise ShapeError(f"task {recipe.task!r} reads a file; give its path")
        return prepare_stream(recipe, Path(data))
    split = recipe.split
    parts = [
        None if (part := file if given is None else given) is None else table_of(recipe, part)
        for given, file in ((validation_data, split.validation_file), (test_data, split.test_file))
    ]
    table = table_of(recipe, data)
    if start is None:
        return prepare_table(recipe, table, *parts, weights=weights, rows=rows)
    learned: dict[str, Any] = {"encoder": start.encoder, "task": start.task}
    prepared = prepare_table(recipe, table, *parts, weights=weights, rows=rows, **learned)
    return replace(prepared, prepare_model=partial(_set_weights, start))


def _set_weights(start: Predictor, model: nn.Module) -> None:
    try:
        model.load_state_dict(start.model.state_dict())
    except RuntimeError as error:
        raise ShapeError(
            "the model has other parameters than the trained one that it is to begin with; train a new "
            "one, or give the same model and options"
        ) from error


def table_of(recipe: Recipe, data: Any) -> Table:
    """Return a file, a table or Python objects as rows."""
    if isinstance(data, Table):
        return data
    if isinstance(data, str | Path):
        return read_rows(Path(data), recipe.files)
    return as_table(data)


def fit(
    data: Any,
    *,
    task: str = "classification",
    model: str | ModelFactory = AUTO,
    out: str | Path | None = None,
    validation_data: Any = None,
    test_data: Any = None,
    resume: bool = False,
    progress: bool = True,
    watch_every: int = 0,
    device: str | None = None,
    **options: Any,
) -> Predictor:
    """Train a model on a file, a data frame or Python objects, and return what predicts with it.

    Parameters
    ----------
    data : path, frame, mapping of columns, or sequence
        A file of any format that ``throughtime train`` reads; a pandas, polars or Arrow table; a mapping of
        names to columns; or a sequence of texts, lists of tokens, or series.
    task : str
        "classification", "multilabel", "regression", "tagging", "anomaly", "language" or "frames".
    model : str or callable, optional
        Name of the model, see ``throughtime.models.MODELS``; or "auto", a blend of several for
        classification, multilabel and regression, and the default model of other tasks. Or a function that
        builds one from `throughtime.models.ModelInputs` and the number of outputs.
    out : path, optional
        Folder for the run; by default a temporary one, which is deleted at the end.
    validation_data, test_data
        Further data of the same kind, in place of a fraction of ``data``.
    resume : bool
        Whether to continue the run in ``out``.
    progress : bool
        Whether to print the progress.
    watch_every : int
        See `throughtime.training.fit`.
    device : str, optional
        Where to train, "cpu" or "cuda"; by default "cuda" if there is one. The predictor is on the CPU.
    **options
        The options of ``throughtime train`` by name, such as ``target="label"``, ``epochs=5``,
        ``hidden_size=64``.

    Returns
    -------
    Predictor
        With ``predict``, ``score``, the metrics, and ``run``.

    Raises
    ------
    DataError, ShapeError, InputTypeError, RunError
        If the data, an option, or the folder cannot be used.
    UnsupportedError
        If the device is not there.

    Examples
    --------
    >>> import throughtime as tt
    >>> rows = {"text": ["good film", "bad film", "good play", "bad play"] * 10, "label": ["+", "-"] * 20}
    >>> fitted = tt.fit(rows, epochs=5, progress=False)
    >>> fitted.predict(["good film"])
    ['+']
    """
    if isinstance(model, nn.Module):
        raise InputTypeError(
            f"model is a {type(model).__name__}, expected a name or a function that builds a model from "
            "ModelInputs and the number of outputs; give such a function"
        )
    factory = None if isinstance(model, str) else model
    recipe = Recipe.of(task, model if isinstance(model, str) else AUTO, **named_columns(options))
    fitted = fit_recipe(
        recipe,
        data,
        out=out,
        validation_data=validation_data,
        test_data=test_data,
        resume=resume,
        progress=progress,
        watch_every=watch_every,
        device=device,
        factory=factory,
    )
    if fitted.predictor is None:
        raise ShapeError(f"task {task!r} has no predictor; use throughtime.training.Run.open(out)")
    return fitted.predictor


def fit_recipe(
    recipe: Recipe,
    data: Any,
    *,
    out: str | Path | None = None,
    validation_data: Any = None,
    test_data: Any = None,
    weights: Tensor | None = None,
    rows: Parts | None = None,
    start: Predictor | None = None,
    resume: bool = False,
    progress: bool = True,
    watch_every: int = 0,
    device: str | None = None,
    logger: str | None = None,
    factory: ModelFactory | None = None,
) -> Fitted:
    """Train by a recipe; see `fit` and `throughtime.training.fit`.

    Parameters
    ----------
    weights : Tensor, optional
        (rows,): weight of each row in the loss, and in the metrics that choose the best epoch.
    rows : Parts, optional
        Rows of the parts, in place of a random split.
    start : Predictor, optional
        A trained model whose weights the training begins with; its encoder and task encode the data.
    factory : callable, optional
        Builds the model in place of one by name.
    """
    require_supported(device, logger)
    how: dict[str, Any] = {
        "resume": resume,
        "progress": progress,
        "watch_every": watch_every,
        "device": device,
        "logger": logger,
        "factory": factory,
    }
    more: dict[str, Any] = {"validation_data": validation_data, "test_data": test_data, "weights": weights}
    blends = recipe.is_blend and factory is None
    if blends:
        _require_plain(how, start)  # before the data are read
    prepared = prepare(recipe, data, **more, rows=rows, start=start)
    if recipe.optimizer.monitor is not None:
        prepared.task.require_metric(recipe.optimizer.monitor)
    plan = plan_for(prepared) if blends else None
    prepared = replace(prepared, recipe=automatic_settings(prepared))
    if out is not None:
        return _fitted(prepared, Path(out), data, plan, **how)
    with tempfile.TemporaryDirectory(prefix="throughtime-") as folder, without_flush():
        return _fitted(prepared, Path(folder) / "run", data, plan, resumable=False, **how)


def plan_for(prepared: Prepared) -> Plan:
    """Return what ``model="auto"`` trains on prepared data.

    Raises
    ------
    ShapeError
        If the budget is too small.
    """
    recipe = prepared.recipe
    epochs, tokens = recipe.optimizer.epochs, recipe.batches.tokens_per_batch
    may_blend = is_in_memory(prepared) and several.processes() == 1
    plan = plan_of(
        sizes_of(prepared),
        budget=recipe.optimizer.budget,
        epochs=None if epochs == "auto" else epochs,
        tokens_per_batch=None if tokens == "auto" else tokens,
        may_fold=may_fold(prepared),
        may_blend=may_blend,
    )
    given = set(changed_options(recipe.optimizer))
    return plan.with_embedding(prepared.vector_size).without_settings(given)


def _require_plain(how: Mapping[str, Any], start: Predictor | None) -> None:
    """Check that nothing was asked for that needs a single model."""
    given = {
        "warm_start": start is not None,
        named("watch_every"): bool(how["watch_every"]),
        named("logger"): how["logger"] is not None,
    }
    for name, is_given in given.items():
        if is_given:
            raise UnsupportedError(
                f"{name} needs a single model, and model 'auto' trains several; name one ({named('model')})"
            )


def _fitted(
    prepared: Prepared, path: Path, data: Any, plan: Plan | None, *, resume: bool, **how: Any
) -> Fitted:
    """Train by a plan; without one, the model of the recipe."""
    resume = resume or (several.was_restarted() and path.exists())
    if plan is not None and resume:
        plan = planned(Run.open(path))
    if plan is None:
        return fit_prepared(prepared, path, data, resume=resume, **how)
    if plan.is_single:
        prepared = replace(prepared, recipe=_of_member(prepared.recipe, plan.members[0]))
        return fit_prepared(prepared, path, data, resume=resume, plan=plan, **how)
    run = Run.open(path) if resume else created_run(path, prepared, plan.spec, data, plan)
    return _with_predictor(prepared, _blended(prepared, plan, run, resume=resume, **how))


def fit_prepared(
    prepared: Prepared,
    path: Path,
    data: Any,
    *,
    resume: bool = False,
    factory: ModelFactory | None = None,
    callbacks: "Sequence[pl.Callback]" = (),
    plan: Plan | None = None,
    **how: Any,
) -> Fitted:
    """Train on prepared data, whose recipe has no "auto" settings, into the folder of a run.

    Parameters
    ----------
    prepared : Prepared
        The data and the recipe.
    path : Path
        Folder of the run.
    data : Any
        What was prepared; a path is stored in the run.
    resume, factory
        See `fit_recipe`.
    plan : Plan, optional
        With a single model, in place of that of the recipe.
    callbacks, **how
        See `throughtime.training.fit`.
    """
    spec = prepared.recipe.spec(prepared.inputs) if plan is None else plan.spec
    spec = spec if factory is None else ModelSpec(CUSTOM)
    settings = prepared.recipe.settings()
    resume = resume or (several.was_restarted() and path.exists())
    run = _resumed(path, prepared, data) if resume else created_run(path, prepared, spec, data, plan)
    run.factory = factory
    result = train(
        prepared.source,
        prepared.task,
        spec,
        settings,
        run,
        resume=resume,
        prepare_model=prepared.prepare_model,
        callbacks=callbacks,
        **how,
    )
    return _with_predictor(prepared, result)


def _with_predictor(prepared: Prepared, result: FitResult) -> Fitted:
    predictor = None
    if prepared.encoder is not None and result.run.has_model and several.process() == 0:
        predictor = Predictor.of(result.run)
    return Fitted(prepared, result, predictor)


def _blended(
    prepared: Prepared, plan: Plan, run: Run, *, progress: bool, resume: bool, device: str | None, **how: Any
) -> FitResult:
    resumable = how.get("resumable", True)
    return fit_plan(prepared, plan, run, resume=resume, resumable=resumable, device=device, progress=progress)


def _of_member(recipe: Recipe, member: Member) -> Recipe:
    """Return the recipe with the settings of the only model of a plan."""
    known = {field.name for field in fields(OptimizerOptions)} - {"patience"}
    return recipe.changed(
        epochs=member.epochs,
        tokens_per_batch=member.tokens_per_batch,
        **{name: value for name, value in member.settings.items() if name in known},
    )


def _resumed(path: Path, prepared: Prepared, data: Any) -> Run:
    """Return the run of a folder, extended if the recipe has more epochs."""
    run, settings = Run.open(path), prepared.recipe.settings()
    if settings.epochs <= run.config.settings.epochs or several.process():
        return run
    recipe = {**run.config.recipe, "options": _recipe_json(prepared, data, None)["options"]}
    with only_training(path):
        return run.extended(epochs=settings.epochs, patience=settings.patience, recipe=recipe)


def created_run(path: Path, prepared: Prepared, spec: ModelSpec, data: Any, plan: Plan | None = None) -> Run:
    """Create the run of prepared data, in one process of several, if it can be trained."""
    several.join()
    if several.process() == 0:
        _require_trainable(prepared, spec)
        Run.create(
            path,
            source=prepared.source,
            task=prepared.task,
            model=spec,
            settings=prepared.recipe.settings(),
            recipe=_recipe_json(prepared, data, plan),
            tokenizer_json=prepared.tokenizer_json,
        )
    several.wait_for_all()
    return Run.open(path)


def _require_trainable(prepared: Prepared, spec: ModelSpec) -> None:
    """Build the batches and the model before a folder is created, whose errors then leave nothing."""
    settings = prepared.recipe.settings()
    settings.monitored(prepared.task)
    prepared.task.training_batches(prepared.source, settings)
    if spec.name != CUSTOM:
        with torch.random.fork_rng():
            spec.build(prepared.source.shape, prepared.task)


def _recipe_json(prepared: Prepared, data: Any, plan: Plan | None) -> dict[str, Any]:
    return {
        "kind": "table" if prepared.encoder is not None else "stream",
        "data": str(data) if isinstance(data, str | Path) else None,
        "options": prepared.recipe.to_json(),
        "encoder": None if prepared.encoder is None else prepared.encoder.to_json(),
        **({} if plan is None else {"plan": plan.to_json()}),
    }


def named_columns(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with names of columns as tuples."""
    columns = ("target", "text", "tokens", "series", "numeric")
    return {
        name: (value,) if name in columns and isinstance(value, str) else value
        for name, value in options.items()
    }
