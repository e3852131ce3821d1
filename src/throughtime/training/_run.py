"""`Run`: the folder of one training. Holds JSON and safetensors, so opening it cannot run code.

What each file holds, byte by byte, is in ``docs/run-format.md``.
"""

import datetime as dt
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from throughtime.data.examples import Source
from throughtime.data.next_step import NextStepSource
from throughtime.errors import RunError
from throughtime.training._environment import environment, version
from throughtime.training._files import misfit_of, read_json, sync_folder, write_bytes, write_json, writing
from throughtime.training._metrics import Metrics
from throughtime.training._settings import ModelSpec, Settings
from throughtime.training._tensor_file import read_tree, write_tree

FORMAT = "throughtime-run"
FORMAT_VERSION = 1

_NEEDED = ("run.json", "config.json", "metrics.json", "environment.json")


@dataclass(frozen=True)
class RunConfig:
    """What a training was told and on which data: enough to build its model and to repeat it.

    Parameters
    ----------
    task : mapping
        JSON values of the caller's own, such as the names of the columns.
    model : ModelSpec
        The architecture.
    classes : tuple of str
        Names, in the order of the logits.
    vocabulary_size : int
        Tokens are below it.
    data : mapping
        The source's own description.
    settings : Settings
        How the training goes.
    """

    task: Mapping[str, Any]
    model: ModelSpec
    classes: tuple[str, ...]
    vocabulary_size: int
    data: Mapping[str, Any]
    settings: Settings

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        return {
            "task": dict(self.task),
            "model": {"name": self.model.name, "options": dict(self.model.options)},
            "classes": list(self.classes),
            "vocabulary_size": self.vocabulary_size,
            "data": dict(self.data),
            "settings": self.settings.to_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "RunConfig":
        """Undo `to_json`; raises what a wrong key, kind or value raises."""
        return cls(
            task=dict(content["task"]),
            model=ModelSpec(content["model"]["name"], content["model"]["options"]),
            classes=tuple(str(name) for name in content["classes"]),
            vocabulary_size=int(content["vocabulary_size"]),
            data=dict(content["data"]),
            settings=Settings(**content["settings"]),
        )


class Run:
    """The folder of one training: what it was told, what came out, and where it stands.

    Made by `Run.create` or `Run.open`.

    Attributes
    ----------
    path : Path
        The folder.
    config : RunConfig
        What the training was told.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        source: Source | NextStepSource,
        model: ModelSpec,
        settings: Settings,
        task: Mapping[str, Any] | None = None,
        tokenizer_json: str | None = None,
    ) -> "Run":
        """Make the folder of a training that has not begun. It appears complete or not at all.

        Parameters
        ----------
        path : str or Path
            Must not exist yet, or be an empty folder; folders above it are made.
        source : Source or NextStepSource
            What will be trained on: its classes, vocabulary size and description are written down.
        model : ModelSpec
            The architecture.
        settings : Settings
            How the training goes.
        task : mapping, optional
            JSON values of the caller's own, given back by ``run.config.task``.
        tokenizer_json : str, optional
            A tokenizer of the `tokenizers` library, as its ``to_str`` gives it.

        Raises
        ------
        RunError
            If something is in the way, or the folder cannot be written.
        """
        path = Path(path)
        cls.require_free(path)
        config = RunConfig(
            task=dict(task or {}),
            model=model,
            classes=tuple(source.classes),
            vocabulary_size=source.vocabulary_size,
            data=source.describe(),
            settings=settings,
        )
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
            beside.mkdir()
            try:
                _write_new(beside, config, tokenizer_json)
                if path.exists():
                    path.rmdir()  # empty, or it fails
                beside.rename(path)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise
            sync_folder(path.parent)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open the folder of a training, whether it has ended or not.

        Raises
        ------
        RunError
            If it is not a run, is damaged, or was written by a newer throughtime.
        """
        path = Path(path)
        if not path.exists():
            raise RunError(f"{path} does not exist; give the folder that a training wrote")
        if not path.is_dir():
            raise RunError(f"{path} is a file, not a run; give the folder that a training wrote")
        for name in _NEEDED:
            if not (path / name).is_file():
                raise RunError(f"{path} is not a run: {name} is missing; give the folder a training wrote")
        _check_format(path / "run.json")
        config = path / "config.json"
        try:
            return cls(path, RunConfig.from_json(read_json(config)))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise RunError(f"{config} is damaged: {reason}; restore the file or train again") from error

    @staticmethod
    def require_free(path: str | Path) -> None:
        """Check that a run can be made here, without touching anything.

        Raises
        ------
        RunError
            If ``path`` is a file, already holds a run, or holds anything else.
        """
        path = Path(path)
        if path.is_dir():
            if (path / "run.json").exists():
                raise RunError(
                    f"{path} already holds a run; go on with it (--resume) or choose another --out"
                )
            if any(path.iterdir()):
                raise RunError(f"{path} is not empty and not a run; choose another --out")
        elif path.exists():
            raise RunError(f"{path} is a file; choose another --out")

    @property
    def metrics(self) -> Metrics:
        """The figures so far, read anew each time.

        Raises
        ------
        RunError
            If the file is damaged.
        """
        path = self.path / "metrics.json"
        try:
            return Metrics.from_json(read_json(path))
        except (KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged ({error!r}); restore the file or train again") from error

    @property
    def finished(self) -> bool:
        """Whether the training has ended by itself, rather than been interrupted."""
        return self.metrics.stopped is not None

    @property
    def has_model(self) -> bool:
        """Whether weights have been saved."""
        return self._weights.exists()

    @property
    def state_path(self) -> Path:
        """Where the state of an unfinished training is, once one was saved."""
        return self.path / "state.safetensors"

    def load_model(self) -> nn.Module:
        """Build the model and give it the best weights so far.

        Returns
        -------
        Module
            In evaluation mode, on the CPU: tokens to logits (B, C).

        Raises
        ------
        RunError
            If there are no weights yet, or they are cut short, damaged, or of another model.
        """
        if not self.has_model:
            raise RunError(
                f"{self.path} has no weights yet: model.safetensors is missing; go on training (--resume)"
            )
        weights = read_tree(self._weights)
        model = self._new_model()
        misfit = misfit_of(model.state_dict(), weights)
        if misfit:
            raise RunError(
                f"{self._weights} does not fit the model of config.json: {misfit}; "
                "restore the files or train again"
            )
        model.load_state_dict(weights)
        return model.eval()

    def _new_model(self) -> nn.Module:
        """Build the model with weights that are not to be kept, so without touching the random state."""
        config = self.config
        try:
            with torch.random.fork_rng(devices=[]):
                return config.model.build(config.vocabulary_size, len(config.classes))
        except (TypeError, ValueError, RuntimeError) as error:
            raise RunError(
                f"{self.path / 'config.json'} is damaged: its model cannot be built "
                f"({' '.join(str(error).split())}); restore the file or train again"
            ) from error

    def save_model(self, model: nn.Module) -> None:
        """Write the model's weights, atomically, over those that may be there."""
        write_tree(self._weights, model.state_dict())

    def save_metrics(self, metrics: Metrics) -> None:
        """Write the figures, atomically, over those that are there."""
        write_json(self.path / "metrics.json", metrics.to_json())

    def tokenizer_json(self) -> str | None:
        """Return the tokenizer that the run was made with, for ``tokenizers.Tokenizer.from_str``."""
        path = self.path / "tokenizer.json"
        try:
            return path.read_text(encoding="utf-8") if path.exists() else None
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{path} cannot be read ({error}); restore the file or train again") from error

    @property
    def _weights(self) -> Path:
        return self.path / "model.safetensors"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.config.model.name})"


def _write_new(folder: Path, config: RunConfig, tokenizer_json: str | None) -> None:
    created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    write_json(
        folder / "run.json",
        {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "created": created,
            "throughtime": version("throughtime"),
        },
    )
    write_json(folder / "config.json", config.to_json())
    write_json(folder / "metrics.json", Metrics().to_json())
    write_json(folder / "environment.json", environment())
    if tokenizer_json is not None:
        write_bytes(folder / "tokenizer.json", tokenizer_json.encode())


def _check_format(path: Path) -> None:
    content = read_json(path)
    if content.get("format") != FORMAT or not isinstance(content.get("version"), int):
        raise RunError(f"{path} is not of a throughtime run; give the folder that a training wrote")
    if content["version"] > FORMAT_VERSION:
        raise RunError(
            f"{path.parent} is of run format {content['version']}, this throughtime reads up to "
            f"{FORMAT_VERSION}; upgrade throughtime"
        )
