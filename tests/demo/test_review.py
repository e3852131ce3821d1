"""Reviewing a file: scores by Bayes' rule, and positions of operators."""

import pytest
import torch
from torch import Tensor, nn

from throughtime.demo.operators.dataset import PythonOperators
from throughtime.demo.operators.families import FAMILIES
from throughtime.demo.operators.sites import NUMBER, family_of
from throughtime.demo.review import author_probabilities, precision_at, review, scores, sites_of
from throughtime.ragged import Ragged


class Oracle(nn.Module):
    """A classifier that is calibrated by construction: authors write each operator with a known chance.

    Its odds of a replacement are those of examples half of which are replaced, as the training has them.
    """

    def __init__(self, source: PythonOperators, chances: dict[str, float]) -> None:
        super().__init__()
        self.source = source
        self.chances = chances

    def forward(self, tokens: Ragged) -> Tensor:
        words = self.source.vocabulary.words
        logits = []
        for sequence in tokens:
            shown = [words[int(i)] for i in sequence]
            operator = shown[shown.index("<op>") + 1]
            size = next(len(family) for family in FAMILIES if operator in family)
            chance = self.chances[operator]
            odds = (1 - chance) / (size - 1) / chance
            logits.append([0.0, float(torch.tensor(odds).log())])
        return torch.tensor(logits)


CHANCES = {
    "==": 0.5, "!=": 0.2, "<": 0.1, "<=": 0.05, ">": 0.1, ">=": 0.05, "in": 0.9, "not in": 0.1, "is": 0.3,
    "is not": 0.7, "+": 0.4, "-": 0.3, "*": 0.1, "/": 0.1, "//": 0.05, "%": 0.05, "&": 0.4, "|": 0.3,
    "^": 0.1, "<<": 0.1, ">>": 0.1, "and": 0.8, "or": 0.2,
}  # fmt: skip
SOURCE = "if a < b and  c  is \\\n   not d:\n    x = a % b  # é\n    ü = y in z\n"


def test_the_families_probabilities_are_the_authors(operators: PythonOperators) -> None:
    sites = operators.sites["test"]
    found = author_probabilities(Oracle(operators, CHANCES), sites)
    first, size = family_of(sites.operators)
    names = list(NUMBER)
    for row, start, count in zip(found, first.tolist(), size.tolist(), strict=True):
        expected = [CHANCES[name] for name in names[start : start + count]]
        assert row.tolist() == pytest.approx(expected + [0.0] * (len(row) - count), abs=1e-6)


def test_scores_follow_bayes_rule(operators: PythonOperators) -> None:
    sites = operators.sites["test"]
    shown = sites.draw_others(torch.Generator().manual_seed(0))
    found = scores(author_probabilities(Oracle(operators, CHANCES), sites), sites, shown, prior=0.03)
    names = list(NUMBER)
    for score, number, size in zip(found.tolist(), shown.tolist(), family_of(shown)[1].tolist(), strict=True):
        written = CHANCES[names[number]]
        replaced = 0.03 * (1 - written) / (size - 1)
        assert score == pytest.approx(replaced / (replaced + 0.97 * written), rel=1e-5)


def test_a_review_points_at_operators_and_names_the_best_other(operators: PythonOperators) -> None:
    findings = review(Oracle(operators, CHANCES), SOURCE, operators.vocabulary)
    assert [finding.score for finding in findings] == sorted((f.score for f in findings), reverse=True)
    found = {finding.operator: (finding.line, finding.column, finding.rather) for finding in findings}
    assert found == {
        "<": (1, 5, "=="),
        "and": (1, 9, "or"),
        "is not": (1, 17, "is"),
        "%": (3, 10, "+"),
        "in": (4, 10, "not in"),
    }
    assert findings[0].operator == "%"


def test_short_files_and_files_without_operators(operators: PythonOperators) -> None:
    assert review(Oracle(operators, CHANCES), "pass\n", operators.vocabulary) == []
    assert review(Oracle(operators, CHANCES), "", operators.vocabulary) == []
    assert len(sites_of("a+b", operators.vocabulary)) == 1


def test_precision_is_one_for_an_oracle_and_the_share_for_a_coin(operators: PythonOperators) -> None:
    sites = operators.sites["test"]
    own = dict.fromkeys(NUMBER, 1e-06)
    # All that authors write here is ==, and it alone.
    equals = sites.select(torch.nonzero(sites.operators == NUMBER["=="]).flatten())
    certain = Oracle(operators, {**own, "==": 1 - 1e-5})
    assert precision_at(certain, equals, first=2, share=2 / len(equals), draws=5) == 1.0
    coin = Oracle(operators, {name: 1 / len(family) for family in FAMILIES for name in family})
    assert precision_at(coin, sites, first=20, share=0.5, draws=40) == pytest.approx(0.5, abs=0.1)
