"""Where the interactive pages are, as the report links them."""

import os
from pathlib import Path

from throughtime.report import LivePage

_FOLDER = Path("build/live")
_PAGES = (
    (
        "Convolution",
        "convolution.html",
        "kernels, padding, pooling, receptive fields, and a TextCNN to type into",
    ),
    ("Recurrence", "recurrence.html", "gates, gradients through time, clipping, and an LSTM to type into"),
)


def live_pages(report: Path) -> list[LivePage]:
    """Return the pages; those that `make live` has built in this working directory with a link.

    Parameters
    ----------
    report
        Folder of the report, from which links are relative.
    """
    return [
        LivePage(title, about, (_FOLDER / name).as_posix(), _link(_FOLDER / name, report))
        for title, name, about in _PAGES
    ]


def _link(page: Path, report: Path) -> str | None:
    if not page.is_file():
        return None
    return Path(os.path.relpath(page.resolve(), report.resolve())).as_posix()
