"""`ModelSpec` and `Settings`: the architecture and the settings of a training, as frozen dataclasses."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from throughtime._fields import Fields
from throughtime.errors import ShapeError
from throughtime.models import Blend, ModelInputs, build_model, check_options, is_solved
from throughtime.tasks import METRICS, Task

ModelFactory = Callable[[ModelInputs, int | None], nn.Module]
"""Builds a model from what it reads and its number of outputs, None for a model of the next step."""
CUSTOM = "custom"
"""Name of models that a `ModelFactory` builds."""
BLEND = "blend"
"""Name of a `throughtime.models.Blend` of several models, see `ModelSpec.blend`."""


@dataclass(frozen=True)
class ModelSpec:
    """An architecture by its name in `throughtime.models.MODELS`, with its options.

    Parameters
    ----------
    name : str
        One of `throughtime.models.MODELS`, `BLEND` for a blend of several, or `CUSTOM` for a model that a
        function of the caller builds.
    options : mapping
        Keyword arguments of that class, as JSON values (lists for tuples); of a blend see `blend`.

    Raises
    ------
    ShapeError
        If the name or an option is unknown.
    InputTypeError
        If an option has the wrong type.

    Examples
    --------
    >>> from throughtime.tasks import Classification
    >>> spec = ModelSpec("bilstm", {"hidden_size": 8})
    >>> spec.build({"vocabulary_size": 10}, Classification(("no", "yes"))).recurrent.hidden_size
    8
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name == BLEND:
            self._members()
        elif self.name != CUSTOM:
            check_options(self.name, self.options)
        object.__setattr__(self, "options", json.loads(json.dumps(dict(self.options))))

    @classmethod
    def blend(cls, members: Sequence[tuple["ModelSpec", int]]) -> "ModelSpec":
        """Return the architecture of a blend, from those of its models and the number of copies of each.

        Examples
        --------
        >>> from throughtime.tasks import Classification
        >>> spec = ModelSpec.blend([(ModelSpec("textcnn"), 3), (ModelSpec("bilstm"), 1)])
        >>> model = spec.build({"vocabulary_size": 10}, Classification(("no", "yes")))
        >>> [len(copies) for copies in model.members]
        [3, 1]
        """
        content = [
            {"name": spec.name, "options": dict(spec.options), "copies": copies} for spec, copies in members
        ]
        return cls(BLEND, {"members": content})

    @property
    def is_blend(self) -> bool:
        """Whether it is a blend of several models."""
        return self.name == BLEND

    def _members(self) -> list[tuple["ModelSpec", int]]:
        """Return the models of a blend, and the number of copies of each."""
        try:
            members = [Fields(member, "member.") for member in Fields(self.options).items("members")]
            return [
                (ModelSpec(member.text("name"), member.mapping("options")), member.whole("copies", low=1))
                for member in members
            ]
        except ValueError as error:
            raise ShapeError(f"the options of a blend are damaged: {error}") from error

    @property
    def solved(self) -> bool:
        """Whether a solver computes the weights, see `throughtime.models.NamedModel.solved`."""
        return is_solved(self.name)

    def build(self, shape: Mapping[str, int], task: Task, factory: ModelFactory | None = None) -> nn.Module:
        """Make the model of a task; its weights come from torch's current random state.

        Parameters
        ----------
        shape : mapping
            What the model reads, see `throughtime.data.examples.Source`.
        task : Task
            Decides the outputs.
        factory : callable, optional
            Builds a custom model from `ModelInputs` and the number of outputs.

        Raises
        ------
        ShapeError
            If the model is custom and there is no factory.
        """
        inputs = ModelInputs(**task.shape(shape))
        if self.name == CUSTOM:
            if factory is None:
                raise ShapeError("the model was built by a function of the user; pass that function")
            return task.complete_model(factory(inputs, task.outputs))
        if self.name == BLEND:
            return Blend(
                [[spec.build(shape, task) for _ in range(copies)] for spec, copies in self._members()]
            )
        model = build_model(self.name, inputs, task.outputs, level=task.level, options=self.options)
        return task.complete_model(model)


