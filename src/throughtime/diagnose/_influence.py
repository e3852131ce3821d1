"""`influence`: how much each token contributes to the output of a model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.diagnose._features import BatchFeatures
from throughtime.diagnose._profile import Profile, distances, profile_of
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.trace.reading import Reading
from throughtime.ops.modes import evaluating
from throughtime.ragged import Layout, Ragged

Method = Literal["gradient_input", "integrated_gradients", "occlusion", "deletion"]
METHODS = ("gradient_input", "integrated_gradients", "occlusion", "deletion")


@dataclass(frozen=True, eq=False)
class Influence:
    """Contribution of each token to the outcome of its sequence; see `influence`.

    Parameters
    ----------
    scores : Ragged
        (T,) positive if a token raises the outcome, negative if it lowers it.
    outcome : Tensor
        (B,) what is explained: by default the logit of each sequence's class.
    target : Tensor, optional
        (B,) the explained classes.
    method : str
        Attribution method.
    """

    scores: Ragged
    outcome: Tensor
    target: Tensor | None
    method: str

    def recency(self, *, origin: Literal["end", "start"] = "end") -> Profile:
        """Return each step's fraction of its sequence's influence, by distance from the end (or start).

        The fraction is abs(score) over the sum of abs(score) of the sequence. Means and quantiles are over
        sequences with any influence; a sequence that is too short for a distance counts as 0 there, so the
        means add up to 1. For a model that depends mostly on its last steps, the mean falls with distance.
        """
        layout, size = self.scores.layout, self.scores.values.abs().double()
        total = size.new_zeros(len(layout)).index_add(0, layout.sequence_ids, size)
        share = size / total.index_select(0, layout.sequence_ids).clamp_min(torch.finfo(size.dtype).tiny)
        reading = Reading(layout, reverse=False)
        profile = profile_of(self.scores.with_values(share), reading, origin, ())
        counted = int((total > 0).sum())
        mean = profile.mean * profile.count / max(1, counted)
        levels = (0.1, 0.5, 0.9)
        table = size.new_zeros(len(layout), len(mean))
        table[layout.sequence_ids, distances(reading, origin)] = share
        with_influence = (table[total > 0] if counted else table).cpu().numpy()
        rows = torch.from_numpy(np.quantile(with_influence, levels, axis=0))
        return Profile(profile.distance, profile.count, mean, dict(zip(levels, rows, strict=True)))


def influence(
    model: nn.Module,
    batch: Ragged,
    target: Tensor | None = None,
    *,
    method: Method = "gradient_input",
    outcome: Callable[[Any], Tensor] | None = None,
    features_of: nn.Module | None = None,
    points: int = 32,
    tokens_at_once: int = 1 << 15,
) -> Influence:
    r"""Return how much each token contributes to the outcome f of its sequence, in evaluation mode.

    With x_t the features of a token (the embedding of integer tokens) and 0 as the baseline:

    - "gradient_input": x_t · ∂f/∂x_t, the first-order change if x_t were set to 0; one backward pass;
    - "integrated_gradients": x_t · ∫₀¹ ∂f/∂x_t(α x) dα by ``points`` midpoints; adds up to f(x) − f(0) over a
      sequence; as many backward passes;
    - "occlusion": f(x) less f with x_t = 0; one forward pass for each token of a sequence;
    - "deletion": f(x) less f of the sequence without the token, as ragged batches allow; the same cost.

    Parameters
    ----------
    model : Module
        Maps the batch to logits (B, C), or to what ``outcome`` takes.
    batch : Ragged
        (T,) of integers, or (T, D) of features.
    target : Tensor, optional
        (B,) the class whose logit is explained; by default the predicted class.
    method
        Attribution method, see above.
    outcome
        Maps the model's output to one number per sequence, (B,); excludes ``target``.
    features_of : Module, optional
        The module whose output is taken as the features; by default the model's only `torch.nn.Embedding`.
    points
        Number of midpoints of the integral.
    tokens_at_once
        Maximum number of tokens in a batch of changed sequences, for "occlusion" and "deletion".

    Returns
    -------
    Influence

    Raises
    ------
    UnsupportedError, ShapeError, InputTypeError
        If the model has no embedding or several, the batch has no tokens, or sizes do not match.

    References
    ----------
    .. [1] M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for deep networks", ICML (2017),
       equation 1.
    .. [2] M. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV (2014),
       section 4.2: occlusion.
    .. [3] J. Li et al., "Visualizing and understanding neural models in NLP", NAACL (2016): gradients of
       embeddings.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.BiLSTM(vocabulary_size=10, outputs=2)
    >>> batch = tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])])
    >>> tt.diagnose.influence(model, batch).scores
    Ragged(lengths=[3, 1], features=(), dtype=float32)
    """
    if method not in METHODS:
        raise ShapeError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if not isinstance(batch, Ragged):
        raise InputTypeError(f"influence takes a Ragged batch, got {type(batch).__name__}")
    if not len(batch.values):
        raise ShapeError(
            "this batch has no tokens, so there is no influence to measure; give at least one token"
        )
    if points < 1 or tokens_at_once < 1:
        raise ShapeError(f"points and tokens_at_once must be at least 1, got {points} and {tokens_at_once}")
    attribution = _Attribution(model, batch, features_of)
    with evaluating(model):
        outcome_of, target = _outcome(attribution.output(), target, outcome, len(batch))
        with torch.no_grad():
            f = outcome_of(attribution.output())
        if method == "gradient_input":
            scores = attribution.gradient_times_input(outcome_of, [1.0])
        elif method == "integrated_gradients":
            scores = attribution.gradient_times_input(outcome_of, [(i + 0.5) / points for i in range(points)])
        else:
            changed = attribution.changed(target, outcome, method == "deletion", tokens_at_once)
            scores = f.index_select(0, batch.layout.sequence_ids) - changed
    return Influence(batch.with_values(scores.detach()), f, target, method)


class _Attribution(BatchFeatures):
    """Attribution methods for one model and batch."""

    def gradient_times_input(self, outcome: Callable[[Any], Tensor], shares: list[float]) -> Tensor:
        features = self.features()
        total = torch.zeros_like(features)
        for share in shares:
            leaf = (share * features).requires_grad_()
            with torch.enable_grad():
                value = outcome(self.output_with(self.batch, leaf)).sum()
                total += torch.autograd.grad(value, leaf)[0]
        return (features * total / len(shares)).sum(tuple(range(1, features.dim())))

    def changed(
        self,
        target: Tensor | None,
        outcome: Callable[[Any], Tensor] | None,
        deletes: bool,  # noqa: FBT001 - one of two ways
        tokens_at_once: int,
    ) -> Tensor:
        """Return (T,): the outcome of each token's sequence without it."""
        layout, features = self.batch.layout, self.features()
        lengths = layout.offsets.diff()
        outcomes = []
        for chunk in _chunks(lengths.index_select(0, layout.sequence_ids).tolist(), tokens_at_once):
            token = torch.arange(*chunk)
            sequence = layout.sequence_ids[token]
            # Every token's sequence as a whole, one after the other.
            long = lengths[sequence]
            offsets = torch.cat([long.new_zeros(1), long.cumsum(0)])
            variant = torch.repeat_interleave(torch.arange(len(token)), long)
            rows = torch.arange(int(offsets[-1])) - offsets[variant] + layout.offsets[sequence[variant]]
            hit = rows == token[variant]
            if deletes:
                rows, offsets, hit = rows[~hit], offsets - torch.arange(len(offsets)), hit[:0]
            changed = features[rows]
            changed[: len(hit)][hit] = 0.0
            batch = Ragged(self.batch.values[rows], offsets, layout=Layout(offsets))
            with torch.no_grad():
                output = self.output_with(batch, changed)
            classes = None if target is None else target[sequence]
            outcomes.append(_outcome(output, classes, outcome, len(token))[0](output))
        return torch.cat(outcomes)


