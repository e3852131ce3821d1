"""The native machine of encoded programs: random programs, special values, empty batches, and programs that are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.native.instruction_sets import run_in_each
from tests.ops.program.interpreter import LAYOUTS, POINTWISE, ROWS, Instruction, Source
from tests.ops.program.machine_ladder import Batch, equal, flat, native, packed, ragged
from throughtime import _native

NAN, INF = float("nan"), float("inf")
EXTREME = [NAN, INF, -INF, 0.0, -0.0, 1e-42, -1e-42, 1e-30, 88.5, 89.5, -88.0, -95.0, -103.0, -105.0, 20.0, -20.0, 0.5,
           -0.5, 1.0, -1.0, 1e30, -1e30, 3.0]  # fmt: skip

OF_TORCH: dict[str, Callable[..., Tensor]] = {
    "copy": torch.clone,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "neg": torch.neg,
    "fma": lambda a, b, c: a * b + c,
    "lerp": lambda a, b, c: a + c * (b - a),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "where": lambda a, b, c: torch.where(a != 0, b, c),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "exp": torch.exp,
    "log": torch.log,
    "log1p": torch.log1p,
    "expm1": torch.expm1,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "abs": torch.abs,
    "sign": torch.sign,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "softplus": F.softplus,
    "square": torch.square,
    "sigmoid_gradient": lambda a, b: a * (b * (1 - b)),
    "tanh_gradient": lambda a, b: a * (1 - b * b),
    "lt": lambda a, b: torch.lt(a, b).to(a.dtype),
    "le": lambda a, b: torch.le(a, b).to(a.dtype),
    "gt": lambda a, b: torch.gt(a, b).to(a.dtype),
    "ge": lambda a, b: torch.ge(a, b).to(a.dtype),
    "eq": lambda a, b: torch.eq(a, b).to(a.dtype),
    "ne": lambda a, b: torch.ne(a, b).to(a.dtype),
}


def program(instructions: list[Instruction], **registers: Any) -> _native.Program:
    return native(Source(instructions, **registers))


def run(
    made: _native.Program, batch: Batch, *, tokens: tuple[Tensor, ...] = (), states: tuple[Tensor | None, ...] = (),
    matrices: tuple[Tensor, ...] = (), threads: int = 1, from_end: bool = False,
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    return made.run(
        list(tokens),
        [],
        [],
        [],
        [],
        list(matrices),
        list(states),
        **batch.options(),
        from_end=from_end,
        threads=threads,
    )


def test_random_programs_agree_with_the_interpreter() -> None:
    names = _native.instruction_sets()
    done = run_in_each("tests.ops.program.machine_ladder", names=names)
    assert done.stdout.splitlines() == [f"{name} 150" for name in names], done.stderr


def test_the_interpreter_knows_all_operators() -> None:
    names = {name for name, _ in _native.program_operators()}
    assert names == {*POINTWISE, *LAYOUTS, *ROWS, "affine", "pow", "product"}
    assert set(OF_TORCH) == set(POINTWISE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OF_TORCH)
def test_special_values_are_those_of_torch(name: str, dtype: torch.dtype) -> None:
    count = dict(_native.program_operators())[name]
    values = torch.tensor(EXTREME, dtype=dtype)
    rows = torch.cartesian_prod(*[values[:: 2 if count == 3 else 1]] * count).reshape(-1, count)
    wanted = OF_TORCH[name](*rows.unbind(1))
    operands = tuple(("token", 0, i) for i in range(count))
    made = program([(name, ("output", 0, 0), operands, 1, 0, ())], outputs=[1])
    found = run(made, ragged([len(rows)]), tokens=(rows,))[1][0][:, 0]
    if name == "fma" or name.endswith("_gradient"):  # rounded once: not where the product alone overflows
        known = torch.isfinite(rows.prod(1)) & torch.isfinite(wanted)
        found, wanted = found[known | rows.isnan().any(1)], wanted[known | rows.isnan().any(1)]
    if name in ("sin", "cos"):  # torch's own vectors lose digits of 1e30
        wanted = OF_TORCH[name](rows[:, 0].double()).to(dtype)
    tolerance = {
        "rtol": 2e-6 if dtype == torch.float32 else 1e-14,
        "atol": 1e-37 if name == "sigmoid" else 1e-44,
    }
    torch.testing.assert_close(found, wanted, equal_nan=True, **tolerance)


@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0, 0.5, -0.5, 0.0, 1.0, 2.5])
def test_powers_are_those_of_torch(exponent: float) -> None:
    values = torch.tensor(EXTREME, dtype=torch.float64)[:, None]
    made = program([("pow", ("output", 0, 0), (("token", 0, 0),), 1, 0, (exponent,))], outputs=[1])
    found = run(made, ragged([len(values)]), tokens=(values,))[1][0]
    torch.testing.assert_close(found, values**exponent, equal_nan=True, rtol=1e-14, atol=0)


# h' = tanh(h W + x), with h' as output.
RNN: list[Instruction] = [
    ("product", ("row", 0, 0), (("state", 0, 0), ("token", 0, 0)), 20, 0, ()),
    ("tanh", ("next", 0, 0), (("row", 0, 0),), 20, 0, ()),
    ("copy", ("output", 0, 0), (("next", 0, 0),), 20, 0, ()),
]
WEIGHT = torch.randn(20, 20) / 5


def rnn() -> _native.Program:
    return program(RNN, rows=[20], states=[20], outputs=[20], matrices=[(0, False)])


@pytest.mark.parametrize("from_end", [False, True])
@pytest.mark.parametrize(
    "batch", [equal(1, 4, 6), equal(2, 4, 6), packed([6, 6, 6, 6]), packed([5, 2, 2, 1, 0])]
)
def test_orders_have_the_bits_of_a_ragged_batch(batch: Batch, from_end: bool) -> None:
    rows = [row for sequence in batch.rows for row in sequence]
    x, h0 = torch.randn(len(rows), 20), torch.randn(batch.batch, 20)
    found = run(rnn(), batch, tokens=(x,), states=(h0,), matrices=(WEIGHT,), from_end=from_end)
    same = ragged([len(sequence) for sequence in batch.rows])
    wanted = run(rnn(), same, tokens=(x[rows],), states=(h0,), matrices=(WEIGHT,), from_end=from_end)
    assert torch.equal(found[0][0], wanted[0][0])
    assert torch.equal(found[1][0][rows], wanted[1][0])


def test_empty_batches() -> None:
    assert [tuple(t.shape) for t in flat(run(rnn(), ragged([]), tokens=(torch.zeros(0, 20),), states=(None,), matrices=(WEIGHT,)))] == [(0, 20), (0, 20)]  # fmt: skip
    h0 = torch.randn(3, 20)
    final, outputs = run(
        rnn(), ragged([0, 0, 0]), tokens=(torch.zeros(0, 20),), states=(h0,), matrices=(WEIGHT,)
    )
    assert torch.equal(final[0], h0)
    assert outputs[0].shape == (0, 20)
    final, _ = run(rnn(), equal(2, 3, 0), tokens=(torch.zeros(0, 20),), states=(None,), matrices=(WEIGHT,))
    assert torch.equal(final[0], torch.zeros(3, 20))


def test_a_state_that_is_read_after_its_next_value_is_written_keeps_its_value() -> None:
    """The states swap: each is the other's former value."""
    swap: list[Instruction] = [
        ("copy", ("next", 0, 0), (("state", 1, 0),), 3, 0, ()),
        ("copy", ("next", 1, 0), (("state", 0, 0),), 3, 0, ()),
    ]
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    final, _ = run(program(swap, states=[3, 3]), ragged([1, 2]), states=(a, b))
    assert torch.equal(final[0], torch.stack([b[0], a[1]]))
    assert torch.equal(final[1], torch.stack([a[0], b[1]]))
    rotate: list[Instruction] = [
        ("copy", ("next", 0, 0), (("state", 0, 1),), 2, 0, ()),
        ("copy", ("next", 0, 2), (("state", 0, 0),), 1, 0, ()),
    ]
    final, _ = run(program(rotate, states=[3]), ragged([1, 2]), states=(a,))
    assert torch.equal(final[0], torch.stack([a[0].roll(-1), a[1].roll(-2)]))


