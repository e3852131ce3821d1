"""Random programs on the native machine against the interpreter, and equal bits; see `test_machine`.

``python -m tests.ops.program.machine_ladder`` prints the instruction set and how many programs were checked, or fails.
"""

import random
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tests.ops.program.interpreter import LAYOUTS, POINTWISE, ROWS, Arrays, Place, Source, interpret
from throughtime import _native
from throughtime.ops.recurrent.steps import BATCH_FIRST, PACKED, RAGGED, TIME_MAJOR

WIDTHS = [1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 48, 64, 70]
BOUNDED = {"sigmoid": 1.0, "tanh": 1.0, "sin": 1.0, "cos": 1.0, "erf": 1.0}
COMPARISONS = ["lt", "le", "gt", "ge", "eq", "ne"]
POSITIVE = ["log", "sqrt", "rsqrt", "reciprocal", "div", "pow", "log1p"]
# By how much a result may exceed its largest operand.
GROWTH = {"add": 2, "sub": 2, "fma": 9, "mul": 8, "lerp": 3, "square": 8, "affine": 4, "softplus": 2}
SAME_SIZE = ["copy", "neg", "maximum", "minimum", "relu", "abs"]
MOST = 8.0


class Value(NamedTuple):
    """A register that is written: at most how large its numbers are, and whether they are exact in float32."""

    kind: str
    index: int
    width: int
    bound: float
    exact: bool = False


