"""Names of columns on the command line."""

from collections.abc import Sequence


def column_names(options: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names in options that may be repeated, each with names separated by commas.

    Examples
    --------
    >>> column_names(["title,body", "notes"])
    ('title', 'body', 'notes')
    """
    return tuple(name.strip() for option in options or () for name in option.split(",") if name.strip())
