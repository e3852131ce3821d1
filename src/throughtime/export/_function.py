"""A function of tensors as nodes of ONNX: its operators are recorded while it runs once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from throughtime.errors import InputTypeError
from throughtime.export._aten import MISSING, NODES
from throughtime.export._graph import Graph

ROWS = 31
"""Rows of the tensors with which functions of tokens are recorded; features seldom have this number."""


def add_function(
    graph: Graph,
    function: Callable[..., Sequence[Tensor]],
    arguments: Sequence[tuple[Tensor, str]],
    constants: Mapping[str, Tensor | None],
    name: str,
) -> list[str]:
    """Add the operators that a function calls, and return its results.

    The function must not depend on the values of its arguments, nor on their first dimension but by
    operators that treat each row by itself.

    Parameters
    ----------
    arguments
        Tensors to run it with, and the values of the graph that stand in their place.
    constants
        Weights that it reads, by their names in the graph.

    Raises
    ------
    InputTypeError
        If an operator has no form here; the message names it.
    """
    recorder = Recorder(graph, constants, name, rows=len(arguments[0][0]))
    for tensor, value in arguments:
        recorder.argument(tensor, value)
    with torch.no_grad(), recorder:
        results = function(*(tensor for tensor, _ in arguments))
    return [recorder.result(tensor) for tensor in results]


class Recorder(TorchDispatchMode):
    """Adds a node for every operator that reads a recorded tensor; others give constants."""

    def __init__(self, graph: Graph, constants: Mapping[str, Tensor | None], name: str, rows: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph, self.rows, self._name = graph, rows, name
        # An operator that has returned a number of Python, such as `Tensor.item`, or written into a view.
        self._refused = ""
        # Tensors are kept, so that an id stays that of one tensor.
        self._values: dict[int, tuple[Tensor, str]] = {}
        self._arguments: set[int] = set()
        self._transposed: dict[int, tuple[Tensor, Tensor]] = {}
        self._titles = {id(value): (value, title) for title, value in constants.items() if value is not None}

    def argument(self, tensor: Tensor, value: str) -> None:
        """Let a value of the graph stand for a tensor that the function reads, and must not change."""
        self.name(tensor, value)
        self._arguments.add(id(tensor))

    def name(self, tensor: Tensor, value: str) -> None:
        """Let a value of the graph stand for a tensor."""
        self._values[id(tensor)] = tensor, value

    def value(self, operand: Any, like: Tensor | None = None) -> str:
        """Return the value of a tensor or number in the graph, a number in the dtype of ``like``."""
        if not isinstance(operand, Tensor):
            return self._number(operand, like)
        if id(operand) not in self._values:
            return self.graph.constant(operand, self._titles.get(id(operand), (operand, "constant"))[1])
        return self._values[id(operand)][1]

    def _number(self, number: Any, like: Tensor | None) -> str:
        if like is None or like.is_floating_point():
            return self.graph.number(number)
        array = np.array(number, torch.empty(0, dtype=like.dtype).numpy().dtype)
        return self.graph.constant(array, f"{array.dtype}_{number}".replace("-", "minus_"))

    def result(self, tensor: Tensor) -> str:
        """Return the value of a result, which has to depend on what was recorded."""
        if id(tensor) not in self._values:
            raise InputTypeError(f"{self._name} returns what no operator of torch computes from its input")
        value = self.value(tensor)
        operator = value.removeprefix(MISSING) if value.startswith(MISSING) else self._refused
        if operator:
            raise InputTypeError(f"{self._name}: the operator {operator} has no form in ONNX here")
        return value

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        results = operator(*args, **(kwargs or {}))
        if any(id(part) in self._values for part in _flat(args)):
            self._record(operator, args, kwargs or {}, results)
        elif operator.name() == "aten::t":
            self._transposed[id(results)] = results, args[0]
        return results

    def product(self, x: Tensor, weight: Tensor, *bias: Tensor) -> str:
        """Add a matrix product; a weight is read as it is, so that a tied one is kept once."""
        result, transposed = self._transposed.get(id(weight), (weight, weight))
        operands = [self.value(part) for part in (x, transposed, *bias)]
        return self.graph.add("Gemm", *operands, transB=int(result is not transposed))

    def _missing_of(self, args: Sequence[Any]) -> str:
        """Return the first operand that has no form here, "" if all have one."""
        values = (self._values[id(part)][1] for part in _flat(args) if id(part) in self._values)
        return next((value for value in values if value.startswith(MISSING)), "")

    def _record(self, operator: Any, args: Sequence[Any], options: Mapping[str, Any], results: Any) -> None:
        if not isinstance(results, Tensor | list | tuple) or self._changes_what_is_not_its_own(
            operator, args
        ):
            self._refused = operator.name()
            return
        add = NODES.get(_without_place(operator))
        tensors = [results] if isinstance(results, Tensor) else list(results)
        missing = MISSING + operator.name() if add is None else self._missing_of(args)
        values = [missing] * len(tensors) if missing or add is None else add(self, *args, **options)
        for tensor, value in zip(tensors, [values] if isinstance(values, str) else values, strict=True):
            self.name(tensor, value)
        if operator._schema.is_mutable:  # noqa: SLF001
            self._forget_parts_of(args[0], operator)

    def _changes_what_is_not_its_own(self, operator: Any, args: Sequence[Any]) -> bool:
        """Tell whether an operator changes in place an argument of the function, or what is not recorded."""
        if not operator._schema.is_mutable:  # noqa: SLF001 - torch has no public one
            return False
        return id(args[0]) in self._arguments or id(args[0]) not in self._values

    def _forget_parts_of(self, changed: Tensor, operator: Any) -> None:
        """Let no result depend on other tensors that share numbers with one that was changed in place."""
        numbers = _places(changed)
        for key, (tensor, _) in list(self._values.items()):
            shared = tensor.untyped_storage().data_ptr() == changed.untyped_storage().data_ptr()
            if tensor is not changed and shared and not numbers.isdisjoint(_places(tensor)):
                self._values[key] = tensor, MISSING + operator.name()


def _places(tensor: Tensor) -> set[int]:
    """Return where the numbers of a tensor are in its storage."""
    size = tensor.untyped_storage().nbytes() // tensor.element_size()
    every = torch.arange(size)
    return set(every.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).flatten().tolist())


def _without_place(operator: Any) -> str:
    """Return the name of an operator: that of ``add`` for ``add_``, which writes into its first argument."""
    name: str = operator.name()
    base, dot, overload = name.partition(".")
    return base.removesuffix("_") + dot + overload


def _flat(args: Sequence[Any]) -> Iterator[Any]:
    for arg in args:
        yield from arg if isinstance(arg, list | tuple) else [arg]
