"""Where a text may be cut so that both pieces are tokenized as they are in the whole."""

# The characters with Unicode's property White_Space, which separate words for every tokenizer of words.
_SPACES = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028"
    "\u2029\u202f\u205f\u3000"
)


def whole_words(text: str) -> tuple[str, str]:
    """Return the part of a text before its last white space, and the rest, of which the last word may go on.

    Examples
    --------
    >>> whole_words("to be, or n"), whole_words("be "), whole_words("be")
    (('to be, or', ' n'), ('be', ' '), ('', 'be'))
    """
    last = max(text.rfind(space) for space in _SPACES)
    head = text[: last + 1].rstrip(_SPACES)
    return head, text[len(head) :]
