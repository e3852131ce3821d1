"""Modules that stand between tokens and logits, each as a few nodes."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from torch import nn

from throughtime.errors import KindError, ShapeError
from throughtime.export._activations import ACTIVATIONS, add_activation
from throughtime.export._batch import Batch, Steps, Value, Vectors, features_of, steps_of
from throughtime.export._conv import add_block, add_conv, add_wide
from throughtime.export._kind import kind_of
from throughtime.export._pool import add_pool
from throughtime.export._recurrent import add_recurrent
from throughtime.models import BiGRU, BiLSTM, TextCNN
from throughtime.nn import GRU, LSTM, RNN, Conv1d, ConvBlock, Linear, LockedDropout, Pool, Readout, WideConv


def add_module(batch: Batch, module: nn.Module, value: Value, path: str) -> Value:
    """Add a module to the graph as it computes in evaluation mode.

    Raises
    ------
    KindError
        If nothing here knows the module.
    ShapeError
        If it has an option that cannot be exported, or does not fit to what comes before it.
    """
    add = _KNOWN.get(kind_of(module))
    if add is None:
        known = ", ".join(sorted({kind.__name__ for kind in _KNOWN}))
        raise KindError(
            f"{path or 'the model'} is a {type(module).__name__}, which has no form in ONNX here; "
            f"these have one: {known}"
        )
    return add(batch, module, value, path)


def _chain(batch: Batch, parts: Iterable[tuple[str, nn.Module]], value: Value, path: str) -> Value:
    for name, part in parts:
        value = add_module(batch, part, value, _inner(path, name))
    return value


def _sequential(batch: Batch, module: Any, value: Value, path: str) -> Value:
    # Not named_children, which leaves out a module that comes a second time.
    return _chain(batch, module._modules.items(), value, path)  # noqa: SLF001


def _bi_recurrent(batch: Batch, module: Any, value: Value, path: str) -> Value:
    parts = ("embedding", "dropout", "recurrent", "pool", "dropout", "output")
    return _chain(batch, [(part, getattr(module, part)) for part in parts], value, path)


def _text_cnn(batch: Batch, module: Any, value: Value, path: str) -> Value:
    value = add_module(batch, module.embedding, value, _inner(path, "embedding"))
    # The model reads the blocks one by one, whatever holds them.
    value = add_wide(batch, module.convolutions, value, _inner(path, "convolutions"))
    return _chain(
        batch, [(part, getattr(module, part)) for part in ("pool", "dropout", "output")], value, path
    )


def _inner(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _nothing(_batch: Batch, _module: Any, value: Value, _path: str) -> Value:
    return value


def _locked_dropout(_batch: Batch, module: Any, value: Value, path: str) -> Value:
    return steps_of(value, _label(module, path))


def _embedding(batch: Batch, module: Any, value: Value, path: str) -> Value:
    name = _label(module, path)
    if isinstance(value, Vectors) or value.features is not None:
        raise ShapeError(f"{name} reads token numbers, but gets features; put it first")
    if module.max_norm is not None:
        raise ShapeError(f"{name}: an Embedding with max_norm changes its weights as it reads; leave it out")
    weight = batch.graph.constant(module.weight, _inner(path, "weight"))
    return Steps(batch.graph.add("Gather", weight, value.name, axis=0), module.embedding_dim)


def _recurrent(batch: Batch, module: Any, value: Value, path: str) -> Value:
    steps = steps_of(value, _label(module, path), module.input_size)
    return add_recurrent(batch, module, steps, path).steps


def _linear(batch: Batch, module: Any, value: Value, path: str) -> Value:
    features_of(value, _label(module, path), module.in_features)
    graph = batch.graph
    result = graph.add("MatMul", value.name, graph.constant(module.weight.t(), _inner(path, "weight")))
    if module.bias is not None:
        result = graph.add("Add", result, graph.constant(module.bias, _inner(path, "bias")))
    return replace(value, name=result, features=module.out_features)


def _readout(batch: Batch, module: Any, value: Value, path: str) -> Value:
    logits = _linear(batch, module, value, path)
    return replace(logits, name=batch.graph.add("Softmax", logits.name, axis=-1))


def _activation(batch: Batch, module: Any, value: Value, path: str) -> Value:
    name = _label(module, path)
    features_of(value, name)
    return replace(value, name=add_activation(batch, module, value.name, name))


def _flatten(batch: Batch, module: Any, value: Value, path: str) -> Value:
    name = _label(module, path)
    if not isinstance(value, Vectors) or (module.start_dim, module.end_dim) != (1, -1):
        raise ShapeError(
            f"{name}: a Flatten is exported behind a Pool, with start_dim=1 and end_dim=-1; "
            f"this one has {module.start_dim} and {module.end_dim}"
        )
    if value.rows is None:
        return value
    flat = batch.graph.add("Flatten", value.name, axis=1)
    return Vectors(flat, value.rows * value.features)


def _pool(batch: Batch, module: Any, value: Value, path: str) -> Value:
    return add_pool(batch, module, value, _label(module, path))


def _wide(batch: Batch, module: Any, value: Value, path: str) -> Value:
    return add_wide(batch, module, value, _label(module, path))


def _block(batch: Batch, module: Any, value: Value, path: str) -> Value:
    return add_block(batch, module, value, _label(module, path))


def _conv(batch: Batch, module: Any, value: Value, path: str) -> Value:
    return add_conv(batch, module, value, _label(module, path))


def _label(module: nn.Module, path: str) -> str:
    """Return the name of a module, for errors."""
    return path or type(module).__name__


# By the class itself: what a subclass computes is not known here.
_KNOWN: dict[type[nn.Module], Callable[[Batch, Any, Value, str], Value]] = {
    nn.Sequential: _sequential,
    BiLSTM: _bi_recurrent,
    BiGRU: _bi_recurrent,
    TextCNN: _text_cnn,
    nn.Embedding: _embedding,
    RNN: _recurrent,
    LSTM: _recurrent,
    GRU: _recurrent,
    WideConv: _wide,
    ConvBlock: _block,
    Conv1d: _conv,
    Pool: _pool,
    nn.Flatten: _flatten,
    Linear: _linear,
    nn.Linear: _linear,
    Readout: _readout,
    **dict.fromkeys(ACTIVATIONS, _activation),
    nn.Dropout: _nothing,
    nn.Identity: _nothing,
    LockedDropout: _locked_dropout,
}
