"""``throughtime export``: the model of a run as a file for other runtimes."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from torch import nn

from throughtime import export as formats
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.demo import TASK
from throughtime.errors import RunError, UnsupportedError
from throughtime.learn import Recipe
from throughtime.tasks import Classification
from throughtime.tasks.anomaly import Surprise
from throughtime.tasks.tagging import Tagger
from throughtime.training import Run

if TYPE_CHECKING:
    from onnx import ValueInfoProto

_HINT = """\
import json, numpy, onnxruntime, tokenizers
session = onnxruntime.InferenceSession({path})
notes = session.get_modelmeta().custom_metadata_map
tokenizer = tokenizers.Tokenizer.from_str(notes["tokenizer"])
ids = [tokenizer.encode(text).ids for text in ["a text", "another one"]]
lengths = numpy.array([len(row) for row in ids], "int64")
tokens = numpy.zeros((len(ids), lengths.max(initial=1)), "int64")
for row, numbers in zip(tokens, ids):
    row[: len(numbers)] = numbers
(logits,) = session.run(["logits"], {{"tokens": tokens, "lengths": lengths}})
print([json.loads(notes["classes"])[best] for best in logits.argmax(1)])
"""

_STREAMING_HINT = """\
import json, numpy, onnxruntime, tokenizers
session = onnxruntime.InferenceSession({path})
notes = session.get_modelmeta().custom_metadata_map
tokenizer, classes = tokenizers.Tokenizer.from_str(notes["tokenizer"]), json.loads(notes["classes"])
states = json.loads(notes["states"])
shapes = [[1 if size == "batch" else size for size in state["shape"]] for state in states]
values = [numpy.zeros(shape, state["dtype"]) for shape, state in zip(shapes, states)]
for token in tokenizer.encode("a text").ids:
    inputs = dict(zip([state["input"] for state in states], values))
    outputs = ["logits", *(state["output"] for state in states)]
    logits, *values = session.run(outputs, {{"tokens": numpy.array([[token]]), **inputs}})
    print(tokenizer.id_to_token(token), classes[logits[0].argmax()])
"""


def export(
    path: Path,
    out: Path | None,
    *,
    streaming: bool = False,
    intermediates: bool = False,
    quiet: bool = False,
) -> None:
    """Write the best model of a run as an ONNX file, and print how to run it."""
    run = Run.open(path)
    model = run.load_model()
    _require_exportable(run, model)
    out = _beside(run.path) if out is None else out
    if out.exists():
        raise RunError(f"{out} exists already; choose another --out")
    if not out.parent.is_dir():
        raise RunError(f"the folder {out.parent} does not exist; create it or choose another --out")
    proto = formats.onnx(model, out, streaming=streaming, intermediates=intermediates, metadata=metadata(run))
    console = Console(highlight=False, soft_wrap=True, markup=False, quiet=quiet)
    outputs = "output" if len(proto.graph.output) == 1 else "outputs"
    console.print(
        f"saved in {out}: inputs {_described(proto.graph.input)}, {outputs} {_described(proto.graph.output)}"
    )
    if run.config.recipe.get("kind") == TASK:
        console.print(
            "tokens are those of a window of Python code around an operator, as in throughtime predict"
        )
    elif _reads_one_text(run) and isinstance(run.config.task, Classification):
        console.print("to run the model: pip install onnxruntime tokenizers, then in Python:\n")
        hint = _STREAMING_HINT if streaming else _HINT
        console.print(hint.format(path=json.dumps(str(out), ensure_ascii=False)), end="")


def metadata(run: Run) -> dict[str, str]:
    """Return what a reader of the file needs: the task, names of classes, and the tokenizer."""
    task, tokenizer = run.task, run.tokenizer_json()
    notes = {"model": run.config.model.name, "task": _json(task.to_json())}
    notes |= {name: str(size) for name, size in run.config.shape.items()}
    for name in ("classes", "labels", "tags", "targets"):
        if hasattr(task, name):
            notes[name] = _json(list(getattr(task, name)))
    if "vocabulary_size" in run.config.shape:
        notes["tokenizer"] = tokenizer_of(run).to_str() if tokenizer is None else tokenizer
    return notes


def _require_exportable(run: Run, model: nn.Module) -> None:
    """Check that outputs of the model alone are those of the task."""
    if isinstance(model, Tagger):
        raise UnsupportedError(
            f"{run.path} has a conditional random field, which ONNX files here do not hold; train without "
            "--crf"
        )
    if isinstance(model, Surprise):
        raise UnsupportedError(
            f"{run.path} is a run of task {run.config.task.name!r}, whose model of the next step is not "
            "exported; export a run of another task"
        )
    if "extra" in run.config.shape:
        raise UnsupportedError(
            f"{run.path} reads columns of numbers beside the sequence, which ONNX files here do not hold; "
            "train without --numeric"
        )


def _described(values: Iterable["ValueInfoProto"]) -> str:
    return ", ".join(f"{value.name} ({', '.join(_dimensions(value))})" for value in values)


def _dimensions(value: "ValueInfoProto") -> list[str]:
    return [size.dim_param or str(size.dim_value) for size in value.type.tensor_type.shape.dim]


def _reads_one_text(run: Run) -> bool:
    columns = Recipe.from_json(run.config.recipe.get("options")).columns
    return len(columns.text) == 1 and not columns.numeric


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _beside(run: Path) -> Path:
    """Return RUN.onnx next to the folder of the run."""
    named = run if run.name not in {"", ".."} else run.resolve()
    return named.with_name(f"{named.name}.onnx")
