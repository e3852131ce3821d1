"""The models by name: what each can do, its options, and how it is built."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from torch import nn

from throughtime._fields import short
from throughtime._options import DeclaredOption, options_of
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.models._char_cnn import CharCNN
from throughtime.models._fcn import FCN
from throughtime.models._forecast import ForecastModel
from throughtime.models._frame_model import FrameModel
from throughtime.models._inception_time import InceptionTime
from throughtime.models._inputs import InputKind, ModelInputs
from throughtime.models._language_model import LanguageModel
from throughtime.models._lstm_fcn import LSTMFCN
from throughtime.models._ngrams import NGrams
from throughtime.models._recurrent import BiGRU, BiLSTM, BiRNN, GRUModel, LSTMModel, RNNModel
from throughtime.models._resnet import ResNet
from throughtime.models._rocket import Rocket
from throughtime.models._sequence_model import SequenceModel
from throughtime.models._tcn import TCN
from throughtime.models._text_cnn import TextCNN
from throughtime.models.next_step import NextStep
from throughtime.models.solved import SolvedModel

Level = Literal["sequence", "step", "next"]


@dataclass(frozen=True)
class NamedModel:
    """A model that can be built by name; all about it is read from its class.

    Parameters
    ----------
    cls : type
        A class of `throughtime.models`.
    defaults : mapping
        Arguments of its constructor that have another default by name.
    searched : tuple of "tokens" and "series"
        Inputs for which ``throughtime tune`` tries this model, unless the user names one.
    """

    cls: type[SequenceModel] | type[NextStep]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    searched: tuple[InputKind, ...] = ()

    @property
    def levels(self) -> tuple[Level, ...]:
        """What its outputs belong to: each sequence, each step, or the step that comes next."""
        if issubclass(self.cls, NextStep):
            return ("next",)
        per_step = "per_step" in inspect.signature(self.cls).parameters
        return ("sequence", "step") if per_step else ("sequence",)

    @property
    def reads(self) -> tuple[InputKind, ...]:
        """What it reads: tokens, numeric series, or either."""
        return self.cls.reads

    @property
    def solved(self) -> bool:
        """Whether a solver computes its weights, so that it is trained without steps and epochs."""
        return issubclass(self.cls, SolvedModel)

    @property
    def options(self) -> Mapping[str, DeclaredOption]:
        """Its options by name."""
        return options_of(self.cls, self.defaults)


MODELS: Mapping[str, NamedModel] = {
    "rnn": NamedModel(RNNModel),
    "lstm": NamedModel(LSTMModel),
    "gru": NamedModel(GRUModel),
    "birnn": NamedModel(BiRNN),
    "bilstm": NamedModel(BiLSTM, searched=("tokens", "series")),
    "bigru": NamedModel(BiGRU, searched=("tokens", "series")),
    "textcnn": NamedModel(TextCNN, searched=("tokens",)),
    "charcnn": NamedModel(CharCNN),
    "tcn": NamedModel(TCN, searched=("series",)),
    "fcn": NamedModel(FCN, searched=("series",)),
    "resnet": NamedModel(ResNet, searched=("series",)),
    "inceptiontime": NamedModel(InceptionTime, {"members": 1, "average": "outputs"}, ("series",)),
    "lstmfcn": NamedModel(LSTMFCN, searched=("series",)),
    "ngrams": NamedModel(NGrams),
    "rocket": NamedModel(Rocket),
    "language": NamedModel(LanguageModel),
    "frame": NamedModel(FrameModel),
    "forecast": NamedModel(ForecastModel),
}
"""The models by name."""


def is_solved(name: str | None) -> bool:
    """Return whether this is the name of a model whose weights are solved for; see `NamedModel.solved`.

    Examples
    --------
    >>> import throughtime as tt
    >>> tt.models.is_solved("ngrams"), tt.models.is_solved("textcnn"), tt.models.is_solved(None)
    (True, False, False)
    """
    return name is not None and name in MODELS and MODELS[name].solved


_PER = {
    "sequence": "has one output per sequence",
    "step": "has one output per step",
    "next": "predicts the next step",
}


def models_for(level: Level, inputs: InputKind | None = None) -> tuple[str, ...]:
    """Return the names of the models with outputs of a level, and that read a kind of input.

    Examples
    --------
    >>> import throughtime as tt
    >>> tt.models.models_for("next", "series")
    ('frame', 'forecast')
    """
    return tuple(
        name
        for name, model in MODELS.items()
        if level in model.levels and (inputs is None or inputs in model.reads)
    )


def model_options(name: str) -> Mapping[str, DeclaredOption]:
    """Return the options of a model by name, each with its type, range, default and help text.

    Raises
    ------
    ShapeError
        If there is no such model.

    Examples
    --------
    >>> import throughtime as tt
    >>> list(tt.models.model_options("textcnn"))
    ['embedding_size', 'channels', 'kernel_sizes', 'dropout']
    """
    return _named(name, tuple(MODELS)).options


def all_options() -> Mapping[str, Mapping[str, DeclaredOption]]:
    """Return the options of all models: by the option's name, then by that of the model.

    The help text and the flag of an option are the same for every model; type, range and default may differ.

    Examples
    --------
    >>> import throughtime as tt
    >>> {model: option.default for model, option in tt.models.all_options()["length"].items()}
    {'charcnn': 1014, 'lstmfcn': None}
    """
    union: dict[str, dict[str, DeclaredOption]] = {}
    for name, model in MODELS.items():
        for option in model.options.values():
            union.setdefault(option.name, {})[name] = option
    return union


def build_model(
    name: str,
    inputs: ModelInputs,
    outputs: int | None = None,
    *,
    level: Level = "sequence",
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a model by name; its weights come from torch's current random state.

    Parameters
    ----------
    name : str
        A name of `MODELS`.
    inputs : ModelInputs
        What it reads.
    outputs : int, optional
        N, the number of outputs: classes, labels, or targets. A model of the next step has none.
    level : "sequence", "step" or "next"
        What an output belongs to: each sequence, (B, N), each of its steps, (T, N), or the step that comes
        next.
    options : mapping, optional
        Of this model, see `model_options`; lists may stand for tuples, as in JSON.

    Raises
    ------
    ShapeError
        If the name or an option is unknown, or a number is out of range.
    InputTypeError
        If an option has the wrong type.
    UnsupportedError
        If the model cannot read such inputs or has no outputs of that level.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> inputs = tt.models.ModelInputs(channels=2)
    >>> model = tt.models.build_model("gru", inputs, 3, level="step", options={"hidden_size": 8})
    >>> model(tt.Ragged.from_list([torch.randn(4, 2), torch.randn(1, 2)]))
    Ragged(lengths=[4, 1], features=(3,), dtype=float32, requires_grad=True)
    """
    if level not in get_args(Level):
        raise ShapeError(f"level must be one of {', '.join(get_args(Level))}, got {level!r}")
    model = _named(name, models_for(level))
    _check_fit(name, model, inputs, level)
    given = check_options(name, options or {})
    return _built(name, model, inputs, outputs, level, {**model.defaults, **given})


