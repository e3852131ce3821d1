"""`Templates`: the templates of a log, matching of messages, and their parameters."""

from collections.abc import Iterable
from dataclasses import dataclass

from throughtime.logs.masking import WILDCARD, masked

_MOST_CACHED = 50_000
_MOST_WORDS = 200


@dataclass(frozen=True)
class Template:
    """The common words of similar messages.

    Parameters
    ----------
    level : str
        Level of the messages, such as INFO, or empty.
    text : str
        The words, with the wildcard ``<*>`` for words that differ.
    count : int
        Number of messages.
    """

    level: str
    text: str
    count: int = 0

    @property
    def name(self) -> str:
        """The level and the words."""
        return f"{self.level} {self.text}".strip()


class Templates:
    """The templates of a log (immutable).

    Parameters
    ----------
    templates : iterable of Template
        In the order of their numbers, from 0.

    Examples
    --------
    >>> templates = Templates([Template("INFO", "user <*> has paid"), Template("INFO", "<*> <*> has paid")])
    >>> templates.match("INFO", "user 7 has paid"), templates.match("INFO", "user 7 has left")
    (0, None)
    >>> templates.parameters(0, "user 7 has paid")
    ['7']
    """

    def __init__(self, templates: Iterable[Template]) -> None:
        self.all = tuple(templates)
        self._known: dict[tuple[str, str], int | None] = {}
        self._words = [words_of(template.text) for template in self.all]
        self._leaves: dict[tuple[str, int, str], list[int]] = {}
        for number, (template, words) in enumerate(zip(self.all, self._words, strict=True)):
            self._leaves.setdefault((template.level, len(words), words[0]), []).append(number)

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, number: int) -> Template:
        return self.all[number]

    def match(self, level: str, message: str) -> int | None:
        """Return the number of the template that matches all words of a message; None if none does.

        If several match, the one with the fewest wildcards is returned.
        """
        key = level, masked(message)
        if key not in self._known:
            if len(self._known) >= _MOST_CACHED:
                self._known.clear()
            self._known[key] = self._match(*key)
        return self._known[key]

    def _match(self, level: str, text: str) -> int | None:
        words = words_of(text)
        fitting = [
            number
            for first in dict.fromkeys((words[0], WILDCARD))
            for number in self._leaves.get((level, len(words), first), ())
            if all(a in (b, WILDCARD) for a, b in zip(self._words[number], words, strict=True))
        ]
        return min(fitting, key=lambda number: self._words[number].count(WILDCARD), default=None)

    def parameters(self, number: int, message: str) -> list[str]:
        """Return the parts of a message at the wildcards of its template."""
        values = []
        for word, pattern in zip(message.split(), self._words[number], strict=False):
            if WILDCARD in pattern:
                before, _, rest = pattern.partition(WILDCARD)
                values.append(word.removeprefix(before).removesuffix(rest.rpartition(WILDCARD)[2]))
        return values


def words_of(text: str) -> list[str]:
    """Return the words of a masked message: from 1 to 200, and a wildcard for the rest."""
    words = text.split(maxsplit=_MOST_WORDS)
    return [*words[:_MOST_WORDS], WILDCARD] if len(words) > _MOST_WORDS else words or [""]
