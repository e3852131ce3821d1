"""Test examples with the most confident predictions of a model, for the report."""

import torch
from torch import Tensor

from throughtime.demo.operators.dataset import PythonOperators
from throughtime.demo.operators.lexer import NEWLINE
from throughtime.demo.operators.replacement import VERDICTS
from throughtime.demo.operators.sites import CLOSE, OPEN
from throughtime.report import Example


def most_certain(
    source: PythonOperators, probabilities: Tensor, count: int = 5
) -> tuple[list[Example], list[Example]]:
    """Return the most confident correct and the most confident wrong predictions.

    Parameters
    ----------
    source
        The data set; its test examples are used.
    probabilities : Tensor
        (B, 2) of the test examples, that the operator is original and that it was replaced.
    count
        Maximum number of examples of each kind.
    """
    confidence, predicted = probabilities.max(dim=1)
    correct = torch.eq(predicted, source.replaced)
    examples = []
    for subset in (correct, ~correct):
        index = torch.nonzero(subset).flatten()
        order = torch.argsort(confidence[index], descending=True, stable=True)[:count]
        examples.append([_example(source, int(i), probabilities[i]) for i in index[order]])
    return examples[0], examples[1]


def _example(source: PythonOperators, index: int, probabilities: Tensor) -> Example:
    words = [source.vocabulary.words[number] for number in source.test.inputs[index].tolist()]
    start, stop = words.index(OPEN), words.index(CLOSE)
    file, line, column = source.sites["test"].where[index].tolist()
    predicted = int(probabilities.argmax())
    return Example(
        before=_text(words[:start]) + (" " if words[start - 1 : start] not in ([], [NEWLINE]) else ""),
        marked=" ".join(words[start + 1 : stop]),
        after=" " + _text(words[stop + 1 :]),
        truth=VERDICTS[int(source.replaced[index])],
        predicted=VERDICTS[predicted],
        probability=float(probabilities[predicted]),
        where=f"{source.file_name(file)}:{line}:{column + 1}",
    )


def _text(words: list[str]) -> str:
    lines = " ".join(words).split(NEWLINE)
    return "\n".join(line.strip() for line in lines)
