"""`CRF`: a linear-chain conditional random field on ragged batches."""

from typing import Any

import torch
from torch import Tensor, nn

from throughtime.nn.crf import _recursion
from throughtime.nn.crf._checks import check_allowed, check_constraints, check_tags
from throughtime.nn.crf._partition import fast_log_partition
from throughtime.nn.crf._recursion import FORBIDDEN, Scores, first_and_last
from throughtime.nn.crf._viterbi import best_tags
from throughtime.nn.description.kinds import WholeSequence
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import as_ragged, check_features, unwrapped
from throughtime.nn.inputs.tokens import check_dtype_and_device
from throughtime.ops.pool.layer import sum_over_time
from throughtime.ragged import Ragged, refuse_compiling, refuse_tracing


class CRF(nn.Module):
    r"""Linear-chain conditional random field: a distribution over all tag sequences of a sequence.

    p(y | x) = exp s(x, y) / Z(x),  Z(x) = Σ_{y'} exp s(x, y')

    s(x, y) = start[y_0] + Σ_t x[t, y_t] + Σ_{t>0} transitions[y_{t−1}, y_t] + end[y_{L−1}]

    The emissions x come from another layer, such as ``Linear(hidden_size, C)``. Computation is in log space
    and at least in float32, also under autocast, and each step computes only the sequences that have it. An
    empty sequence has the empty tag sequence, with log-likelihood 0. A sequence has the same results, in
    every bit, alone and in any batch. The gradient of `log_likelihood` costs no second loop over time, and
    everything but `decode` can be differentiated any number of times.

    ``layer(x)`` is ``layer.marginals(x)``.

    Parameters
    ----------
    num_tags : int
        C.
    allowed : Tensor, optional
        (C, C) bool: whether the tag of the row may be followed by the tag of the column. All may by default.
        Tag sequences with other transitions have probability 0.
    allowed_start : Tensor, optional
        (C,) bool: whether a sequence may begin with the tag. See `bio_constraints` for both. They are not in
        the state dict.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    transitions : Parameter
        (C, C), score of a transition from the tag of the row to the tag of the column.
    start, end : Parameter
        (C,), scores of the first and the last tag.

    Raises
    ------
    ShapeError, InputTypeError
        If ``num_tags``, a constraint, emissions or tags do not fit; if tags break a constraint.
    UnsupportedError
        Under torch.compile(fullgraph=True), torch.export and torch.jit.trace: the loop has as many steps as
        the longest sequence.

    References
    ----------
    .. [1] J. Lafferty, A. McCallum and F. Pereira, "Conditional random fields: probabilistic models for
       segmenting and labeling sequence data", ICML (2001).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> _ = torch.manual_seed(0)
    >>> tags = ["O", "B-PER", "I-PER"]
    >>> crf = tt.nn.CRF(len(tags), *tt.nn.bio_constraints(tags))
    >>> emissions = tt.Ragged.from_lengths(torch.randn(6, 3), [4, 0, 2])
    >>> y = tt.Ragged.from_list([torch.tensor([0, 1, 2, 0]), torch.tensor([]).long(), torch.tensor([1, 2])])
    >>> crf.log_likelihood(emissions, y).shape
    torch.Size([3])
    >>> loss = -crf.log_likelihood(emissions, y).sum()
    >>> crf.decode(emissions).lengths, crf.marginals(emissions)
    (tensor([4, 0, 2]), Ragged(lengths=[4, 0, 2], features=(3,), dtype=float32, requires_grad=True))
    """

    allowed: Tensor | None
    allowed_start: Tensor | None

    def __init__(
        self,
        num_tags: int,
        allowed: Tensor | None = None,
        allowed_start: Tensor | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_constraints(num_tags, allowed, allowed_start)
        self.num_tags = num_tags
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags, device=device, dtype=dtype))
        self.start = nn.Parameter(torch.empty(num_tags, device=device, dtype=dtype))
        self.end = nn.Parameter(torch.empty(num_tags, device=device, dtype=dtype))
        for name, mask in (("allowed", allowed), ("allowed_start", allowed_start)):
            self.register_buffer(name, None if mask is None else mask.to(self.start.device), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters from U(−0.1, 0.1)."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def describe(self) -> WholeSequence:
        """State that every output depends on all steps."""
        return WholeSequence("sums over all tag sequences of the whole sequence")

    def operators(self) -> tuple[Operator, ...]:
        """Return the layer itself, of which the marginals are exported."""
        return (Operator.of("throughtime.nn.CRF", layer=self),)

    def extra_repr(self) -> str:
        """Return the number of tags, and whether there are constraints."""
        masks = {"allowed": self.allowed, "allowed_start": self.allowed_start}
        constraints = [name for name, mask in masks.items() if mask is not None]
        return f"{self.num_tags}" + (f", constrained by {' and '.join(constraints)}" if constraints else "")

    def forward(self, input: Any) -> Ragged:  # noqa: A002 - torch's name
        """Return `marginals`."""
        return self.marginals(input)

    def log_likelihood(self, emissions: Any, tags: Ragged) -> Tensor:
        r"""Return log p(y | x) = s(x, y) − log Z(x) of each sequence.

        Parameters
        ----------
        emissions : Ragged
            (T, C), x.
        tags : Ragged
            (T,) int64, y, each of 0 … C − 1.

        Returns
        -------
        Tensor
            (B,), in float32 for half precision.

        Examples
        --------
        Of all 2³ tag sequences, the probabilities sum to 1:

        >>> import itertools, torch, throughtime as tt
        >>> crf, x = tt.nn.CRF(2), tt.Ragged.from_list([torch.randn(3, 2)])
        >>> every = [tt.Ragged.from_list([torch.tensor(y)]) for y in itertools.product([0, 1], repeat=3)]
        >>> round(float(sum(crf.log_likelihood(x, y).exp() for y in every).detach()), 5)
        1.0
        """
        x = self._checked(emissions)
        scores = self._scores(x)
        return self._score(x, tags, scores) - fast_log_partition(x.values, x.layout, scores)

    def score(self, emissions: Any, tags: Ragged) -> Tensor:
        """Return s(x, y) of each sequence, (B,): its log-likelihood without log Z."""
        x = self._checked(emissions)
        return self._score(x, tags, self._scores(x))

    def log_partition(self, emissions: Any) -> Tensor:
        """Return log Z(x) of each sequence, (B,), by the forward algorithm."""
        x = self._checked(emissions)
        return fast_log_partition(x.values, x.layout, self._scores(x))

    def marginals(self, emissions: Any) -> Ragged:
        """Return p(y_t = j | x) of each tag at every step, Ragged (T, C), by the forward-backward algorithm.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> crf, x = tt.nn.CRF(2), tt.Ragged.from_list([torch.randn(3, 2)])
        >>> torch.allclose(crf.marginals(x).values.sum(1), torch.ones(3))
        True
        """
        x = self._checked(emissions)
        directions = _recursion.both_directions(x.values, x.layout, self._scores(x))
        return x.with_values(_recursion.marginals(x.values, *directions)).to(unwrapped(emissions).dtype)

    @torch.no_grad()
    def decode(self, emissions: Any) -> Ragged:
        """Return the tags of the highest score, Ragged (T,) int64, by the Viterbi algorithm.

        Of equal scores the last tag is the lowest, then the tag before it, and so on. `log_likelihood` of the
        result is its log-probability.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> crf = tt.nn.CRF(2)
        >>> crf.decode(tt.Ragged.from_list([torch.tensor([[9., 0.], [0., 9.], [9., 0.]])]))[0]
        tensor([0, 1, 0])
        """
        x = self._checked(emissions)
        return x.with_values(best_tags(x.values, x.layout, self._scores(x)))

    def _checked(self, emissions: Any) -> Ragged:
        """Return the emissions, in at least float32."""
        refuse_tracing("a CRF")
        refuse_compiling(
            "a CRF, whose loop has as many steps as the longest sequence",
            "leave this layer out of the graph",
        )
        x = as_ragged(emissions, "CRF")
        check_features(x, self.num_tags, "CRF")
        check_dtype_and_device(x.values, self.transitions, "the input", "CRF")
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def _scores(self, x: Ragged) -> Scores:
        """Return the parameters in the dtype of the emissions, with the constraints."""
        transitions, start, end = (part.to(x.dtype) for part in (self.transitions, self.start, self.end))
        if self.allowed is not None:
            transitions = torch.where(self.allowed, transitions, FORBIDDEN)
        if self.allowed_start is not None:
            start = torch.where(self.allowed_start, start, FORBIDDEN)
        return Scores(transitions, start, end)

    def _score(self, x: Ragged, tags: Ragged, scores: Scores) -> Tensor:
        first, last = first_and_last(x.layout)
        y = check_tags(tags, x, self.num_tags).values
        check_allowed(tags, first, self.allowed, self.allowed_start)
        # A row more for the start, as what the first tag follows.
        table = torch.cat([scores.transitions, scores.start.unsqueeze(0)])
        before = torch.where(first, self.num_tags, y.roll(1))
        steps = x.values.gather(1, y.unsqueeze(1)).squeeze(1) + table[before, y]
        return sum_over_time(steps + torch.where(last, scores.end[y], 0), x.layout)
