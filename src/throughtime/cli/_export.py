"""``throughtime export``: the model of a run as a file for other runtimes."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from throughtime.cli._export_program import program
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.demo import TASK
from throughtime.errors import RunError, UnsupportedError
from throughtime.export import onnx_int8
from throughtime.learn import Predictor
from throughtime.learn.export import export_model
from throughtime.training import Run

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto


def export(
    path: Path,
    out: Path | None,
    *,
    streaming: bool = False,
    intermediates: bool = False,
    int8: bool = False,
    quiet: bool = False,
) -> None:
    """Write the best model of a run as an ONNX file, and print how to run it."""
    if int8 and (streaming or intermediates):
        raise UnsupportedError(
            "--int8 is for files without --streaming and --intermediates; export them in float32"
        )
    run = Run.open(path)
    out = _beside(run.path) if out is None else out
    if out.exists():
        raise RunError(f"{out} exists already; choose another --out")
    if not out.parent.is_dir():
        raise RunError(f"the folder {out.parent} does not exist; create it or choose another --out")
    proto = _exported(run, None if int8 else out, streaming=streaming, intermediates=intermediates)
    if int8:
        onnx_int8(proto, out)
    console = Console(highlight=False, soft_wrap=True, markup=False, quiet=quiet)
    outputs = "output" if len(proto.graph.output) == 1 else "outputs"
    console.print(
        f"saved in {out}: inputs {_described(proto.graph.input)}, {outputs} {_described(proto.graph.output)}"
    )
    if run.config.recipe.get("kind") == TASK:
        console.print(
            "tokens are those of a window of Python code around an operator, as in throughtime predict"
        )
        return
    packages, code = program(proto, out)
    console.print(f"to run the model: pip install {packages}, then in Python:\n")
    console.print(code, end="")


def _exported(run: Run, out: Path | None, *, streaming: bool, intermediates: bool) -> "ModelProto":
    """Return the model, and write it if there is a path; of a run on tables it reads what the tables have."""
    tokenizer = None
    if "vocabulary_size" in run.config.shape:
        tokenizer = run.tokenizer_json() or tokenizer_of(run).to_str()
    encoder = Predictor.of(run).encoder if run.config.recipe.get("kind") == "table" else None
    return export_model(
        run.load_model(),
        run.task,
        encoder,
        out,
        name=run.config.model.name,
        tokenizer_json=tokenizer,
        streaming=streaming,
        intermediates=intermediates,
        metadata={name: str(size) for name, size in run.config.shape.items()},
    )


def _described(values: Iterable["ValueInfoProto"]) -> str:
    return ", ".join(f"{value.name} ({', '.join(_dimensions(value))})" for value in values)


def _dimensions(value: "ValueInfoProto") -> list[str]:
    return [size.dim_param or str(size.dim_value) for size in value.type.tensor_type.shape.dim]


def _beside(run: Path) -> Path:
    """Return RUN.onnx next to the folder of the run."""
    named = run if run.name not in {"", ".."} else run.resolve()
    return named.with_name(f"{named.name}.onnx")
