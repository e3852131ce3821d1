"""Links from pages to files of the repository that are pages of the site, too."""

import re

from sphinx.application import Sphinx

PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files at the root of the repository, and the pages that include them."""
_LINK = re.compile(rf"\]\(((?:\.\./)+)({'|'.join(map(re.escape, PAGES))})")


def setup(app: Sphinx) -> dict[str, bool]:
    """Turn a link to a file outside `docs` into one to its page, when a page is read."""
    app.connect("source-read", lambda _app, _page, source: source.__setitem__(0, to_pages(source[0])))
    return {"parallel_read_safe": True}


def to_pages(markdown: str) -> str:
    """Replace `](../CONTRIBUTING.md` by `](contributing.md`, and the same in subfolders."""
    return _LINK.sub(lambda link: f"]({link[1].removeprefix('../')}{PAGES[link[2]]}", markdown)
