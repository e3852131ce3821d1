"""Names in backticks, such as `tt.nn.LSTM`, as links to the API reference; one that does not exist fails."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

from site_tools.links import object_at, public_place

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"(?:tt|throughtime)((?:\.[A-Za-z_]\w*)+)(?:\(.*\))?", re.DOTALL)
HISTORIES = ("changelog", "log", "decisions/")
"""Pages that also name what there was once."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform, which runs when references are resolved."""
    app.add_post_transform(CodeLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class CodeLinks(SphinxPostTransform):
    """Link the public names in inline code."""

    default_priority = 800

    def run(self, **_kwargs: object) -> None:
        """Replace the code by a link, or warn if it names nothing."""
        if self.env.docname.startswith(HISTORIES):
            return
        for literal, path in list(_names(self.document)):
            found = object_at(path)
            if found is None:
                _LOG.warning("there is no %s", literal.astext(), location=literal)
            elif place := public_place(found) or public_place(object_at(path.rpartition(".")[0])):
                page, anchor = place
                link = literal.deepcopy()
                literal.replace_self(
                    make_refnode(self.app.builder, self.env.docname, f"api/{page}", anchor, link, anchor)
                )


def _names(document: nodes.document) -> Iterator[tuple[nodes.literal, str]]:
    for literal in document.findall(nodes.literal):
        match = _NAME.fullmatch(literal.astext())
        if match and not isinstance(literal.parent, nodes.reference):
            yield literal, f"throughtime{match[1]}"
