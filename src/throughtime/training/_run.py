"""`Run`: the folder of one training. Its files are JSON and safetensors, so opening one runs no code.

The files are described byte by byte in ``docs/run-format.md``.
"""

import datetime as dt
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from throughtime._fields import Fields, short
from throughtime._words import counted
from throughtime.data.examples import Source
from throughtime.data.tokenizer_file import check_tokenizer
from throughtime.errors import RunError
from throughtime.models import ModelInputs
from throughtime.tasks import Task, task_from_json
from throughtime.training._advice import ELSEWHERE, RESUME, RESUME_OR_ELSEWHERE
from throughtime.training._checksums import NAME as CHECKSUMS
from throughtime.training._checksums import read_checked, read_object, write_checked, write_new
from throughtime.training._environment import changes, environment, resumed, version
from throughtime.training._files import read_bytes, sync_folder, writing
from throughtime.training._fitting import MisfitError, fitting_model
from throughtime.training._json import MOST_BYTES, json_object, to_json
from throughtime.training._metrics import Metrics
from throughtime.training._settings import CUSTOM, ModelFactory, ModelSpec, Settings
from throughtime.training._tensor_file import read_tree, write_tree

FORMAT = "throughtime-run"
FORMAT_VERSION = 3

T = TypeVar("T")
_REQUIRED: Any = object()
_NEEDED = ("config.json", "metrics.json", "environment.json", CHECKSUMS)


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a training: enough to build its model and to repeat it.

    Parameters
    ----------
    task : Task
        What the model is trained for, with what was learned of the targets.
    model : ModelSpec
        The architecture.
    shape : mapping
        What the model reads, see `throughtime.data.examples.Source`.
    recipe : mapping
        JSON values that the caller adds, such as the names of columns.
    data : mapping
        Description of the data source.
    settings : Settings
        Training settings.
    """

    task: Task
    model: ModelSpec
    shape: Mapping[str, int]
    recipe: Mapping[str, Any]
    data: Mapping[str, Any]
    settings: Settings

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        return {
            "task": self.task.to_json(),
            "model": {"name": self.model.name, "options": dict(self.model.options)},
            "shape": dict(self.shape),
            "recipe": dict(self.recipe),
            "data": dict(self.data),
            "settings": self.settings.to_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "RunConfig":
        """Return the configuration that `to_json` wrote; raises TypeError or ValueError for wrong content."""
        fields = Fields(content)
        model = fields.fields("model")
        return cls(
            task=task_from_json(fields.mapping("task")),
            model=ModelSpec(model.text("name"), model.mapping("options")),
            shape=_shape_from(fields),
            recipe=fields.mapping("recipe"),
            data=fields.mapping("data"),
            settings=_settings_from(fields.mapping("settings")),
        )


class Run:
    """The folder of one training: configuration, metrics, weights and state.

    Use `Run.create` or `Run.open` to construct one.

    Attributes
    ----------
    path : Path
        The folder.
    config : RunConfig
        Configuration of the training.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config
        self.factory: ModelFactory | None = None
        """Builds the model if it is a custom one."""

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        source: Source,
        task: Task,
        model: ModelSpec,
        settings: Settings,
        recipe: Mapping[str, Any] | None = None,
        tokenizer_json: str | None = None,
    ) -> "Run":
        """Create the folder of a new training, atomically.

        Parameters
        ----------
        path : str or Path
            Must not exist, or be an empty folder; parent folders are created.
        source : Source
            Training data; its shape and description are saved.
        task : Task
            What the model is trained for.
        model : ModelSpec
            The architecture.
        settings : Settings
            How the training goes.
        recipe : mapping, optional
            JSON values that the caller adds, available as ``run.config.recipe``.
        tokenizer_json : str, optional
            A tokenizer of the `tokenizers` library, as from its ``to_str``: without truncation, padding and
            regular expressions, with tokens numbered from 0 to below the vocabulary size.

        Raises
        ------
        RunError
            If the path is not free, the folder cannot be written, or the tokenizer is not supported.
        InputTypeError
            If a description or ``recipe`` has values other than JSON, or exceeds the limits of
            ``docs/run-format.md``.
        """
        path = Path(path)
        cls.require_free(path)
        files = {}
        if tokenizer_json is not None:
            files["tokenizer.json"] = tokenizer_json.encode()
            _checked_tokenizer(files["tokenizer.json"], path / "tokenizer.json", source.shape)
        config = RunConfig(
            task=task,
            model=model,
            shape=dict(source.shape),
            recipe=dict(recipe or {}),
            data=source.describe(),
            settings=settings,
        )
        files |= {name: to_json(content) for name, content in _new_files(config).items()}
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
            beside.mkdir()
            try:
                write_new(beside, files)
                _put_in_place(beside, path)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise
            sync_folder(path.parent)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open the folder of a finished or unfinished training.

        Raises
        ------
        RunError
            If it is not a run, is damaged, or has an older or newer format.
        """
        path = Path(path)
        if not path.exists():
            raise RunError(f"{path} does not exist; give the folder of a run")
        if not path.is_dir():
            raise RunError(f"{path} is a file, not a run; give the folder of a run")
        if not (path / "run.json").is_file():
            raise RunError(f"{path} is not a run: run.json is missing; give the folder of a run")
        _check_format(path / "run.json")
        for name in _NEEDED:
            if not (path / name).is_file():
                raise RunError(
                    f"{path} is an incomplete run: {name} is missing; restore the file or train again"
                )
        read_object(path / "run.json")
        config = path / "config.json"
        content = read_object(config)
        try:
            return cls(path, RunConfig.from_json(content))
        except (TypeError, ValueError) as error:
            raise RunError(f"{config} is damaged: {error}; restore the file or train again") from error

    @staticmethod
    def require_free(path: str | Path) -> None:
        """Check that a run can be created here, without changing anything.

        Raises
        ------
        RunError
            If ``path`` is a file, already holds a run, or holds anything else.
        """
        path = Path(path)
        if path.is_dir():
            if (path / "run.json").exists():
                raise RunError(f"{path} already holds a run; {RESUME_OR_ELSEWHERE}")
            if any(path.iterdir()):
                raise RunError(f"{path} is a folder with other files; {ELSEWHERE}")
        elif path.exists():
            raise RunError(f"{path} is a file; {ELSEWHERE}")

    @property
    def metrics(self) -> Metrics:
        """Metrics so far, read from the file on each access.

        Raises
        ------
        RunError
            If the file is damaged.
        """
        path = self.path / "metrics.json"
        content = read_object(path)
        try:
            return Metrics.from_json(content)
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}; restore the file or train again") from error

    def recipe_entry(self, name: str, *kinds: type | None, default: Any = _REQUIRED) -> Any:
        """Return an entry of ``config.recipe``, with a check of its type.

        Parameters
        ----------
        name : str
            Key of the entry.
        *kinds : type or None
            Accepted types; None stands for null.
        default : Any, optional
            Value to return if the entry is missing.

        Raises
        ------
        RunError
            If it is missing without a default, or has another type.
        """
        recipe = self.config.recipe
        if name not in recipe and default is not _REQUIRED:
            return default
        value = recipe.get(name)
        if name in recipe and type(value) in [type(None) if kind is None else kind for kind in kinds]:
            return value
        wanted = " or ".join("null" if kind is None else kind.__name__ for kind in kinds)
        has = f"is {short(value)}" if name in recipe else "is missing"
        raise RunError(
            f"{self.path / 'config.json'}: recipe.{name} {has}, expected {wanted}; restore the file"
        )

    @property
    def task(self) -> Task:
        """The task, with what was chosen on validation after training.

        Raises
        ------
        RunError
            If the file of metrics is damaged.
        """
        tuned = self.metrics.tuned
        if tuned is None:
            return self.config.task
        try:
            return task_from_json(tuned)
        except ValueError as error:
            path = self.path / "metrics.json"
            raise RunError(f"{path} is damaged: {error}; restore the file or train again") from error

    @property
    def finished(self) -> bool:
        """Whether the training has finished, rather than been interrupted."""
        return self.metrics.stopped is not None

    @property
    def has_model(self) -> bool:
        """Whether weights have been saved."""
        return self._weights.exists()

    @property
    def state_path(self) -> Path:
        """Path of the state of an unfinished training; it exists once a state was saved."""
        return self.path / "state.safetensors"

    def load_model(self) -> nn.Module:
        """Build the model and load its best weights so far.

        Returns
        -------
        Module
            In evaluation mode, on the CPU.

        Raises
        ------
        RunError
            If there are no weights yet, or they are damaged or of another model.
        """
        if not self.has_model:
            raise RunError(f"{self.path} has no weights yet: model.safetensors is missing; {RESUME}")
        weights = read_tree(self._weights)
        model = self.model_for(weights, self._weights)
        model.load_state_dict(weights)
        return model.eval()

    def model_for(self, weights: Any, path: Path) -> nn.Module:
        """Build the model that these weights belong to, without changing the random state.

        Parameters
        ----------
        weights : mapping of str to Tensor
            By their names in the model's ``state_dict``; they are not loaded.
        path : Path
            File of the weights, for messages.

        Raises
        ------
        RunError
            If they belong to another model, or the model cannot be built.
        """
        config = self.config
        if config.model.name == CUSTOM and self.factory is None:
            raise RunError(
                f"{self.path} has a model that was built by a function; set it: run.factory = function"
            )
        shape = dict(config.task.shape(config.shape))
        sizes = {
            **shape,
            "outputs": config.task.outputs or 0,
            "model": {"options": dict(config.model.options)},
        }
        try:
            return fitting_model(
                lambda: config.model.build(config.shape, config.task, self.factory), sizes, weights
            )
        except MisfitError as error:
            raise RunError(
                f"{path} does not fit the model in config.json: {error}; the architecture differs, or one of "
                "the files is damaged; restore the files or train again"
            ) from error
        except MemoryError:
            raise
        except Exception as error:  # a constructor may raise anything for unexpected options
            raise RunError(
                f"{self.path / 'config.json'} is damaged: its model cannot be built "
                f"({' '.join(str(error).split())}); restore the file or train again"
            ) from error

    def save_model(self, model: nn.Module) -> None:
        """Write the weights of the model atomically, replacing earlier ones."""
        write_tree(self._weights, model.state_dict())

    def save_metrics(self, metrics: Metrics) -> None:
        """Write the metrics atomically, replacing earlier ones."""
        write_checked(self.path / "metrics.json", to_json(metrics.to_json()))

    def extended(
        self, *, epochs: int, patience: int | None, recipe: Mapping[str, Any] | None = None
    ) -> "Run":
        """Return the run with more epochs, so that its training can be resumed even if it had ended.

        The learning rate goes on along the schedule of the new number of epochs.

        Parameters
        ----------
        epochs, patience : int
            New settings.
        recipe : mapping, optional
            New JSON values of the caller.

        Raises
        ------
        RunError
            If there would be fewer epochs than are finished, or the files cannot be written.
        """
        metrics, config = self.metrics, self.config
        if epochs < len(metrics.history):
            raise RunError(
                f"{self.path} has finished {counted(len(metrics.history), 'epoch')}, so it cannot end after "
                f"{epochs}; give more epochs"
            )
        settings = replace(config.settings, epochs=epochs, patience=patience)
        changed = replace(config, settings=settings, recipe=config.recipe if recipe is None else recipe)
        write_checked(self.path / "config.json", to_json(changed.to_json()))
        self.save_metrics(Metrics(metrics.history, metrics.best_epoch))
        return Run(self.path, changed)

    def with_model(self, model: ModelSpec) -> "Run":
        """Return the run with another architecture, such as that of a blend whose models are now chosen."""
        changed = replace(self.config, model=model)
        write_checked(self.path / "config.json", to_json(changed.to_json()))
        return Run(self.path, changed)

    def write_json(self, name: str, content: Any) -> None:
        """Write a further JSON file into the folder, atomically and with its checksum."""
        write_checked(self.path / name, to_json(content))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return the content of a further JSON file; None if there is none.

        Raises
        ------
        RunError
            If the file is damaged.
        """
        path = self.path / name
        return read_object(path) if path.is_file() else None

    def read_as(self, name: str, read: Callable[[Any], T]) -> T | None:
        """Return what a function reads from the content of a further JSON file; None if there is none.

        Raises
        ------
        RunError
            If the file is damaged, or the function raises ValueError.
        """
        content = self.read_json(name)
        if content is None:
            return None
        try:
            return read(content)
        except ValueError as error:
            path = self.path / name
            raise RunError(f"{path} is damaged: {error}; restore the file or train again") from error

    def note_environment(self, *, begun: bool) -> dict[str, list[Any]]:
        """Save the environment when a training starts, or its changes when it is resumed.

        Returns
        -------
        dict
            What has changed since the start and may change weights, each as what it was and what it is; empty
            unless the training has begun.

        Raises
        ------
        RunError
            If the record is damaged or cannot be written.
        """
        path = self.path / "environment.json"
        recorded, now = read_object(path), environment()
        if not begun:
            if recorded != now:
                write_checked(path, to_json(now))
            return {}
        changed = changes(recorded, now)
        if changed:
            try:
                noted = resumed(recorded, changed, len(self.metrics.history))
            except ValueError as error:
                raise RunError(f"{path} is damaged: {error}; restore the file or train again") from error
            write_checked(path, to_json(noted))
        return changed

    def tokenizer_json(self) -> str | None:
        """Return the tokenizer of the run, for ``tokenizers.Tokenizer.from_str``.

        Raises
        ------
        RunError
            If the file is damaged or the tokenizer not supported; see ``docs/run-format.md``.
        """
        path = self.path / "tokenizer.json"
        if not path.exists():
            return None
        data = read_checked(path, most=MOST_BYTES)
        _checked_tokenizer(data, path, self.config.shape)
        return data.decode()

    @property
    def _weights(self) -> Path:
        return self.path / "model.safetensors"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.config.model.name})"


