"""The role `live`: a link to a live page, which stands in the folder `live` beside that of the site."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import ReferenceRole

PAGES = ("convolution", "recurrence")
"""Names of the pages. A target may have a section, such as `recurrence#lstm`."""


class Live(ReferenceRole):
    """`{live}`the page of convolution <convolution>``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link, relative to the page that has it."""
        page, _, section = self.target.partition("#")
        if page not in PAGES:
            message = self.inliner.reporter.error(
                f"no live page {page!r}; there are {', '.join(PAGES)}", line=self.lineno
            )
            return [], [message]
        up = "../" * (self.env.current_document.docname.count("/") + 1)
        address = f"{up}live/{page}.html" + f"#{section}" * bool(section)
        return [nodes.reference(self.rawtext, self.title, refuri=address, internal=False)], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the role."""
    app.add_role("live", Live())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
