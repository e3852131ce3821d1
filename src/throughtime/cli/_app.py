"""The commands and their options. Each imports its dependencies when it runs, so that --help is fast."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from throughtime._importing import stopping_at_once
from throughtime.cli import _app_logs
from throughtime.cli._commands import Command, Group
from throughtime.cli._options import column_names


class _Commands(Group):
    """The commands; those with generated options are only assembled when they are invoked."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return the name, the command, and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        full = {
            train.__name__: full_train_command,
            tune.__name__: full_tune_command,
            serve.__name__: full_serve_command,
        }
        return name, full[name]() if name in full else command, rest


app = typer.Typer(
    name="throughtime",
    cls=_Commands,
    help="Train, diagnose and export padding-free sequence models.",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"throughtime {version('throughtime')}")  # noqa: T201 - command output
        raise typer.Exit


@app.callback()
def _callback(
    version_: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Train, diagnose and export padding-free sequence models."""


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to. Must not hold anything else.",
            show_default="runs/demo, with --quick runs/demo-quick",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Use the standard library alone and smaller networks: about a minute."),
    ] = False,
) -> None:
    """Train and compare classifiers on installed Python source."""
    with stopping_at_once():
        from throughtime.cli._demo import demo as command
    command(out, quick=quick)


@app.command()
def train() -> None:
    """Train a model on a file or folder."""


def full_train_command() -> Any:
    """Return ``train`` with all options, which are those of tasks and models."""
    with stopping_at_once():
        from throughtime.cli._app_train import train_command
    return _parsed_by_typer(train_command())


@app.command()
def tune() -> None:
    """Search for the best model and options."""


def full_tune_command() -> Any:
    """Return ``tune`` with all options, which are those of tasks and models."""
    with stopping_at_once():
        from throughtime.cli._app_tune import tune_command
    return _parsed_by_typer(tune_command())


app.add_typer(_app_logs.app, name="logs")


def _parsed_by_typer(command: Any) -> Any:
    parser = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    parser.command(name=command.__name__, cls=Command)(command)
    return typer.main.get_command(parser)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="Folder of a run of train --task language or frames.")],
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Text to continue; default: the start of a line. With a run of frames: a .npz or .mat "
            "file, whose first sequence is continued; default: one empty frame."
        ),
    ] = None,
    length: Annotated[int, typer.Option(help="Number of tokens or frames to generate.", min=1)] = 200,
    temperature: Annotated[
        float,
        typer.Option(
            help="Divisor of the logits. Values below 1 sharpen the distribution; 0 takes the most probable "
            "token."
        ),
    ] = 1.0,
    top_p: Annotated[
        float,
        typer.Option(
            help="Sample from the smallest set of tokens whose total probability is at least P.", metavar="P"
        ),
    ] = 1.0,
    unknown: Annotated[
        bool, typer.Option(help="Allow <unk>, the token for unknown words, to be drawn.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option(help="File (.npz) for generated frames. Must not exist.")
    ] = None,
) -> None:
    """Generate text or frames with a trained model."""
    with stopping_at_once():
        from throughtime.cli._sample import SampleOptions
        from throughtime.cli._sample import sample as command
    command(run, SampleOptions(prompt, length, temperature, top_p, unknown, seed, out))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[
        Path,
        typer.Argument(
            help="File of any format that train reads, text file with one text per line, or - for standard "
            "input. With a run of the demo: a Python file, or a folder of them.",
            allow_dash=True,
        ),
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "--text",
            "--tokens",
            "--series",
            metavar="COLUMNS",
            help="Column with the sequences, if it has another name than in the training; several are "
            "separated by commas.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMNS",
            help="Column with the true values; several are separated by commas. Metrics are printed to "
            "standard error.",
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="COLUMNS", help="Columns to copy to the output, such as an identifier."),
    ] = None,
    format_: Annotated[
        Literal["table", "csv", "jsonl", "parquet"] | None,
        typer.Option(
            "--format",
            help="Format of the output. Default: a table on a terminal; in a pipe jsonl if DATA is JSON "
            "Lines, else csv. All but the table have the probability of each class.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write (.csv, .jsonl or .parquet). Must not exist. Default: standard output."
        ),
    ] = None,
    input_format: Annotated[
        Literal["csv", "jsonl", "text"] | None,
        typer.Option(
            help="Format of standard input. Each row is answered as it arrives. Default: text (one text per "
            "line), or jsonl if the run reads anything but one text."
        ),
    ] = None,
    skip_blank: Annotated[
        bool, typer.Option("--skip-blank", help="Leave out rows without text, tokens or steps.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Print at most N rows (demo: the N most suspicious operators).", min=1
        ),
    ] = None,
    prior: Annotated[
        float,
        typer.Option(help="Demo: prior probability that an operator was replaced.", min=1e-6, max=0.999999),
    ] = 0.01,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="Compute with int8 weights. With --target, the metrics are those of int8."
        ),
    ] = False,
) -> None:
    """Predict labels, values, tags or scores of rows.

    With a run of the demo: find operators in Python files that look replaced.
    """
    with stopping_at_once():
        from throughtime.cli._predict import predict as command
        from throughtime.cli._predict_options import PredictOptions
    command(
        run,
        data,
        PredictOptions(
            columns=column_names(columns),
            target=column_names(target),
            ids=column_names(ids),
            format=format_,
            out=out,
            input_format=input_format,
            skip_blank=skip_blank,
            top=top,
            prior=prior,
            int8=int8,
        ),
    )


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, one or more.", metavar="RUN")],
    out: Annotated[Path | None, typer.Option(help="HTML page to write as well.")] = None,
) -> None:
    """Print the metrics of several runs side by side."""
    with stopping_at_once():
        from throughtime.cli._compare import compare as command
    command(runs, out)


@app.command()
def diagnose(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, one or more.", metavar="RUN")],
    data: Annotated[
        Path,
        typer.Argument(
            help="Labelled rows, as for train. With a run of the demo: Python files. With a run of "
            "--task language or frames: a text file or frames."
        ),
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "--text",
            "--tokens",
            "--series",
            metavar="COLUMNS",
            help="Column with the sequences, if it has another name than in the training; several are "
            "separated by commas.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMNS", help="Column with the true values. Default: that of the training."),
    ] = None,
    training_data: Annotated[
        Path | None,
        typer.Option(
            help="Training data of the run, for the comparison with a bag of words. Default: the path "
            "used for training."
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Number of sequences whose gradients are computed.", min=1)
    ] = 64,
    out: Annotated[
        Path | None,
        typer.Option(help="HTML page to write. Default: diagnosis.html in the folder of the run."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Report how gradients flow back through time."""
    with stopping_at_once():
        from throughtime.cli._diagnose import diagnose as command
        from throughtime.cli._diagnosis_data import DiagnosisColumns
    command(
        runs,
        data,
        DiagnosisColumns(column_names(columns), column_names(target), training_data),
        examples=examples,
        out=out,
        quiet=quiet,
    )


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    to: Annotated[Literal["onnx"], typer.Option(help="File format.")],  # noqa: ARG001 - one so far
    out: Annotated[
        Path | None,
        typer.Option(help="File to write. Must not exist. Default: RUN.onnx, next to the folder of the run."),
    ] = None,
    streaming: Annotated[
        bool,
        typer.Option(
            "--streaming",
            help="Export a model that reads sequences in chunks, with its state as inputs and outputs. "
            "For recurrent layers in one direction and causal convolutions.",
        ),
    ] = False,
    intermediates: Annotated[
        bool,
        typer.Option(
            "--intermediates",
            help="Also return what every layer computes, such as gates, convolutions and pooled steps.",
        ),
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Write int8 weights, by the dynamic quantization of ONNX Runtime. Not with --streaming or "
            "--intermediates.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Write the model of a run as an ONNX file."""
    with stopping_at_once():
        from throughtime.cli._export import export as command
    command(run, out, streaming=streaming, intermediates=intermediates, int8=int8, quiet=quiet)


@app.command()
def serve() -> None:
    """Answer requests for predictions over HTTP."""


def full_serve_command() -> Any:
    """Return ``serve`` with all options."""
    with stopping_at_once():
        from throughtime.cli._app_serve import serve_command
    return _parsed_by_typer(serve_command())


bench = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Benchmark layers against other libraries."
)
app.add_typer(bench, name="bench")


@bench.callback()
def bench_callback() -> None:
    """Benchmark layers against other libraries."""


@bench.command()
def recurrent(
    peers: Annotated[
        str, typer.Option(help="Libraries to compare with, comma-separated. Those not installed are skipped.")
    ] = "torch,onnxruntime,openvino,jax",
    cells: Annotated[str, typer.Option(help="Layers to measure, comma-separated.")] = "LSTM,GRU,RNN",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Shape to measure, as B,T,I,H: sequences, steps, input features, hidden units. May be "
            "repeated. Default: nine shapes from small to large.",
            metavar="B,T,I,H",
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="equal: all sequences have T steps; ragged: between T/4 and T steps.")
    ] = "equal,ragged",
    modes: Annotated[str, typer.Option(help="Modes to measure, comma-separated.")] = "inference,training",
    threads: Annotated[int, typer.Option(help="Number of threads that each library uses.", min=1)] = 2,
    rounds: Annotated[int, typer.Option(help="Number of repetitions; the median is reported.", min=1)] = 5,
    out: Annotated[Path, typer.Option(help="Folder to write recurrent.json and recurrent.html to.")] = Path(
        "runs/bench"
    ),
    extras: Annotated[
        str,
        typer.Option(
            help="Additional measurements, comma-separated: latency of one step (step), overhead of "
            "layer.trace (trace), time per token as sequences get longer (linear), peak memory (memory); or "
            "none."
        ),
    ] = "step,trace,linear,memory",
) -> None:
    """Benchmark RNN, LSTM and GRU against torch and other runtimes.

    Ratios are the other library's time divided by ours: above 1 means that throughtime is faster.
    """
    with stopping_at_once():
        from throughtime.cli._bench_recurrent import BenchOptions, bench_recurrent
    bench_recurrent(
        BenchOptions(
            peers=peers,
            cells=cells,
            shapes=shape or [],
            lengths=lengths,
            modes=modes,
            threads=threads,
            rounds=rounds,
            out=out,
            extras=extras,
        )
    )


