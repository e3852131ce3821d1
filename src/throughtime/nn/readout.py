"""`Readout`: from the state of every step to probabilities of classes, and the loss of labels for them."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.kinds import Tokenwise
from throughtime.nn.description.operator import Operator
from throughtime.nn.description.torch_layers import linear_operators
from throughtime.nn.linear import Linear, linear_of_tokens
from throughtime.ragged import Ragged


class Readout(Linear):
    r"""The read-out of the vanilla RNN at every step, o_t = softmax(b_o + W_oh h_t).

    So sequences are labelled step by step.

    Parameters
    ----------
    hidden_size : int
        H, the features of h.
    classes : int
        C.
    bias
        Whether there is b_o.

    Returns
    -------
    Ragged or Tensor
        Probabilities (…, C), of the kind that came in.

    Raises
    ------
    ShapeError, InputTypeError
        If features, or the lengths of labels, do not fit.

    Examples
    --------
    Is the last number the largest so far? A tagger learns it:

    >>> import torch, throughtime as tt
    >>> _ = torch.manual_seed(0)
    >>> tagger, readout = tt.nn.GRU(1, 8), tt.nn.Readout(8, 2)
    >>> x = tt.Ragged.from_lengths(torch.randn(60, 1), [30, 10, 20])
    >>> labels = tt.Ragged.from_list([(row >= row.cummax(0).values)[:, 0].long() for row in x])
    >>> optimizer = torch.optim.Adam([*tagger.parameters(), *readout.parameters()], 0.05)
    >>> for _ in range(60):
    ...     optimizer.zero_grad()
    ...     readout.loss(tagger(x), labels).backward()
    ...     optimizer.step()
    >>> bool((readout(tagger(x)).values.argmax(1) == labels.values).float().mean() > 0.9)
    True
    """

    def __init__(
        self,
        hidden_size: int,
        classes: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(hidden_size, classes, bias, device, dtype)

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the probabilities of the classes at every step."""
        return functional.softmax(self.logits(input), -1)

    def describe(self) -> Tokenwise:
        """Return the description of a layer that processes each step independently."""
        return Tokenwise()

    def operators(self) -> tuple[Operator, ...]:
        """Return the matrix product and the softmax."""
        return (*linear_operators(self), Operator.of("aten::softmax", dim=-1))

    def logits(self, h: Any) -> Any:
        """Return b_o + W_oh h_t."""
        return linear_of_tokens(h, self, "Readout")

    def log_probabilities(self, h: Any) -> Any:
        """Return the logarithms of the probabilities, computed without a loss of digits."""
        return functional.log_softmax(self.logits(h), -1)

    def loss(self, h: Any, labels: Any, *, ignore: int = -100) -> Tensor:
        """Return the mean cross-entropy of the labels over all steps.

        Parameters
        ----------
        h : Ragged or Tensor
            (…, H)
        labels : Ragged or Tensor
            (…) int64, 0 … C − 1, one for each step of ``h``.
        ignore
            A label of steps that do not count.
        """
        logits = self.logits(h)
        values, target = logits, labels
        if isinstance(logits, Ragged):
            if not isinstance(labels, Ragged):
                raise InputTypeError(f"Readout: labels of a Ragged are a Ragged, got {type(labels).__name__}")
            if not torch.equal(labels.lengths, logits.lengths):
                raise ShapeError(
                    f"Readout: labels have lengths {labels.lengths.tolist()[:8]}, the states "
                    f"{logits.lengths.tolist()[:8]}; there is one label for each step"
                )
            values, target = logits.values, labels.values
        if not isinstance(target, Tensor) or target.shape != values.shape[:-1] or target.is_floating_point():
            kind = (
                f"{target.dtype} of shape {tuple(target.shape)}"
                if isinstance(target, Tensor)
                else type(target).__name__
            )
            raise ShapeError(f"Readout: labels are int64 of shape {tuple(values.shape[:-1])}, got {kind}")
        return functional.cross_entropy(
            values.reshape(-1, self.out_features), target.reshape(-1), ignore_index=ignore
        )
