"""The style of figures, and the escaping of texts in pages and figures."""

import html
from typing import Any

from throughtime.data.printable import printable

# Okabe and Ito's palette, which colour-blind readers can distinguish.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_FONT = {"family": "system-ui, sans-serif", "size": 14}


def layout(height: int) -> dict[str, object]:
    """Return the layout of a figure with this height in pixels."""
    return {
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "template": "plotly_white",
        "font": _FONT,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }


def on_page(value: Any) -> Any:
    r"""Return a text with control characters and unpaired surrogates escaped; other values are unchanged.

    Templates call it for every value. The HTML of plotly is Markup, which is unchanged.

    Examples
    --------
    >>> on_page("a\x1b[31m\n"), on_page(3)
    ('a\\x1b[31m\n', 3)
    """
    return printable(value, keep="\n\t") if type(value) is str else value


def in_figure(text: str, most: int | None = None) -> str:
    """Return a text as the label of a figure, with tags escaped, which plotly would interpret.

    Parameters
    ----------
    text
        A class, a token or the name of a model.
    most
        Maximum number of characters; a longer text ends with an ellipsis.

    Examples
    --------
    >>> in_figure("a <b>class</b>", most=8)
    'a &lt;b&gt;cl…'
    """
    shown = text if most is None or len(text) <= most else text[: most - 1] + "…"
    return html.escape(printable(shown), quote=False)


def transparent(colour: str, opacity: float = 0.18) -> str:
    """Return a colour like "#0072B2" with an opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
