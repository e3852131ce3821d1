"""Detection of replaced operators in a file with the trained classifier and a corrected prior.

The classifier is a `throughtime.demo.operators.replacement.ReplacementDetector`, trained on windows of
which half had their operator replaced by another of its family, with uniform probability. By Bayes' rule,
its odds for operator j of a family of k give the probability that an author writes j:
P(j) = 1 / (1 + (k − 1) · odds_j). The P(j) of all members are computed and normalized. If a fraction
``prior`` of operators is replaced, the odds that the operator o in the file is a replacement are
prior / (1 − prior) · (1 − P(o)) / ((k − 1) · P(o)).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.operators.lexer import lex
from throughtime.demo.operators.reading import site_rows
from throughtime.demo.operators.sites import Sites, family_of, operator_name, windows
from throughtime.tasks import predict

PRIOR = 0.01
"""Default fraction of operators that are assumed to be replaced."""
REPLACED = 1
"""Index of the class "replaced"."""


@dataclass(frozen=True)
class Finding:
    """One operator of a file, with its score and the best alternative."""

    line: int
    column: int
    operator: str
    score: float
    """Probability that it has been replaced."""
    rather: str
    """The most probable other operator of the family."""


def sites_of(source: str, vocabulary: Vocabulary) -> Sites:
    """Return all operators of a Python text, with windows of any length.

    Raises
    ------
    SyntaxError
        If Python's tokenizer rejects the text.
    """
    lexed = lex(source)
    words = sorted(set(lexed.tokens))
    number = {word: i for i, word in enumerate(words)}
    tokens = np.array([number[token] for token in lexed.tokens], dtype=np.int64)
    return windows(words, tokens, site_rows(lexed), vocabulary)


def author_probabilities(model: nn.Module, sites: Sites, tokens_per_batch: int = 16_384) -> Tensor:
    """Return (B, k_max) float64: probability that an author writes each member of the family; 0 beyond it."""
    if len(sites) == 0:
        return torch.zeros(0, 1, dtype=torch.float64)
    first, size = family_of(sites.operators)
    widest = int(size.max())
    probabilities = torch.zeros(len(sites), widest, dtype=torch.float64)
    for member in range(widest):
        index = torch.nonzero(member < size).flatten()
        chosen = sites.select(index)
        shown = chosen.with_operators(first[index] + member)
        logits = predict(model, shown, tokens_per_batch=tokens_per_batch).double()
        log_odds = logits[:, REPLACED] - torch.logsumexp(
            torch.cat([logits[:, :REPLACED], logits[:, REPLACED + 1 :]], 1), 1
        )
        probabilities[index, member] = 1 / (1 + (size[index] - 1) * log_odds.exp())
    return probabilities / probabilities.sum(1, keepdim=True).clamp(min=1e-300)


def scores(probabilities: Tensor, sites: Sites, shown: Tensor, prior: float = PRIOR) -> Tensor:
    """Return (B,) float64: the probability that each shown operator is a replacement."""
    first, size = family_of(sites.operators)
    written = probabilities.gather(1, (shown - first)[:, None]).flatten().clamp(1e-12, 1 - 1e-12)
    odds = prior / (1 - prior) * (1 - written) / ((size - 1) * written)
    return odds / (1 + odds)


def review(model: nn.Module, source: str, vocabulary: Vocabulary, prior: float = PRIOR) -> list[Finding]:
    """Return every operator of a Python text, most suspicious first."""
    sites = sites_of(source, vocabulary)
    probabilities = author_probabilities(model, sites)
    score = scores(probabilities, sites, sites.operators, prior)
    first, _ = family_of(sites.operators)
    others = probabilities.scatter(1, (sites.operators - first)[:, None], -1.0)
    rather = first + others.argmax(1)
    order = torch.argsort(score, descending=True, stable=True).tolist()
    return [
        Finding(
            int(sites.where[i, 1]),
            int(sites.where[i, 2]),
            operator_name(int(sites.operators[i])),
            float(score[i]),
            operator_name(int(rather[i])),
        )
        for i in order
    ]


def precision_at(
    model: nn.Module, sites: Sites, *, first: int = 20, share: float = 0.01, draws: int = 50, seed: int = 0
) -> float:
    """Return the fraction of the ``first`` most suspicious operators that were replaced: the precision.

    In each draw a fraction ``share`` of all sites is replaced at random, and every site scored; the mean over
    draws is returned.
    """
    probabilities = author_probabilities(model, sites)
    generator = torch.Generator().manual_seed(seed)
    count = max(1, round(share * len(sites)))
    total = 0.0
    for _ in range(draws):
        replaced = torch.zeros(len(sites), dtype=torch.bool)
        replaced[torch.randperm(len(sites), generator=generator)[:count]] = True
        shown = torch.where(replaced, sites.draw_others(generator), sites.operators)
        top = scores(probabilities, sites, shown, share).topk(min(first, len(sites))).indices
        total += float(replaced[top].double().mean())
    return total / draws
