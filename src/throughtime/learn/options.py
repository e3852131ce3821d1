"""The options of a training from raw data: each declared once, with its help text, default and range.

The command line is generated from these dataclasses, and `throughtime.fit` and the estimators take the same
names as keyword arguments.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from throughtime._options import Option, Range


@dataclass(frozen=True)
class ColumnOptions:
    """Which columns are what. Files without names of columns have ``text``, ``series`` and ``label``."""

    target: Annotated[
        Sequence[str], Option("Column to predict; several with regression or multilabel.", metavar="COLUMNS")
    ] = ()
    text: Annotated[
        Sequence[str], Option("Column of texts; several are read one after another.", metavar="COLUMNS")
    ] = ()
    tokens: Annotated[
        Sequence[str], Option("Column of lists of tokens, such as log event ids.", metavar="COLUMN")
    ] = ()
    series: Annotated[
        Sequence[str],
        Option(
            "Column of lists of numbers; several are channels. Columns of single numbers are the steps.",
            metavar="COLUMNS",
        ),
    ] = ()
    numeric: Annotated[
        Sequence[str], Option("Columns of numbers to read beside the sequence.", metavar="COLUMNS")
    ] = ()


@dataclass(frozen=True)
class FileOptions:
    """How files are read, and what happens to rows that cannot be used."""

    encoding: Annotated[str, Option("Character encoding of text files.")] = "utf-8"
    delimiter: Annotated[str | None, Option("Delimiter of .csv files. Default: a comma.")] = None
    memory_map: Annotated[
        bool | None,
        Option("Read rows of an .arrow file when they are needed. Default: for files of 2 GiB or more."),
    ] = None
    skip_blank: Annotated[bool, Option("Leave out rows without text, tokens or steps.")] = False
    missing_target: Annotated[
        Literal["refuse", "drop"],
        Option("What to do with rows without a target: an error, or leave them out."),
    ] = "refuse"
    rare_classes: Annotated[
        Literal["refuse", "drop"],
        Option("What to do with classes of too few rows for every part: an error, or leave their rows out."),
    ] = "refuse"


@dataclass(frozen=True)
class SplitOptions:
    """How rows are split into training, validation and test parts."""

    validation: Annotated[
        float, Option("Fraction of the rows held out to choose the best epoch.", low=0.001, high=0.9)
    ] = 0.1
    test: Annotated[
        float, Option("Fraction of the rows held out for the final test score.", low=0, high=0.9)
    ] = 0.1
    validation_file: Annotated[
        str | None, Option("File with the validation rows, instead of a fraction.", metavar="FILE")
    ] = None
    test_file: Annotated[
        str | None, Option("File with the test rows, instead of a fraction.", metavar="FILE")
    ] = None
    group: Annotated[
        str | None,
        Option(
            "Column of groups, such as users; all rows of a group are in the same part.", metavar="COLUMN"
        ),
    ] = None
    time: Annotated[
        str | None,
        Option(
            "Column of times; the latest rows are the test part, those before them validation.",
            metavar="COLUMN",
        ),
    ] = None


@dataclass(frozen=True)
class InputOptions:
    """How rows become sequences of tokens or numbers."""

    tokenizer: Annotated[
        str,
        Option(
            "Tokens of a text: words, characters, bpe (byte pairs), the path of a tokenizer.json, or auto: "
            "words, or for model auto byte pairs if a linear model predicts better from these."
        ),
    ] = "auto"
    vocabulary: Annotated[
        int | None,
        Option(
            "Maximum size of the vocabulary. Default: 20000 words or tokens, 8000 byte pairs, 2000 "
            "characters.",
            low=1,
        ),
    ] = None
    min_count: Annotated[int, Option("Minimum count of a token; rarer ones become <unk>.", low=1)] = 2
    lower_case: Annotated[
        bool | None, Option("Convert texts to lower case. Default: only if tokens are words.")
    ] = None
    split_tokens: Annotated[
        bool, Option("Split the texts of a --tokens column at white space into tokens.")
    ] = False
    max_length: Annotated[int | None, Option("Maximum number of tokens or steps of a sequence.", low=1)] = (
        None
    )
    longer: Annotated[
        Literal["truncate", "refuse", "windows"],
        Option("What to do with longer sequences: cut them, an error, or average predictions over windows."),
    ] = "truncate"
    missing: Annotated[
        Literal["refuse", "interpolate", "forward", "zero", "mean", "mask", "padding"],
        Option(
            "How to fill missing numbers; mask also adds a channel that marks them, padding drops them at "
            "the end of a series."
        ),
    ] = "refuse"
    scale: Annotated[
        Literal["standard", "series", "none"],
        Option("Scale each channel over all training rows, each series by itself, or not at all."),
    ] = "standard"
    vectors: Annotated[
        str | None,
        Option("File of pretrained word vectors: word2vec, GloVe or fastText text format.", metavar="FILE"),
    ] = None
    freeze_vectors: Annotated[bool, Option("Do not change the embedding in training.")] = False


@dataclass(frozen=True)
class TextStreamOptions:
    """How a text is read by language models."""

    unit: Annotated[Literal["word", "character"], Option("Tokens of a text for language models.")] = "word"


@dataclass(frozen=True)
class WindowOptions:
    """Truncated backpropagation through time."""

    bptt: Annotated[
        int, Option("Steps between two weight updates in truncated backpropagation (k1).", low=1)
    ] = 64
    bptt_k2: Annotated[
        int | None, Option("Steps that gradients flow back (k2), at least --bptt. Default: --bptt.", low=1)
    ] = None
    streams: Annotated[
        int, Option("Parts of the text, or sequences of frames, that are processed in parallel.", low=1)
    ] = 20


@dataclass(frozen=True)
class BatchOptions:
    """Batches of whole sequences, and weights of classes."""

    tokens_per_batch: Annotated[
        int | Literal["auto"],
        Option("Maximum number of tokens or steps in a batch. Default: those of 16 to 64 sequences.", low=1),
    ] = "auto"
    class_weight: Annotated[
        Literal["none", "balanced"],
        Option("Weigh classes equally, or by the inverse of their frequency (balanced)."),
    ] = "none"


@dataclass(frozen=True)
class OptimizerOptions:
    """Optimizer, schedule, clipping and randomness."""

    epochs: Annotated[
        int | Literal["auto"],
        Option("Maximum number of epochs. Default: 20, more for small data.", low=1),
    ] = "auto"
    patience: Annotated[
        int | Literal["auto"] | None,
        Option(
            "Stop after N epochs without improvement; none turns this off. Default: 3, or a quarter of more "
            "than 20 epochs.",
            low=1,
        ),
    ] = "auto"
    budget: Annotated[
        float | None,
        Option(
            "Expected time of the training with --model auto, such as 90s, 5m or 1h. Default: two minutes "
            "for up to 100,000 tokens or steps, proportionally more beyond.",
            low=1e-9,
            metavar="TIME",
            duration=True,
        ),
    ] = None
    learning_rate: Annotated[
        float, Option("Peak learning rate of AdamW.", low=0, search=Range(3e-4, 1e-2, log=True))
    ] = 2e-3
    weight_decay: Annotated[
        float, Option("Weight decay of AdamW.", low=0, search=Range(1e-4, 0.3, log=True))
    ] = 0.01
    monitor: Annotated[
        str | None, Option("Metric on validation that chooses the best epoch. Default: that of the task.")
    ] = None
    seed: Annotated[int, Option("Random seed for the split, weights, batch order and dropout.", low=0)] = 0
    clip: Annotated[
        float | None,
        Option("Maximum norm of the gradient. Default: 1, or none with --clip-percentile.", low=0),
    ] = None
    clip_value: Annotated[
        float | None,
        Option("Maximum absolute value of each entry of the gradient. Applied before --clip.", low=1e-30),
    ] = None
    clip_percentile: Annotated[
        float | None,
        Option("Clip the norm of the gradient to this percentile of all previous norms.", low=0, high=100),
    ] = None
    clip_recurrent: Annotated[
        float | None,
        Option("Maximum norm of the gradient passed from one step to the previous one.", low=1e-30),
    ] = None
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Option("Precision of large matrix products; bfloat16 uses autocast."),
    ] = "float32"


def changed_options(options: Any) -> Iterator[str]:
    """Yield the names of the options of a group that differ from their default."""
    for option in fields(options):
        if getattr(options, option.name) != option.default:
            yield option.name
