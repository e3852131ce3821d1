"""Encoded programs in plain NumPy: one sequence, one step, one instruction after the other.

The meaning of places and operators is that of native/kernels/program/program.h and operators.h.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Place = tuple[str, int, int]
Instruction = tuple[str, Place, tuple[Place, ...], int, int, tuple[float, ...]]


@dataclass
class Source:
    """The arguments of `throughtime._native.Program`."""

    instructions: list[Instruction] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    locals: list[int] = field(default_factory=list)
    states: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    matrices: list[tuple[int, bool]] = field(default_factory=list)


@dataclass
class Arrays:
    """The arguments of its ``run``."""

    tokens: list[Array] = field(default_factory=list)
    previous: list[Array] = field(default_factory=list)
    previous_initial: list[Array | None] = field(default_factory=list)
    sequences: list[Array] = field(default_factory=list)
    vectors: list[Array] = field(default_factory=list)
    matrices: list[Array] = field(default_factory=list)
    states: list[Array | None] = field(default_factory=list)


_erf = np.vectorize(math.erf, otypes=[float])

POINTWISE: dict[str, Callable[..., Array]] = {
    "copy": lambda a: a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "fma": lambda a, b, c: a * b + c,
    "lerp": lambda a, b, c: a + c * (b - a),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": lambda a, b, c: np.where(a != 0, b, c),
    "lt": lambda a, b: (a < b).astype(a.dtype),
    "le": lambda a, b: (a <= b).astype(a.dtype),
    "gt": lambda a, b: (a > b).astype(a.dtype),
    "ge": lambda a, b: (a >= b).astype(a.dtype),
    "eq": lambda a, b: (a == b).astype(a.dtype),
    "ne": lambda a, b: (a != b).astype(a.dtype),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "relu": lambda a: np.where(a <= 0, a * 0, a),
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "reciprocal": lambda a: 1 / a,
    "abs": np.abs,
    "sign": lambda a: (a > 0).astype(a.dtype) - (a < 0).astype(a.dtype),
    "sin": np.sin,
    "cos": np.cos,
    "erf": lambda a: _erf(a).astype(a.dtype),
    "softplus": lambda a: np.logaddexp(a, a * 0),
    "square": lambda a: a * a,
    "sigmoid_gradient": lambda a, b: a * b * (1 - b),
    "tanh_gradient": lambda a, b: a * (1 - b * b),
}
NUMBERED: dict[str, Callable[..., Array]] = {
    "affine": lambda a, alpha, beta: alpha * a + beta,
    "pow": lambda a, exponent: a**exponent,
}
LAYOUTS: dict[str, Callable[..., Array]] = {
    "sum": lambda a, width: a.reshape(width, -1).sum(1),
    "max": lambda a, width: a.reshape(width, -1).max(1),
    "sum_strided": lambda a, width: a.reshape(-1, width).sum(0),
    "repeat": lambda a, width: a.repeat(width // len(a)),
    "tile": lambda a, width: np.tile(a, width // len(a)),
    "inverse_deviation": lambda a, width, eps: 1 / np.sqrt(a.reshape(width, -1).var(1) + eps),
}

# Of whole rows, and of one number.
ROWS: dict[str, Callable[..., Array]] = {
    "standardize": lambda a, r: (a - a.mean()) * r,
    "standardize_gradient": lambda a, b, r: r * (a - a.mean() - b * (a * b).mean()),
}


def interpret(
    source: Source, arrays: Arrays, rows: Sequence[Sequence[int]], dtype: Any
) -> tuple[list[Array], list[Array]]:
    """Return the final states (B, ·) and the outputs (T, ·); ``rows`` are the tokens of each sequence, as read."""
    total = sum(map(len, rows))
    final = [np.zeros((len(rows), width), dtype) for width in source.states]
    outputs = [np.full((total, width), np.nan, dtype) for width in source.outputs]
    for b, tokens in enumerate(rows):
        state = [
            np.zeros(width, dtype) if start is None else start[b].astype(dtype)
            for width, start in zip(source.states, arrays.states, strict=True)
        ]
        for t, token in enumerate(tokens):
            before = [
                initial[b]
                if last and initial is not None
                else np.zeros(matrix.shape[1])
                if last
                else matrix[next_]
                for last, next_ in [(t + 1 == len(tokens), tokens[min(t + 1, len(tokens) - 1)])]
                for matrix, initial in zip(arrays.previous, arrays.previous_initial, strict=True)
            ]
            values = {
                "token": [matrix[token] for matrix in arrays.tokens],
                "previous": before,
                "sequence": [matrix[b] for matrix in arrays.sequences],
                "vector": arrays.vectors,
                "state": state,
                "row": [np.full(width, np.nan, dtype) for width in source.rows],
                "local": [np.full(width, np.nan, dtype) for width in source.locals],
                "next": [np.full(width, np.nan, dtype) for width in source.states],
                "output": [matrix[token] for matrix in outputs],
            }
            for instruction in source.instructions:
                _run(instruction, source, arrays, values, dtype)
            state = values["next"]
        for k, value in enumerate(state):
            final[k][b] = value
    return final, outputs


def _run(
    instruction: Instruction, source: Source, arrays: Arrays, values: dict[str, list[Array]], dtype: Any
) -> None:
    name, out, operands, width, index, numbers = instruction
    reads = index if name in LAYOUTS else width

    def columns(place: Place, count: int) -> Array:
        kind, k, offset = place
        return values[kind][k][offset : offset + count]

    if name == "product":
        number, transposed = source.matrices[index]
        matrix = arrays.matrices[number] if transposed else arrays.matrices[number].T
        result = columns(operands[0], len(matrix)).astype(dtype) @ matrix.astype(dtype)
        if len(operands) == 2:
            result = result + columns(operands[1], width).astype(dtype)
    else:
        inputs = [columns(place, reads).astype(dtype) for place in operands]
        if name in ROWS:
            inputs[-1] = inputs[-1][:1]
        if name in LAYOUTS:
            result = LAYOUTS[name](inputs[0], width, *numbers)
        elif name in NUMBERED:
            result = NUMBERED[name](*inputs, *numbers)
        else:
            result = {**POINTWISE, **ROWS}[name](*inputs)
    columns(out, width)[:] = result
