"""`RNNModel`, `LSTMModel`, `GRUModel` and, in both directions, `BiRNN`, `BiLSTM` and `BiGRU`."""

from typing import get_args

from throughtime.errors import ShapeError
from throughtime.models._inputs import ModelInputs
from throughtime.models._options import DropoutRate, EmbeddingSize, HiddenSize, NumLayers, Pooling
from throughtime.models._sequence_model import SequenceModel
from throughtime.nn import GRU, LSTM, RNN, Dropout, Pool
from throughtime.nn.description import Series

_POOLS = get_args(get_args(Pooling)[0])


class _Recurrent(SequenceModel):
    """Embedding → recurrent layers → pooling over time → linear."""

    _layer: type[LSTM] | type[GRU] | type[RNN]
    _bidirectional: bool

    def __init__(
        self,
        vocabulary_size: int | ModelInputs,
        outputs: int,
        *,
        embedding_size: EmbeddingSize = 128,
        hidden_size: HiddenSize = 128,
        num_layers: NumLayers = 1,
        dropout: DropoutRate = 0.5,
        pool: Pooling = "max",
        per_step: bool = False,
    ) -> None:
        inputs = ModelInputs.of(vocabulary_size, "tokens")
        super().__init__(inputs, embedding_size=embedding_size, per_step=per_step)
        if pool not in _POOLS:
            raise ShapeError(f"{type(self).__name__}: pool is one of {', '.join(_POOLS)}; got {pool!r}")
        self.recurrent = self._layer(
            self.step_features,
            hidden_size,
            num_layers,
            bidirectional=self._bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.pool = None if per_step else Pool(pool)
        self.dropout = Dropout(dropout)
        self.output = self._output((1 + self._bidirectional) * hidden_size, outputs)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._series("recurrent", "pool", "dropout")


class BiLSTM(_Recurrent):
    """Embedding → bidirectional LSTM → pooling over time → linear, with dropout between.

    Parameters
    ----------
    vocabulary_size : int or ModelInputs
        Tokens are integers below it; or what the model reads. Of a series there is no embedding.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    embedding_size : int
        Features per token.
    hidden_size : int
        H, of each direction.
    num_layers : int
        Recurrent layers on top of each other.
    dropout : float
        On embeddings, between layers, and on the pooled states.
    pool : "max", "mean" or "last"
        How the states of all steps become one vector, see `throughtime.nn.Pool`.
    per_step : bool
        Whether there is an output for each step: the states are not pooled.

    Returns
    -------
    Tensor or Ragged
        (B, N), with ``per_step`` a Ragged (T, N).

    Raises
    ------
    ShapeError
        If ``pool`` is another.

    References
    ----------
    .. [1] A. Graves and J. Schmidhuber, "Framewise phoneme classification with bidirectional LSTM and
       other neural network architectures", Neural Networks 18 (2005).
    .. [2] A. Conneau et al., "Supervised learning of universal sentence representations from natural
       language inference data", EMNLP (2017): the maximum over time.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.BiLSTM(vocabulary_size=10, outputs=2)
    >>> logits = model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    >>> tuple(logits.shape)
    (2, 2)
    >>> tagger = tt.models.BiLSTM(tt.models.ModelInputs(channels=4), 2, per_step=True)
    >>> tagger(tt.Ragged.from_list([torch.randn(3, 4), torch.randn(1, 4)]))
    Ragged(lengths=[3, 1], features=(2,), dtype=float32, requires_grad=True)
    """

    _layer, _bidirectional = LSTM, True


class BiGRU(_Recurrent):
    """The same as `BiLSTM` with gated recurrent units in place of the LSTM: three gates for four.

    Parameters are those of `BiLSTM`.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", EMNLP (2014).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.BiGRU(vocabulary_size=10, outputs=2)
    >>> logits = model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    >>> tuple(logits.shape)
    (2, 2)
    """

    _layer, _bidirectional = GRU, True


class BiRNN(_Recurrent):
    """The same as `BiLSTM` with simple recurrent units (Elman) in place of the LSTM: no gates.

    Parameters are those of `BiLSTM`.

    References
    ----------
    .. [1] M. Schuster and K. K. Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on
       Signal Processing 45 (1997).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.BiRNN(vocabulary_size=10, outputs=2)
    >>> logits = model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    >>> tuple(logits.shape)
    (2, 2)
    """

    _layer, _bidirectional = RNN, True


class LSTMModel(_Recurrent):
    """Embedding → LSTM in one direction → pooling over time → linear, with dropout between.

    Parameters are those of `BiLSTM`. With ``per_step`` it is causal and runs on a `throughtime.nn.Stream`.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.LSTMModel(vocabulary_size=10, outputs=2, per_step=True).eval()
    >>> stream, (x, more) = tt.nn.Stream(model), torch.tensor([[1, 2, 3], [4, 5, 6]])
    >>> y, state = stream(tt.Ragged.from_list([x]))
    >>> z, state = stream(tt.Ragged.from_list([more]), state)
    >>> torch.allclose(torch.cat([y[0], z[0]]), model(tt.Ragged.from_list([torch.cat([x, more])]))[0])
    True
    """

    _layer, _bidirectional = LSTM, False


class GRUModel(_Recurrent):
    """The same as `LSTMModel` with gated recurrent units in place of the LSTM.

    Parameters are those of `BiLSTM`.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", EMNLP (2014).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.GRUModel(vocabulary_size=10, outputs=2)
    >>> logits = model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    >>> tuple(logits.shape)
    (2, 2)
    """

    _layer, _bidirectional = GRU, False


class RNNModel(_Recurrent):
    """The same as `LSTMModel` with simple recurrent units (Elman) in place of the LSTM.

    Parameters are those of `BiLSTM`.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.RNNModel(vocabulary_size=10, outputs=2)
    >>> logits = model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    >>> tuple(logits.shape)
    (2, 2)
    """

    _layer, _bidirectional = RNN, False