class Writer:
    """Writes a random program in which all values stay of moderate size."""

    def __init__(self, choose: random.Random, widths: list[int] = WIDTHS) -> None:
        self.choose, self.widths = choose, widths
        self.source, self.arrays = Source(), Arrays()
        self.values: list[Value] = []
        self.shapes: dict[str, list[int]] = {"token": [], "previous": [], "sequence": [], "vector": []}

    def width(self) -> int:
        return self.choose.choice(self.widths)

    def leaves(self) -> None:
        for kind, shapes in self.shapes.items():
            for _ in range(self.choose.randint(1, 2)):
                shapes.append(self.width())
                self.values.append(Value(kind, len(shapes) - 1, shapes[-1], 2.0, exact=True))
        for k in range(self.choose.randint(1, 3)):
            self.source.states.append(self.width())
            self.values.append(Value("state", k, self.source.states[k], 1.0))

    def register(self, kind: str, width: int) -> Place:
        widths = self.source.rows if kind == "row" else self.source.locals
        # Sometimes a part of a larger register, whose other columns are never read.
        offset, more = (
            (self.choose.randint(0, 9), self.choose.randint(0, 9)) if self.choose.random() < 0.3 else (0, 0)
        )
        widths.append(offset + width + more)
        return (kind, len(widths) - 1, offset)

    def write(self, name: str, operands: list[Place], width: int, bound: float, index: int = 0, *numbers: float,
              kind: str | None = None, exact: bool = False) -> Place:  # fmt: skip
        out = self.register(kind or self.choose.choice(["row", "local", "local"]), width)
        self.source.instructions.append((name, out, tuple(operands), width, index, numbers))
        if out[2] == 0:
            self.values.append(Value(out[0], out[1], width, bound, exact))
        return out

    def operand(self, width: int, *, exact: bool = False) -> tuple[Place, float]:
        """Return a place of so many columns, if need be a new one."""
        candidates = [v for v in self.values if v.width >= width and v.bound <= MOST and v.exact >= exact]
        if not candidates:
            wide = [v for v in self.values if v.bound <= MOST and v.exact >= exact]
            value = self.choose.choice(wide)
            place = (value.kind, value.index, self.choose.randint(0, value.width - 1))
            return self.write("repeat", [place], width, value.bound, 1, exact=value.exact), value.bound
        value = self.choose.choice(candidates)
        return (value.kind, value.index, self.choose.randint(0, value.width - width)), value.bound

    def pointwise(self) -> None:
        name, width = self.choose.choice([*POINTWISE, "affine", "pow"]), self.width()
        count = dict(_native.program_operators())[name]
        operands, bounds = zip(
            *(
                self.operand(width, exact=name in COMPARISONS or (name == "where" and i == 0))
                for i in range(count)
            ),
            strict=True,
        )
        places, bound = list(operands), max(bounds)
        if name in POSITIVE:  # of numbers in (1/4, 3/4)
            gate = self.write("sigmoid", [places[-1]], width, 1.0)
            places[-1] = self.write("affine", [gate], width, 1.0, 0, 0.5, 0.25)
            bound = 4 * bound if name == "div" else 16.0
        elif name in ("exp", "expm1"):
            places[0] = self.write("tanh", places, width, 1.0)
            bound = 3.0
        elif name in ("sign", "where", *COMPARISONS):
            if name == "sign":
                places[0] = self.operand(width, exact=True)[0]
            bound = bound if name == "where" else 1.0
        elif name in ("sigmoid_gradient", "tanh_gradient"):
            places[1] = self.write("sigmoid", [places[1]], width, 1.0)
        else:
            bound = BOUNDED.get(name, bound * GROWTH.get(name, 1))
        numbers = {"affine": (1.5, -0.5), "pow": (self.choose.choice([2.0, 3.0, -1.0, 0.5, -0.5, 1.7]),)}
        self.write(name, places, width, bound, 0, *numbers.get(name, ()))

    def layout(self) -> None:
        name, few, times = (
            self.choose.choice([*LAYOUTS]),
            self.choose.choice([1, 2, 3, 16, 17]),
            self.choose.choice([1, 2, 4, 5]),
        )
        narrow = name in ("sum", "max", "sum_strided", "inverse_deviation")
        reads, width = (few * times, few) if narrow else (few, few * times)
        place, bound = self.operand(reads)
        numbers = (0.5,) if name == "inverse_deviation" else ()
        self.write(name, [place], width, bound * (times if name.startswith("sum") else 1), reads, *numbers)

    def row(self) -> None:
        name, width = self.choose.choice([*ROWS]), self.width()
        places = [self.write("tanh", [self.operand(width)[0]], width, 1.0) for _ in range(len(name) // 10)]
        number = self.write("sigmoid", [self.operand(1)[0]], 1, 1.0)
        self.write(name, [*places, number], width, 3.0)

    def product(self) -> None:
        kept = [v for v in self.values if v.kind in ("row", "state") and v.bound <= MOST]
        a = self.choose.choice(kept)
        depth = self.choose.choice([a.width, self.choose.randint(1, a.width)])
        place = (a.kind, a.index, self.choose.randint(0, a.width - depth))
        width, transposed = self.width(), self.choose.random() < 0.5
        self.arrays.matrices.append(np.zeros((depth, width) if transposed else (width, depth)))
        self.source.matrices.append((len(self.arrays.matrices) - 1, transposed))
        operands = [place]
        if self.choose.random() < 0.7:
            visible = [v for v in self.values if v.kind != "local" and v.width >= width and v.bound <= 2]
            if visible:
                b = self.choose.choice(visible)
                operands.append((b.kind, b.index, self.choose.randint(0, b.width - width)))
        self.write("product", operands, width, 8.0, len(self.source.matrices) - 1, kind="row")
        self.values = [v for v in self.values if v.kind != "local"]

    def ends(self) -> None:
        for k, width in enumerate(self.source.states):
            cut = self.choose.randint(0, width - 1)  # in two parts
            for begin, end in ((0, cut), (cut, width)):
                if begin < end:
                    place, _ = self.operand(end - begin)
                    self.source.instructions.append(
                        ("tanh", ("next", k, begin), (place,), end - begin, 0, ())
                    )
            self.values.append(Value("next", k, width, 1.0))
        for _ in range(self.choose.randint(0, 3)):
            place, _ = self.operand(width := self.width())
            self.source.outputs.append(width)
            self.source.instructions.append(
                ("copy", ("output", len(self.source.outputs) - 1, 0), (place,), width, 0, ())
            )

    def program(self, count: int) -> tuple[Source, Arrays]:
        self.leaves()
        for _ in range(count):
            self.choose.choice(
                [self.pointwise, self.pointwise, self.pointwise, self.layout, self.row, self.product]
            )()
        self.ends()
        return self.source, self.arrays

    def fill(self, batch: int, total: int) -> None:
        """Draw all arrays, of numbers that bfloat16 holds."""

        def draw(*shape: int) -> Any:
            return torch.randn(shape).clamp(-2, 2).bfloat16().double().numpy()

        shapes, arrays = self.shapes, self.arrays
        arrays.tokens = [draw(total, width) for width in shapes["token"]]
        arrays.previous = [draw(total, width) for width in shapes["previous"]]
        arrays.previous_initial = [
            draw(batch, width) if self.choose.random() < 0.7 else None for width in shapes["previous"]
        ]
        arrays.sequences = [draw(batch, width) for width in shapes["sequence"]]
        arrays.vectors = [draw(width) for width in shapes["vector"]]
        arrays.matrices = [draw(*m.shape) / m.shape[0 if t else 1] ** 0.5 / 2
                           for m, (_, t) in zip(arrays.matrices, self.source.matrices, strict=True)]  # fmt: skip
        arrays.states = [
            draw(batch, width) / 2 if self.choose.random() < 0.7 else None for width in self.source.states
        ]


def native(source: Source) -> _native.Program:
    return _native.Program(
        source.instructions,
        rows=source.rows,
        locals=source.locals,
        states=source.states,
        outputs=source.outputs,
        matrices=source.matrices,
    )


def tensors(arrays: Arrays, dtype: torch.dtype) -> list[list[Tensor | None]]:
    lists = (arrays.tokens, arrays.previous, arrays.previous_initial, arrays.sequences, arrays.vectors,
             arrays.matrices, arrays.states)  # fmt: skip
    return [
        [None if a is None else torch.from_numpy(a).to(dtype).contiguous() for a in part] for part in lists
    ]


class Batch(NamedTuple):
    """The arguments of ``run`` that say where tokens lie, and the rows of each sequence."""

    order: int
    batch: int
    length: int
    index: Tensor | None  # type: ignore[assignment]  # hides tuple.index
    rows: list[list[int]]

    def options(self) -> dict[str, Any]:
        return {"order": self.order, "batch": self.batch, "length": self.length, "index": self.index}

    def read(self, *, from_end: bool) -> list[list[int]]:
        return [rows[::-1] if from_end else rows for rows in self.rows]


def ragged(lengths: list[int]) -> Batch:
    offsets = [0, *accumulate(lengths)]
    rows = [list(range(*pair)) for pair in pairwise(offsets)]
    return Batch(RAGGED, len(lengths), 0, torch.tensor(offsets), rows)


def equal(order: int, batch: int, length: int) -> Batch:
    rows = [
        [t * batch + b if order == TIME_MAJOR else b * length + t for t in range(length)]
        for b in range(batch)
    ]
    return Batch(order, batch, length, None, rows)


def packed(lengths: list[int]) -> Batch:
    lengths = sorted(lengths, reverse=True)
    sizes = [sum(length > t for length in lengths) for t in range(max(lengths, default=0))]
    first = [0, *accumulate(sizes)]
    rows = [[first[t] + b for t in range(length)] for b, length in enumerate(lengths)]
    return Batch(PACKED, len(lengths), len(sizes), torch.tensor(sizes, dtype=torch.int64), rows)


def random_batch(choose: random.Random) -> Batch:
    order, count = (
        choose.choice([RAGGED, RAGGED, TIME_MAJOR, BATCH_FIRST, PACKED]),
        choose.choice([0, 1, 2, 5, 13]),
    )
    lengths = [choose.choice([0, 1, 1, 2, 4, 7]) for _ in range(count)]
    if order == RAGGED:
        return ragged(lengths)
    return packed(lengths) if order == PACKED else equal(order, count, choose.choice([0, 1, 5]))


Results = tuple[list[Tensor], list[Tensor]]


def flat(results: Results) -> list[Tensor]:
    return [*results[0], *results[1]]


def check(choose: random.Random, dtype: torch.dtype) -> None:
    """One program on one batch."""
    writer = Writer(choose)
    source, arrays = writer.program(choose.choice([2, 5, 12, 25]))
    batch, from_end = random_batch(choose), choose.random() < 0.5
    writer.fill(batch.batch, sum(map(len, batch.rows)))
    results = native(source).run(
        *tensors(arrays, dtype), **batch.options(), from_end=from_end, threads=choose.randint(1, 3)
    )
    numpy_dtype = np.float64 if dtype == torch.float64 else np.float32
    wanted = interpret(source, arrays, batch.read(from_end=from_end), numpy_dtype)
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 2e-3, "atol": 2e-3}
    for found, expected in zip(flat(results), [*wanted[0], *wanted[1]], strict=True):
        torch.testing.assert_close(found, torch.from_numpy(expected), **tolerance)


def check_same_bits(choose: random.Random, dtype: torch.dtype, lengths: list[int], widths: list[int]) -> None:
    """Any number of threads, and each sequence alone."""
    writer = Writer(choose, widths)
    source, arrays = writer.program(10)
    batch, from_end = ragged(lengths), choose.random() < 0.5
    writer.fill(batch.batch, sum(lengths))
    program, given = native(source), tensors(arrays, dtype)
    whole = program.run(*given, **batch.options(), from_end=from_end, threads=1)
    for threads in (2, 3):
        again = program.run(*given, **batch.options(), from_end=from_end, threads=threads)
        assert all(map(torch.equal, flat(again), flat(whole))), threads
    tokens, previous, initial, sequences, vectors, matrices, states = given
    begin = 0
    for b, length in enumerate(lengths):
        rows = [[m[begin : begin + length] for m in part if m is not None] for part in (tokens, previous)]
        own = [[None if m is None else m[b : b + 1] for m in part] for part in (initial, sequences, states)]
        alone = program.run(*rows, own[0], own[1], vectors, matrices, own[2], **ragged([length]).options(),
                            from_end=from_end, threads=choose.randint(1, 2))  # fmt: skip
        assert all(torch.equal(one[0], all_[b]) for one, all_ in zip(alone[0], whole[0], strict=True)), b
        assert all(
            torch.equal(one, all_[begin : begin + length])
            for one, all_ in zip(alone[1], whole[1], strict=True)
        ), b
        begin += length


def climb(count: int, seed: int) -> int:
    torch.manual_seed(seed)
    for index in range(count):
        choose = random.Random(1000 * seed + index)
        check(choose, (torch.float64, torch.float32)[index % 2])
    choose = random.Random(seed)
    for dtype in (torch.float64, torch.float32):
        check_same_bits(choose, dtype, [3, 0, 7, 1, 4, 4, 2], WIDTHS)
        check_same_bits(
            choose, dtype, [150], [64, 70, 130]
        )  # beyond the size from which threads share the work
        check_same_bits(choose, dtype, [90, 0, 120], [130, 200])
        check_same_bits(choose, dtype, [choose.randint(0, 20) for _ in range(30)], [64, 90, 130])
    return count


if __name__ == "__main__":
    print(_native.instruction_set(), climb(150, 8))  # noqa: T201 - what the test reads