def _chunks(sizes: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Cut items into runs of at most ``most`` in total size; an item may exceed that alone."""
    begin, total = 0, 0
    for i, size in enumerate(sizes):
        if i > begin and total + size > most:
            yield begin, i
            begin, total = i, 0
        total += size
    yield begin, len(sizes)


def _outcome(
    output: Any, target: Tensor | None, outcome: Callable[[Any], Tensor] | None, sequences: int
) -> tuple[Callable[[Any], Tensor], Tensor | None]:
    """Return a function from the output to one number per sequence, and the classes."""
    if outcome is not None:
        if target is not None:
            raise ShapeError("give target or outcome, not both: outcome already defines what is explained")
        value = outcome(output)
        if not isinstance(value, Tensor) or value.shape != (sequences,):
            kind = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(f"outcome must return one number for each of {sequences} sequences, got {kind}")
        return outcome, None
    if not isinstance(output, Tensor) or output.dim() != 2 or output.shape[0] != sequences:
        kind = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise ShapeError(
            f"the model's output must be logits (B, C), got {kind}; else give "
            "outcome=lambda output: ..., which returns (B,)"
        )
    if target is None:
        target = output.detach().argmax(1)
    elif target.shape != (sequences,) or target.is_floating_point():
        raise ShapeError(
            f"target must hold one class for each of {sequences} sequences, got {tuple(target.shape)}"
        )
    classes = target

    def chosen(logits: Tensor) -> Tensor:
        return logits.gather(1, classes[:, None])[:, 0]

    return chosen, target
