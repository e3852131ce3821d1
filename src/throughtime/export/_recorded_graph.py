"""The graph that `torch.onnx.export` records while it calls the translations of operators."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError
from throughtime.export._graph import OPSET, Graph


class RecordedGraph(Graph):
    """Nodes go to onnxscript's present evaluator; its values have names here for one operator alone."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        import onnxscript  # torch.onnx.export has imported it

        super().__init__(dtype)
        self._ir = onnxscript.ir
        self._recorder = onnxscript.evaluator.default()
        self._operators = onnxscript.values.Opset("", OPSET)
        self._values: dict[str, Any] = {}
        self._placeholders: list[tuple[Tensor, str]] = []

    def named(self, value: Any) -> str:
        """Return the name of a value of the exporter's."""
        name = f"value_{len(self._values)}"
        self._values[name] = value
        return name

    def value_of(self, name: str) -> Any:
        """Return the exporter's value of this name."""
        return self._values[name]

    def missing(self) -> Any:
        """Return a value that no node computes, in place of a result that must not be read."""
        return self._ir.Value()

    def constant(self, value: Any, name: str = "") -> str:  # noqa: ARG002
        """Keep an array; a weight is one of the exporter's values."""
        if isinstance(value, self._ir.Value):
            return self.named(value)
        if isinstance(value, Tensor):
            if self._placeholders and value.isnan().any():
                return self._rows_of_placeholder(value)
            value = value.detach().cpu().numpy()
        array = np.ascontiguousarray(value).reshape(np.shape(value))  # numbers stay without a dimension
        return self.named(self._operators.Constant(value=self._ir.tensor(array)))

    def add(self, operator: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node, and return the name of its first output; "" stands for an input left out."""
        results = self._results(operator, inputs, attributes)
        if not outputs:
            return self.named(results[0])
        self._values |= dict(zip(outputs, results, strict=False))
        return outputs[0]

    def add_all(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs, and return all their names."""
        return [self.named(value) for value in self._results(operator, inputs, attributes)[:outputs]]

    def placeholder(self, tensor: Tensor, value: Any) -> None:
        """Let a value of the exporter's stand for a tensor of NaN, so that what is computed of it shows."""
        self._placeholders.append((tensor, self.named(value)))

    def _rows_of_placeholder(self, rows: Tensor) -> str:
        """Return the rows of the value that a placeholder, or a view of some of its rows, stands for.

        Raises
        ------
        InputTypeError
            If the tensor is something else that was computed of a placeholder.
        """
        for whole, name in self._placeholders:
            same_shape = rows.stride() == whole.stride() and rows.shape[1:] == whole.shape[1:]
            if same_shape and rows.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr():
                first = (rows.storage_offset() - whole.storage_offset()) // whole.stride(0)
                return name if len(rows) == len(whole) else self.sliced(name, first, first + len(rows))
        raise InputTypeError(
            "what the equations of the cell compute of their weights alone has no form in ONNX here"
        )

    def scan(
        self,
        step: Callable[[Sequence[str], str], tuple[Sequence[str], Sequence[str]]],
        states: Sequence[str],
        x: str,
    ) -> tuple[list[str], list[str]]:
        """Add a loop over the first dimension of x, as `ModelGraph.scan` does."""
        number, ir = next(_LOOPS), self._ir
        kind = ir.TensorType(ir.DataType.from_numpy(self.dtype))
        inputs = [
            ir.Value(name=f"loop_{number}_input_{place}", type=kind) for place in range(len(states) + 1)
        ]
        names = [self.named(value) for value in inputs]
        outer, self._recorder.nodes = self._recorder.nodes, []
        try:
            after, values = step(names[:-1], names[-1])
            # No two results are one value.
            results = [self._values[self.add("Identity", name)] for name in (*after, *values)]
        finally:
            nodes, self._recorder.nodes = self._recorder.nodes, outer
        for place, output in enumerate(output for node in nodes for output in node.outputs):
            output.name = f"loop_{number}_value_{place}"
        body = ir.Graph(inputs, results, nodes=nodes, name=f"loop_{number}", opset_imports={"": OPSET})
        loop = ir.Node(
            "",
            "Scan",
            [self._values[name] for name in (*states, x)],
            [ir.AttrGraph("body", body), ir.AttrInt64("num_scan_inputs", 1)],
            num_outputs=len(results),
            version=OPSET,
        )
        self._recorder.nodes.append(loop)
        for output in loop.outputs:
            output.type = kind
        outputs = [self.named(output) for output in loop.outputs]
        return outputs[: len(after)], outputs[len(after) :]

    def _results(self, operator: str, inputs: Sequence[str], attributes: dict[str, Any]) -> Sequence[Any]:
        values = [self._values[name] if name else None for name in inputs]
        results = getattr(self._operators, operator)(*values, **attributes)
        return results if isinstance(results, Sequence) else [results]


# Values inside of loops have names of their own in the whole model.
_LOOPS = count()


def fixed_sizes(value: Any, name: str) -> list[int]:
    """Return the sizes of a value of the exporter's; its first may be free, and is then 0.

    Raises
    ------
    ShapeError
        If another is free.
    """
    sizes = list(value.shape)
    free = [size for size in sizes[1:] if not isinstance(size, int)]
    if free:
        raise ShapeError(
            f"{name}: features of {sizes[1:]} are not fixed; let only the numbers of tokens and of sequences "
            "be dynamic"
        )
    return [size if isinstance(size, int) else 0 for size in sizes]


def floating_dtype(value: Any, name: str) -> np.dtype[Any]:
    """Return the dtype of a value of the exporter's.

    Raises
    ------
    InputTypeError
        If it is not one of numpy's floating-point numbers.
    """
    dtype: np.dtype[Any] = value.dtype.numpy()
    if not np.issubdtype(dtype, np.floating):
        raise InputTypeError(
            f"{name}: the tokens are {dtype}, expected floating-point numbers; convert them with .float()"
        )
    return dtype
