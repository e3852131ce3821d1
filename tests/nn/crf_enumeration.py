"""A linear-chain CRF by its definition: one score for each of all tag sequences; and by loops, for length."""

import itertools

import torch
from torch import Tensor

import throughtime as tt


def all_tags(crf: tt.nn.CRF, length: int) -> list[tuple[int, ...]]:
    """Every tag sequence of a length that the constraints allow, in lexicographic order from the last tag."""
    sequences = [y[::-1] for y in itertools.product(range(crf.num_tags), repeat=length)]
    return [y for y in sequences if _is_allowed(crf, y)]


def _is_allowed(crf: tt.nn.CRF, y: tuple[int, ...]) -> bool:
    starts = crf.allowed_start is None or not y or bool(crf.allowed_start[y[0]])
    return starts and (crf.allowed is None or all(crf.allowed[pair] for pair in itertools.pairwise(y)))


def score(crf: tt.nn.CRF, emissions: Tensor, y: tuple[int, ...]) -> Tensor:
    """Return s(x, y), for emissions (L, C) of one sequence."""
    if not y:
        return emissions.sum()
    total = crf.start[y[0]] + crf.end[y[-1]]
    for t, tag in enumerate(y):
        total = total + emissions[t, tag]
    for before, after in itertools.pairwise(y):
        total = total + crf.transitions[before, after]
    return total


def log_partition(crf: tt.nn.CRF, emissions: Tensor) -> Tensor:
    return torch.stack([score(crf, emissions, y) for y in all_tags(crf, len(emissions))]).logsumexp(0)


def best(crf: tt.nn.CRF, emissions: Tensor) -> list[int]:
    return list(max(all_tags(crf, len(emissions)), key=lambda y: float(score(crf, emissions, y))))


def crf_marginals(crf: tt.nn.CRF, emissions: Tensor) -> Tensor:
    """Return (L, C): by enumeration, or for long sequences by products of matrices of probabilities."""
    if len(emissions) > 5:
        return _marginals_by_products(crf, emissions)
    sequences = all_tags(crf, len(emissions))
    probabilities = torch.stack([score(crf, emissions, y) for y in sequences]).softmax(0)
    hot = torch.nn.functional.one_hot(torch.tensor(sequences), crf.num_tags).to(emissions.dtype)
    return (probabilities[:, None, None] * hot).sum(0)


def _marginals_by_products(crf: tt.nn.CRF, emissions: Tensor) -> Tensor:
    x, steps = emissions.exp(), len(emissions)
    ahead, behind = [crf.start.exp() * x[0]], [crf.end.exp()]
    for t in range(1, steps):
        ahead.append((ahead[-1] @ crf.transitions.exp()) * x[t])
        behind.append(crf.transitions.exp() @ (behind[-1] * x[steps - t]))
    products = torch.stack(ahead) * torch.stack(behind[::-1])
    return products / products.sum(1, keepdim=True)
