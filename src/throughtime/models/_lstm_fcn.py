"""`LSTMFCN` (Karim 2018): an LSTM beside convolutions."""

import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.models._fcn import FCN
from throughtime.models._inputs import ModelInputs
from throughtime.models._one_length import first_steps
from throughtime.models._options import DropoutRate, EmbeddingSize, OptionalLength, SmallHiddenSize
from throughtime.models._sequence_model import SequenceModel, run
from throughtime.models._whole_sequences import ChannelsAsSteps, OneLength
from throughtime.nn import LSTM, Dropout, Pool
from throughtime.nn.description import Series, SideBySide, concatenated
from throughtime.ragged import Ragged, assert_when_run


class LSTMFCN(SequenceModel):
    """The convolutions of `FCN` and their mean over time, beside an LSTM's last state → linear.

    The paper's LSTM reads the series "shuffled": the whole series of one channel is one step, so it needs
    series of one length, which ``length`` tells. Without it the LSTM reads along time, any lengths.

    Parameters
    ----------
    in_channels : int or ModelInputs
        Features per step; or what the model reads. Tokens are read through an embedding.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    length : int, optional
        L, the steps of every series: the LSTM then reads in_channels steps of L features, as in the paper.
    hidden_size : int
        H, of the LSTM (8 in the reference code).
    dropout : float
        On the LSTM's state (0.8 in the paper).
    embedding_size : int
        Features per token; without effect on a series.

    Returns
    -------
    Tensor
        (B, N).

    Raises
    ------
    ShapeError
        If a series has another length than ``length``.

    References
    ----------
    .. [1] F. Karim, S. Majumdar, H. Darabi and S. Chen, "LSTM fully convolutional networks for time series
       classification", IEEE Access 6 (2018), section III.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.LSTMFCN(in_channels=2, outputs=3)
    >>> tuple(model(tt.Ragged.from_list([torch.randn(9, 2), torch.randn(4, 2)])).shape)
    (2, 3)
    """

    takes_tensors = True

    def __init__(
        self,
        in_channels: int | ModelInputs,
        outputs: int,
        *,
        length: OptionalLength = None,
        hidden_size: SmallHiddenSize = 8,
        dropout: DropoutRate = 0.8,
        embedding_size: EmbeddingSize = 128,
    ) -> None:
        super().__init__(ModelInputs.of(in_channels, "series"), embedding_size=embedding_size)
        fcn = FCN(self.step_features, outputs)
        self.length = length
        self.body, self.pool = fcn.body, Pool("mean")
        self.recurrent = LSTM(self.step_features if length is None else length, hidden_size, batch_first=True)
        self.dropout = Dropout(dropout)
        self.output = self._output(hidden_size + fcn.output.in_features, outputs)

    def describe(self) -> Series:
        """Return LSTM and convolutions side by side; with ``length`` channels are the steps of the LSTM."""
        shuffled = None if self.length is None else ChannelsAsSteps(self.length, self.step_features)
        recurrent = Series.of(
            shuffled=shuffled, recurrent=self.recurrent, pool=Pool("last"), dropout=self.dropout
        )
        convolutions = Series.of(body=self.body, pool=self.pool)
        both = SideBySide((("", recurrent), ("", convolutions)), concatenated)
        first, rest = Series.of(embedding=self.embedding), Series.of(extra=self.extra, output=self.output)
        end = () if self.length is None else (("", OneLength(self.length)),)
        return Series((*first.parts, ("", both), *rest.parts, *end))

    def forward(self, x: Ragged | Tensor, extra: Tensor | None = None) -> Tensor:
        """Return the outputs (B, N) of series (T, in_channels) or tokens, or a tensor (B, in_channels, L)."""
        x = self._checked(x, extra)
        x = x if self.embedding is None else self.embedding(x)
        joined = torch.cat([self.dropout(self._state(x)), self.pool(self.body(x))], 1)
        outputs: Tensor = run(Series.of(extra=self.extra, output=self.output), joined, extra)
        return outputs

    def _state(self, x: Ragged | Tensor) -> Tensor:
        if self.length is not None:
            x = self._shuffled(x, self.length)
        elif isinstance(x, Tensor):
            x = x.transpose(1, 2)
        h, _ = self.recurrent(x).state
        last: Tensor = h[-1]
        return last

    def _shuffled(self, x: Ragged | Tensor, length: int) -> Tensor:
        """Return (B, in_channels, L): channels take the place of steps."""
        if torch.compiler.is_compiling() and isinstance(x, Ragged):
            same = x.offsets.diff() == length
            assert_when_run(same, f"LSTMFCN: a sequence has other steps than length={length}")
            return first_steps(x, length).transpose(1, 2)
        lengths = x.lengths if isinstance(x, Ragged) else torch.full((len(x),), x.shape[2])
        others = (lengths != length).nonzero().flatten().tolist()
        if others:
            first = others[0]
            raise ShapeError(
                f"LSTMFCN: sequence {first} has {int(lengths[first])} steps, expected length={length}; "
                "leave length out for series of any length"
            )
        return x if isinstance(x, Tensor) else x.values.reshape(len(x), length, -1).transpose(1, 2)
