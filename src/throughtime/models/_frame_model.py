"""`FrameModel`: the next frame after every frame, each note for itself."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import InputTypeError, ShapeError
from throughtime.models._options import (
    Cell,
    DropoutRate,
    InputDropoutRate,
    NextStepHiddenSize,
    NumLayers,
    OptionalEmbeddingSize,
)
from throughtime.models._softmax import Scored, at_least_float32
from throughtime.models.next_step import NextStep
from throughtime.nn import Linear
from throughtime.nn.description import Series
from throughtime.ops.sigmoid import sigmoid

# σ⁻¹(0.05): most notes are silent, and a model that begins with one half of all spends its first thousand
# updates on saying so.
_RARE = -2.94


class FrameModel(NextStep):
    r"""The probability of each note of the next frame, such as one of a piano roll: recurrent layers → σ.

    p(x_{t+1,k} = 1 | x_1 … x_t) = σ(w_k h_t + b_k), all notes k being independent given the past, with
    `LockedDropout` on what is read and after each layer. The loss of a frame is the sum of its notes'
    cross-entropies. Biases b begin with p = 0.05 for every note.

    Parameters
    ----------
    notes : int
        K: a frame is K numbers 0 or 1.
    cell : "lstm", "gru" or "rnn"
        Of the layers.
    embedding_size : int
        Features that a linear map with tanh makes of a frame first; 0 for none.
    hidden_size, num_layers : int
        H, and how many layers of H units.
    dropout, input_dropout : float
        Probability that a feature is left out, after each layer, and of what the first layer reads (the same
        unless given).

    Returns
    -------
    Ragged
        (T, K): logits of the notes of the next frame.

    Raises
    ------
    ShapeError, InputTypeError
        If a size or an option is outside of its range, or frames have another size.

    References
    ----------
    .. [1] N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in
       high-dimensional sequences", ICML (2012): the data and, without its RBM, the model.
    .. [2] S. Bai, J. Z. Kolter and V. Koltun, "An empirical evaluation of generic convolutional and recurrent
       networks for sequence modeling", arXiv:1803.01271 (2018): this loss, per frame.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.FrameModel(88, hidden_size=8)
    >>> frames = tt.Ragged.from_lengths(torch.zeros(5, 88), [3, 2])
    >>> model(frames)
    Ragged(lengths=[3, 2], features=(88,), dtype=float32, requires_grad=True)
    """

    reads = ("series",)

    def __init__(
        self,
        notes: int,
        *,
        cell: Cell = "lstm",
        embedding_size: OptionalEmbeddingSize = 0,
        hidden_size: NextStepHiddenSize = 256,
        num_layers: NumLayers = 1,
        dropout: DropoutRate = 0.3,
        input_dropout: InputDropoutRate = None,
    ) -> None:
        super().__init__(
            [embedding_size or notes] + [hidden_size] * num_layers,
            cell=cell,
            dropout=dropout,
            input_dropout=input_dropout,
        )
        self.notes = notes
        self.embedding = Linear(notes, embedding_size) if embedding_size else None
        self.output = Linear(hidden_size, notes)
        nn.init.constant_(self.output.bias, _RARE)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._in_order()

    @property
    def input_features(self) -> int:
        """The notes of a frame."""
        return self.notes

    def features(self, x: Tensor) -> Tensor:
        """Return frames as the first layer reads them."""
        if x.dim() != 2 or x.shape[1] != self.notes:
            raise ShapeError(f"FrameModel reads frames of {self.notes} notes, got shape {tuple(x.shape)}")
        if x.is_complex():
            raise InputTypeError(f"FrameModel reads frames of 0 and 1, got {x.dtype}")
        x = x.to(self.output.weight.dtype)
        return x if self.embedding is None else torch.tanh(self.embedding(x)).to(x.dtype)

    def read_out(self, h: Tensor) -> Tensor:
        """Return logits (T, K)."""
        return at_least_float32(self.output(h))

    def score(self, h: Tensor, targets: Tensor) -> Scored:
        """Return −log p of each frame that came, and whether every note of it was the likelier one."""
        logits = self.read_out(h)
        losses = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none").sum(
            -1
        )
        return Scored(losses, ((logits.detach() > 0) == (targets > 0)).all(-1))

    def draw(
        self, following: Tensor, temperature: float, top_p: float, generator: torch.Generator | None
    ) -> Tensor:
        """Draw frames (B, K) of 0 and 1 from logits (B, K), see `throughtime.models.sample`."""
        if top_p != 1:
            raise ShapeError(
                f"top_p = {top_p} is for words only, as notes are sampled independently; use temperature"
            )
        if temperature == 0:
            return (following > 0).to(following.dtype)
        return torch.bernoulli(sigmoid(following / temperature), generator=generator)
