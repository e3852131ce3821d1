"""A permutation test for steps that a model does not read but that its loss depends on. Runs no model."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from throughtime.ragged import Layout

# Minimum number of sequences with a step at one place, below which chance and dependence look alike.
FEWEST = 16
# Permutations; the observed statistic has to exceed all of them, p <= 0.001.
_PERMUTATIONS = 999
# Number of places from either end that are tested one by one.
_MOST_PLACES = 256
# Maximum number of directions of the output's gradient and of features; more are projected.
_MOST_DIRECTIONS = 4
_MOST_FEATURES = 16
# Up to this many channels, products of two count as features: mark times number in the adding problem.
_MOST_CHANNELS = 8


@dataclass(frozen=True, eq=False)
class Dependence:
    """Steps whose features are correlated with the gradient of the output.

    Parameters
    ----------
    where : str
        Which steps: at one distance from the start or end of their sequences, or several.
    rows : Tensor
        (n,) int64, their tokens.
    explained : float
        Part of ‖δ‖² that a linear map of these features explains out of fold, with δ the gradient of the
        output.
    """

    where: str
    rows: Tensor
    explained: float


def strongest_dependence(
    delta: Tensor,
    output: Tensor,
    features: Tensor,
    flow: Tensor,
    layout: Layout,
    *,
    unread: float,
    embedded: bool,
    seed: int,
) -> Dependence | None:
    r"""Return the place where features and the gradient of the output depend most, or None if by chance.

    With δ_b the gradient of sequence b's output and x_bt the features of its step t, Σ_b δ_b x_btᵀ is the
    gradient of a direct linear connection from step t to the output. Its squared norm is compared with those
    under random permutations of the δ_b, the largest over all places with the largest over all places
    (Westfall and Young's max T). What is linear in the output itself, or in the features of the steps that
    are read, is removed from δ first, so that neither an overconfident model counts, nor one that has yet to
    learn the same from nearer steps.

    Parameters
    ----------
    delta, output : Tensor
        (B, C).
    features : Tensor
        (T, D).
    flow : Tensor
        (T,) relative gradient norm of each step.
    layout : Layout
        Layout of the T tokens.
    unread
        Steps with a flow below this are tested.
    embedded
        Whether features are embeddings, where a linear map can separate tokens, rather than channels.
    seed
        Random seed of permutations, projections and folds.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = (flow < unread).nonzero().flatten()
    if len(delta) < FEWEST or not len(rows):
        return None
    described = _described(features.double(), generator, products=not embedded)
    delta = _projected(delta.double(), most=min(_MOST_DIRECTIONS, len(delta) // 8))
    known = _mean_of_read(described, torch.where(flow < unread, 0.0, flow.double()), layout)
    known = _at_most(known, len(delta) // 8, generator)
    delta = _residual(delta, _projected(output.double(), most=len(delta) // 8), known)
    scale = delta.square().mean().sqrt()
    if not float(scale):
        return None
    values = described[rows]
    orders = [torch.randperm(len(delta), generator=generator) for _ in range(_PERMUTATIONS)]
    # Scaled to 1, so that squares fit float32 at any scale of the loss.
    permuted = torch.stack([delta, *(delta[order] for order in orders)]) / scale
    largest = torch.zeros(len(permuted), dtype=torch.float64)
    best: tuple[float, str, Tensor, Tensor] | None = None
    for names, place in _places(rows, layout):
        x = _by_place(values, place, layout.sequence_ids[rows], len(names), len(delta))
        statistics = _statistics(permuted, x)
        largest = torch.maximum(largest, statistics.amax(1))
        top = int(statistics[0].argmax())
        if best is None or float(statistics[0, top]) > best[0]:
            best = float(statistics[0, top]), names[top], rows[place == top], x[top]
    if best is None or best[0] <= 0 or bool((largest[1:] >= best[0]).any()):
        return None
    _, where, tokens, x = best
    return Dependence(where, tokens, _explained(delta, x, generator))


def _projected(rows: Tensor, most: int) -> Tensor:
    """Return (B, C'): rows projected on their leading singular directions."""
    directions: Tensor = torch.linalg.svd(rows, full_matrices=False)[2][:most]
    return rows @ directions.t()


def _mean_of_read(described: Tensor, weight: Tensor, layout: Layout) -> Tensor:
    """Return (B, D'): the mean features of the steps that are read, weighted by their flow."""
    total = weight.new_zeros(len(layout)).index_add(0, layout.sequence_ids, weight)
    mean = described.new_zeros(len(layout), described.shape[1])
    mean.index_add_(0, layout.sequence_ids, weight[:, None] * described)
    return mean / total.clamp_min(torch.finfo(torch.float64).tiny)[:, None]


def _residual(delta: Tensor, *known: Tensor) -> Tensor:
    """Return the residual of δ after linear regression on ``known``."""
    along = torch.cat([torch.ones_like(delta[:, :1]), *known], 1)
    weights: Tensor = torch.linalg.lstsq(along, delta, driver="gelsd").solution
    return delta - along @ weights


def _described(features: Tensor, generator: torch.Generator, *, products: bool) -> Tensor:
    """Return (T, D'): whitened features, with products of two if there are few."""
    x = _standardised(features)
    if products and x.shape[1] <= _MOST_CHANNELS:
        i, j = torch.triu_indices(x.shape[1], x.shape[1])
        x = torch.cat([x, _standardised(x[:, i] * x[:, j])], 1)
    return _at_most(_whitened(x), _MOST_FEATURES, generator)


def _at_most(x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return at most ``most`` columns, by random projection."""
    if x.shape[1] <= most:
        return x
    random = torch.randn(x.shape[1], most, dtype=x.dtype, generator=generator)
    directions: Tensor = torch.linalg.qr(random)[0]
    return x @ directions


def _whitened(x: Tensor) -> Tensor:
    """Return uncorrelated columns of variance 1."""
    values, vectors = torch.linalg.eigh(x.t() @ x / max(1, len(x)))
    real = values > 1e-6 * values[-1]
    directions: Tensor = vectors[:, real] / values[real].sqrt()
    return x @ directions


def _standardised(x: Tensor) -> Tensor:
    x = x - x.mean(0)
    return x / x.square().mean(0).sqrt().clamp_min(1e-12)


def _places(rows: Tensor, layout: Layout) -> Iterator[tuple[list[str], Tensor]]:
    """Yield names of places, and the index of each row's place; -1 for none."""
    position = layout.positions[rows]
    to_the_end = layout.offsets.diff()[layout.sequence_ids[rows]] - 1 - position
    yield ["several steps"], torch.zeros_like(position)
    for distance, relation in ((position, "after the first"), (to_the_end, "before the last")):
        here = distance.unique()
        here = here[:_MOST_PLACES]
        place = torch.searchsorted(here, distance).clamp_max(len(here) - 1)
        last_word = relation.rsplit(" ", 1)[1]
        names = [f"the step {d} {relation}" if d else f"the {last_word} step" for d in here.tolist()]
        yield names, torch.where(here[place] == distance, place, -1)


def _by_place(values: Tensor, place: Tensor, sequence: Tensor, places: int, sequences: int) -> Tensor:
    """Return (P, B, D): mean features at each place, centred over the sequences that have the place."""
    placed = place >= 0
    index = place[placed] * sequences + sequence[placed]
    count = torch.bincount(index, minlength=places * sequences).double()
    x = values.new_zeros(places * sequences, values.shape[1]).index_add(0, index, values[placed])
    x = (x / count.clamp_min(1)[:, None]).view(places, sequences, -1)
    has = (count > 0).view(places, sequences, 1)
    number = has.sum(1, keepdim=True)
    centred = torch.where(has, x - x.sum(1, keepdim=True) / number.clamp_min(1), 0.0)
    return torch.where(number >= FEWEST, centred, 0.0)


def _statistics(permuted: Tensor, x: Tensor) -> Tensor:
    """Return (N, P): ‖Σ_b δ_b x_bᵀ‖² over its expectation under independence."""
    places, sequences, size = x.shape
    flat = x.transpose(0, 1).reshape(sequences, places * size).float()
    expected = x.square().sum((1, 2)) * permuted[0].square().sum() / sequences
    statistics = []
    for part in permuted.float().split(64):
        cross = part.transpose(1, 2).reshape(-1, sequences) @ flat
        statistics.append(cross.view(len(part), -1, places, size).square().sum((1, 3)))
    return torch.cat(statistics).double() / expected.clamp_min(torch.finfo(torch.float64).tiny)


def _explained(delta: Tensor, x: Tensor, generator: torch.Generator, folds: int = 5) -> float:
    """Return the part of ‖δ‖² that ridge regression on (B, D) features explains out of fold."""
    fold = torch.randperm(len(delta), generator=generator) % folds
    left = 0.0
    for k in range(folds):
        held_out, fitted = fold == k, fold != k
        a, b = x[fitted], delta[fitted]
        gram = a.t() @ a
        ridge = 0.1 * gram.diagonal().mean().clamp_min(1e-12)
        weights = torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), a.t() @ b)
        left += float((delta[held_out] - x[held_out] @ weights).square().sum())
    return float(delta.square().sum()) - left
