"""Tokens of windows as readers see them."""

from collections.abc import Iterable

from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.operators.lexer import NEWLINE
from throughtime.demo.operators.sites import CLOSE, OPEN

_SHOWN = {NEWLINE: "⏎", OPEN: "⟦", CLOSE: "⟧"}


def shown(tokens: Iterable[int], vocabulary: Vocabulary) -> list[str]:
    """Return the words of tokens; the markers as brackets, line ends as arrows, -1 (no token) as a dot.

    Examples
    --------
    >>> shown([1, 3, 2, -1], Vocabulary([OPEN, CLOSE, "+"]))
    ['⟦', '+', '⟧', '·']
    """
    words = vocabulary.words
    return ["·" if number < 0 else _SHOWN.get(words[number], words[number]) for number in tokens]
