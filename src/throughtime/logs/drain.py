"""`Drain`: the templates of log messages, found in one pass.

The algorithm is that of P. He et al., "Drain: an online log parsing approach with fixed depth tree", ICWS
(2017), with a tree of the level, the number of words and the first word. In addition, a message that is equal
to an earlier one after masking has its template, and finally a template with few distinct wordings is split
into one template per wording, as they may be opposites: "cache hit" and "cache miss" are two templates,
"user <*> left" of a hundred users is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from throughtime._options import Option
from throughtime.errors import DataError
from throughtime.logs.masking import WILDCARD, masked
from throughtime.logs.templates import Template, Templates, words_of

MOST_TEMPLATES = 20_000
_MOST_CACHED = 50_000


@dataclass(frozen=True)
class DrainOptions:
    """Options of the search for templates."""

    similarity: Annotated[
        float,
        Option("Minimum fraction of equal words of messages with the same template.", low=0, high=1),
    ] = 0.6
    wordings: Annotated[
        int,
        Option(
            "Maximum number of distinct wordings, after masking, up to which a template is split into one "
            "template per wording.",
            low=1,
        ),
    ] = 3
    first_words: Annotated[
        int, Option("Maximum number of distinct first words of templates of one length.", low=1)
    ] = 100


@dataclass(slots=True)
class _Cluster:
    """Similar messages: their common words, and their first wordings by event number."""

    level: str
    words: list[str]
    wordings: dict[int, str] = field(default_factory=dict)
    general: int | None = None
    """Event number of all messages after the maximum number of wordings is exceeded."""


class MinedTemplates(NamedTuple):
    """The templates of a log, and the template of each event number, (E,) int64."""

    templates: Templates
    of_event: NDArray[np.int64]


class Drain:
    """Template miner: a message joins the most similar cluster with its level, length and first word.

    The similarity of a message w and the words t of a cluster is the fraction of equal words,

        sim(w, t) = |{i : w_i = t_i ≠ <*>}| / n.

    The message joins the cluster with the highest sim (the one with most wildcards in case of ties) if sim is
    at least ``similarity``; words that differ become wildcards. Otherwise it starts a new cluster.

    Parameters
    ----------
    options : DrainOptions
        Threshold of the similarity, and maximum numbers of wordings and first words.

    Examples
    --------
    >>> drain = Drain(DrainOptions(wordings=2))
    >>> messages = [f"user {name} left by the door" for name in ("ann", "bob", "cid")]
    >>> messages += ["cache hit in L1 now", "cache hit in L2 now", "cache miss in L1 now"]
    >>> events = [drain.learn("INFO", message) for message in messages]
    >>> templates, of_event = drain.result()
    >>> [(template.text, template.count) for template in templates.all]
    [('user <*> left by the door', 3), ('cache hit in <*> now', 2), ('cache miss in <*> now', 1)]
    >>> of_event[events].tolist()
    [0, 0, 0, 1, 1, 2]
    """

    def __init__(self, options: DrainOptions | None = None) -> None:
        self.options = options or DrainOptions()
        self._clusters: list[_Cluster] = []
        self._counts: list[int] = []
        self._leaves: dict[tuple[str, int, str], list[_Cluster]] = {}
        self._first_words: dict[tuple[str, int], int] = {}
        self._known: dict[tuple[str, str], int] = {}

    def learn(self, level: str, message: str) -> int:
        """Return the event number of a message; `result` maps it to a template.

        Raises
        ------
        DataError
            If there are more than 20,000 templates.
        """
        key = level, masked(message)
        event = self._known.get(key)
        if event is None:
            if len(self._known) >= _MOST_CACHED:
                self._known.clear()
            event = self._known[key] = self._event(*key)
        self._counts[event] += 1
        return event

    def result(self) -> MinedTemplates:
        """Return the templates of all messages so far."""
        templates: list[Template] = []
        of_event = np.zeros(len(self._counts), dtype=np.int64)
        for cluster in self._clusters:
            events = [*cluster.wordings, *([] if cluster.general is None else [cluster.general])]
            if cluster.general is None and len(events) > 1:
                of_event[events] = np.arange(len(templates), len(templates) + len(events))
                templates += [
                    Template(cluster.level, text, self._counts[event])
                    for event, text in cluster.wordings.items()
                ]
            else:
                of_event[events] = len(templates)
                total = sum(self._counts[event] for event in events)
                templates.append(Template(cluster.level, " ".join(cluster.words), total))
        return MinedTemplates(Templates(templates), of_event)

    def _event(self, level: str, text: str) -> int:
        words = words_of(text)
        cluster = self._cluster(level, words)
        for place, word in enumerate(words):
            if cluster.words[place] != word:
                cluster.words[place] = WILDCARD
        if cluster.general is not None:
            return cluster.general
        wording = " ".join(words)
        for event, seen in cluster.wordings.items():
            if seen == wording:  # forgotten by the cache
                return event
        event = len(self._counts)
        self._counts.append(0)
        if len(cluster.wordings) < self.options.wordings:
            cluster.wordings[event] = wording
        else:
            cluster.general = event
        return event

    def _cluster(self, level: str, words: list[str]) -> _Cluster:
        """Return the cluster of a message, a new one if none is similar enough."""
        leaf = self._leaf(level, words)
        cluster = self._most_similar(self._leaves.get(leaf, ()), words)
        if cluster is not None:
            return cluster
        if len(self._clusters) >= MOST_TEMPLATES:
            raise DataError(
                f"more than {MOST_TEMPLATES:,} templates, the last one from {' '.join(words)[:80]!r}; the "
                "lines have no common templates, or similarity= (--similarity) is too high"
            )
        cluster = _Cluster(level, list(words))
        if leaf not in self._leaves:
            self._first_words[leaf[:2]] = self._first_words.get(leaf[:2], 0) + 1
        self._leaves.setdefault(leaf, []).append(cluster)
        self._clusters.append(cluster)
        return cluster

    def _leaf(self, level: str, words: list[str]) -> tuple[str, int, str]:
        """Return the key of the clusters that a message is compared with."""
        key = level, len(words), words[0]
        if key in self._leaves or self._first_words.get(key[:2], 0) < self.options.first_words:
            return key
        return level, len(words), WILDCARD

    def _most_similar(self, clusters: Sequence[_Cluster], words: list[str]) -> _Cluster | None:
        best, highest = None, (-1.0, -1)
        for cluster in clusters:
            equal = sum(a == b and a != WILDCARD for a, b in zip(cluster.words, words, strict=True))
            rank = (equal / len(words), cluster.words.count(WILDCARD))
            if rank > highest:
                best, highest = cluster, rank
        return best if highest[0] >= self.options.similarity else None
