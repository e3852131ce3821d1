"""What all pictures of a report look like."""

# Okabe and Ito's palette: told apart by colour-blind readers, too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_FONT = {"family": "system-ui, sans-serif", "size": 14}


def layout(height: int) -> dict[str, object]:
    """Return the layout of a figure of so many pixels."""
    return {
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "template": "plotly_white",
        "font": _FONT,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }


def transparent(colour: str, opacity: float = 0.18) -> str:
    """Return a colour like "#0072B2" that lets others shine through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