NEXT: Instruction = ("copy", ("next", 0, 0), (("state", 0, 0),), 4, 0, ())
WRONG: dict[str, tuple[list[Instruction], str]] = {
    "an unknown operator": (
        [("tangent", ("next", 0, 0), (("state", 0, 0),), 4, 0, ())],
        r"instruction 0 \(tangent\): no such operator",
    ),
    "an unknown place": ([("copy", ("next", 0, 0), (("heap", 0, 0),), 4, 0, ())], "a place is a token, .* got 'heap'"),
    "too few operands": ([("add", ("next", 0, 0), (("state", 0, 0),), 4, 0, ())], "takes 2 operands, got 1"),
    "too many operands": ([("tanh", ("next", 0, 0), (("state", 0, 0),) * 4, 4, 0, ())], "at most 3"),
    "other numbers": ([("affine", ("next", 0, 0), (("state", 0, 0),), 4, 0, (1.0,))], "takes 2 numbers, got 1"),
    "no width": ([("copy", ("next", 0, 0), (("state", 0, 0),), 0, 0, ())], "width must be from 1"),
    "a huge width": ([("copy", ("next", 0, 0), (("token", 0, 0),), 2**62, 0, ())], "width must be from 1"),
    "a register that does not exist": (
        [("copy", ("row", 3, 0), (("state", 0, 0),), 4, 0, ())],
        "row 3 does not exist: there are 2",
    ),
    "a negative register": ([("copy", ("row", -1, 0), (("state", 0, 0),), 4, 0, ())], "row -1 does not exist"),
    "columns beyond a register": (
        [("copy", ("row", 0, 1), (("state", 0, 0),), 4, 0, ())],
        "columns 1 to 5 of row 0 do not exist: it has 4",
    ),
    "a negative offset": ([("copy", ("row", 0, -1), (("state", 0, 0),), 4, 0, ())], "columns -1 to 3 of row 0"),
    "columns that overflow": ([("copy", ("row", 0, 2**63 - 2), (("state", 0, 0),), 4, 0, ())], "of row 0 do not exist"),
    "a row that is not written": (
        [("copy", ("next", 0, 0), (("row", 0, 0),), 4, 0, ())],
        r"instruction 0 \(copy\): reads column 0 of row 0 before it is written",
    ),
    "a column that is not written": (
        [("copy", ("row", 0, 0), (("state", 0, 0),), 3, 0, ()), ("copy", ("next", 0, 0), (("row", 0, 0),), 4, 0, ())],
        r"instruction 1 \(copy\): reads column 3 of row 0",
    ),
    "a local register behind a product": (
        [
            ("copy", ("local", 0, 0), (("state", 0, 0),), 4, 0, ()),
            ("product", ("row", 0, 0), (("state", 0, 0),), 4, 0, ()),
            ("copy", ("next", 0, 0), (("local", 0, 0),), 4, 0, ()),
        ],
        "local registers last until the next product",
    ),
    "an output that is read": ([("copy", ("next", 0, 0), (("output", 0, 0),), 2, 0, ())], "outputs are written only"),
    "a state that is written": ([("copy", ("state", 0, 0), (("state", 0, 0),), 4, 0, ())], "which is read only"),
    "columns that overlap": (
        [NEXT, ("copy", ("next", 0, 1), (("next", 0, 0),), 3, 0, ())],
        "reads and writes overlapping columns of next 0",
    ),
    "a product of a token": (
        [("product", ("row", 0, 0), (("token", 0, 0),), 4, 0, ())],
        "first operand must be a row, state or next, got token 0; copy it to a row register",
    ),
    "a product to a local register": (
        [("product", ("local", 0, 0), (("state", 0, 0),), 4, 0, ())],
        "cannot write a local register",
    ),
    "a product with a local register": (
        [
            ("copy", ("local", 0, 0), (("state", 0, 0),), 4, 0, ()),
            ("product", ("row", 0, 0), (("state", 0, 0), ("local", 0, 0)), 4, 0, ()),
        ],
        "must not be a local register",
    ),
    "a matrix that does not exist": (
        [("product", ("row", 0, 0), (("state", 0, 0),), 4, 1, ())],
        "must be one of 1 matrices, got 1",
    ),
    "a matrix of two widths": (
        [("product", ("row", 0, 0), (("state", 0, 0),), 4, 0, ()), ("product", ("row", 1, 0), (("state", 0, 0),), 3, 0, ())],
        "has width 4 in an earlier product, got 3",
    ),
    "groups that do not divide": ([("sum", ("next", 0, 0), (("token", 0, 0),), 4, 6, ())], "a multiple of its width 4"),
    "a repeat that does not divide": ([("repeat", ("next", 0, 0), (("token", 0, 0),), 4, 3, ())], "a divisor of its"),
    "a next state that is not written": (
        [("copy", ("next", 0, 0), (("state", 0, 0),), 3, 0, ())],
        "must write all 4 columns of next 0, but column 3 is not written",
    ),
    "an output that is not written": ([NEXT], "must write all 2 columns of output 0"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_program_is_refused(what: str) -> None:
    instructions, message = WRONG[what]
    with pytest.raises(ValueError, match=message):
        program(instructions, rows=[4, 4], locals=[4], states=[4], outputs=[2], matrices=[(0, False)])


@pytest.mark.parametrize(
    "registers", [{"rows": [0]}, {"locals": [-1]}, {"states": [2**40]}, {"matrices": [(-1, True)]}]
)
def test_wrong_registers_are_refused(registers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be from 1|out of range"):
        program([], **registers)


X, H0 = torch.randn(5, 20), torch.randn(2, 20)
GOOD: dict[str, Any] = {"tokens": [X], "previous": [], "previous_initial": [], "sequences": [], "vectors": [],
                        "matrices": [WEIGHT], "states": [H0], "order": 0, "batch": 2, "length": 0,
                        "index": torch.tensor([0, 2, 5]), "from_end": False, "threads": 1}  # fmt: skip
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "too few tokens": ({"tokens": []}, "reads 1 tokens, got 0"),
    "no tensor": ({"tokens": [3]}, r"tokens\[0\] must be a contiguous tensor"),
    "integers": (
        {"tokens": [torch.zeros(5, 20, dtype=torch.int64)]},
        r"tokens\[0\] must be a contiguous tensor",
    ),
    "half precision": ({"tokens": [X.half()]}, r"tokens\[0\] must be a contiguous tensor"),
    "a transposed tensor": ({"tokens": [torch.randn(20, 5).T]}, r"tokens\[0\] must be a contiguous tensor"),
    "rows that are not tokens": (
        {"tokens": [X[:4].clone()]},
        r"tokens\[0\] must have shape \(5, 20 or more\)",
    ),
    "few columns": ({"tokens": [torch.randn(5, 19)]}, r"\(5, 20 or more\), got \(5, 19\)"),
    "another dtype": ({"matrices": [WEIGHT.double()]}, r"matrices\[0\] has another dtype"),
    "a matrix of another width": ({"matrices": [torch.randn(19, 20)]}, "does not give a width of 20"),
    "a matrix of another depth": (
        {"matrices": [torch.randn(20, 21)]},
        "needs 21 columns of state 0, which has 20",
    ),
    "a matrix without columns": ({"matrices": [torch.randn(20, 0)]}, "is empty"),
    "a state of another width": (
        {"states": [torch.randn(2, 21)]},
        r"states\[0\] must have 20 columns, got 21",
    ),
    "a state of another batch": ({"states": [torch.randn(3, 20)]}, r"states\[0\] must have shape \(2, 20"),
    "offsets that decrease": ({"index": torch.tensor([0, 6, 5])}, "do not decrease"),
    "offsets of another batch": ({"index": torch.tensor([0, 5])}, "batch \\+ 1 offsets, got 2"),
    "offsets of another type": ({"index": torch.tensor([0.0, 2.0, 5.0])}, "int64"),
    "no offsets": ({"index": None}, "int64"),
    "an order that does not exist": ({"order": 4}, "order must be"),
    "batch sizes that increase": (
        {"order": 3, "length": 3, "index": torch.tensor([1, 2, 2])},
        "never increase",
    ),
    "no length": ({"order": 1, "length": -1}, "must be at least 0"),
    "a length of other tokens": ({"order": 1, "length": 3}, r"tokens\[0\] must have shape \(6, 20"),
    "too many tokens": ({"order": 1, "batch": 2**39, "length": 2**39}, "too large"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_wrong_tensors_are_refused(what: str) -> None:
    changed, message = REFUSED[what]
    rnn().run(**GOOD)
    with pytest.raises(ValueError, match=message):
        rnn().run(**{**GOOD, **changed})
