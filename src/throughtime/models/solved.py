"""`SolvedModel`: a linear model of features without trained parameters, whose weights are solved for."""

from abc import abstractmethod
from typing import ClassVar, Literal

from torch import Tensor

from throughtime.models._sequence_model import SequenceModel
from throughtime.ragged import Ragged


class SolvedModel(SequenceModel):
    """A model o = W φ(x) + b whose weights a solver computes from all training examples at once.

    Training by name (`throughtime.fit`, ``throughtime train``) calls `learn` with the training sequences,
    then fits W and b to `design`, with the penalty on W chosen as ``solver`` says, and gives them to
    `set_solution`.
    """

    solver: ClassVar[Literal["logistic", "ridge"]]
    """The loss: the cross-entropy of classes or labels (squared error of values), its penalty chosen on the
    validation examples; or the squared error of targets coded −1 and 1, its penalty by leave-one-out."""

    @abstractmethod
    def learn(self, x: Ragged) -> None:
        """Set what the features need to know of the training sequences, such as thresholds."""

    @abstractmethod
    def design(self, x: Ragged, extra: Tensor | None = None) -> Tensor:
        """Return the features φ of sequences, and extra ones beside them, (B, F), dense or sparse CSR."""

    def importance(self, x: Ragged) -> Tensor | None:
        """Return factors (F,) of the standardized features of ``solver`` "ridge", by the training sequences.

        None if all are 1. The penalty on a weight is divided by the square of its factor.
        """
        del x
        return None

    @abstractmethod
    def set_solution(self, weight: Tensor, bias: Tensor) -> None:
        """Set W (N, F) and b (N,)."""
