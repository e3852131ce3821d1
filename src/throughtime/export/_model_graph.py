"""An ONNX model while it grows: nodes, constants and inputs, with names that read well."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
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

    def input(self, name: str, dtype: type[np.generic], dims: Dims, description: str) -> str:
        """Take an input of the model; dimensions that are words are free."""
        self._inputs.append(self._info(name, dtype, dims, description))
        return name

    def constant(self, value: Tensor | np.ndarray | Sequence[int], name: str = "") -> str:
        """Keep an array; equal ones of one name, such as shapes and axes, are kept once."""
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        array = np.ascontiguousarray(value)
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
        names = list(outputs) or [f"{operator}_{len(self._nodes)}"]
        self._nodes.append(
            self._onnx.helper.make_node(
                operator, present, names, name=f"{operator}_{len(self._nodes)}", **attributes
            )
        )
        return names[0]

    def add_all(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs, and return all their names."""
        names = [f"{operator}_{len(self._nodes)}_{place}" for place in range(outputs)]
        self.add(operator, *inputs, outputs=names, **attributes)
        return names

    def rename(self, value: str, name: str) -> str:
        """Give a value a name of one's own, as outputs of the model have."""
        return self.add("Identity", value, outputs=[name])

    def model(self, outputs: Mapping[str, tuple[Dims, str]], metadata: Mapping[str, str]) -> "ModelProto":
        """Return the checked model, whose outputs are float32: dimensions and description by name."""
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._read_for(set(outputs)),
            "throughtime",
            self._inputs,
            [self._info(name, np.float32, dims, words) for name, (dims, words) in outputs.items()],
            list(self._constants.values()),
        )
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
                wanted |= set(node.input)
                nodes.append(node)
        return nodes[::-1]

    def _info(self, name: str, dtype: type[np.generic], dims: Dims, description: str) -> Any:
        helper = self._onnx.helper
        element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, element, dims, doc_string=description)
