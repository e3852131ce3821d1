"""The options of models: each declared once, with its help text and range, as the annotation of an argument.

An argument of a model's constructor that is annotated with one of these types is an option of the model by
name; `throughtime.models.model_options` reads them from the signature.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from throughtime._options import Choices, Option, Range
from throughtime.errors import ShapeError

_EMBEDDING_SIZE = Option(
    "Number of features of the embedding of each token; of a frame model, of each frame, 0 for none.", low=1
)
_CHANNELS = Option(
    "Number of features of each convolution; for several blocks one number or a list with one for each.",
    low=1,
)
_HIDDEN_SIZE = Option("Number of hidden units of each recurrent layer and direction, or linear layer.", low=1)
_KERNEL_SIZES = Option(
    "Number of steps that the convolutions side by side, or on top of each other, see.", low=1
)
_LENGTH = Option(
    "Number of steps of each sequence: CharCNN cuts and pads to it, LSTM-FCN requires it (default there: "
    "any length).",
    low=1,
)

EmbeddingSize = Annotated[int, replace(_EMBEDDING_SIZE, search=Range(32, 300, log=True))]
OptionalEmbeddingSize = Annotated[int, replace(_EMBEDDING_SIZE, low=0)]
HiddenSize = Annotated[int, replace(_HIDDEN_SIZE, search=Range(32, 256, log=True))]
NextStepHiddenSize = Annotated[int, replace(_HIDDEN_SIZE, search=Range(64, 512, log=True))]
SmallHiddenSize = Annotated[int, replace(_HIDDEN_SIZE, search=Range(4, 128, log=True))]
LinearSize = Annotated[int, replace(_HIDDEN_SIZE, search=Range(128, 1024, log=True))]
NumLayers = Annotated[int, Option("Number of recurrent layers.", low=1, flag="layers", search=Range(1, 2))]
DropoutRate = Annotated[
    float, Option("Probability of dropout in training.", low=0, high=1, search=Range(0, 0.8))
]
InputDropoutRate = Annotated[
    float | None,
    Option("Probability of dropout of what the first layer reads; default: dropout.", low=0, high=1),
]
Channels = Annotated[int, replace(_CHANNELS, search=Range(32, 400, log=True))]
InceptionChannels = Annotated[int, replace(_CHANNELS, search=Range(8, 64, log=True))]
FCNChannels = Annotated[
    int | Sequence[int], replace(_CHANNELS, search=Choices(("32,64,32", "64,128,64", "128,256,128")))
]
ResNetChannels = Annotated[
    int | Sequence[int], replace(_CHANNELS, search=Choices(("16,32,32", "32,64,64", "64,128,128")))
]
TCNChannels = Annotated[
    int | Sequence[int],
    replace(_CHANNELS, search=Choices(tuple(",".join([width] * 8) for width in ("16", "25", "50", "100")))),
]
KernelSize = Annotated[int, Option("Number of steps that each convolution sees.", low=1, search=Range(3, 9))]
ParallelKernelSizes = Annotated[
    Sequence[int],
    replace(_KERNEL_SIZES, search=Choices(("1,2,3", "2,3,4", "3,4,5", "2,3,4,5", "3,5,7"))),
]
BlockKernelSizes = Annotated[
    Sequence[int], replace(_KERNEL_SIZES, search=Choices(("5,3,3", "8,5,3", "15,9,5")))
]
InceptionKernelSizes = Annotated[
    Sequence[int], replace(_KERNEL_SIZES, search=Choices(("20,10,5", "40,20,10", "80,40,20")))
]
Depth = Annotated[int, Option("Number of inception modules on top of each other.", low=1, search=Range(3, 9))]
Members = Annotated[int, Option("Number of networks whose outputs are averaged.", low=1)]
Length = Annotated[int, _LENGTH]
OptionalLength = Annotated[int | None, _LENGTH]
Pooling = Annotated[
    Literal["max", "mean", "last"],
    Option("How the states of all steps become one vector.", search=Choices(("max", "mean", "last"))),
]
Cell = Annotated[
    Literal["lstm", "gru", "rnn"],
    Option("Kind of the recurrent layers.", search=Choices(("lstm", "gru"))),
]
LongestGram = Annotated[int, Option("Largest n of the n-grams, which begin with single tokens.", low=1)]
HashBuckets = Annotated[int, Option("Number of buckets that n-grams are hashed into, a power of two.", low=1)]
Tied = Annotated[bool, Option("Use the input vectors of tokens as their output vectors, too.")]
Features = Annotated[
    int,
    Option(
        "Number of features of convolutions, rounded down to a multiple of 84 times statistics and series.",
        low=84,
    ),
]
Statistics = Annotated[
    Literal["ppv", "all"],
    Option(
        "What is computed of each convolution: the proportion of positive values, or all of MultiRocket's."
    ),
]
Differences = Annotated[bool, Option("Take half of the features from the differences of adjacent steps.")]
Normalize = Annotated[
    bool, Option("Scale each channel of each series to mean 0 and variance 1 before anything else.")
]
Cutoffs = Annotated[
    Sequence[int],
    Option("Ends of the clusters of an adaptive softmax, such as 2000,10000; default: a full one.", low=1),
]


def for_each_block(channels: int | Sequence[int], blocks: int, owner: str) -> tuple[int, ...]:
    """Return one number for all blocks as a number for each, and a list as it is.

    Raises
    ------
    ShapeError
        If the list is empty; the message begins with the owner's name.
    """
    widths = (channels,) * blocks if isinstance(channels, int) else tuple(channels)
    if not widths:
        raise ShapeError(f"{owner}: channels is empty; give a number for each block")
    return widths
