"""Operators of Python that could stand in for each other: what a replacement is drawn from."""

FAMILIES: tuple[tuple[str, ...], ...] = (
    ("==", "!=", "<", "<=", ">", ">="),
    ("in", "not in"),
    ("is", "is not"),
    ("+", "-", "*", "/", "//", "%"),
    ("&", "|", "^", "<<", ">>"),
    ("and", "or"),
)
"""No operator stands in two families; ``**`` and ``@`` stand in none."""

OPERATORS: dict[str, tuple[int, int]] = {
    operator: (family, place)
    for family, members in enumerate(FAMILIES)
    for place, operator in enumerate(members)
}
"""Family and place in it of every operator."""
