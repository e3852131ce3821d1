"""The commands and their options. Each imports what it needs when it runs, so that help comes at once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="throughtime",
    help="Recurrent and convolutional sequence classifiers, trained from files, without padding.",
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


@app.command()
def train(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(help="CSV, TSV, JSONL or Parquet file, or a folder with one subfolder per class."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; must not exist, unless --resume.")],
    text: Annotated[str | None, typer.Option(help="Column with the text.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the class.")] = None,
    model: Annotated[Literal["textcnn", "bilstm", "bigru"], typer.Option(help="Architecture.")] = "textcnn",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out exactly where it stopped; options not given are the run's own.",
        ),
    ] = False,
    validation: Annotated[
        float, typer.Option(help="Share of the rows that decide which model is kept.", min=0.01, max=0.5)
    ] = 0.1,
    test: Annotated[
        float, typer.Option(help="Share of the rows that the final accuracy is taken of.", min=0.0, max=0.5)
    ] = 0.1,
    epochs: Annotated[int, typer.Option(help="Most passes over the data.", min=1)] = 20,
    patience: Annotated[
        int, typer.Option(help="Stop after so many epochs without a better model.", min=1)
    ] = 3,
    tokens_per_batch: Annotated[int, typer.Option(help="Tokens of a batch at most.", min=1)] = 2048,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate of AdamW.", min=0.0)] = 2e-3,
    vocabulary: Annotated[int, typer.Option(help="Words that are told apart at most.", min=1)] = 20_000,
    lower_case: Annotated[bool, typer.Option(help="Treat upper and lower case alike.")] = True,
    seed: Annotated[int, typer.Option(help="Of the split, the weights, batches and dropout.", min=0)] = 0,
    clip: Annotated[
        float | None,
        typer.Option(help="Scale gradients down to this norm; 1 unless --clip-percentile is given.", min=0.0),
    ] = None,
    clip_value: Annotated[
        float | None, typer.Option(help="Bound each entry of a gradient by this, before.", min=1e-30)
    ] = None,
    clip_percentile: Annotated[
        float | None,
        typer.Option(help="Scale gradients down to this percentile of all norms so far.", min=0.0, max=100.0),
    ] = None,
    clip_steps: Annotated[
        float | None,
        typer.Option(
            help="Inside of recurrent layers, scale what passes from step to step down to this norm.",
            min=1e-30,
        ),
    ] = None,
    watch_every: Annotated[
        int,
        typer.Option(help="Record how gradients flow every so many steps; 0 for never.", min=0),
    ] = 0,
) -> None:
    """Train a classifier on labelled texts."""
    from throughtime.cli._train import TrainOptions
    from throughtime.cli._train import train as command

    options = TrainOptions(
        data=data,
        out=out,
        text=text,
        label=label,
        model=model,
        validation=validation,
        test=test,
        epochs=epochs,
        patience=patience,
        tokens_per_batch=tokens_per_batch,
        learning_rate=learning_rate,
        vocabulary=vocabulary,
        lower_case=lower_case,
        seed=seed,
        clip=1.0 if clip is None and clip_percentile is None else clip,
        clip_value=clip_value,
        clip_percentile=clip_percentile,
        clip_steps=clip_steps,
    )
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}
    command(options, resume=resume, given=frozenset(given), watch_every=watch_every)


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
        Path, typer.Argument(help="Labelled texts, as for train; for runs of the demo Python files.")
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
    from throughtime.cli._bench import BenchOptions, bench_recurrent

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
