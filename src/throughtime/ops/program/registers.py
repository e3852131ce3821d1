"""Registers of a program: each value's, then few that are used again and again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from throughtime.ops.program.operators import RESHAPING

Place = tuple[str, int, int]
"""Kind, number and first column."""

Instruction = tuple[str, Place, tuple[Place, ...], int, int, tuple[float, ...]]
"""Operator, place of the result, places of the operands, width, index, numbers."""


def allocated(
    instructions: Sequence[Instruction], widths: Sequence[int]
) -> tuple[tuple[Instruction, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the instructions with few row and local registers in place of many, and the widths of these.

    Parameters
    ----------
    widths
        Of the registers that the instructions name, all of kind "register".
    """
    lives = _lives(instructions, len(widths))
    row, local = _File("row"), _File("local")
    files = [row if life.crosses_product else local for life in lives]
    places: dict[int, int] = {}
    ending: dict[int, list[int]] = {}
    for register, life in enumerate(lives):
        ending.setdefault(life.last, []).append(register)
    result = []
    for time, instruction in enumerate(instructions):
        kind, target, _ = instruction[1]
        if kind == "register" and lives[target].first == time:
            inherited = _inherited(instruction, time, lives, widths)
            if inherited is not None and files[inherited] is files[target]:
                places[target] = places[inherited]
                ending[time].remove(inherited)
            else:
                places[target] = files[target].take(widths[target])
        result.append(_placed(instruction, files, places))
        for register in ending.get(time, ()):
            files[register].free(places[register])
    return tuple(result), tuple(row.widths), tuple(local.widths)


@dataclass
class _Life:
    """Times of the first and last instruction that has to do with a register."""

    first: int = -1
    last: int = -1
    crosses_product: bool = False


@dataclass
class _File:
    """Registers of one kind."""

    kind: str
    widths: list[int] = field(default_factory=list)
    unused: set[int] = field(default_factory=set)

    def take(self, width: int) -> int:
        """Return the narrowest free register that is wide enough, a new one if there is none."""
        fitting = [number for number in self.unused if self.widths[number] >= width]
        if not fitting:
            self.widths.append(width)
            return len(self.widths) - 1
        number = min(fitting, key=lambda one: (self.widths[one], one))
        self.unused.remove(number)
        return number

    def free(self, number: int) -> None:
        self.unused.add(number)


def _lives(instructions: Sequence[Instruction], count: int) -> list[_Life]:
    lives = [_Life() for _ in range(count)]
    products = []
    for time, (operator, target, operands, *_) in enumerate(instructions):
        if operator == "product":
            products.append(time)
        for kind, number, _ in (*operands, target):
            if kind == "register":
                life = lives[number]
                life.first = time if life.first < 0 else life.first
                life.last = time
    for life in lives:
        life.crosses_product = any(life.first <= time <= life.last for time in products)
    return lives


def _inherited(
    instruction: Instruction, time: int, lives: Sequence[_Life], widths: Sequence[int]
) -> int | None:
    """Return the register of an operand in whose place the result can be computed."""
    operator, (_, target, _), operands, width, *_ = instruction
    if operator in RESHAPING or operator in {"product", "copy"} or widths[target] != width:
        return None
    return next(
        (
            number
            for kind, number, _ in operands
            if kind == "register" and lives[number].last == time and widths[number] == width
        ),
        None,
    )


def _placed(instruction: Instruction, files: Sequence[_File], places: dict[int, int]) -> Instruction:
    operator, target, operands, width, index, numbers = instruction

    def placed(place: Place) -> Place:
        kind, number, begin = place
        return (files[number].kind, places[number], begin) if kind == "register" else place

    return operator, placed(target), tuple(map(placed, operands)), width, index, numbers
