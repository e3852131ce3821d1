"""The command ``train``, with the options of both tasks."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from throughtime._importing import stopping_at_once

_NEXT = "Options of --task next"


def _above_zero(value: float | None) -> float | None:
    """Reject a bound that is not positive."""
    if value is not None and not value > 0:
        raise typer.BadParameter(f"{value} is not greater than 0")
    return value


def train(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(
            help="CSV, TSV, JSONL or Parquet file, or a folder with one subfolder per class. With "
            "--task next: a text file (also .gz), or frames (.npz, .mat)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run. Must not exist, unless --resume is given.")],
    task: Annotated[
        Literal["classify", "next"] | None,
        typer.Option(
            help="What to predict: the class of each text (classify, the default), or the next token or "
            "frame of a sequence (next)."
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column with the text.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the class.")] = None,
    model: Annotated[
        Literal["textcnn", "bilstm", "bigru", "lstm", "gru", "rnn"] | None,
        typer.Option(
            metavar="NAME",
            help="Model: textcnn (default), bilstm or bigru; with --task next lstm (default), gru or rnn.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in --out where it stopped, with the same result as without the "
            "interruption. Options that are not given keep the values of the run.",
        ),
    ] = False,
    validation: Annotated[
        float,
        typer.Option(help="Fraction of the data held out to choose the best epoch.", min=0.01, max=0.5),
    ] = 0.1,
    test: Annotated[
        float,
        typer.Option(help="Fraction of the data held out for the final test score.", min=0.0, max=0.5),
    ] = 0.1,
    epochs: Annotated[int, typer.Option(help="Maximum number of epochs.", min=1)] = 20,
    patience: Annotated[
        int, typer.Option(metavar="N", help="Stop after N epochs without improvement.", min=1)
    ] = 3,
    tokens_per_batch: Annotated[
        int, typer.Option(help="Maximum number of tokens in a batch. Not with --task next.", min=1)
    ] = 2048,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.", min=0.0)] = 2e-3,
    vocabulary: Annotated[int, typer.Option(help="Maximum size of the vocabulary.", min=1)] = 20_000,
    lower_case: Annotated[
        bool, typer.Option(help="Convert texts to lower case. Not with --task next.")
    ] = True,
    seed: Annotated[
        int, typer.Option(help="Random seed for the split, weights, batch order and dropout.", min=0)
    ] = 0,
    clip: Annotated[
        float | None,
        typer.Option(
            help="Maximum norm of the gradient. Default: 1, or no maximum with --clip-percentile.", min=0.0
        ),
    ] = None,
    clip_value: Annotated[
        float | None,
        typer.Option(
            help="Maximum absolute value of each entry of the gradient. Applied before --clip.",
            callback=_above_zero,
        ),
    ] = None,
    clip_percentile: Annotated[
        float | None,
        typer.Option(
            help="Clip the norm of the gradient to this percentile of all previous norms (AutoClip).",
            min=0.0,
            max=100.0,
        ),
    ] = None,
    clip_recurrent: Annotated[
        float | None,
        typer.Option(
            help="Maximum norm of the gradient passed from one time step to the previous one in recurrent "
            "layers.",
            callback=_above_zero,
        ),
    ] = None,
    watch_every: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Record gradient norms over time every N training steps; 0 turns this off.",
            min=0,
        ),
    ] = 0,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="Precision of large matrix products; bfloat16 uses autocast."),
    ] = "float32",
    unit: Annotated[
        Literal["word", "character"] | None,
        typer.Option(help="Tokens of a text: words (default) or characters.", rich_help_panel=_NEXT),
    ] = None,
    bptt: Annotated[
        int,
        typer.Option(
            help="Steps between two weight updates in truncated backpropagation (k1).",
            rich_help_panel=_NEXT,
        ),
    ] = 64,
    bptt_k2: Annotated[
        int | None,
        typer.Option(
            help="Steps that gradients flow back (k2), at least --bptt. Default: --bptt.",
            rich_help_panel=_NEXT,
        ),
    ] = None,
    streams: Annotated[
        int,
        typer.Option(
            help="Batch size: parts of the text, or sequences of frames, processed in parallel.",
            rich_help_panel=_NEXT,
            min=1,
        ),
    ] = 20,
    validation_file: Annotated[
        Path | None,
        typer.Option(
            help="Text file to choose the best epoch on, instead of a fraction of the data.",
            rich_help_panel=_NEXT,
        ),
    ] = None,
    test_file: Annotated[
        Path | None,
        typer.Option(
            help="Text file for the final test score, instead of a fraction of the data.",
            rich_help_panel=_NEXT,
        ),
    ] = None,
    min_count: Annotated[
        int,
        typer.Option(
            help="Minimum count of a word or character; rarer ones become <unk>.",
            rich_help_panel=_NEXT,
            min=1,
        ),
    ] = 2,
    hidden_size: Annotated[
        int, typer.Option(help="Number of hidden units in each layer.", rich_help_panel=_NEXT, min=1)
    ] = 256,
    layers: Annotated[int, typer.Option(help="Number of layers.", rich_help_panel=_NEXT, min=1)] = 2,
    embedding_size: Annotated[
        int | None,
        typer.Option(
            help="Size of the embedding. Default: --hidden-size for text, no embedding for frames.",
            rich_help_panel=_NEXT,
            min=1,
        ),
    ] = None,
    dropout: Annotated[
        float,
        typer.Option(
            help="Dropout probability before, between and after the layers. All time steps share a mask.",
            rich_help_panel=_NEXT,
        ),
    ] = 0.3,
    tied: Annotated[
        bool,
        typer.Option(
            help="Share the weights of the input embedding and the output layer.", rich_help_panel=_NEXT
        ),
    ] = True,
    cutoffs: Annotated[
        str | None,
        typer.Option(
            help="Cutoffs of an adaptive softmax, such as 2000,10000. Default: a full softmax.",
            rich_help_panel=_NEXT,
        ),
    ] = None,
) -> None:
    """Train a text classifier, a language model or a model of frames."""
    with stopping_at_once():
        from throughtime.cli._train_task import parse_cutoffs, resolve_task
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = frozenset(
        name for name, source in sources.items() if source is not None and source.name != "DEFAULT"
    )
    clip = 1.0 if clip is None and clip_percentile is None else clip
    if resolve_task(task, out, given, model, resume=resume) == "next":
        with stopping_at_once():
            from throughtime.cli._train_next import NextOptions, train_next
        renamed = {"bptt": "k1", "bptt_k2": "k2", "layers": "num_layers", "model": "cell"}
        train_next(
            NextOptions(
                data=data,
                out=out,
                unit=unit,
                validation=validation,
                test=test,
                validation_file=validation_file,
                test_file=test_file,
                vocabulary=vocabulary,
                min_count=min_count,
                cell=model or "lstm",
                embedding_size=embedding_size,
                hidden_size=hidden_size,
                num_layers=layers,
                dropout=dropout,
                tied=tied,
                cutoffs=parse_cutoffs(cutoffs),
                k1=bptt,
                k2=bptt_k2,
                streams=streams,
                epochs=epochs,
                patience=patience,
                learning_rate=learning_rate,
                precision=precision,
                seed=seed,
                clip=clip,
                clip_value=clip_value,
                clip_percentile=clip_percentile,
                clip_recurrent=clip_recurrent,
            ),
            resume=resume,
            given=frozenset(renamed.get(name, name) for name in given),
            watch_every=watch_every,
        )
        return
    with stopping_at_once():
        from throughtime.cli._train import TrainOptions
        from throughtime.cli._train import train as command
    options = TrainOptions(
        data=data,
        out=out,
        text=text,
        label=label,
        model=model or "textcnn",
        validation=validation,
        test=test,
        epochs=epochs,
        patience=patience,
        tokens_per_batch=tokens_per_batch,
        learning_rate=learning_rate,
        vocabulary=vocabulary,
        lower_case=lower_case,
        seed=seed,
        precision=precision,
        clip=clip,
        clip_value=clip_value,
        clip_percentile=clip_percentile,
        clip_recurrent=clip_recurrent,
    )
    command(options, resume=resume, given=given, watch_every=watch_every)
