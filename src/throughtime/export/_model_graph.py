"""An ONNX model while it grows: nodes, constants, inputs and outputs, with names that read well."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from throughtime.export._graph import OPSET, Graph

if TYPE_CHECKING:
    from onnx import ModelProto

IR_VERSION = 8  # of the same ONNX release as the opset

Dims = tuple[int | str, ...]


class ModelGraph(Graph):
    """The graph of a model of its own, in float32.

    Raises
    ------
    ModuleNotFoundError
        If the package onnx is not installed.
    """

    def __init__(self) -> None:
        super().__init__(np.dtype(np.float32))
        try:
            import onnx
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "the export needs the package onnx: pip install onnx", name=error.name
            ) from error
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._numbers = count()

    def input(self, name: str, dtype: type[np.generic], dims: Dims, description: str) -> str:
        """Take an input of the model; dimensions that are words are free."""
        self._inputs.append(self._info(name, dtype, dims, description))
        return name

    def output(self, value: str, name: str, dtype: type[np.generic], dims: Dims, description: str) -> str:
        """Return a value as an output of the model, under a name that no input and no other output has."""
        present = {declared.name for declared in (*self._inputs, *self._outputs)}
        while name in present:
            name += "_"  # two parts may have the same path
        self._outputs.append(self._info(self.rename(value, name), dtype, dims, description))
        return name

    def constant(self, value: Tensor | np.ndarray | Sequence[int], name: str = "") -> str:
        """Keep an array; equal ones of one name, such as shapes and axes, are kept once."""
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        array = np.ascontiguousarray(value).reshape(np.shape(value))  # numbers stay without a dimension
        name = name or "_".join(["constant", *(str(number).replace("-", "minus") for number in array.flat)])
        proto, free = self._onnx.numpy_helper.from_array(array, name), name
        while free in self._constants and self._constants[free].raw_data != proto.raw_data:
            free += "_"  # two parts may have the same path
        proto.name = free
        self._constants[free] = proto
        return free

    def add(self, operator: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node, and return the name of its first output; "" stands for an input left out."""
        present = list(inputs)
        while present and not present[-1]:
            present.pop()
        name = f"{operator}_{next(self._numbers)}"
        names = list(outputs) or [name]
        self._nodes.append(self._onnx.helper.make_node(operator, present, names, name=name, **attributes))
        return names[0]

    def add_all(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs, and return all their names."""
        number = next(self._numbers)
        names = [f"{operator}_{number}_{place}" for place in range(outputs)]
        self.add(operator, *inputs, outputs=names, **attributes)
        return names

    def scan(
        self,
        step: Callable[[Sequence[str], str], tuple[Sequence[str], Sequence[str]]],
        states: Sequence[str],
        x: str,
        *,
        dtype: type[np.generic] = np.float32,
        reverse: bool = False,
    ) -> tuple[list[str], list[str]]:
        """Add a loop over the first dimension of x, with ``reverse`` from its end; all values of one dtype.

        Parameters
        ----------
        step
            Adds the nodes of one step, given the states before it and its entry of x, and returns the states
            after it and any other values of the step.
        states
            Those before the first step.
        x
            (L, …).

        Returns
        -------
        final : list of str
            The states after the last step.
        values : list of str
            The other values of all steps, (L, …).
        """
        number, helper = next(self._numbers), self._onnx.helper
        inputs = [f"Scan_{number}_state_{place}" for place in range(len(states))]
        entry, outer, self._nodes = f"Scan_{number}_x", self._nodes, []
        after, values = step(inputs, entry)
        results = [
            self.rename(value, f"Scan_{number}_result_{place}")
            for place, value in enumerate((*after, *values))
        ]
        body = helper.make_graph(
            self._nodes,
            f"step_{number}",
            [self._value(name, dtype) for name in (*inputs, entry)],
            [self._value(name, dtype) for name in results],
        )
        self._nodes = outer
        names = [f"Scan_{number}_{place}" for place in range(len(results))]
        directions: dict[str, Any] = {}
        if reverse:
            directions = {"scan_input_directions": [1], "scan_output_directions": [1] * len(values)}
        self.add("Scan", *states, x, outputs=names, body=body, num_scan_inputs=1, **directions)
        return names[: len(after)], names[len(after) :]

    def rename(self, value: str, name: str) -> str:
        """Give a value a name of one's own, as outputs of the model have."""
        return self.add("Identity", value, outputs=[name])

    def model(self, metadata: Mapping[str, str]) -> "ModelProto":
        """Return the checked model."""
        helper = self._onnx.helper
        nodes = self._read_for({output.name for output in self._outputs})
        read = {value for node in nodes for value in _read_by(node)}
        constants = [constant for name, constant in self._constants.items() if name in read]
        graph = helper.make_graph(nodes, "throughtime", self._inputs, self._outputs, constants)
        model: ModelProto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="throughtime",
            producer_version=version("throughtime"),
        )
        helper.set_model_props(model, {"throughtime": model.producer_version, **metadata})
        self._onnx.checker.check_model(model, full_check=True)
        return model

    def _read_for(self, wanted: set[str]) -> list[Any]:
        """Return the nodes on which these values depend."""
        nodes: list[Any] = []
        for node in reversed(self._nodes):
            if not wanted.isdisjoint(node.output):
                wanted |= set(_read_by(node))
                nodes.append(node)
        return nodes[::-1]

    def _value(self, name: str, dtype: type[np.generic]) -> Any:
        """Return the declaration of a value of any shape, as of the body of a loop."""
        return self._info(name, dtype, None, "")

    def _info(self, name: str, dtype: type[np.generic], dims: Dims | None, description: str) -> Any:
        helper = self._onnx.helper
        element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, element, dims, doc_string=description)


def _read_by(node: Any) -> Iterator[str]:
    """Yield the values that a node reads, those in its body included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _read_by(inner)
