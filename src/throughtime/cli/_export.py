"""``throughtime export``: the model of a run as a file for other runtimes."""

import json
from pathlib import Path

from rich.console import Console

from throughtime import export as formats
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.demo import TASK
from throughtime.errors import RunError
from throughtime.training import Run

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
(logits,) = session.run(None, {{"tokens": tokens, "lengths": lengths}})
print([json.loads(notes["classes"])[best] for best in logits.argmax(1)])
"""


def export(path: Path, out: Path | None) -> None:
    """Write the best model of a run as an ONNX file, and print how to run it."""
    run = Run.open(path)
    model = run.load_model()
    out = _beside(run.path) if out is None else out
    if out.exists():
        raise RunError(f"{out} exists already; choose another --out")
    if not out.parent.is_dir():
        raise RunError(f"the folder {out.parent} does not exist; create it or choose another --out")
    config = run.config
    notes = {
        "model": config.model.name,
        "classes": json.dumps(config.classes, ensure_ascii=False),
        "vocabulary_size": str(config.vocabulary_size),
        "tokenizer": tokenizer_of(run).to_str(),
    }
    formats.onnx(model, out, metadata=notes)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"saved in {out}: inputs tokens (batch, length) and lengths (batch,), output logits "
        f"(batch, {len(config.classes)})"
    )
    if config.task.get("kind") == TASK:
        console.print(
            "tokens are those of a window of Python code around an operator, as in throughtime predict"
        )
    else:
        console.print("to run the model: pip install onnxruntime tokenizers, then in Python:\n")
        console.print(_HINT.format(path=json.dumps(str(out), ensure_ascii=False)), end="")


def _beside(run: Path) -> Path:
    """Return RUN.onnx next to the folder of the run."""
    named = run if run.name not in {"", ".."} else run.resolve()
    return named.with_name(f"{named.name}.onnx")