def _shape_from(fields: Fields) -> dict[str, int]:
    entries = fields.fields("shape")
    shape = {name: entries.whole(name, low=int(name != "extra")) for name in fields.mapping("shape")}
    ModelInputs(**shape)  # checks their names
    return shape


def _settings_from(content: dict[str, Any]) -> Settings:
    known = [field.name for field in fields_of(Settings)]
    for name in content:
        if name not in known:
            raise ValueError(f"unknown setting {name!r}; known are {', '.join(known)}")
    return Settings(**content)


def _put_in_place(beside: Path, path: Path) -> None:
    """Rename a folder to a path that does not exist or is an empty folder."""
    try:
        with suppress(FileNotFoundError):
            path.rmdir()
        beside.rename(path)
    except OSError:
        Run.require_free(path)  # another process may have created a run there
        raise


def _new_files(config: RunConfig) -> dict[str, Any]:
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return {
        "run.json": {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "id": uuid.uuid4().hex,
            "created": created,
            "throughtime": version("throughtime"),
        },
        "config.json": config.to_json(),
        "metrics.json": Metrics().to_json(),
        "environment.json": environment(),
    }


def _checked_tokenizer(data: bytes, path: Path, shape: Mapping[str, int]) -> None:
    content = json_object(data, path)
    vocabulary_size = shape.get("vocabulary_size", 0)
    try:
        check_tokenizer(content, vocabulary_size)
    except ValueError as error:
        raise RunError(f"{path} cannot be used: {error}") from error


def _check_format(path: Path) -> None:
    content = json_object(read_bytes(path, most=MOST_BYTES), path)
    number = content.get("version")
    if content.get("format") != FORMAT or not isinstance(number, int) or isinstance(number, bool):
        raise RunError(f"{path} is not from a throughtime run; give the folder of a run")
    if number > FORMAT_VERSION:
        raise RunError(
            f"{path.parent} has run format {number}, newer than format {FORMAT_VERSION}, which this version "
            "reads; upgrade throughtime"
        )
    if number < FORMAT_VERSION:
        raise RunError(
            f"{path.parent} has run format {number}, older than format {FORMAT_VERSION}, which this version "
            "reads; use the version of throughtime that wrote it, or train again"
        )