@bench.command()
def conv(
    parts: Annotated[
        str,
        typer.Option(
            help="Parts to measure, comma-separated: convolution (conv), pooling (pool), batch normalization "
            "(norm), TextCNN (model), and a GRU against convolutions with as many operations (length)."
        ),
    ] = "conv,pool,norm,model,length",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Shape of a convolution, as B,T,C,O,K,D: sequences, steps, input channels, output "
            "channels, kernel size, dilation. May be repeated. Default: nine shapes.",
            metavar="B,T,C,O,K,D",
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="equal: all sequences have T steps; ragged: between T/4 and T steps.")
    ] = "equal,ragged",
    modes: Annotated[str, typer.Option(help="Modes to measure, comma-separated.")] = "inference,training",
    threads: Annotated[int, typer.Option(help="Number of threads that each library uses.", min=1)] = 2,
    rounds: Annotated[
        int, typer.Option(help="Number of repetitions in each process; the median is reported.", min=1)
    ] = 5,
    processes: Annotated[
        int,
        typer.Option(
            help="Number of processes to repeat the measurement in; torch's speed differs between them.",
            min=1,
        ),
    ] = 3,
    out: Annotated[Path, typer.Option(help="Folder to write conv.json and conv.html to.")] = Path(
        "runs/bench"
    ),
) -> None:
    """Benchmark convolution, pooling, norm and TextCNN.

    Ratios are torch's time on padded batches divided by ours: above 1 means that throughtime is faster.
    """
    with stopping_at_once():
        from throughtime.cli._bench_conv import ConvBenchOptions, bench_conv
    bench_conv(
        ConvBenchOptions(
            parts=parts,
            shapes=shape or [],
            lengths=lengths,
            modes=modes,
            threads=threads,
            rounds=rounds,
            processes=processes,
            out=out,
        )
    )


