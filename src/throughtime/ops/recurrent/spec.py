"""`CellSpec`: what a recurrent cell is, in one object, which everything else reads.

A kind of cell is a subclass, in the file of the layer that users see (that of `throughtime.nn.GRU`, for
example). It holds the names of the gates, its own parameters, its states, its step in plain PyTorch, the
layout of its weights in other formats, and its native code. The loops, autograd, traces, initialisation,
conversion, export, diagnosis and tests read the object, and name no kind of cell.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from torch import Tensor
from torch.nn.functional import linear

from throughtime.errors import InputTypeError
from throughtime.ops.recurrent.activations import Activation, as_argument
from throughtime.ops.recurrent.weights import OwnParameter, Weights


class State(NamedTuple):
    """What goes from step to step: h (n, P), and c (n, H), which is (n, 0) of a cell without c."""

    h: Tensor
    c: Tensor


class RecurrentInput(NamedTuple):
    """What rows of W_hh are multiplied with: their slice, and the tensor (n, P)."""

    rows: slice
    value: Tensor


@dataclass(frozen=True)
class OnnxLayout:
    """How ONNX's operator of a cell lays out its weights and names its options.

    Parameters
    ----------
    operator
        The operator's name.
    to_onnx, from_onnx
        Where each block of rows there stands among ours, and the other way round; −1 for a block of zeros.
    own_to_onnx, own_from_onnx
        The same of the blocks of the cell's own parameter, which is the input P.
    attribute_names
        Those that this operator has beside the ones that all three share.
    attributes
        Their values for this cell, as far as they are written out.
    """

    operator: str
    to_onnx: tuple[int, ...]
    from_onnx: tuple[int, ...]
    own_to_onnx: tuple[int, ...] = ()
    own_from_onnx: tuple[int, ...] = ()
    attribute_names: tuple[str, ...] = ()
    attributes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class KerasLayout:
    """How Keras lays out the weights of a cell.

    Parameters
    ----------
    layer
        The name of Keras's layer.
    to_keras
        Where each block of columns there stands among our blocks of rows.
    two_biases
        Whether its bias has a row for the input and one for the recurrence.
    """

    layer: str
    to_keras: tuple[int, ...]
    two_biases: bool = False

    @property
    def from_keras(self) -> tuple[int, ...]:
        """Where each of our blocks of rows stands there."""
        return tuple(self.to_keras.index(block) for block in range(len(self.to_keras)))


@dataclass(frozen=True)
class NativeCell:
    """The kernel of a cell, by its name in native/kernels/recurrent/cells.h, and its own options."""

    kernel: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CellSpec(ABC):
    """A kind of recurrent cell with its options.

    Subclasses are frozen dataclasses with ``eq=False``, whose fields are the options; two are equal if they
    are of the same kind and have the same options. `name` is both in one string, such as
    ``GRU{"reset_after": false}``, and `CellSpec.parse` undoes it.

    Parameters
    ----------
    activations
        One for each of `activation_roles`.
    clip
        Bound on what goes into the activations of gates and candidates.
    gradient_value, gradient_norm
        Bounds on the gradients of h and of c that pass from a step to the one before it: on each entry, and
        on the norm of each sequence's.
    bfloat16
        Whether the native loop, on float32 tensors, rounds the factors of all matrix products to bfloat16;
        sums, states and gradients are float32. All other code ignores it.
    """

    activations: tuple[Activation, ...]
    clip: float = field(default=math.inf, kw_only=True)
    gradient_value: float = field(default=math.inf, kw_only=True)
    gradient_norm: float = field(default=math.inf, kw_only=True)
    bfloat16: bool = field(default=False, kw_only=True)
    name: str = field(init=False, repr=False)
    is_native: bool = field(init=False, repr=False)
    in_bfloat16: "CellSpec" = field(init=False, repr=False)

    kind: ClassVar[str]
    """The name of the layer in `throughtime.nn`."""
    states: ClassVar[tuple[str, ...]] = ("h",)
    """What goes from step to step: ("h",), or ("h", "c")."""
    activation_roles: ClassVar[tuple[str, ...]]
    """What each of the activations is of."""
    stuck_gates: ClassVar[Mapping[tuple[str, str], str]] = {}
    """What it means if a gate is nearly always "closed" or "open"; gates that are not here may be."""

    _kinds: ClassVar[dict[str, type["CellSpec"]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in cls.__dict__:
            CellSpec.register(cls)

    def __post_init__(self) -> None:
        # Attributes and not properties: every call reads them, and torch.compile does.
        options = self.options(bounds=True) | ({"bfloat16": True} if self.bfloat16 else {})
        object.__setattr__(self, "name", self.kind + (json.dumps(options) if options else ""))
        object.__setattr__(self, "is_native", self.native is not None)
        object.__setattr__(self, "in_bfloat16", self._in_bfloat16())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CellSpec) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def _in_bfloat16(self) -> "CellSpec":
        return replace(self, bfloat16=True) if self.is_native and not self.bfloat16 else self

    @staticmethod
    def register(kind: type["CellSpec"]) -> None:
        """Register a kind of cell for `parse` when its class is defined."""
        CellSpec._kinds[kind.kind] = kind

    @staticmethod
    def forget(kind: type["CellSpec"]) -> None:
        """Undo `register`."""
        CellSpec._kinds.pop(kind.kind, None)
        _parsed.cache_clear()

    @classmethod
    def parse(cls, name: str) -> "CellSpec":
        """Return the cell of this `name`.

        Raises
        ------
        InputTypeError
            If no cell of that kind has been defined.
        """
        return _parsed(name)

    @classmethod
    def _option_fields(cls) -> list["Field[Any]"]:
        return [option for option in fields(cls) if option.init]

    def options(self, *, bounds: bool = False) -> dict[str, Any]:
        """Return the options that are not defaults, those of gradients' ``bounds`` only if told so.

        `bfloat16` belongs to a run, not to the layer, and is not among them.
        """
        own = [
            option.name
            for option in self._option_fields()
            if getattr(self, option.name) != _default_of(option)
            and option.name != "bfloat16"
            and (bounds or option.name not in {"gradient_value", "gradient_norm"})
        ]
        return {name: getattr(self, name) for name in own}

    # ------------------------------------------------------------------------------- gates and parameters

    @property
    @abstractmethod
    def row_blocks(self) -> tuple[str, ...]:
        """Names of the blocks of H rows of W_ih, W_hh and the biases, in order."""

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The gates whose values are kept of each step, in order."""
        return self.row_blocks

    @property
    def linear_names(self) -> tuple[str, ...]:
        """What else is kept of each step: parts of a pre-activation."""
        return ()

    @property
    def own_parameters(self) -> Mapping[str, OwnParameter]:
        """Parameters that only this cell has, by name, without a suffix such as ``_l0_reverse``."""
        return {}

    def own_rows(self, weights: Weights) -> tuple[Tensor, ...]:
        """Return the vectors of H that the cell's own parameters hold, in their order."""
        count = sum(own.rows for own in self.own_parameters.values())
        return () if weights.own is None else weights.own.chunk(count)

    @property
    def gates(self) -> int:
        """How many blocks of rows a weight matrix has."""
        return len(self.row_blocks)

    @property
    def saved(self) -> int:
        """How many values per unit are kept of each step beside the states."""
        return len(self.gate_names) + len(self.linear_names)

    @property
    def pre_activation_names(self) -> tuple[str, ...]:
        """Values per unit whose gradients a step records: the blocks of rows, and `linear_names`."""
        return (*self.row_blocks, *self.linear_names)

    @property
    def recurrent_pre_activations(self) -> tuple[int, ...]:
        """Which of `pre_activation_names` the product W_hh h_{t−1} adds to, in the order of its rows."""
        return tuple(range(self.gates))

    @property
    def has_c(self) -> bool:
        """Whether there is a second state, c."""
        return "c" in self.states

    @property
    def bounds_gradients(self) -> bool:
        """Whether gradients are bounded on their way from step to step."""
        return min(self.gradient_value, self.gradient_norm) < math.inf

    # ------------------------------------------------------------------------------- the equations

    @abstractmethod
    def step(self, x: Tensor, state: State, weights: Weights, context: Tensor | None) -> tuple[State, Tensor]:
        """Return the next state, and the values that are kept of the step (n, S, H): the cell's equations.

        ``x`` is (n, I), and the context (n, G·H) or None, which adds to what a token adds to the gates.
        """

    @abstractmethod
    def pre_activations(
        self,
        from_x: Tensor,
        before: State,
        after: State,
        kept: Mapping[str, Tensor],
        weights: Weights,
    ) -> dict[str, Tensor]:
        """Return each block of rows before its activation, (T, H) each, computed again for all steps at once.

        Parameters
        ----------
        from_x
            (T, G·H): what `from_token` returns for all of them.
        before, after
            The states that each step began with and made.
        kept
            `gate_names` and `linear_names`, (T, H) each.
        """

    def from_token(self, x: Tensor, weights: Weights, context: Tensor | None) -> Tensor:
        """Return what a token adds to the gates before activation, (n, G·H): W_ih x + b_ih + context."""
        from_x = linear(x, weights.ih, weights.bias_ih)
        return from_x if context is None else from_x + context

    def recurrent_inputs(self, h_before: Tensor, kept: Tensor) -> list[RecurrentInput]:  # noqa: ARG002
        """Return what the rows of W_hh are multiplied with, given h_{t−1} (n, P) and kept (n, S, H)."""
        return [RecurrentInput(slice(None), h_before)]

    def along_c(self, gradient: Tensor, c_before: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        """Return the part of ∂L/∂c_t that comes to c_{t−1} along c itself, not through gates."""
        raise NotImplementedError(f"{self.kind} has no cell state c")

    @property
    def keeping_biases(self) -> Mapping[str, int]:
        """Gates whose bias sets how long a state is kept: +1 if a larger bias keeps it longer, else −1."""
        return {}

    # ------------------------------------------------------------------------------- other code for it

    @property
    def native(self) -> NativeCell | None:
        """The native code; None if there is none, so that the loop runs in Python."""
        return None

    @property
    def torch_function(self) -> Any:
        """Torch's own fused function of this very cell, or None."""
        return None

    def returns_autocast_dtype(self, *, fused: bool) -> bool:  # noqa: ARG002
        """Tell whether torch's layer returns the autocast dtype; ``fused``: on a dense tensor."""
        return False

    @property
    def onnx(self) -> OnnxLayout | None:
        """ONNX's operator of this cell, or None."""
        return None

    @classmethod
    def options_from_onnx(cls, attributes: Mapping[str, Any], *, own: bool) -> dict[str, Any]:  # noqa: ARG003
        """Return the layer's options that the operator's own attributes say; ``own``: whether it has P."""
        return {}

    @property
    def keras(self) -> KerasLayout | None:
        """Keras's layer of this cell, or None."""
        return None

    def layer_options(self) -> dict[str, Any]:
        """Return the arguments of the layer's constructor that make this cell, without defaults."""
        options = self.options()
        if "activations" in options:
            options["activations"] = tuple(as_argument(activation) for activation in self.activations)
        return options

    def _sums(self, x: Tensor, h: Tensor, weights: Weights, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return W_ih x + b_ih + context, and W_hh h + b_hh."""
        return self.from_token(x, weights, context), linear(h, weights.hh, weights.bias_hh)


def _default_of(option: "Field[Any]") -> Any:
    if option.default is not MISSING:
        return option.default
    return option.default_factory() if option.default_factory is not MISSING else MISSING


@lru_cache(maxsize=256)
def _parsed(name: str) -> CellSpec:
    kind, brace, rest = name.partition("{")
    found = CellSpec._kinds.get(kind)  # noqa: SLF001
    if found is None:
        raise InputTypeError(f"unknown recurrent cell {kind!r}; choose one of {', '.join(CellSpec._kinds)}")  # noqa: SLF001
    options = json.loads(brace + rest) if brace else {}
    if "activations" in options:
        options["activations"] = tuple(Activation(*activation) for activation in options["activations"])
    return found(**options)
