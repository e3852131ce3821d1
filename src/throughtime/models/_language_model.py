"""`LanguageModel`: the next word after every word."""

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError
from throughtime.models._drawing import nucleus
from throughtime.models._options import (
    Cell,
    Cutoffs,
    DropoutRate,
    EmbeddingSize,
    InputDropoutRate,
    NextStepHiddenSize,
    NumLayers,
    Tied,
)
from throughtime.models._softmax import AdaptiveSoftmax, FullSoftmax, Scored, small
from throughtime.models.next_step import NextStep
from throughtime.nn import Linear
from throughtime.nn.description import Series


class LanguageModel(NextStep):
    r"""The probabilities of the next word after every word: embedding → recurrent layers → softmax.

    p(w_{t+1} | w_1 … w_t) = softmax(W h_t + b), h of the last of ``num_layers`` layers, with `LockedDropout`
    on the embeddings and after each layer. Words may as well be characters.

    Tied, W is the table of embeddings: each word's output vector is its input vector [2]_; where
    ``embedding_size`` is not ``hidden_size``, h_t is projected to it first. With ``cutoffs`` the softmax is
    adaptive [3]_, so that rare words cost less. Its rare words have short vectors and a projection of their
    cluster; tied, what these make of them is the input vector, too.

    Parameters
    ----------
    vocabulary_size : int
        V; words are integers below it, with ``cutoffs`` from frequent to rare.
    cell : "lstm", "gru" or "rnn"
        Of the layers.
    embedding_size, hidden_size, num_layers : int
        Features of a word, H, and how many layers of H units.
    dropout, input_dropout : float
        Probability that a feature is left out, after each layer, and of embeddings (the same unless given).
    tied : bool
        Whether input and output vectors are the same.
    cutoffs : sequence of int
        Ends of the clusters of an adaptive softmax, such as (2000, 10000); none for a full one.

    Returns
    -------
    Ragged
        (T, V): log-probabilities of what comes next.

    Raises
    ------
    ShapeError, InputTypeError
        If a size or an option is outside of its range, or words are not integers.

    References
    ----------
    .. [1] T. Mikolov et al., "Recurrent neural network based language model", Interspeech (2010); W. Zaremba,
       I. Sutskever and O. Vinyals, "Recurrent neural network regularization", arXiv:1409.2329 (2014).
    .. [2] O. Press and L. Wolf, "Using the output embedding to improve language models", EACL (2017).
    .. [3] E. Grave et al., "Efficient softmax approximation for GPUs", ICML (2017).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.LanguageModel(50, embedding_size=8, hidden_size=8).eval()
    >>> tokens = tt.Ragged.from_list([torch.tensor([4, 8, 15]), torch.tensor([16])])
    >>> model(tokens)
    Ragged(lengths=[3, 1], features=(50,), dtype=float32, requires_grad=True)
    >>> following, state = model.step(torch.tensor([4]))
    >>> torch.allclose(following[0], model(tokens)[0][0], atol=1e-5)
    True
    """

    reads = ("tokens",)

    def __init__(
        self,
        vocabulary_size: int,
        *,
        cell: Cell = "lstm",
        embedding_size: EmbeddingSize = 256,
        hidden_size: NextStepHiddenSize = 256,
        num_layers: NumLayers = 2,
        dropout: DropoutRate = 0.3,
        input_dropout: InputDropoutRate = None,
        tied: Tied = True,
        cutoffs: Cutoffs = (),
    ) -> None:
        if vocabulary_size < 1:
            raise ShapeError(f"LanguageModel: vocabulary_size must be at least 1, got {vocabulary_size}")
        super().__init__(
            [embedding_size] + [hidden_size] * num_layers,
            cell=cell,
            dropout=dropout,
            input_dropout=input_dropout,
        )
        self.vocabulary_size = vocabulary_size
        read = embedding_size if tied else hidden_size
        self.projection = None if read == hidden_size else Linear(hidden_size, read, bias=False)
        self.softmax = (
            AdaptiveSoftmax(read, vocabulary_size, cutoffs) if cutoffs else FullSoftmax(read, vocabulary_size)
        )
        self.embedding = None if tied else small(vocabulary_size, embedding_size)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._in_order()

    @property
    def input_features(self) -> None:
        """Words are numbers below the size of the vocabulary."""
        return None

    def features(self, x: Tensor) -> Tensor:
        """Return the input vectors of words."""
        if x.dtype != torch.int64 or x.dim() != 1:
            raise InputTypeError(
                f"LanguageModel reads words as int64 numbers, one for each step, got {x.dtype} of shape "
                f"{tuple(x.shape)}"
            )
        if self.embedding is None:
            return self.softmax.embed(x)
        return nn.functional.embedding(x, self.embedding)

    def projected(self, h: Tensor) -> Tensor:
        """Return h in the features of the output vectors."""
        return h if self.projection is None else self.projection(h)

    def read_out(self, h: Tensor) -> Tensor:
        """Return log-probabilities (T, V)."""
        return self.softmax.log_prob(h)

    def score(self, h: Tensor, targets: Tensor) -> Scored:
        """Return −log p of each word that came, and whether it was the most probable one."""
        return self.softmax.score(h, targets)

    def draw(
        self, following: Tensor, temperature: float, top_p: float, generator: torch.Generator | None
    ) -> Tensor:
        """Draw words (B,) from log-probabilities (B, V), see `throughtime.models.sample`."""
        if temperature == 0:
            return following.argmax(-1)
        return torch.multinomial(nucleus(following, temperature, top_p), 1, generator=generator).squeeze(-1)
