"""From the author's operator to whether the operator shown is another."""

import torch
from torch import Tensor, nn

from throughtime.demo.operators.dataset import PythonOperators
from throughtime.demo.operators.replacement import ReplacementDetector, replacement_logits, shown_operators
from throughtime.demo.operators.sites import NUMBER
from throughtime.ragged import Ragged


def test_the_probability_of_a_replacement_is_that_of_all_other_operators() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 23, dtype=torch.float64, generator=generator)
    shown = torch.randint(23, (40,), generator=generator)
    probabilities = replacement_logits(logits, shown).softmax(1)
    written = logits.softmax(1)[torch.arange(40), shown]
    torch.testing.assert_close(probabilities, torch.stack([written, 1 - written], 1))


def test_the_operator_shown_is_the_one_behind_the_marker(operators: PythonOperators) -> None:
    words = operators.vocabulary.words
    shown = shown_operators(operators.test.inputs, operators.vocabulary).tolist()
    for window, number in zip(operators.test.inputs, shown, strict=True):
        texts = [words[int(token)] for token in window]
        assert NUMBER[texts[texts.index("<op>") + 1]] == number


class _Author(nn.Module):
    """A network that knows what the authors of the test windows wrote."""

    def __init__(self, operators: Tensor) -> None:
        super().__init__()
        self.operators = operators

    def forward(self, tokens: Ragged) -> Tensor:
        return 20.0 * nn.functional.one_hot(self.operators, 23).float()


def test_who_knows_the_author_finds_every_replacement(operators: PythonOperators) -> None:
    detector = ReplacementDetector(_Author(operators.sites["test"].operators), operators.vocabulary)
    assert torch.equal(detector(operators.test.inputs).argmax(1), operators.replaced)
    assert 0.3 < operators.replaced.double().mean() < 0.7
