"""The registered operator ``throughtime::recurrent_layer``, with weights that only a runtime knows."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from throughtime.convert import OnnxOperator, to_onnx
from throughtime.errors import InputTypeError, ShapeError
from throughtime.export._batch import Batch, Steps
from throughtime.export._ragged_batch import RaggedBatch
from throughtime.export._recorded_graph import RecordedGraph, fixed_sizes, floating_dtype
from throughtime.export._recurrent import add_operator
from throughtime.export._registered_loop import add_loops
from throughtime.export._registered_packed import PackedBatch
from throughtime.nn.recurrent.layer import LAYERS, Recurrent
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import BATCH_FIRST, PACKED, RAGGED
from throughtime.ops.recurrent.weights import Weights

_NAME = "throughtime::recurrent_layer"


class Results(list[Any]):
    """Results of the operator, of which the last ones may be missing in ONNX: reading one is an error."""

    def __init__(self, results: list[Any], missing: Mapping[int, str]) -> None:
        super().__init__(results)
        self._missing = missing

    def __getitem__(self, place: Any) -> Any:
        """Return a result.

        Raises
        ------
        InputTypeError
            If ONNX's operator does not return it.
        """
        if place in self._missing:
            raise InputTypeError(
                f"{_NAME}: {self._missing[place]} of every step have no form in ONNX, whose operators return "
                "the output and the final states; export a model that reads no others"
            )
        return super().__getitem__(place)


def translate_layer(arguments: Mapping[str, Any]) -> Results:
    """Return y, h_n and c_n; c and the gates of every step are missing.

    Raises
    ------
    InputTypeError
        If there are reset flags, or no layer has such a cell.
    ShapeError
        If ONNX does not have one of its options.
    """
    x, spec = arguments["x"], CellSpec.parse(arguments["cell"])
    graph = RecordedGraph(floating_dtype(x, _NAME))
    suffixes = ("",) if arguments["ih_reverse"] is None else ("", "_reverse")
    directions = [Weights(*(arguments[field + end] for field in Weights._fields)) for end in suffixes]
    layout = _layout_of(graph, arguments, fixed_sizes(x, _NAME)[1])
    initial = [graph.named(arguments[name]) if arguments[name] is not None else "" for name in ("h0", "c0")]
    output, ends = _added(graph, layout, spec, directions, initial)
    empty = graph.constant(np.zeros(0, graph.dtype))
    results = [layout.tokens(output), *ends, *([] if spec.has_c else [empty, empty])]
    values = [graph.value_of(name) for name in results]
    missing = {place: name for place, name in ((3, "cell states"), (4, "gates")) if place >= len(values)}
    return Results([*values, *(graph.missing() for _ in missing)], missing)


def _added(
    graph: RecordedGraph,
    layout: "_Layout",
    spec: CellSpec,
    directions: list[Weights],
    initial: list[str],
) -> tuple[Steps, list[str]]:
    """Add ONNX's operator, or a loop for an option that it does not have; return output and final states."""
    batch = layout.batch
    try:
        operator = _operator_of(spec, directions)
    except ShapeError as error:
        if any(weights.context is not None for weights in directions):
            raise
        try:
            return add_loops(
                batch,
                lambda: _layer_of(spec, directions),
                layout.steps,
                directions,
                initial[: len(spec.states)],
            )
        except InputTypeError:
            raise error from None
    steps, context = _with_context(batch, layout.steps, directions)
    weights = _reordered(graph, operator, directions, context)
    return add_operator(batch, operator, steps.name, weights, initial)


# ------------------------------------------------------------------------------------- tokens and steps


class _Layout(NamedTuple):
    """The padded batch, its steps, and how steps become tokens in the order in which they came."""

    batch: Batch
    steps: Steps
    tokens: Any


def _layout_of(graph: RecordedGraph, arguments: Mapping[str, Any], features: int) -> _Layout:
    x, order = graph.named(arguments["x"]), arguments["order"]
    if arguments["reset"] is not None:
        raise InputTypeError(f"{_NAME}: reset flags are not exported; call the model without them")
    count, length = (_size(graph, arguments[name]) for name in ("batch", "length"))
    if order in {RAGGED, PACKED}:
        index = graph.named(arguments["index"])
        rows = RaggedBatch(graph, index) if order == RAGGED else PackedBatch(graph, index, count)
        return _Layout(rows.batch, rows.steps(x, features), rows.tokens)
    batch = Batch(graph, graph.add("Expand", length, count), length)
    first = order == BATCH_FIRST
    sizes = (count, length) if first else (length, count)
    shape = graph.add("Concat", *sizes, graph.constant([features]), axis=0)
    dense = graph.add("Reshape", x, shape)
    if first:
        dense = graph.add("Transpose", dense, perm=[1, 0, 2])

    def tokens(steps: Steps) -> str:
        name = graph.add("Transpose", steps.name, perm=[1, 0, 2]) if first else steps.name
        return graph.reshaped(name, [-1, steps.features or 1])

    return _Layout(batch, Steps(dense, features), tokens)


def _size(graph: RecordedGraph, size: Any) -> str:
    """(1,): a size that is fixed, or a number of the exporter's."""
    return graph.constant([size]) if isinstance(size, int) else graph.reshaped(graph.named(size), [1])


