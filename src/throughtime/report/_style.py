"""The style of figures, and the escaping of texts in pages and figures."""

import html
from dataclasses import dataclass
from typing import Any

import plotly.colors

from throughtime.data.printable import printable

# Okabe and Ito's palette, which colour-blind readers can distinguish.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#6e7781"
"""Of reference lines; readable on white and on black."""
_CLEAR = "rgba(0,0,0,0)"
_AXIS = {
    "automargin": True,
    "gridcolor": "#e1e5ea",
    "zerolinecolor": "#c3cad1",
    "tickfont": {"size": 12},
    "ticklabelstandoff": 4,
    "title": {"font": {"size": 14}},
}
# The page replaces the colours of texts and grid lines where the reader prefers a dark one.
_TEMPLATE = {
    "layout": {
        "colorway": COLOURS,
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1b1f24"},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "traceorder": "normal",
            "bgcolor": _CLEAR,
        },
        "margin": {"l": 50, "r": 16, "t": 16, "b": 48},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
}


def layout(height: int) -> dict[str, object]:
    """Return the layout of a figure with this height in pixels; its legend is above it."""
    return {"height": height, "template": _TEMPLATE}


@dataclass(frozen=True)
class ColourLegend:
    """What the colours of a heat map are: the page shows it above the figure, at any width.

    Parameters
    ----------
    title : str
        Quantity and unit.
    low, high : str
        Values of the first and the last colour.
    scale : str
        Name of plotly's colour scale.
    """

    title: str
    low: str
    high: str
    scale: str

    @property
    def colours(self) -> str:
        """The colours as in CSS."""
        return ", ".join(colour for _, colour in plotly.colors.get_colorscale(self.scale))


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