@bench.command()
def cells(
    parts: Annotated[
        str,
        typer.Option(
            help="Parts to measure, comma-separated: functions against built-in layers (built-in), "
            "against a loop over torch.nn.GRUCell (loop) and jax.lax.scan (jax), LSTM with LayerNorm "
            "(layer-norm), MinGRU against GRU (scan), second derivatives against torch (second), "
            "per-sample gradients against those of a batch (per-sample)."
        ),
    ] = "built-in,loop,jax,layer-norm,scan,second,per-sample",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Shape to measure, as B,T,I,H: sequences, steps, input features, hidden units. May be "
            "repeated. Default: nine shapes. Used by built-in and jax.",
            metavar="B,T,I,H",
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="equal: all sequences have T steps; ragged: between T/4 and T steps.")
    ] = "equal,ragged",
    modes: Annotated[str, typer.Option(help="Modes to measure, comma-separated.")] = "inference,training",
    threads: Annotated[int, typer.Option(help="Number of threads.", min=1)] = 2,
    rounds: Annotated[int, typer.Option(help="Number of repetitions; the median is reported.", min=1)] = 5,
    out: Annotated[Path, typer.Option(help="Folder to write cells.json to.")] = Path("runs/bench"),
) -> None:
    """Benchmark recurrences written as functions in PyTorch.

    LSTM and GRU as functions of tt.nn.Recurrence, against built-in layers and other libraries.
    """
    with stopping_at_once():
        from throughtime.cli._bench_cells import CellsBenchOptions, bench_cells
    bench_cells(
        CellsBenchOptions(
            parts=parts,
            shapes=shape or [],
            lengths=lengths,
            modes=modes,
            threads=threads,
            rounds=rounds,
            out=out,
        )
    )
