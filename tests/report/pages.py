"""Pages as tests read them: their text, tags and figures."""

import json
import re
from html.parser import HTMLParser
from typing import Any


class PageText(HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles; every tag must be closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self._open: list[str] = []
        self._parts: list[str] = []
        self.feed(page)
        assert self._open == []
        self.text = "".join(self._parts)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, tuple(sorted(name for name, _ in attrs))))
        if tag not in {"meta", "br"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self._parts.append(data)

    @property
    def words(self) -> str:
        """The text with single spaces, also between elements."""
        return " ".join(" ".join(self._parts).split())


def figures(page: str) -> list[tuple[Any, Any]]:
    """Return data and layout of each figure."""
    decoder = json.JSONDecoder()
    drawn = []
    for call in re.finditer(r'Plotly\.newPlot\(\s*"[^"]*",\s*', page):
        data, end = decoder.raw_decode(page, call.end())
        drawn.append((data, decoder.raw_decode(page, page.index("{", end))[0]))
    return drawn


def axis_titles(page: str) -> list[str]:
    """Return the title of the x axis of each figure, of the last panel."""
    titles = []
    for _, layout in figures(page):
        axes = [axis for name, axis in layout.items() if name.startswith("xaxis") and "title" in axis]
        titles.append(axes[-1]["title"]["text"])
    return titles
