"""The cases that the onnx package defines for RNN, LSTM and GRU, computed by our layers."""

import importlib
import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase

from .operators import by_us


def _cases() -> list[TestCase]:
    """The package defines a case when a module is imported; these three modules define all of ours."""
    node = importlib.import_module("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("rnn", "lstm", "gru"):
            importlib.import_module(f"{node.__name__}.{name}")
    kinds = {"RNN", "LSTM", "GRU"}
    return [case for case in node._NodeTestCases if {one.op_type for one in case.model.graph.node} <= kinds]


CASES = _cases()


def test_no_case_is_left_out() -> None:
    assert len(CASES) == 18


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_onnx_case(case: TestCase) -> None:
    (node,) = case.model.graph.node
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    attributes = {
        name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()
    }
    graph_inputs = [one.name for one in case.model.graph.input]
    wanted = [one for one in node.output if one]
    assert case.data_sets
    for inputs, outputs in case.data_sets:
        arrays = [numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x for x in inputs]
        given = dict(zip(graph_inputs, arrays, strict=True))
        found = by_us(
            node.op_type, attributes, {name: given[name] for name in node.input if name}, np.float32
        )
        for name, expected in zip(wanted, outputs, strict=True):
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6, strict=True)
