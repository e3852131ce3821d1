"""The options of models: each declared once, with its help text and range, as the annotation of an argument.

An argument of a model's constructor that is annotated with one of these types is an option of the model by
name; `throughtime.models.model_options` reads them from the signature.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from throughtime._options import Option
from throughtime.errors import ShapeError

_EMBEDDING_SIZE = Option(
    "Number of features of the embedding of each token; of a frame model, of each frame, 0 for none.", low=1
)
_CHANNELS = Option(
    "Number of features of each convolution; for several blocks one number or a list with one for each.",
    low=1,
)
_LENGTH = Option(
    "Number of steps of each sequence: CharCNN cuts and pads to it, LSTM-FCN requires it (default there: "
    "any length).",
    low=1,
)

EmbeddingSize = Annotated[int, _EMBEDDING_SIZE]
OptionalEmbeddingSize = Annotated[int, replace(_EMBEDDING_SIZE, low=0)]
HiddenSize = Annotated[
    int, Option("Number of hidden units of each recurrent layer and direction, or linear layer.", low=1)
]
NumLayers = Annotated[int, Option("Number of recurrent layers.", low=1, flag="layers")]
DropoutRate = Annotated[float, Option("Probability of dropout in training.", low=0, high=1)]
InputDropoutRate = Annotated[
    float | None,
    Option("Probability of dropout of what the first layer reads; default: dropout.", low=0, high=1),
]
Channels = Annotated[int, _CHANNELS]
BlockChannels = Annotated[int | Sequence[int], _CHANNELS]
KernelSize = Annotated[int, Option("Number of steps that each convolution sees.", low=1)]
KernelSizes = Annotated[
    Sequence[int],
    Option("Number of steps that the convolutions side by side, or on top of each other, see.", low=1),
]
Depth = Annotated[int, Option("Number of inception modules on top of each other.", low=1)]
Members = Annotated[int, Option("Number of networks whose outputs are averaged.", low=1)]
Length = Annotated[int, _LENGTH]
OptionalLength = Annotated[int | None, _LENGTH]
Pooling = Annotated[Literal["max", "mean", "last"], Option("How the states of all steps become one vector.")]
Cell = Annotated[Literal["lstm", "gru", "rnn"], Option("Kind of the recurrent layers.")]
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
