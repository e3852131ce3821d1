"""`onnx`: a layer or model as an ONNX model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from throughtime.errors import InputTypeError, ShapeError
from throughtime.export._batch import Batch, Steps
from throughtime.export._model_graph import Dims, ModelGraph
from throughtime.export._recurrent import OptionalInputs, add_recurrent, number_of_states
from throughtime.export._translations import features_read
from throughtime.export._walk import add_part, operators_in
from throughtime.nn import GRU, LSTM, RNN
from throughtime.nn.description import operators_of
from throughtime.ops.modes import evaluating

if TYPE_CHECKING:
    from onnx import ModelProto

_LENGTHS = "Tokens of each sequence, 0 at least and the padded length at most."
_LARGEST = 2**31  # bytes of one protobuf message
_PADDED = "What stands behind a sequence's end does not matter."


def onnx(
    model: nn.Module,
    path: str | Path | None = None,
    *,
    initial_state: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> "ModelProto":
    r"""Return a layer or model as an ONNX model of standard operators, and write it if there is a path.

    The model computes as in evaluation mode, in float32, on padded batches of any size and length, both at
    least 1: ``lengths`` (B,) int64 says where each sequence ends. Results are those of a `Ragged`.

    =====================  ==================================  ===========================================
    model                  inputs beside lengths               outputs
    =====================  ==================================  ===========================================
    RNN, LSTM, GRU         x (L, B, I), with batch_first       output (L, B, D·H) or (B, L, D·H), zeros
                           (B, L, I); with a context, context  behind the end; h_n, c_n (layers·D, B, H)
                           (B, C); on demand h_0, c_0
    any other              tokens (B, L) int64 if it begins    output (B, L, D), zeros behind the end, or
                           with an Embedding, or x (B, L, D)   logits (B, D) if it pools, (B, k, D) if it
                                                               keeps the k largest of each feature
    =====================  ==================================  ===========================================

    A model is exported part by part, as it describes itself (`throughtime.nn.description`), down to layers
    that state their operators: Embedding, RNN, LSTM, GRU, convolutions that keep the lengths, BatchNorm1d,
    Pool, Flatten, Linear, Readout, ReLU, Tanh, Sigmoid, Dropout, LockedDropout, Identity. So are blocks,
    stacks and models made of these, and modules of your own with a method ``describe()``. A parametrized
    weight (`torch.nn.utils.parametrize`) is exported with its present value.

    Parameters
    ----------
    model : Module
        With float32 parameters.
    path : str or Path, optional
        File to write; one that is there is replaced.
    initial_state : bool
        Of a layer: whether h_0, and c_0 of LSTM, are inputs, (layers · directions, B, H). Otherwise they are
        zeros, or what the layer has learned.
    metadata : mapping of str to str, optional
        Kept in the model, beside the version of throughtime; runtimes give it back.

    Returns
    -------
    onnx.ModelProto
        Checked by ``onnx.checker``.

    Raises
    ------
    InputTypeError
        If a part states no operators and is not made of parts that do, or an operator has no form in ONNX
        here; if a module has a forward hook or overrides methods of the class that describes it; or the
        parameters are not float32.
    ShapeError
        If an option has no form in ONNX: ``proj_size``, ``cell_clip``, a convolution that changes lengths. If
        modules do not fit together, or the parameters have 2 GiB or more.
    ModuleNotFoundError
        If the package onnx is not installed.
    OSError
        If the file cannot be written.

    References
    ----------
    .. [1] ONNX, "Operator schemas", opset 18.

    Examples
    --------
    >>> import throughtime as tt
    >>> model = tt.export.onnx(tt.nn.LSTM(3, 5, num_layers=2))
    >>> [node.op_type for node in model.graph.node]
    ['Cast', 'LSTM', 'Squeeze', 'LSTM', 'Squeeze', 'Concat', 'Concat', 'Identity', 'Identity', 'Identity']
    >>> [value.name for value in model.graph.output]
    ['output', 'h_n', 'c_n']
    """
    _check_float32(model)
    _check_size(model)
    layer = model if isinstance(model, RNN | LSTM | GRU) else None
    if initial_state and layer is None:
        raise ShapeError(f"initial_state is for a layer by itself, not for a {type(model).__name__}")
    with evaluating(model), torch.no_grad():
        if layer is None:
            proto = _model(model, metadata or {})
        else:
            proto = _layer(layer, metadata or {}, initial_state=initial_state)
    if path is not None:
        _write(Path(path), proto.SerializeToString())
    return proto


def _check_float32(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
            raise InputTypeError(
                f"{path or 'the model'} is a {type(module).__name__}, whose weights have no shape yet; "
                "call the model once before the export"
            )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_meta:
            raise InputTypeError(
                f"{name} is on the device meta, which keeps no numbers; load the weights first"
            )
        if (tensor.is_floating_point() or tensor.is_complex()) and tensor.dtype != torch.float32:
            raise InputTypeError(
                f"{name} is {tensor.dtype}, expected torch.float32, in which runtimes have these operators; "
                "export a copy in float32, copy.deepcopy(model).float()"
            )


def _check_size(model: nn.Module) -> None:
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    if size >= _LARGEST:
        raise ShapeError(
            f"the parameters have {size / 2**30:.1f} GiB, and one ONNX file holds less than 2 GiB; export a "
            "smaller model, or its parts"
        )


def _layer(layer: RNN | LSTM | GRU, metadata: Mapping[str, str], *, initial_state: bool) -> "ModelProto":
    operators_of(layer)  # refuses what computes more than the layer
    graph, first = ModelGraph(), layer.batch_first
    padded: Dims = ("batch", "length") if first else ("length", "batch")
    x = graph.input("x", np.float32, (*padded, layer.input_size), f"Padded sequences. {_PADDED}")
    lengths = graph.input("lengths", np.int64, ("batch",), _LENGTHS)
    lstm = isinstance(layer, LSTM)
    states = ["h", "c"] if lstm else ["h"]
    size: Dims = (number_of_states(layer), "batch", layer.hidden_size)
    optional = {}
    if initial_state:
        optional = {f"{s}_0": graph.input(f"{s}_0", np.float32, size, f"Initial {s}.") for s in states}
    if layer.context_size:
        dims = ("batch", layer.context_size)
        optional["context"] = graph.input("context", np.float32, dims, "Context of each sequence.")
    swapped = graph.add("Transpose", x, perm=[1, 0, 2]) if first else x
    batch = Batch.of(graph, lengths, swapped)
    result = add_recurrent(
        batch, layer, Steps(swapped, layer.input_size), optional=OptionalInputs(**optional)
    )
    y = graph.add("Transpose", result.steps.name, perm=[1, 0, 2]) if first else result.steps.name
    outputs = {"output": y, "h_n": result.h_n} | ({"c_n": result.c_n} if lstm else {})
    for name, value in outputs.items():
        graph.rename(value, name)
    described: dict[str, tuple[Dims, str]] = {
        "output": ((*padded, result.steps.features or 0), "h of every step of the last layer.")
    }
    described |= {f"{s}_n": (size, f"{s} after each sequence's own last step.") for s in states}
    return graph.model(described, metadata)


def _model(model: nn.Module, metadata: Mapping[str, str]) -> "ModelProto":
    graph = ModelGraph()
    features = _features(model)
    if features is None:
        words = "Padded sequences of token numbers, such as 0 behind a sequence's end."
        x = graph.input("tokens", np.int64, ("batch", "length"), words)
    else:
        x = graph.input("x", np.float32, ("batch", "length", features), f"Padded sequences. {_PADDED}")
    lengths = graph.input("lengths", np.int64, ("batch",), _LENGTHS)
    swapped = graph.add("Transpose", x, perm=[1, 0] if features is None else [1, 0, 2])
    batch = Batch.of(graph, lengths, swapped)
    value = add_part(batch, model, Steps(swapped, features))
    dims: Dims = ("batch", value.features or 0)
    if isinstance(value, Steps):
        real = batch.masked(value, batch.real).name
        graph.rename(graph.add("Transpose", real, perm=[1, 0, 2]), "output")
        words = "Values of every step, 0 behind a sequence's end."
        return graph.model({"output": (("batch", "length", dims[1]), words)}, metadata)
    graph.rename(value.name, "logits")
    if value.rows is not None:
        words = f"For each sequence the {value.rows} values of each feature that were kept, 0 behind them."
        return graph.model({"logits": (("batch", value.rows, dims[1]), words)}, metadata)
    return graph.model({"logits": (dims, "One row for each sequence.")}, metadata)


def _features(model: nn.Module) -> int | None:
    """Return how many features a step of the input has, None for token numbers."""
    for operator in operators_in(model):
        features = features_read(operator)
        if not isinstance(features, str):
            return features
    raise InputTypeError(
        f"{type(model).__name__} has no Embedding, recurrent, convolutional or linear module, so nothing "
        "says what it reads"
    )


def _write(path: Path, data: bytes) -> None:
    """Write beside and rename, so that a file is there as a whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
