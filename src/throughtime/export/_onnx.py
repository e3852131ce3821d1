"""`onnx`: a layer or model as an ONNX model."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Steps
from throughtime.export._file import write_file
from throughtime.export._function_of_tokens import add_rows
from throughtime.export._intermediates import Intermediates
from throughtime.export._model_graph import Dims, ModelGraph
from throughtime.export._recurrent import OptionalInputs, add_recurrent, number_of_states, state_sizes
from throughtime.export._stream import Stream
from throughtime.export._weights import check_float32, check_size
from throughtime.export._whole_model import (
    LENGTHS,
    PADDED,
    add_model,
    extra_of,
    features_of_input,
    take_steps,
)
from throughtime.nn import GRU, LSTM, RNN
from throughtime.nn.description import NoSequence, description_of, operators_of
from throughtime.ops.modes import evaluating

if TYPE_CHECKING:
    from onnx import ModelProto


def onnx(
    model: nn.Module,
    path: str | Path | None = None,
    *,
    initial_state: bool = False,
    streaming: bool = False,
    intermediates: bool = False,
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
                           with an Embedding, or x (B, L, D);  logits (B, D) if it pools, (B, k, D) if it
                           extra (B, K) if it reads features   keeps the k largest of each feature;
                           beside the sequence                 output_lengths (B,) if they changed
    LeNet                  x (B, C, 28, 28) and no lengths     logits (B, classes)
    =====================  ==================================  ===========================================

    A model is exported part by part, as it describes itself (`throughtime.nn.description`), down to layers
    that state their operators: all public layers but single cells, `Stream`, `AttentionGRU` and
    `ConvBlock2d`. So are blocks, stacks and models made of these, and modules of your own with a method
    ``describe()``. A function or module that treats each step by itself and states no operators, such as an
    activation, is recorded: it runs once, and each operator of torch that it calls becomes one of ONNX.
    Recurrent layers are ONNX's own operators or, where these do not have the cell or an option, such as MGU
    and ``proj_size``, loops over its equations. A parametrized weight (`torch.nn.utils.parametrize`) is
    exported with its present value.

    With ``streaming`` the inputs are the next n ≥ 1 steps of each of B sequences, tokens (B, n) or x
    (B, n, D), and the state, and the outputs also have the state after these steps. The output is of these
    steps or, of a model that pools, of all steps so far, and equal to that of the whole sequences. The state
    is h and c of recurrent layers, the last inputs of causal convolutions, and what Pool needs of the steps
    so far. Its inputs are named by the path of the part and end in ``_0``, "recurrent.h_0" (layers, B, H),
    its outputs in ``_n``. It begins with zeros, see `stream_state`; the metadata entry "states" is its
    description in JSON.

    With ``intermediates`` further outputs are what every part of the model returns, by its path, for every
    step (B, L, D): "embedding", "convolutions.blocks.0.conv"; states and gates of recurrent layers as
    `throughtime.nn.Trace` names them, "recurrent.forget", with ``_l0`` and ``_reverse`` as parameters have
    where there are several layers or directions; and "pool.index" (B, D) int64, the step from which the
    maximum comes, −1 of an empty sequence. Recurrent layers are then loops (Scan).

    Parameters
    ----------
    model : Module
        With float32 parameters.
    path : str or Path, optional
        File to write; one that is there is replaced.
    initial_state : bool
        Of a layer: whether h_0, and c_0 of LSTM, are inputs, (layers · directions, B, H). Otherwise they are
        zeros, or what the layer has learned.
    streaming : bool
        Whether the model reads sequences in chunks.
    intermediates : bool
        Whether values inside of the model are outputs, too.
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
        here; if a function gives a step another result in another batch, or changes its input in place; if a
        module has a forward hook or overrides methods of the class that describes it; or the parameters are
        not float32.
    ShapeError
        If an option has no form in ONNX, such as ``max_norm`` of an Embedding; if modules do not fit
        together, or the parameters have 2 GiB or more.
    NotCausalError
        If it is to stream, and a part needs future steps; the message names it.
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
    >>> stream = tt.export.onnx(tt.models.GRUModel(10, 2), streaming=True)
    >>> [value.name for value in stream.graph.input]
    ['tokens', 'recurrent.h_0', 'steps_0', 'pool.max_0']
    >>> [value.name for value in stream.graph.output]
    ['logits', 'recurrent.h_n', 'steps_n', 'pool.max_n']
    """
    check_float32(model)
    check_size(model)
    layer = model if isinstance(model, RNN | LSTM | GRU) else None
    if initial_state and streaming:
        raise ShapeError("initial_state is for whole sequences; with streaming all states are inputs")
    if initial_state and layer is None:
        raise ShapeError(f"initial_state is for a layer by itself, not for a {type(model).__name__}")
    between, row = Intermediates() if intermediates else None, _row_of(model)
    if row is not None and (streaming or intermediates):
        raise ShapeError(f"{type(model).__name__} reads no sequences; leave streaming and intermediates out")
    with evaluating(model), torch.no_grad():
        if streaming:
            proto = _streaming(model, between, metadata or {})
        elif row is not None:
            proto = _rows(model, row).model(metadata or {})
        elif layer is None:
            proto = _model(model, between).model(metadata or {})
        else:
            proto = _layer(layer, between, initial_state=initial_state).model(metadata or {})
    if path is not None:
        write_file(Path(path), proto.SerializeToString())
    return proto


