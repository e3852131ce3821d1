"""Random operators with random inputs, determined by their number."""

from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4}

# ONNX's names with a range for alpha and one for beta. Left out of the lists are the numbers of none.
_ACTIVATIONS: dict[str, tuple[tuple[float, float], ...]] = {
    "Affine": ((-0.9, 0.9), (-0.5, 0.5)),
    "Elu": ((0.3, 1.5),),
    "HardSigmoid": ((0.1, 0.4), (0.3, 0.7)),
    "LeakyRelu": ((0.0, 0.6),),
    "Relu": (),
    "ScaledTanh": ((0.4, 1.7), (0.3, 1.3)),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": ((0.0, 0.6),),
}
_UNBOUNDED = {"Affine", "Elu", "LeakyRelu", "Relu", "Softplus", "ThresholdedRelu"}


@dataclass(frozen=True)
class Draw:
    """One operator with its inputs, all float32 but the lengths."""

    kind: str
    attributes: dict[str, Any]
    inputs: dict[str, np.ndarray]


def draw(number: int) -> Draw:
    """Draw an operator; every third is an RNN, LSTM or GRU."""
    random = np.random.default_rng(number)
    kind = ("RNN", "LSTM", "GRU")[number % 3]
    direction = str(random.choice(["forward", "reverse", "bidirectional"]))
    count = 2 if direction == "bidirectional" else 1
    # Sizes on both sides of the widths of vector registers.
    hidden, features = int(random.choice([1, 2, 3, 5, 8, 13, 16, 17, 33])), int(random.integers(1, 7))
    batch, steps = int(random.integers(1, 7)), int(random.integers(1, 9))

    def some(probability: float) -> bool:
        return bool(random.random() < probability)

    def array(*shape: int, scale: float = 1.0) -> np.ndarray:
        return random.uniform(-scale, scale, shape).astype(np.float32)

    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if some(0.6):
        attributes |= _activations(random, {"RNN": 1, "LSTM": 3, "GRU": 2}[kind], count)
    if some(0.5):
        attributes["clip"] = float(random.uniform(0.2, 2))
    if kind == "LSTM":
        attributes["input_forget"] = int(some(0.4))
    if kind == "GRU":
        attributes["linear_before_reset"] = int(some(0.5))
    # States that grow from step to step would show rounding errors only.
    size = 0.4 if _UNBOUNDED & set(attributes.get("activations", ())) else 1.0
    rows = BLOCKS[kind] * hidden
    inputs = {
        "X": array(steps, batch, features, scale=2 * size),
        "W": array(count, rows, features, scale=size),
        "R": array(count, rows, hidden, scale=size * hidden**-0.5),
    }
    if some(0.7):
        inputs["B"] = array(count, 2 * rows, scale=size)
    if some(0.7):
        inputs["sequence_lens"] = random.integers(0, steps + 1, batch).astype(np.int32)
    if some(0.5):
        inputs["initial_h"] = array(count, batch, hidden)
    if kind == "LSTM" and some(0.5):
        inputs["initial_c"] = array(count, batch, hidden, scale=2 * size)
    if kind == "LSTM" and some(0.5):
        inputs["P"] = array(count, 3 * hidden, scale=size)
    return Draw(kind, attributes, inputs)


def _activations(random: np.random.Generator, each: int, directions: int) -> dict[str, Any]:
    names = [str(name) for name in random.choice(list(_ACTIVATIONS), each)]
    numbers = [[float(random.uniform(*span)) for span in _ACTIVATIONS[name]] for name in names]
    attributes: dict[str, Any] = {"activations": directions * names}
    for position, name in enumerate(("activation_alpha", "activation_beta")):
        values = [own[position] for own in numbers if len(own) > position]
        attributes |= {name: directions * values} if values else {}
    return attributes