def check_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked options of a model by name, lists as tuples.

    Raises
    ------
    ShapeError
        If the name or an option is unknown, or a number is out of range.
    InputTypeError
        If an option has the wrong type.

    Examples
    --------
    >>> import throughtime as tt
    >>> tt.models.check_options("textcnn", {"kernel_sizes": [2, 3]})
    {'kernel_sizes': (2, 3)}
    """
    known = model_options(name)
    for option, value in options.items():
        if option not in known:
            raise ShapeError(f"{name} has no option {option!r}; its options are {', '.join(known)}")
        known[option].check(value, name)
    return {option: tuple(value) if isinstance(value, list) else value for option, value in options.items()}


def _named(name: str, choices: Sequence[str]) -> NamedModel:
    if name not in MODELS:
        raise ShapeError(f"unknown model {name!r}; choose one of {', '.join(choices)}")
    return MODELS[name]


def _check_fit(name: str, model: NamedModel, inputs: ModelInputs, level: Level) -> None:
    choices = ", ".join(models_for(level, inputs.kind)) or "none"
    if level not in model.levels:
        can = " or ".join(_PER[each] for each in model.levels)
        raise UnsupportedError(f"{name} {can}; a model that {_PER[level]} is one of {choices}")
    if inputs.kind not in model.reads:
        can = " or ".join(model.reads)
        raise UnsupportedError(
            f"{name} reads {can}, not {inputs.kind}; a model that does is one of {choices}"
        )
    if level == "next" and inputs.extra:
        raise UnsupportedError(
            f"{name} reads no extra features of the whole sequence, got {inputs.extra}; leave them out"
        )


def _built(
    name: str,
    model: NamedModel,
    inputs: ModelInputs,
    outputs: int | None,
    level: Level,
    arguments: Mapping[str, Any],
) -> nn.Module:
    cls: Any = model.cls
    if level == "next":
        if outputs is not None:
            raise ShapeError(f"{name} predicts the next step and has no other outputs, got outputs={outputs}")
        return cls(inputs.channels or inputs.vocabulary_size, **arguments)  # type: ignore[no-any-return]
    if not isinstance(outputs, int) or isinstance(outputs, bool):
        raise InputTypeError(f"{name}: outputs must be a whole number, got {short(outputs)}")
    if outputs < 1:
        raise ShapeError(f"{name}: outputs must be at least 1, got {outputs}")
    per_step = {"per_step": True} if level == "step" else {}
    return cls(inputs, outputs, **per_step, **arguments)  # type: ignore[no-any-return]
