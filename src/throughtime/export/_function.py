"""A function of tensors as nodes of ONNX: its operators are recorded while it runs once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from throughtime.errors import InputTypeError
from throughtime.export._graph import Graph

# In place of a value that has no form in ONNX here: an error only where a result depends on it.
_MISSING = "missing: "


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
    recorder = _Recorder(graph, constants, name)
    for tensor, value in arguments:
        recorder.name(tensor, value)
    with torch.no_grad(), recorder:
        results = function(*(tensor for tensor, _ in arguments))
    return [recorder.result(tensor) for tensor in results]


class _Recorder(TorchDispatchMode):
    """Adds a node for every operator that reads a recorded tensor; others give constants."""

    def __init__(self, graph: Graph, constants: Mapping[str, Tensor | None], name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph, self._name = graph, name
        # An operator that has returned a number of Python, such as `Tensor.item`.
        self._reads_values = ""
        # Tensors are kept, so that an id stays that of one tensor.
        self._values: dict[int, tuple[Tensor, str]] = {}
        self._transposed: dict[int, tuple[Tensor, Tensor]] = {}
        self._titles = {id(value): (value, title) for title, value in constants.items() if value is not None}

    def name(self, tensor: Tensor, value: str) -> None:
        """Let a value of the graph stand for a tensor."""
        self._values[id(tensor)] = tensor, value

    def value(self, operand: Any) -> str:
        """Return the value of a tensor or number in the graph."""
        if not isinstance(operand, Tensor):
            return self.graph.number(operand)
        if id(operand) not in self._values:
            return self.graph.constant(operand, self._titles.get(id(operand), (operand, "constant"))[1])
        return self._values[id(operand)][1]

    def result(self, tensor: Tensor) -> str:
        """Return the value of a result, which has to depend on what was recorded."""
        if id(tensor) not in self._values:
            raise InputTypeError(f"{self._name} returns what no operator of torch computes from its input")
        value = self.value(tensor)
        operator = value.removeprefix(_MISSING) if value.startswith(_MISSING) else self._reads_values
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
        return next((value for value in values if value.startswith(_MISSING)), "")

    def _record(self, operator: Any, args: Sequence[Any], options: Mapping[str, Any], results: Any) -> None:
        if not isinstance(results, Tensor | list | tuple):
            self._reads_values = operator.name()
            return
        add = _NODES.get(operator.name())
        tensors = [results] if isinstance(results, Tensor) else list(results)
        missing = _MISSING + operator.name() if add is None else self._missing_of(args)
        values = [missing] * len(tensors) if missing or add is None else add(self, *args, **options)
        for tensor, value in zip(tensors, [values] if isinstance(values, str) else values, strict=True):
            self.name(tensor, value)


def _flat(args: Sequence[Any]) -> Iterator[Any]:
    for arg in args:
        yield from arg if isinstance(arg, list | tuple) else [arg]


def _node(kind: str) -> Callable[..., str]:
    return lambda recorder, *args: recorder.graph.add(kind, *(recorder.value(arg) for arg in args))


def _sum(kind: str) -> Callable[..., str]:
    def add(recorder: _Recorder, x: Any, other: Any, *, alpha: float = 1) -> str:
        scaled = recorder.value(other)
        if alpha != 1:
            scaled = recorder.graph.add("Mul", scaled, recorder.graph.number(alpha))
        return recorder.graph.add(kind, recorder.value(x), scaled)

    return add


def _difference_from(recorder: _Recorder, x: Tensor, other: Any, alpha: float = 1) -> str:
    return _sum("Sub")(recorder, other, x, alpha=alpha)


def _affine(recorder: _Recorder, bias: Tensor, x: Tensor, weight: Tensor) -> str:
    return recorder.product(x, weight, bias)


def _embedding(recorder: _Recorder, weight: Tensor, indices: Tensor, *options: Any) -> str:
    del options  # they are for training
    return recorder.graph.add("Gather", recorder.value(weight), recorder.value(indices), axis=0)


def _log_softmax(recorder: _Recorder, x: Tensor, dim: int, half_to_float: bool = False) -> str:  # noqa: FBT001, FBT002 - torch's
    del half_to_float
    return recorder.graph.add("LogSoftmax", recorder.value(x), axis=dim)


def _split(recorder: _Recorder, x: Tensor, size: int, dim: int = 0) -> list[str]:
    parts = -(-x.shape[dim] // size)
    if x.shape[dim] % size:
        sizes = recorder.graph.constant([size] * (parts - 1) + [x.shape[dim] % size])
        return recorder.graph.add_all("Split", recorder.value(x), sizes, outputs=parts, axis=dim)
    if parts == 1:
        return [recorder.value(x)]
    return recorder.graph.add_all("Split", recorder.value(x), outputs=parts, axis=dim, num_outputs=parts)


def _layer_norm(
    recorder: _Recorder, x: Tensor, shape: Sequence[int], weight: Tensor, bias: Tensor | None, eps: float
) -> list[str]:
    operands = [recorder.value(part) for part in (x, weight, bias) if part is not None]
    y = recorder.graph.add("LayerNormalization", *operands, axis=-len(shape), epsilon=eps)
    return [y, *[f"{_MISSING}the statistics of aten::native_layer_norm"] * 2]


def _stack(recorder: _Recorder, tensors: Sequence[Tensor], dim: int = 0) -> str:
    graph = recorder.graph
    axis = graph.constant([dim])
    return graph.add("Concat", *(graph.add("Unsqueeze", recorder.value(x), axis) for x in tensors), axis=dim)


def _clamp(recorder: _Recorder, x: Tensor, low: float | None = None, high: float | None = None) -> str:
    bounds = ["" if bound is None else recorder.value(bound) for bound in (low, high)]
    return recorder.graph.add("Clip", recorder.value(x), *bounds)


def _elu(recorder: _Recorder, x: Tensor, alpha: float = 1.0) -> str:
    return recorder.graph.add("Elu", recorder.value(x), alpha=float(alpha))


def _leaky_relu(recorder: _Recorder, x: Tensor, slope: float = 0.01) -> str:
    return recorder.graph.add("LeakyRelu", recorder.value(x), alpha=float(slope))


def _softplus(recorder: _Recorder, x: Tensor, beta: float = 1, threshold: float = 20) -> str:
    del threshold  # where torch returns x itself, the difference is less than exp(−threshold)
    graph = recorder.graph
    if beta == 1:
        return graph.add("Softplus", recorder.value(x))
    scaled = graph.add("Softplus", graph.add("Mul", recorder.value(x), graph.number(beta)))
    return graph.add("Div", scaled, graph.number(beta))


def _zeros(recorder: _Recorder, x: Tensor, **options: Any) -> str:
    del options
    shape = recorder.graph.add("Shape", recorder.value(x))
    return recorder.graph.add("Expand", recorder.graph.number(0.0), shape)


_UNARY = ("abs", "exp", "log", "neg", "relu", "sigmoid", "tanh")
_BINARY = {"mul": "Mul", "div": "Div", "gt": "Greater", "le": "LessOrEqual"}
_WITH = ("Tensor", "Scalar")

# By the names of operators in torch.
_NODES: Mapping[str, Callable[..., str | list[str]]] = {
    **{f"aten::{name}": _node(name.capitalize()) for name in _UNARY},
    **{f"aten::{name}.{other}": _node(kind) for name, kind in _BINARY.items() for other in _WITH},
    **{f"aten::add.{other}": _sum("Add") for other in _WITH},
    **{f"aten::sub.{other}": _sum("Sub") for other in _WITH},
    **{f"aten::rsub.{other}": _difference_from for other in _WITH},
    "aten::_log_softmax": _log_softmax,
    "aten::addmm": _affine,
    "aten::clamp": _clamp,
    "aten::detach": _Recorder.value,
    "aten::elu": _elu,
    "aten::embedding": _embedding,
    "aten::leaky_relu": _leaky_relu,
    "aten::mm": _Recorder.product,
    "aten::native_layer_norm": _layer_norm,
    "aten::softplus": _softplus,
    "aten::split.Tensor": _split,
    "aten::stack": _stack,
    "aten::where.self": _node("Where"),
    "aten::zeros_like": _zeros,
}
