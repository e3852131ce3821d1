"""Numbers with the noun that they count, for messages and tables."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun in the right form.

    Parameters
    ----------
    count : int
        The number.
    noun : str
        The singular.
    plural : str, optional
        By default, the singular with an s.

    Examples
    --------
    >>> counted(1, "channel"), counted(2510, "token"), counted(0, "class", "classes")
    ('1 channel', '2,510 tokens', '0 classes')
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
