"""Encoded programs, run one row after the other in numpy: what they mean, without the native machine.

Registers hold NaN until they are written, and local ones again after each product.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from throughtime.ops.recurrent.steps import Steps, host_lengths, rows

Place = tuple[str, int, int]
Array = np.ndarray[Any, np.dtype[np.float64]]

_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


POINTWISE: dict[str, Callable[..., Array]] = {
    "copy": lambda a: a,
    "affine": lambda a, x, y: x * a + y,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "fma": lambda a, b, c: a * b + c,
    "lerp": lambda a, b, c: a + c * (b - a),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "lt": lambda a, b: 1.0 * (a < b),
    "le": lambda a, b: 1.0 * (a <= b),
    "gt": lambda a, b: 1.0 * (a > b),
    "ge": lambda a, b: 1.0 * (a >= b),
    "eq": lambda a, b: 1.0 * (a == b),
    "ne": lambda a, b: 1.0 * (a != b),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "reciprocal": lambda a: 1 / a,
    "abs": np.abs,
    "sign": np.sign,
    "sin": np.sin,
    "cos": np.cos,
    "erf": _erf,
    "softplus": lambda a: np.log1p(np.exp(a)),
    "pow": np.power,
    "square": lambda a: a * a,
    "sigmoid_gradient": lambda g, y: g * y * (1 - y),
    "tanh_gradient": lambda g, y: g * (1 - y * y),
}

LAYOUTS: dict[str, Callable[[Array, int], Array]] = {
    "sum": lambda a, width: a.reshape(width, -1).sum(1),
    "max": lambda a, width: a.reshape(width, -1).max(1),
    "sum_strided": lambda a, width: a.reshape(-1, width).sum(0),
    "repeat": lambda a, width: np.repeat(a, width // a.size),
    "tile": lambda a, width: np.tile(a, width // a.size),
}


class Program:
    """Stands in for the native class of this name."""

    def __init__(
        self,
        instructions: list[Any],
        *,
        rows: list[int],
        locals: list[int],  # noqa: A002 - the native one's
        states: list[int],
        outputs: list[int],
        matrices: list[tuple[int, bool]],
    ) -> None:
        self.instructions, self.slots = instructions, matrices
        self.widths = {"row": rows, "local": locals, "next": states, "output": outputs}

    def run(
        self,
        tokens: list[Tensor],
        previous: list[Tensor],
        previous_initial: list[Tensor | None],
        sequences: list[Tensor],
        vectors: list[Tensor],
        matrices: list[Tensor],
        states: list[Tensor | None],
        *,
        order: int,
        batch: int,
        length: int,
        index: Tensor | None,
        from_end: bool,
        threads: int,
    ) -> tuple[list[Tensor], list[Tensor]]:
        assert threads >= 1
        for group in (tokens, previous, previous_initial, sequences, vectors, matrices, states):
            assert isinstance(group, list)
            assert all(part is None or part.is_contiguous() for part in group)
        steps = Steps(order, batch, length, index)
        lengths = host_lengths(steps)
        total = int(lengths.sum())
        outputs = [np.full((total, width), np.nan) for width in self.widths["output"]]
        final = [
            np.zeros((batch, width)) if state is None else _array(state)
            for state, width in zip(states, self.widths["next"], strict=True)
        ]
        arrays = {
            "token": _arrays(tokens),
            "previous": _arrays(previous),
            "sequence": _arrays(sequences),
            "vector": _arrays(vectors),
            "matrix": _arrays(matrices),
        }
        initial = _arrays(previous_initial)
        for sequence in range(batch):
            count = int(lengths[sequence])
            order_of_steps = range(count - 1, -1, -1) if from_end else range(count)
            places = [int(rows(steps, torch.tensor(sequence), torch.tensor(t))) for t in order_of_steps]
            for number, place in enumerate(places):
                following = places[number + 1] if number + 1 < count else None
                before = [
                    matrix[following] if following is not None else _row_of(first, sequence, matrix.shape[1])
                    for matrix, first in zip(arrays["previous"], initial, strict=True)
                ]
                memory = {
                    "token": [matrix[place] for matrix in arrays["token"]],
                    "previous": before,
                    "sequence": [matrix[sequence] for matrix in arrays["sequence"]],
                    "vector": arrays["vector"],
                    "state": [state[sequence] for state in final],
                    **{kind: [np.full(width, np.nan) for width in self.widths[kind]] for kind in self.widths},
                }
                self._step(memory, arrays["matrix"])
                for state, after in zip(final, memory["next"], strict=True):
                    assert_written(after)
                    state[sequence] = after
                for output, value in zip(outputs, memory["output"], strict=True):
                    output[place] = value
        dtype = next(
            part.dtype
            for group in (tokens, sequences, vectors, matrices, states)
            for part in group
            if part is not None
        )
        as_tensors = [[torch.from_numpy(part).to(dtype) for part in group] for group in (final, outputs)]
        return as_tensors[0], as_tensors[1]

    def _step(self, memory: dict[str, list[Array]], matrices: list[Array]) -> None:
        for operator, target, operands, width, index, numbers in self.instructions:
            if operator == "product":
                result = self._product(memory, operands, index, matrices)
                for local in memory["local"]:
                    local[:] = np.nan
            elif operator in LAYOUTS:
                result = LAYOUTS[operator](_read(memory, operands[0], index), width)
            else:
                with np.errstate(all="ignore"):
                    values = [_read(memory, place, width) for place in operands]
                    result = POINTWISE[operator](*values, *numbers)
            kind, number, begin = target
            assert kind in {"row", "local", "next", "output"}
            assert kind != "local" or operator != "product"
            room = memory[kind][number][begin : begin + width]
            assert room.shape == (width,) == result.shape
            room[:] = result

    def _product(
        self, memory: dict[str, list[Array]], operands: Sequence[Place], slot: int, matrices: list[Array]
    ) -> Array:
        number, transposed = self.slots[slot]
        matrix = matrices[number] if transposed else matrices[number].T
        assert operands[0][0] in {"row", "state", "next"}
        result: Array = _read(memory, operands[0], matrix.shape[0]) @ matrix
        if len(operands) > 1:
            assert operands[1][0] != "local"
            result = result + _read(memory, operands[1], matrix.shape[1])
        return result


def assert_written(values: Array) -> None:
    """Check that nothing is left of what registers hold at first; tests use no NaN of their own."""
    assert not np.isnan(values).any()


def _read(memory: dict[str, list[Array]], place: Place, width: int) -> Array:
    kind, number, begin = place
    assert kind != "output"
    values = memory[kind][number][begin : begin + width]
    assert values.shape == (width,)
    return values.copy()


def _row_of(matrix: Array | None, row: int, width: int) -> Array:
    return np.zeros(width) if matrix is None else matrix[row]


def _arrays(tensors: Sequence[Tensor | None]) -> list[Any]:
    return [None if part is None else _array(part) for part in tensors]


def _array(tensor: Tensor) -> Array:
    """Return a copy in float64."""
    return tensor.detach().numpy().astype(np.float64)
