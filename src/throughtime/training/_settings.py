"""`ModelSpec` and `Settings`: the architecture and the settings of a training, as frozen dataclasses."""

import dataclasses
import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from throughtime._fields import short
from throughtime.errors import InputTypeError, ShapeError
from throughtime.models import BiGRU, BiLSTM, FrameModel, LanguageModel, TextCNN
from throughtime.training._option_kinds import expected_instead

_CLASSIFIERS: Mapping[str, type[nn.Module]] = {
    "textcnn": TextCNN,
    "bilstm": BiLSTM,
    "bigru": BiGRU,
}
_NEXT_STEP: Mapping[str, type[nn.Module]] = {"language": LanguageModel, "frame": FrameModel}
_MODELS = {**_CLASSIFIERS, **_NEXT_STEP}

MODEL_NAMES = tuple(_MODELS)
"""Names for `ModelSpec`; "language" and "frame" predict the next step, the others are classifiers."""


@dataclass(frozen=True)
class ModelSpec:
    """An architecture of `throughtime.models` with its options.

    Parameters
    ----------
    name : str
        One of `MODEL_NAMES`.
    options : mapping
        Keyword arguments of that class, as JSON values (lists for tuples).

    Raises
    ------
    ShapeError
        If the name or an option is unknown.
    InputTypeError
        If an option has the wrong type.

    Examples
    --------
    >>> model = ModelSpec("bilstm", {"hidden_size": 8}).build(vocabulary_size=10, classes=2)
    >>> model.recurrent.hidden_size
    8
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in _MODELS:
            raise ShapeError(f"unknown model {self.name!r}; choose one of {', '.join(MODEL_NAMES)}")
        parameters = inspect.signature(_MODELS[self.name]).parameters.values()
        known = {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}
        for option in self.options:
            if option not in known:
                raise ShapeError(f"{self.name} has no option {option!r}; its options are {', '.join(known)}")
        for option, value in self.options.items():
            expected = expected_instead(known[option], value)
            if expected is not None:
                raise InputTypeError(f"{self.name}: {option} must be {expected}, got {short(value)}")
        object.__setattr__(self, "options", json.loads(json.dumps(dict(self.options))))

    @property
    def predicts_next_step(self) -> bool:
        """Whether it is a model of the next step, not a classifier."""
        return self.name in _NEXT_STEP

    def build(self, vocabulary_size: int, classes: int) -> nn.Module:
        """Make the model; its weights come from torch's current random state.

        Parameters
        ----------
        vocabulary_size : int
            Tokens are below it; of a model of frames, their notes.
        classes : int
            C, the number of classes; a model of the next step has none.
        """
        if self.predicts_next_step:
            return _NEXT_STEP[self.name](vocabulary_size, **self.options)
        return _CLASSIFIERS[self.name](vocabulary_size, classes, **self.options)


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
    monitor : "accuracy" or "loss"
        What makes a model the best one on validation; equal accuracies are decided by the loss.
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
    monitor: Literal["accuracy", "loss"] = "accuracy"
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
        if self.monitor not in ("accuracy", "loss"):  # a list has no hash for a set
            raise ShapeError(f"monitor must be 'accuracy' or 'loss', got {self.monitor!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise ShapeError(f"precision must be 'float32' or 'bfloat16', got {self.precision!r}")
        if self.k2 is not None and (self.k1 is None or self.k1 > self.k2):
            raise ShapeError(
                f"k2 must be at least k1, the steps per update; got k1 = {self.k1} and k2 = {self.k2}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return dataclasses.asdict(self)

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
