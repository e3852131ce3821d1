"""The test windows that a model is most certain of, as the report shows them."""

import torch
from torch import Tensor

from throughtime.demo.operators.dataset import PythonOperators
from throughtime.demo.operators.lexer import NEWLINE
from throughtime.demo.operators.sites import CLOSE, OPEN
from throughtime.report import Example


def most_certain(
    source: PythonOperators, probabilities: Tensor, count: int = 5
) -> tuple[list[Example], list[Example]]:
    """Return the examples that the model is most certain of, those it gets right and those it gets wrong.

    Parameters
    ----------
    source
        The data set; its test examples are meant.
    probabilities : Tensor
        (B, 2), of the classes, for the test examples.
    count
        Of each kind at most.
    """
    certainty, predicted = probabilities.max(dim=1)
    hit = predicted == source.test.labels
    chosen = []
    for kind in (hit, ~hit):
        index = torch.nonzero(kind).flatten()
        order = torch.argsort(certainty[index], descending=True, stable=True)[:count]
        chosen.append([_example(source, int(i), probabilities[i]) for i in index[order]])
    return chosen[0], chosen[1]


def _example(source: PythonOperators, index: int, probabilities: Tensor) -> Example:
    words = [source.vocabulary.words[number] for number in source.test.tokens[index].tolist()]
    start, stop = words.index(OPEN), words.index(CLOSE)
    file, line, column = source.sites["test"].where[index].tolist()
    predicted = int(probabilities.argmax())
    return Example(
        before=_text(words[:start]) + (" " if words[start - 1 : start] not in ([], [NEWLINE]) else ""),
        marked=" ".join(words[start + 1 : stop]),
        after=" " + _text(words[stop + 1 :]),
        truth=source.classes[int(source.test.labels[index])],
        predicted=source.classes[predicted],
        probability=float(probabilities[predicted]),
        where=f"{source.file_name(file)}:{line}:{column + 1}",
    )


def _text(words: list[str]) -> str:
    lines = " ".join(words).split(NEWLINE)
    return "\n".join(line.strip() for line in lines)
