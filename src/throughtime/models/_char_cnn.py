"""`CharCNN` (Zhang 2015): convolutions over the characters of a text."""

from itertools import pairwise

from torch import nn

from throughtime.errors import ShapeError
from throughtime.models._inputs import ModelInputs
from throughtime.models._options import Channels, DropoutRate, Length, LinearSize
from throughtime.models._sequence_model import InOrder, SequenceModel
from throughtime.models._whole_sequences import OneHotSteps, StepsAsFeatures
from throughtime.nn import ConvBlock, Dropout, Linear, receptive_field
from throughtime.nn.description import Series

_KERNELS_AND_POOLS = ((7, 3), (7, 3), (3, None), (3, None), (3, None), (3, 3))


class CharCNN(SequenceModel):
    """Characters as one-hot vectors → six convolutions, three maxima over 3 steps → three linear layers.

    The linear layers need texts of one length, as in the paper: what is beyond it is cut off, and a shorter
    text is followed by zero vectors. So is a character that is not in the alphabet.

    Parameters
    ----------
    alphabet_size : int or ModelInputs
        Characters are integers from 0 to below it (70 in the paper); any other integer is a zero vector. Or
        what the model reads: tokens of any kind, at a cost that grows with their number.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    length : int
        Characters of a text (1,014 in the paper); at least 123.
    channels : int
        Features of each convolution (paper: 1,024 in the large, 256 in the small model).
    hidden_size : int
        Of the linear layers (paper: 2,048 in the large, 1,024 in the small model).
    dropout : float
        After the first two linear layers.

    Returns
    -------
    Tensor
        (B, N).

    Raises
    ------
    ShapeError
        If a text is too short for one output of the convolutions.
    UnsupportedError
        If it is to read a numeric series.

    References
    ----------
    .. [1] X. Zhang, J. Zhao and Y. LeCun, "Character-level convolutional networks for text classification",
       NIPS (2015), section 2 and tables 1 and 2. The paper quantises a text backwards; give it reversed
       (``x.reverse()``) for the same.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.CharCNN(70, 4, length=200, channels=16, hidden_size=32)
    >>> texts = tt.Ragged.from_list([torch.randint(0, 70, (300,)), torch.tensor([3, 1, 4])])
    >>> tuple(model(texts).shape)
    (2, 4)
    """

    reads = ("tokens",)

    def __init__(
        self,
        alphabet_size: int | ModelInputs,
        outputs: int,
        *,
        length: Length = 1014,
        channels: Channels = 256,
        hidden_size: LinearSize = 1024,
        dropout: DropoutRate = 0.5,
    ) -> None:
        inputs = ModelInputs.of(alphabet_size, "tokens")
        super().__init__(inputs)
        self.alphabet_size, self.length = inputs.vocabulary_size or 0, length
        self.quantized = OneHotSteps(self.alphabet_size, length)
        widths = (self.alphabet_size, *(channels,) * 5)
        self.body = nn.Sequential(
            *(
                ConvBlock(width, channels, kernel, pool=pool)
                for width, (kernel, pool) in zip(widths, _KERNELS_AND_POOLS, strict=True)
            )
        )
        field = receptive_field(self.body)
        if length < field.size:
            raise ShapeError(f"CharCNN: length is at least {field.size:.0f} characters, got {length}")
        self.frames = (length - int(field.size)) // field.stride + 1
        self.flattened = StepsAsFeatures(self.frames, channels)
        sizes = (self.frames * channels, hidden_size, hidden_size)
        hidden = [(Linear(below, above), nn.ReLU(), Dropout(dropout)) for below, above in pairwise(sizes)]
        layers = [layer for three in hidden for layer in three]
        extra = () if self.extra is None else (self.extra,)
        self.head = InOrder(*layers, *extra, self._output(hidden_size, outputs))

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        first = Series.of(quantized=self.quantized, body=self.body, flattened=self.flattened)
        head = ((f"head.{name}", layer) for name, layer in self.head.describe().parts)
        return Series((*first.parts, *head))
