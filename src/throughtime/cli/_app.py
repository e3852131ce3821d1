"""The commands and their options. Each imports what it needs when it runs, so that help comes at once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from throughtime._importing import stopping_at_once
from throughtime.cli._app_train import train
from throughtime.cli._commands import Command, Group

app = typer.Typer(
    name="throughtime",
    cls=Group,
    help="Padding-free recurrent and convolutional sequence models, trained from files.",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Out = Annotated[
    Path, typer.Option(help="Folder to write to. Must not hold anything else.", show_default=True)
]


@app.command()
def demo(out: _Out = Path("runs/demo")) -> None:
    """Train and compare models on the installed Python source."""
    with stopping_at_once():
        from throughtime.cli._demo import demo as command
    command(out)


app.command(cls=Command)(train)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="Folder of a run of train --task next.")],
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Text to continue. Default: the beginning of a line. Frames: a .npz or .mat file, whose "
            "first sequence is continued. Default: a frame without notes."
        ),
    ] = None,
    length: Annotated[int, typer.Option(help="Number of steps to draw.", min=1)] = 200,
    temperature: Annotated[
        float,
        typer.Option(
            help="Divisor of the logits: below 1 sharpens the distribution, 0 takes the most probable token."
        ),
    ] = 1.0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the smallest set of tokens whose probability is at least this.")
    ] = 1.0,
    unknown: Annotated[bool, typer.Option(help="Allow the token <unk> to be drawn.")] = True,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Frames: .npz file to write. Must not exist.")] = None,
) -> None:
    """Draw a text or frames from a run of train --task next."""
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
            help="Table (CSV, TSV, JSONL, Parquet), text file with one text per line, or - for standard "
            "input. With a run of the demo: a Python file, or a folder of them.",
            allow_dash=True,
        ),
    ],
    text: Annotated[
        str | None, typer.Option(help="Column with the text. Default: the column used for training.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column with the true class, to count the correct predictions.")
    ] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per line instead of a table.")
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
) -> None:
    """Print the classes of texts and their probabilities.

    With a run of the demo: the operators of Python files that look replaced.
    """
    with stopping_at_once():
        from throughtime.cli._predict import predict as command
    command(run, data, text=text, label=label, jsonl=jsonl, top=top, prior=prior)


@app.command()
def diagnose(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, one or more.", metavar="RUN")],
    data: Annotated[
        Path,
        typer.Argument(
            help="Labelled texts, as for train. For a run of the demo Python files, for one of --task "
            "next a text or frames."
        ),
    ],
    text: Annotated[
        str | None, typer.Option(help="Column with the text. Default: the column used for training.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column with the class. Default: the column used for training.")
    ] = None,
    training_data: Annotated[
        Path | None,
        typer.Option(
            help="Data that the run was trained on, for the comparison with a bag of words. Default: the "
            "path used for training."
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Number of sequences whose gradients are examined.", min=1)
    ] = 64,
    out: Annotated[
        Path | None, typer.Option(help="Page to write. Default: diagnosis.html in the folder of the run.")
    ] = None,
) -> None:
    """Show how gradients flow back through time, on one page."""
    with stopping_at_once():
        from throughtime.cli._diagnose import diagnose as command
    command(runs, data, text=text, label=label, training_data=training_data, examples=examples, out=out)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    to: Annotated[Literal["onnx"], typer.Option(help="Format of the file.")],  # noqa: ARG001 - one so far
    out: Annotated[
        Path | None,
        typer.Option(help="File to write. Must not exist. Default: the path of the run with .onnx."),
    ] = None,
) -> None:
    """Write the model of a run as an ONNX file."""
    with stopping_at_once():
        from throughtime.cli._export import export as command
    command(run, out)


bench = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Compare the speed of layers with other libraries."
)
app.add_typer(bench, name="bench")


@bench.callback()
def bench_callback() -> None:
    """Compare the speed of layers with other libraries."""


@bench.command()
def recurrent(
    peers: Annotated[
        str, typer.Option(help="Libraries to compare with. Those that are not installed are left out.")
    ] = "torch,onnxruntime,openvino,jax",
    cells: Annotated[str, typer.Option(help="Cells to measure.")] = "LSTM,GRU,RNN",
    shape: Annotated[
        list[str] | None,
        typer.Option(help="B,T,I,H. May be given several times. Default: nine shapes from small to large."),
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="All sequences of length T, or lengths from T/4 to T.")
    ] = "equal,ragged",
    modes: Annotated[str, typer.Option(help="Modes to measure.")] = "inference,training",
    threads: Annotated[int, typer.Option(help="Number of threads, of every library.", min=1)] = 2,
    rounds: Annotated[int, typer.Option(help="Repetitions, of which the median is taken.", min=1)] = 5,
    out: Annotated[Path, typer.Option(help="Folder for recurrent.json and recurrent.html.")] = Path(
        "runs/bench"
    ),
    extras: Annotated[
        str,
        typer.Option(
            help="Further measurements: one step, cost of a trace, long sequences, peak memory; or none."
        ),
    ] = "step,trace,linear,memory",
) -> None:
    """RNN, LSTM and GRU, beside torch and other runtimes.

    Figures are the other library's time divided by ours.
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
            help="Convolution, pooling, batch normalisation, forward and backward pass of a TextCNN; and a "
            "GRU beside convolutions with as many operations, by length."
        ),
    ] = "conv,pool,norm,model,length",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Of convolutions: B,T,C,O,K,dilation. May be given several times. Default: nine shapes."
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option(help="All sequences of length T, or lengths from T/4 to T.")
    ] = "equal,ragged",
    modes: Annotated[str, typer.Option(help="Modes to measure.")] = "inference,training",
    threads: Annotated[int, typer.Option(help="Number of threads, of every library.", min=1)] = 2,
    rounds: Annotated[
        int, typer.Option(help="Repetitions in each process, of which the median is taken.", min=1)
    ] = 5,
    processes: Annotated[
        int,
        typer.Option(help="Number of fresh processes. The speed of torch differs between processes.", min=1),
    ] = 3,
    out: Annotated[Path, typer.Option(help="Folder for conv.json and conv.html.")] = Path("runs/bench"),
) -> None:
    """Convolution, pooling and TextCNN, beside padded torch.

    Figures are the time of torch on padded batches divided by ours.
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