@dataclass(frozen=True)
class Settings:
    """How a training goes. All but those on checkpoints decide the result.

    Parameters
    ----------
    epochs : int
        Most times that the training examples are seen.
    tokens_per_batch : int
        No batch has more tokens, except a single sequence that is longer itself.
    learning_rate : float
        Of AdamW, at its highest: it rises linearly during warm-up and falls along a cosine to 0.
    weight_decay : float
        Of AdamW.
    warmup : float
        Share of the whole training in which the learning rate rises, from 0 to 1.
    clip : float or None
        Gradients are scaled down to this norm; None leaves them as they are.
    clip_value : float or None
        Before that, each entry of a gradient is bounded by it.
    clip_percentile : float or None
        In place of ``clip``, which is None then: the norm is that percentile of all norms so far, see
        `throughtime.diagnose.AdaptiveClip`.
    clip_recurrent : float or None
        Inside of recurrent layers, what passes from a step to the one before it is scaled down to this norm,
        see ``bound_gradients`` of these layers.
    k1, k2 : int or None
        Of models of the next step: truncated backpropagation through time BPTT(k2; k1), see
        `throughtime.bptt.windows`; without ``k2`` it is ``k1``. None otherwise.
    streams : int or None
        Of models of the next step: how many parts of a text, or sequences of frames, are read side by side.
        None otherwise: batches then have ``tokens_per_batch``.
    precision : "float32" or "bfloat16"
        In bfloat16, large products run under autocast; weights and states stay float32.
    monitor : str or None
        The metric on validation that the best epoch is chosen by, one of `throughtime.tasks.METRICS`; equal
        ones are decided by the loss. None is the default of the task.
    keep : "best" or "last"
        The weights of which epoch are kept: the best on validation, or the last, for trainings of a fixed
        length. Those of the last one are saved, with the state, whenever ``checkpoint_every_steps`` or
        ``checkpoint_every_seconds`` have passed, and at the end.
    patience : int or None
        Training ends after so many epochs without a new best model; None never ends it.
    seed : int
        Of weights, batches, and dropout; below 2**63.
    checkpoint_every_steps : int or None
        State is saved after so many steps, besides at the end of each epoch.
    checkpoint_every_seconds : float or None
        State is saved when the last save is longer ago than this, besides at the end of each epoch.

    Raises
    ------
    ShapeError
        If a value is outside its range.
    """

    epochs: int = 10
    tokens_per_batch: int = 4096
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip: float | None = 1.0
    monitor: str | None = None
    patience: int | None = 3
    seed: int = 0
    checkpoint_every_steps: int | None = None
    checkpoint_every_seconds: float | None = 60.0
    clip_value: float | None = None
    clip_percentile: float | None = None
    clip_recurrent: float | None = None
    k1: int | None = None
    k2: int | None = None
    streams: int | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    keep: Literal["best", "last"] = "best"

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "tokens_per_batch",
            "patience",
            "checkpoint_every_steps",
            "k1",
            "k2",
            "streams",
        ):
            _check(self, name, whole=True, low=1)
        _check(self, "seed", whole=True, low=0, high=2**63 - 1)
        for name in ("learning_rate", "weight_decay", "clip", "checkpoint_every_seconds"):
            _check(self, name, low=0)
        for name in ("clip_value", "clip_recurrent"):
            _check(self, name, low=1e-30)
        _check(self, "clip_percentile", low=0, high=100)
        if self.clip is not None and self.clip_percentile is not None:
            raise ShapeError(
                f"clip = {self.clip} and clip_percentile = {self.clip_percentile} are two thresholds for one "
                "norm; give one of them, and None for the other"
            )
        _check(self, "warmup", low=0, high=1)
        if self.monitor is not None and (not isinstance(self.monitor, str) or self.monitor not in METRICS):
            raise ShapeError(f"monitor must be one of {', '.join(METRICS)}, got {self.monitor!r}")
        if self.keep not in ("best", "last"):
            raise ShapeError(f"keep must be 'best' or 'last', got {self.keep!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise ShapeError(f"precision must be 'float32' or 'bfloat16', got {self.precision!r}")
        if self.k2 is not None and (self.k1 is None or self.k1 > self.k2):
            raise ShapeError(
                f"k2 must be at least k1, the steps per update; got k1 = {self.k1} and k2 = {self.k2}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return dataclasses.asdict(self)

    def monitored(self, task: Task) -> str:
        """Return the metric that the best epoch is chosen by.

        Raises
        ------
        ShapeError
            If the task has no such metric.
        """
        return task.monitor if self.monitor is None else task.require_metric(self.monitor)

    def learning_rate_at(self, progress: float) -> float:
        """Return the learning rate when this share of the training is done, from 0 to 1.

        Examples
        --------
        >>> settings = Settings(learning_rate=0.1, warmup=0.2)
        >>> [round(settings.learning_rate_at(p), 3) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
        [0.0, 0.05, 0.1, 0.05, 0.0]
        """
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        falling = (progress - self.warmup) / (1 - self.warmup) if self.warmup < 1 else 0.0
        return self.learning_rate * (1 + math.cos(math.pi * falling)) / 2


_OPTIONAL = (
    "clip",
    "clip_value",
    "clip_percentile",
    "clip_recurrent",
    "patience",
    "checkpoint_every_steps",
    "checkpoint_every_seconds",
    "k1",
    "k2",
    "streams",
)


def _check(settings: Settings, name: str, *, low: float, high: float = math.inf, whole: bool = False) -> None:
    value = getattr(settings, name)
    if value is None and name in _OPTIONAL:
        return
    wanted = f"{'a whole number' if whole else 'a number'} from {low}"
    wanted += f" to {high}" if high < math.inf else " upwards"
    wanted += " or None" if name in _OPTIONAL else ""
    number = isinstance(value, int) if whole else isinstance(value, int | float)
    if not number or isinstance(value, bool) or not low <= value <= high or value == math.inf:
        raise ShapeError(f"{name} must be {wanted}, got {value!r}")
