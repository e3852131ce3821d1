"""The PyTorch code that runs before the loop: one function of constants, tokens and sequences."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from throughtime.ops.linear import linear
from throughtime.ops.program.tracing.row_wise import check_row_wise
from throughtime.ops.program.tracing.source import Dependence, Source


@dataclass(frozen=True)
class HoistedCode:
    """A function of constants, tokens and sequences, in this order.

    Parameters
    ----------
    function : callable
        Returns one tensor for each node that was asked for.
    constants : list of fx.Node
        The ``get_attr`` nodes of the constants that it takes.
    """

    function: Callable[..., Any]
    constants: list[fx.Node]


def hoisted_code(source: Source, nodes: Sequence[fx.Node]) -> HoistedCode:
    """Return the code that computes the values of nodes."""
    copier = _Copier(source)
    results = [copier.copy(node, _rows_of(source, node)) for node in nodes]
    copier.graph.output(tuple(results))
    copier.graph.eliminate_dead_code()
    constants = copier.used_constants()
    return HoistedCode(fx.GraphModule({}, copier.graph).forward, constants)


def _rows_of(source: Source, node: fx.Node) -> Dependence:
    return source.dependence(node) & (Dependence.TOKEN | Dependence.SEQUENCE)


class _Copier:
    """Copies nodes with all that they need; the number of rows is T for tokens and B for sequences."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.graph = fx.Graph()
        self.constants: list[fx.Node] = list(source.capture.constants)
        self._copies: dict[tuple[fx.Node, Dependence], fx.Node] = {}
        self._first: dict[Dependence, fx.Node] = {}
        for number, node in enumerate(self.constants):
            self._add_input(node, f"constant_{number}")
        for number, node in enumerate(source.capture.tokens):
            self._add_input(node, f"token_{number}")
        for number, node in enumerate(source.capture.states):
            if source.dependence(node) == Dependence.SEQUENCE:
                self._add_input(node, f"sequence_{number}")

    def _add_input(self, node: fx.Node, name: str) -> None:
        rows = _rows_of(self._source, node)
        copy = self.graph.placeholder(name)
        self._copies[node, rows] = copy
        self._first.setdefault(rows, copy)

    def used_constants(self) -> list[fx.Node]:
        """Return the constants that are read, after taking the others out of the function's parameters."""
        used = []
        for node in self.constants:
            copy = self._copies[node, Dependence.NOTHING]
            if copy.users:
                used.append(node)
            else:
                self.graph.erase_node(copy)
        return used

    def copy(self, node: fx.Node, rows: Dependence) -> fx.Node:
        """Return the copy of a node, for the rows of tokens or of sequences."""
        dependence = self._source.dependence(node)
        if not dependence:
            rows = Dependence.NOTHING
        if (node, rows) not in self._copies:
            self._copies[node, rows] = self._copied(node, rows)
        return self._copies[node, rows]

    def _copied(self, node: fx.Node, rows: Dependence) -> fx.Node:
        if _is_number_of_rows(node):
            size = self.graph.call_function(torch.ops.aten.sym_size.int, (self._first[rows], 0))
            multiple = self._source.rows(node.meta["val"])
            return size if multiple == 1 else self.graph.call_function(operator.mul, (size, multiple))
        copy = self.graph.node_copy(node, lambda argument: self.copy(argument, rows))
        if rows:
            check_row_wise(self._source, node)
            copy.target = _LINEAR_MAPS.get(copy.target, copy.target)
        return copy


def _mm(x: Tensor, matrix: Tensor) -> Tensor:
    return linear(x, matrix.t())


def _addmm(bias: Tensor, x: Tensor, matrix: Tensor, *, alpha: float = 1, beta: float = 1) -> Tensor:
    if (alpha, beta) != (1, 1) or bias.dim() != 1 or len(bias) != matrix.shape[1]:
        return torch.addmm(bias, x, matrix, alpha=alpha, beta=beta)
    return linear(x, matrix.t(), bias)


# Torch's matrix products, by the one in which the bits of a row depend on no other row.
_LINEAR_MAPS: dict[Any, Callable[..., Tensor]] = {
    F.linear: linear,
    torch.ops.aten.mm.default: _mm,
    torch.addmm: _addmm,
    torch.ops.aten.addmm.default: _addmm,
}


def _is_number_of_rows(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target is torch.ops.aten.sym_size.int


def as_rows(source: Source, node: fx.Node, dtype: torch.dtype) -> fx.Node:
    """Return a node's tensor as a matrix (rows, width), or a constant as a vector (width,), in a dtype."""
    sizes, _ = source.sizes(node)
    if None in sizes and sizes.index(None):
        node = source.add(torch.movedim, node, sizes.index(None), 0)
    width = _product(sizes)
    shape = (-1, width) if None in sizes else (width,)
    if tuple(sizes) not in {(None, width), (width,)}:
        node = source.add(torch.reshape, node, shape)
    if node.meta["val"].dtype != dtype:
        node = source.add(Tensor.to, node, dtype)
    return node


def total(source: Source, a: fx.Node, b: fx.Node) -> fx.Node:
    """Return the sum of two matrices of rows, or of one and a constant, which becomes its product's bias."""
    a, b = sorted((a, b), key=source.dependence, reverse=True)
    if source.dependence(a) and not source.dependence(b):
        if a.target is F.linear:
            x, weight, *biases = a.args
            return source.add(F.linear, x, weight, source.add(torch.add, biases[0], b) if biases else b)
        if a.target is torch.ops.aten.mm.default:
            return source.add(torch.addmm, b, *a.args)
        if a.target in {torch.addmm, torch.ops.aten.addmm.default} and not a.kwargs and len(a.args) == 3:
            bias, x, weight = a.args
            if not source.dependence(bias):  # type: ignore[arg-type]
                return source.add(torch.addmm, source.add(torch.add, bias, b), x, weight)
    return source.add(torch.add, a, b)


def constant_row(value: float, width: int, dtype: torch.dtype) -> Tensor:
    """Return a number as a vector."""
    return torch.full((width,), value, dtype=dtype)


def picked(constant: Tensor, places: tuple[int, ...]) -> Tensor:
    """Return the numbers at these places of a constant."""
    return constant.reshape(-1).index_select(0, torch.tensor(places, device=constant.device))


def _product(sizes: Sequence[int | None]) -> int:
    result = 1
    for size in sizes:
        result *= 1 if size is None else size
    return result
