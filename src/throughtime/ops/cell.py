"""Which recurrence a layer computes: the kind of cell and its options, spelled as one string.

A plain cell is "LSTM", "GRU", "RNN_TANH" or "RNN_RELU", as in torch. A cell with options is its kind followed
by them as JSON, such as ``GRU{"reset_after": false}``. So a cell is hashable, fits into an operator's schema
and reads well in an error; `spec_of` takes it apart.
"""

import json
import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

Cell = str
Kind = Literal["LSTM", "GRU", "RNN"]


class Activation(NamedTuple):
    r"""A function of the ONNX operators, by name, with its two numbers where it has them.

    ================  =========================  ==============
    name              value                      α, β (default)
    ================  =========================  ==============
    affine            α x + β                    1, 0
    elu               x; below 0: α (exp(x) − 1) 1
    hard_sigmoid      α x + β, within 0 and 1    0.2, 0.5
    leaky_relu        x; below 0: α x            0.01
    relu              max(x, 0)
    scaled_tanh       α tanh(β x)                1.7159, 2/3
    sigmoid           1 / (1 + exp(−x))
    softplus          log(1 + exp(x))
    softsign          x / (1 + abs(x))
    tanh              tanh(x)
    thresholded_relu  x; up to α: 0              1
    ================  =========================  ==============
    """

    name: str
    alpha: float = 0.0
    beta: float = 0.0


# In the order of the native enumeration: name, α and β that an activation has unless told otherwise.
ACTIVATIONS: dict[str, tuple[float, float]] = {
    "affine": (1.0, 0.0),
    "elu": (1.0, 0.0),
    "hard_sigmoid": (0.2, 0.5),
    "leaky_relu": (0.01, 0.0),
    "relu": (0.0, 0.0),
    "scaled_tanh": (1.7159, 2 / 3),
    "sigmoid": (0.0, 0.0),
    "softplus": (0.0, 0.0),
    "softsign": (0.0, 0.0),
    "tanh": (0.0, 0.0),
    "thresholded_relu": (1.0, 0.0),
}

_SIGMOID, _TANH = Activation("sigmoid"), Activation("tanh")
_PLAIN_ACTIVATIONS = {"LSTM": (_SIGMOID, _TANH, _TANH), "GRU": (_SIGMOID, _TANH), "RNN": (_TANH,)}


@dataclass(frozen=True)
class CellSpec:
    """A cell, taken apart.

    Parameters
    ----------
    kind
        "LSTM", "GRU" or "RNN".
    activations
        LSTM: of the gates, of the candidate g, of c; GRU: of r and z, of n; RNN: of h.
    peephole
        LSTM: whether gates see c, by weights of their own.
    coupled
        LSTM: f = 1 − i, so three blocks of weights, i, g, o.
    reset_after
        GRU: whether the reset gate acts on W_hn h + b_hn, or before the product on h.
    update_new
        GRU: whether z admits the new value, h' = (1 − z) h + z n, or keeps the old one.
    clip
        Bound on what goes into the activations of gates and candidates.
    cell_clip
        LSTM: bound on c.
    gradient_value, gradient_norm
        Bounds on the gradients of h and of c that pass from a step to the one before it: on each entry, and
        on the norm of each sequence's.
    """

    kind: Kind
    activations: tuple[Activation, ...]
    peephole: bool = False
    coupled: bool = False
    reset_after: bool = True
    update_new: bool = False
    clip: float = math.inf
    cell_clip: float = math.inf
    gradient_value: float = math.inf
    gradient_norm: float = math.inf

    @property
    def bounds_gradients(self) -> bool:
        """Whether gradients are bounded on their way from step to step."""
        return min(self.gradient_value, self.gradient_norm) < math.inf

    @property
    def gates(self) -> int:
        """Blocks of rows in a weight matrix."""
        return 1 if self.kind == "RNN" else 3 if self.kind == "GRU" or self.coupled else 4

    @property
    def saved(self) -> int:
        """What is kept of each step beside h and c: i f g o; r z n, and n's recurrent part if it has one."""
        return 0 if self.kind == "RNN" else 4 if self.reset_after else 3

    @property
    def pre_activations(self) -> int:
        """Values per unit that meet an activation, n's recurrent part counted apart."""
        return self.saved if self.kind == "GRU" else self.gates

    @property
    def peepholes(self) -> int:
        """Blocks of a peephole's weights: i f o, or i o."""
        return 0 if not self.peephole else 2 if self.coupled else 3


def plain_spec(kind: Kind) -> CellSpec:
    """Return torch's own cell of a kind."""
    return CellSpec(kind, _PLAIN_ACTIVATIONS[kind])


def spell(spec: CellSpec) -> Cell:
    """Return the string that stands for a cell."""
    if spec == plain_spec(spec.kind):
        return "RNN_TANH" if spec.kind == "RNN" else spec.kind
    if spec == CellSpec("RNN", (Activation("relu"),)):
        return "RNN_RELU"
    plain = asdict(plain_spec(spec.kind))
    options = {name: value for name, value in asdict(spec).items() if value != plain[name]}
    return spec.kind + json.dumps(options)


def spec_of(cell: Cell) -> CellSpec:
    """Take the string of a cell apart."""
    return _PLAIN_SPECS[cell] if cell in _PLAIN_SPECS else _taken_apart(cell)


@lru_cache(maxsize=256)
def _taken_apart(cell: Cell) -> CellSpec:
    if cell.startswith("RNN_"):
        return CellSpec("RNN", (Activation(cell.removeprefix("RNN_").lower()),))
    kind, brace, rest = cell.partition("{")
    options = json.loads(brace + rest) if brace else {}
    plain = asdict(plain_spec(kind))  # type: ignore[arg-type]
    activations = options.get("activations", plain["activations"])
    return CellSpec(**{**plain, **options, "activations": tuple(Activation(*a) for a in activations)})


# At hand for torch.compile, which warns of calls to a function with a cache.
_PLAIN_SPECS = {cell: _taken_apart(cell) for cell in ("LSTM", "GRU", "RNN_TANH", "RNN_RELU")}