def _row_of(model: nn.Module) -> tuple[int, ...] | None:
    """Return the sizes of a row that the model reads, None if it reads sequences."""
    description = description_of(model)
    return description.row if isinstance(description, NoSequence) else None


def _layer(
    layer: RNN | LSTM | GRU, intermediates: Intermediates | None, *, initial_state: bool
) -> ModelGraph:
    operators_of(layer)  # refuses what computes more than the layer
    graph, first = ModelGraph(), layer.batch_first
    padded: Dims = ("batch", "length") if first else ("length", "batch")
    x = graph.input("x", np.float32, (*padded, layer.input_size), f"Padded sequences. {PADDED}")
    lengths = graph.input("lengths", np.int64, ("batch",), LENGTHS)
    sizes: dict[str, Dims] = {
        name: (number_of_states(layer), "batch", size) for name, size in state_sizes(layer).items()
    }
    optional = {}
    if initial_state:
        optional = {
            f"{name}_0": graph.input(f"{name}_0", np.float32, size, f"Initial {name}.")
            for name, size in sizes.items()
        }
    if layer.context_size:
        dims = ("batch", layer.context_size)
        optional["context"] = graph.input("context", np.float32, dims, "Context of each sequence.")
    swapped = graph.add("Transpose", x, perm=[1, 0, 2]) if first else x
    batch = Batch.of(graph, lengths, swapped, intermediates)
    result = add_recurrent(
        batch, layer, Steps(swapped, layer.input_size), optional=OptionalInputs(**optional)
    )
    real = result.steps if result.zeros_behind else batch.masked(result.steps, batch.real)
    y = graph.add("Transpose", real.name, perm=[1, 0, 2]) if first else real.name
    width = result.steps.features or 0
    graph.output(y, "output", np.float32, (*padded, width), "h of every step of the last layer.")
    for (name, size), value in zip(sizes.items(), (result.h_n, result.c_n), strict=False):
        words = f"{name} after each sequence's own last step."
        graph.output(value, f"{name}_n", np.float32, size, words)
    if intermediates is not None:
        intermediates.return_all(graph, batch, result.steps)
    return graph


def _model(model: nn.Module, intermediates: Intermediates | None) -> ModelGraph:
    graph, features = ModelGraph(), features_of_input(model)
    swapped = take_steps(graph, features, "Padded sequences", "such as 0 behind a sequence's end", PADDED)
    lengths = graph.input("lengths", np.int64, ("batch",), LENGTHS)
    batch = replace(Batch.of(graph, lengths, swapped, intermediates), extra=extra_of(graph, model))
    add_model(batch, model, Steps(swapped, features), graph)
    return graph


def _rows(model: nn.Module, row: tuple[int, ...]) -> ModelGraph:
    """Return the graph of a model that reads rows of one shape, such as images."""
    graph = ModelGraph()
    x = graph.input("x", np.float32, ("batch", *row), "Rows.")
    output, sizes = add_rows(graph, model, x, row)
    graph.output(output, "logits", np.float32, ("batch", *sizes), "One row for each of the input.")
    return graph


def _streaming(
    model: nn.Module, intermediates: Intermediates | None, metadata: Mapping[str, str]
) -> "ModelProto":
    graph, features = ModelGraph(), features_of_input(model)
    swapped = take_steps(graph, features, "The next steps of each sequence", "one for each step", "")
    stream = replace(Stream.of_steps(graph, swapped, intermediates), extra=extra_of(graph, model))
    add_model(stream, model, Steps(swapped, features), graph)
    states = json.dumps([state.described() for state in stream.states])
    return graph.model({**metadata, "states": states})
