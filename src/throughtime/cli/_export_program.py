"""The program that ``throughtime export`` prints: it runs the file on rows as the data have them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from onnx import ModelProto

_OPENED = """\
session = onnxruntime.InferenceSession({path})
notes = session.get_modelmeta().custom_metadata_map
"""
_TEXTS = """\
tokenizer = tokenizers.Tokenizer.from_str(notes["tokenizer"])
rows = [tokenizer.encode(text).ids for text in {texts}]
"""
_TOKENS = """\
vocabulary = tokenizers.Tokenizer.from_str(notes["tokenizer"]).get_vocab()
rows = [[vocabulary.get(token, 0) for token in tokens] for tokens in {tokens}]
"""
_SERIES = """\
rows = [numpy.zeros((length, {channels})) for length in (50, 30)]  # a series each: steps, channels
"""
_PADDED = """\
lengths = numpy.array([len(row) for row in rows], "int64")
{name} = numpy.zeros((len(rows), lengths.max(initial=1){channels}), "{dtype}")
for padded, row in zip({name}, rows):
    padded[: len(row)] = row
"""
_CALLED = """\
inputs = {{"{name}": {name}, "lengths": lengths{extra}}}
({results}{comma}) = session.run({names}, inputs)
"""
_STREAM = """\
states = json.loads(notes["states"])
shapes = [[1 if size == "batch" else size for size in state["shape"]] for state in states]
values = [numpy.zeros(shape, state["dtype"]) for shape, state in zip(shapes, states)]
for step in rows[0]:
    inputs = dict(zip([state["input"] for state in states], values))
    inputs["{name}"] = numpy.array([[step]], "{dtype}"){extra}
    {results}, *values = session.run({names} + [state["output"] for state in states], inputs)
    {shown}
"""


class _Answer(NamedTuple):
    """The outputs that a task's program reads, how it prints them, and what it reads of the metadata."""

    outputs: tuple[str, ...]
    shown: str
    notes: str = ""


_ANSWERS = {
    "classification": _Answer(
        ("probabilities", "prediction"),
        "for number, row in zip(prediction, probabilities): print(classes[number], row.round(3))",
        'classes = json.loads(notes["classes"])\n',
    ),
    "multilabel": _Answer(
        ("probabilities", "prediction"),
        "for row in prediction: print([name for name, one in zip(labels, row) if one])",
        'labels = json.loads(notes["labels"])\n',
    ),
    "regression": _Answer(
        ("prediction",),
        "for row in prediction: print(dict(zip(targets, row.tolist())))",
        'targets = json.loads(notes["targets"])\n',
    ),
    "tagging": _Answer(
        ("prediction",),
        "for row in prediction: print([tags[number] for number in row if number >= 0])",
        'tags = json.loads(notes["tags"])\n',
    ),
    "anomaly": _Answer(("score", "prediction"), "print(score.tolist(), prediction.tolist())"),
}
_NEXT = _Answer(("output",), "print(output.shape)  # what comes after each step")


class _Input(NamedTuple):
    """The name and dtype of the input with the steps, how rows come about, and the packages for it."""

    name: str
    dtype: str
    rows: str
    channels: str = ""
    imports: tuple[str, ...] = ()


def program(proto: "ModelProto", path: Path) -> tuple[str, str]:
    """Return the packages that a Python program needs to run an exported run, and the program."""
    notes = {entry.key: entry.value for entry in proto.metadata_props}
    answer = _ANSWERS.get(json.loads(notes["task"])["name"], _NEXT)
    read, streaming = _input(proto, notes), "states" in notes
    extra = _extra(proto, 1 if streaming else 2)
    results = ", ".join(answer.outputs)
    opened = _OPENED.format(path=json.dumps(str(path), ensure_ascii=False))
    names = json.dumps(list(answer.outputs))
    if streaming:
        with_extra = f'\n    inputs["extra"] = {extra}' if extra else ""
        body = _STREAM.format(
            name=read.name,
            dtype=read.dtype,
            results=results,
            names=names,
            shown=answer.shown,
            extra=with_extra,
        )
    else:
        body = _PADDED.format(name=read.name, dtype=read.dtype, channels=read.channels)
        with_extra = f', "extra": {extra}' if extra else ""
        comma = "," if len(answer.outputs) == 1 else ""
        body += _CALLED.format(name=read.name, results=results, comma=comma, names=names, extra=with_extra)
        body += f"{answer.shown}\n"
    used = ["numpy", "onnxruntime", *read.imports]
    modules = ["json", *used] if "json." in opened + answer.notes + body else used
    code = f"import {', '.join(modules)}\n{opened}{answer.notes}{read.rows}{body}"
    return " ".join(used[1:]), code


def _input(proto: "ModelProto", notes: dict[str, str]) -> _Input:
    sizes = {value.name: value.type.tensor_type for value in proto.graph.input}
    if "x" in sizes:
        channels = sizes["x"].shape.dim[2].dim_value
        dtype = "float64" if sizes["x"].elem_type == _DOUBLE else "float32"
        return _Input("x", dtype, _SERIES.format(channels=channels), f", {channels}")
    options: dict[str, Any] = json.loads(notes.get("encoder", '{"inputs": {"kind": "text"}}'))["inputs"]
    if options["kind"] == "tokens":
        rows = _TOKENS.format(tokens='[["a", "token"], ["another"]]')
    else:
        columns = options.get("options", {}).get("columns", ["text"])
        rows = _TEXTS.format(texts=json.dumps([_SEPARATOR.join([text] * len(columns)) for text in _EXAMPLES]))
    return _Input("tokens", "int64", rows, imports=("tokenizers",))


_EXAMPLES = ("a text", "another one")
_SEPARATOR = "<sep>"  # between the texts of several columns
_DOUBLE = 11  # onnx.TensorProto's number


def _extra(proto: "ModelProto", rows: int) -> str:
    """Return the expression of the columns of numbers, "" if there are none."""
    for value in proto.graph.input:
        if value.name == "extra":
            return f"numpy.zeros(({rows}, {value.type.tensor_type.shape.dim[1].dim_value}))"
    return ""
