"""The commands and their options. Each imports what it needs when it runs, so that help comes at once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from throughtime.cli._app_train import train

app = typer.Typer(
    name="throughtime",
    help="Recurrent and convolutional sequence models, trained from files, without padding.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Out = Annotated[
    Path, typer.Option(help="Folder to write to; must not hold anything else.", show_default=True)
]


@app.command()
def demo(out: _Out = Path("runs/demo")) -> None:
    """Train, compare and show models on the Python source that is installed here."""
    from throughtime.cli._demo import demo as command

    command(out)


app.command()(train)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="Folder of a run of train --task next.")],
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Text to go on from; a new line unless given. Frames: a .npz or .mat file, whose first "
            "sequence it is; silence unless given."
        ),
    ] = None,
    length: Annotated[int, typer.Option(help="Steps to draw.", min=1)] = 200,
    temperature: Annotated[
        float, typer.Option(help="Below 1 the probable becomes more so; 0 takes the most probable.")
    ] = 1.0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the smallest set of words that has this probability.")
    ] = 1.0,
    unknown: Annotated[
        bool, typer.Option(help="Whether <unk> is drawn as any other word, or left out.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of what is drawn.", min=0)] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Frames: a .npz file to write, which must not exist.")
    ] = None,
) -> None:
    """Draw a text or frames from a model of what comes next, step by step."""
    from throughtime.cli._sample import SampleOptions
    from throughtime.cli._sample import sample as command

    command(run, SampleOptions(prompt, length, temperature, top_p, unknown, seed, out))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[
        Path,
        typer.Argument(
            help="Table (CSV, TSV, JSONL, Parquet), text file with one text per line, or - for standard "
            "input. With a run of the demo: a Python file, or a folder of them.",
            allow_dash=True,
        ),
    ],
    text: Annotated[
        str | None, typer.Option(help="Column with the text; that of the training unless given.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column with the true class, to say how many were right.")
    ] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object per line, not a table.")] = False,
    top: Annotated[
        int | None, typer.Option(help="Show so many at most (demo: the most suspicious).", min=1)
    ] = None,
    prior: Annotated[
        float,
        typer.Option(
            help="Demo: share of operators taken to be wrong before looking.", min=1e-6, max=0.999999
        ),
    ] = 0.01,
) -> None:
    """Apply a trained model: labels and probabilities, or operators that look replaced."""
    from throughtime.cli._predict import predict as command

    command(run, data, text=text, label=label, jsonl=jsonl, top=top, prior=prior)


@app.command()
def diagnose(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, one or several.", metavar="RUN")],
    data: Annotated[
        Path,
        typer.Argument(
            help="Labelled texts, as for train; for runs of the demo Python files, for those of --task "
            "next a text or frames."
        ),
    ],
    text: Annotated[
        str | None, typer.Option(help="Column with the text; that of the training unless given.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column with the class; that of the training unless given.")
    ] = None,
    examples: Annotated[int, typer.Option(help="How many sequences' gradients are looked at.", min=1)] = 64,
    out: Annotated[
        Path | None, typer.Option(help="Page to write; diagnosis.html in the run's folder unless given.")
    ] = None,
) -> None:
    """Say what gradients do on their way back through time, and what models listen to, on one page."""
    from throughtime.cli._diagnose import diagnose as command

    command(runs, data, text=text, label=label, examples=examples, out=out)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    to: Annotated[Literal["onnx"], typer.Option(help="Format of the file.")],  # noqa: ARG001 - one so far
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, which must not exist; beside the run, with .onnx, unless given."),
    ] = None,
) -> None:
    """Write the model of a run as a file for other runtimes, and say how to use it."""
    from throughtime.cli._export import export as command

    command(run, out)


bench = typer.Typer(no_args_is_help=True, help="Measure the layers against others on this machine.")
app.add_typer(bench, name="bench")


@bench.callback()
def bench_callback() -> None:
    """Measure the layers against others on this machine."""


@bench.command()
def recurrent(
    peers: Annotated[
        str, typer.Option(help="Against whom; those that are not installed are left out.")
    ] = "torch,onnxruntime,openvino,jax",
    cells: Annotated[str, typer.Option(help="Which cells.")] = "LSTM,GRU,RNN",
    shape: Annotated[
        list[str] | None,
        typer.Option(help="B,T,I,H; may be given several times. Nine shapes from small to large if not."),
    ] = None,
    lengths: Annotated[str, typer.Option(help="All of length T, or spread from T/4 to T.")] = "equal,ragged",
    modes: Annotated[str, typer.Option(help="Which modes.")] = "inference,training",
    threads: Annotated[int, typer.Option(help="Threads for everyone.", min=1)] = 2,
    rounds: Annotated[int, typer.Option(help="Turns of each contender; medians are of these.", min=1)] = 5,
    out: Annotated[Path, typer.Option(help="Folder for recurrent.json and recurrent.html.")] = Path(
        "runs/bench"
    ),
    extras: Annotated[
        str, typer.Option(help="Also: one step, price of a trace, long sequences, peak memory; or none.")
    ] = "step,trace,linear,memory",
) -> None:
    """RNN, LSTM and GRU against torch, ONNX Runtime, OpenVINO and JAX: peer's time ÷ ours."""
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
            help="Convolution, pooling, batch normalisation, TextCNN from words to gradients; and a GRU "
            "beside convolutions of as many operations, as length grows."
        ),
    ] = "conv,pool,norm,model,length",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Of convolutions: B,T,C,O,K,dilation; may be given several times. Nine shapes if not."
        ),
    ] = None,
    lengths: Annotated[str, typer.Option(help="All of length T, or spread from T/4 to T.")] = "equal,ragged",
    modes: Annotated[str, typer.Option(help="Which modes.")] = "inference,training",
    threads: Annotated[int, typer.Option(help="Threads for everyone.", min=1)] = 2,
    rounds: Annotated[int, typer.Option(help="Turns of each in a process; medians are of these.", min=1)] = 5,
    processes: Annotated[
        int, typer.Option(help="Fresh processes; torch's speed differs from one to another.", min=1)
    ] = 3,
    out: Annotated[Path, typer.Option(help="Folder for conv.json and conv.html.")] = Path("runs/bench"),
) -> None:
    """Convolution, pooling and TextCNN against torch on padded batches: peer's time ÷ ours."""
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
