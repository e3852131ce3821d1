"""The pages of the documentation and their examples, which the tests run.

A fence says what happens to it: `python` is run, and its prints are compared with the comments behind them or with the
fence `output` below; `console` is run line by line, and compared with what stands below each `$`. A fence with a
caption is a file of that name. All others are only shown. A page whose front matter has `examples: slow` is run by
`make docs-test`, every other by `make test`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
RUN = ("python", "console")


@dataclass(frozen=True)
class Block:
    """A fence: its language, its content, the line where it begins, and the name of the file that it is."""

    language: str
    text: str
    line: int
    file: str = ""


@dataclass(frozen=True)
class Page:
    """A Markdown file with examples."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def is_slow(self) -> bool:
        front_matter = re.match(r"---\n(.*?)^---$", self.path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        return bool(front_matter and re.search(r"^examples: slow$", front_matter[1], re.MULTILINE))

    @property
    def blocks(self) -> list[Block]:
        return list(blocks_of(self.path.read_text("utf-8")))


def blocks_of(markdown: str) -> Iterator[Block]:
    for token in MarkdownIt().parse(markdown):
        if token.type == "fence" and token.map is not None:
            options = re.match(r"(?::[\w-]+:.*\n)*\n?", token.content)
            assert options is not None
            caption = re.search(r"^:caption: (\S+)$", options[0], re.MULTILINE)
            language = token.info.removeprefix("{code-block}").strip()
            yield Block(
                language, token.content[options.end() :], token.map[0] + 1, caption[1] if caption else ""
            )


def written() -> list[Page]:
    """Return README and the pages of the site."""
    return [Page(path) for path in (README, *sorted(DOCS.rglob("*.md")))]


def with_examples(*, slow: bool) -> list[Page]:
    return [
        page
        for page in written()
        if page.is_slow == slow and any(block.language in RUN for block in page.blocks)
    ]
