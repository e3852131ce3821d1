"""The command ``train`` and its options, those of both tasks."""

from pathlib import Path
from typing import Annotated, Literal

import typer

_NEXT = "Options of --task next"


def train(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(
            help="CSV, TSV, JSONL or Parquet file, or a folder with one subfolder per class. With "
            "--task next: any text file, also .gz, or frames as .npz or .mat."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; must not exist, unless --resume.")],
    task: Annotated[
        Literal["classify", "next"] | None,
        typer.Option(help="Name the class of each text (unless given), or foresee each next step of one."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column with the text.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the class.")] = None,
    model: Annotated[
        Literal["textcnn", "bilstm", "bigru", "lstm", "gru", "rnn"] | None,
        typer.Option(
            help="Architecture: textcnn (unless given), bilstm, bigru; with --task next lstm (unless given), "
            "gru, rnn."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out exactly where it stopped; options not given are the run's own.",
        ),
    ] = False,
    validation: Annotated[
        float,
        typer.Option(
            help="Share of the rows, or of the text, that decides which model is kept.", min=0.01, max=0.5
        ),
    ] = 0.1,
    test: Annotated[
        float,
        typer.Option(
            help="Share of the rows, or of the text, that the final figure is taken of.", min=0.0, max=0.5
        ),
    ] = 0.1,
    epochs: Annotated[int, typer.Option(help="Most passes over the data.", min=1)] = 20,
    patience: Annotated[
        int, typer.Option(help="Stop after so many epochs without a better model.", min=1)
    ] = 3,
    tokens_per_batch: Annotated[
        int, typer.Option(help="Tokens of a batch at most; not with --task next.", min=1)
    ] = 2048,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate of AdamW.", min=0.0)] = 2e-3,
    vocabulary: Annotated[int, typer.Option(help="Words that are told apart at most.", min=1)] = 20_000,
    lower_case: Annotated[
        bool, typer.Option(help="Treat upper and lower case alike; not with --task next.")
    ] = True,
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
    precision: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="bfloat16: large products under autocast.")
    ] = "float32",
    unit: Annotated[
        Literal["word", "character"] | None,
        typer.Option(help="What a step of a text is; word unless given.", rich_help_panel=_NEXT),
    ] = None,
    bptt: Annotated[
        int,
        typer.Option(
            help="Steps of a window, after each of which the weights are updated.", rich_help_panel=_NEXT
        ),
    ] = 64,
    bptt_back: Annotated[
        int | None,
        typer.Option(
            help="Steps that errors flow back at most; those of --bptt unless given.", rich_help_panel=_NEXT
        ),
    ] = None,
    streams: Annotated[
        int,
        typer.Option(
            help="Parts of the text, or sequences of frames, that are read side by side.",
            rich_help_panel=_NEXT,
            min=1,
        ),
    ] = 20,
    validation_file: Annotated[
        Path | None,
        typer.Option(help="Text that decides which model is kept, not a share.", rich_help_panel=_NEXT),
    ] = None,
    test_file: Annotated[
        Path | None,
        typer.Option(help="Text that the final figure is taken of, not a share.", rich_help_panel=_NEXT),
    ] = None,
    min_count: Annotated[
        int,
        typer.Option(help="Words or characters met less often are <unk>.", rich_help_panel=_NEXT, min=1),
    ] = 2,
    hidden_size: Annotated[int, typer.Option(help="Units of a layer.", rich_help_panel=_NEXT, min=1)] = 256,
    layers: Annotated[
        int, typer.Option(help="Layers on top of each other.", rich_help_panel=_NEXT, min=1)
    ] = 2,
    embedding_size: Annotated[
        int | None,
        typer.Option(
            help="Features of a word; those of --hidden-size unless given. Of a frame; none unless given.",
            rich_help_panel=_NEXT,
            min=1,
        ),
    ] = None,
    dropout: Annotated[
        float,
        typer.Option(
            help="Share of features left out around layers, the same at all steps.", rich_help_panel=_NEXT
        ),
    ] = 0.3,
    tied: Annotated[
        bool,
        typer.Option(help="Whether a word's output vector is its input vector.", rich_help_panel=_NEXT),
    ] = True,
    cutoffs: Annotated[
        str | None,
        typer.Option(
            help="Adaptive softmax with these ends of clusters, such as 2000,10000; a full one unless given.",
            rich_help_panel=_NEXT,
        ),
    ] = None,
) -> None:
    """Train a classifier on labelled texts, or a model of what comes next in a text or in frames."""
    from throughtime.cli._train_task import checked_task, ends_of

    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = frozenset(
        name for name, source in sources.items() if source is not None and source.name != "DEFAULT"
    )
    clip = 1.0 if clip is None and clip_percentile is None else clip
    if checked_task(task, out, given, model, resume=resume) == "next":
        from throughtime.cli._train_next import NextOptions, train_next

        renamed = {"bptt": "k1", "bptt_back": "k2", "layers": "num_layers", "model": "cell"}
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
                cutoffs=ends_of(cutoffs),
                k1=bptt,
                k2=bptt_back,
                streams=streams,
                epochs=epochs,
                patience=patience,
                learning_rate=learning_rate,
                precision=precision,
                seed=seed,
                clip=clip,
                clip_value=clip_value,
                clip_percentile=clip_percentile,
                clip_steps=clip_steps,
            ),
            resume=resume,
            given=frozenset(renamed.get(name, name) for name in given),
            watch_every=watch_every,
        )
        return
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
        clip_steps=clip_steps,
    )
    command(options, resume=resume, given=given, watch_every=watch_every)