def _with_context(batch: Batch, steps: Steps, directions: list[Weights]) -> tuple[Steps, int]:
    """Return the steps with what the context adds to each gate, as features, and how many these are."""
    graph: Any = batch.graph
    contexts = [graph.named(weights.context) for weights in directions if weights.context is not None]
    if not contexts:
        return steps, 0
    rows = directions[0].ih.shape[0]
    one = graph.constant([1])
    shape = graph.add("Concat", batch.steps, one, one, axis=0)
    first = graph.constant([0])
    along = [graph.add("Expand", graph.add("Unsqueeze", part, first), shape) for part in contexts]
    joined = graph.add("Concat", steps.name, *along, axis=2)
    return Steps(joined, (steps.features or 0) + rows * len(contexts)), rows * len(contexts)


# --------------------------------------------------------------------------------------------- weights


def _operator_of(spec: CellSpec, directions: list[Weights]) -> OnnxOperator:
    """Return the operator of a layer whose weights are the numbers of their own rows, from 1.

    So its inputs say which row of ours each of its rows is, negated where it is negated, and 0 where there
    is none: what `throughtime.convert.to_onnx` does to numbers can be done to values that are not known.

    Raises
    ------
    InputTypeError
        If no layer has such a cell.
    ShapeError
        If ONNX does not have one of its options.
    """
    with torch.no_grad():
        layer = _layer_of(spec, directions, input_size=1)
        for parameter in layer.parameters():
            numbers = torch.arange(1.0, len(parameter) + 1)
            parameter.copy_(numbers.view(-1, *(1,) * (parameter.dim() - 1)).expand_as(parameter))
    try:
        return to_onnx(layer)[0]
    except ShapeError as error:
        raise ShapeError(f"{_NAME}: {error}") from error


def _layer_of(spec: CellSpec, directions: list[Weights], input_size: int | None = None) -> Recurrent:
    """Return a layer of the same options and sizes, with weights of its own."""
    weights = directions[0]
    options = spec.layer_options()
    if weights.hr is not None:
        options["proj_size"] = weights.hr.shape[0]
    hidden = weights.ih.shape[0] // spec.gates
    bias, bidirectional = weights.bias_ih is not None, len(directions) == 2
    with torch.random.fork_rng(devices=[]):
        return _constructor(spec)(
            input_size or weights.ih.shape[1], hidden, bias=bias, bidirectional=bidirectional, **options
        )


def _constructor(spec: CellSpec) -> Callable[..., Recurrent]:
    if spec.kind not in LAYERS:
        raise InputTypeError(f"{_NAME}: the cell {spec.kind} has no layer, so it has no form in ONNX")
    return LAYERS[spec.kind]


def _reordered(
    graph: RecordedGraph, operator: OnnxOperator, directions: list[Weights], context: int
) -> dict[str, str]:
    """Return W, R, B and P by the numbers in the operator's inputs."""
    parts: dict[str, list[str]] = {name: [] for name in operator.inputs}
    for d, weights in enumerate(directions):
        numbers = {name: array[d] for name, array in operator.inputs.items()}
        w = _side_by_side(graph, weights, d, context)
        parts["W"].append(_rows(graph, w, numbers["W"][:, 0], dims=2))
        parts["R"].append(_rows(graph, graph.named(weights.hh), numbers["R"][:, 0], dims=2))
        if "B" in parts:
            both = zip((weights.bias_ih, weights.bias_hh), np.split(numbers["B"], 2), strict=True)
            halves = [_rows(graph, graph.named(bias), rows) for bias, rows in both]
            parts["B"].append(graph.add("Concat", *halves, axis=0))
        if "P" in parts:
            parts["P"].append(_rows(graph, graph.named(weights.own), numbers["P"]))
    return {name: _stacked(graph, values) for name, values in parts.items()}


def _side_by_side(graph: RecordedGraph, weights: Weights, direction: int, context: int) -> str:
    """(G·H, I + context): W_ih, and 1 where the context of this direction adds to its rows."""
    ih = graph.named(weights.ih)
    if not context:
        return ih
    rows = weights.ih.shape[0]
    ones = np.eye(rows, context, direction * rows, dtype=graph.dtype)
    return graph.add("Concat", ih, graph.constant(ones), axis=1)


def _rows(graph: RecordedGraph, value: str, numbers: np.ndarray, *, dims: int = 1) -> str:
    """Return rows by their numbers from 1, negated by a negative number, and zeros by 0."""
    index, sign = np.abs(numbers).astype(np.int64) - 1, np.sign(numbers)
    if not np.array_equal(index, np.arange(len(index))):
        value = graph.add("Gather", value, graph.constant(index.clip(min=0)), axis=0)
    if (sign == 1).all():
        return value
    factors = sign.astype(graph.dtype).reshape(-1, *(1,) * (dims - 1))
    return graph.add("Mul", value, graph.constant(factors))


def _stacked(graph: RecordedGraph, parts: list[str]) -> str:
    first = graph.constant([0])
    rows = [graph.add("Unsqueeze", part, first) for part in parts]
    return rows[0] if len(rows) == 1 else graph.add("Concat", *rows, axis=0)
