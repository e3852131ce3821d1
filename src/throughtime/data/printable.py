"""Text from files as it may be shown: on terminals, which obey some characters, and on pages."""

import json
import re
from typing import Any

# Control characters, of which a terminal obeys some; marks that turn the direction of what follows; unpaired
# surrogates, which no encoding has.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with escapes in place of characters that a terminal would obey.

    Parameters
    ----------
    text
        From a file.
    keep
        Characters that stay, such as line ends on a page.

    Examples
    --------
    >>> print(printable("red \x1b[31m"))
    red \x1b[31m
    """

    def escaped(found: re.Match[str]) -> str:
        return found[0] if found[0] in keep else found[0].encode("unicode_escape").decode("ascii")

    return _UNSAFE.sub(escaped, text)


def json_line(content: Any) -> str:
    r"""Return a value as JSON on one line, which a terminal obeys as little as `printable` text.

    Letters of all scripts are written as they are; parsed, the line is the same value.

    Examples
    --------
    >>> print(json_line({"é": "\x1b[31m \x9b"}))
    {"é": "\u001b[31m \u009b"}
    """
    text = json.dumps(content, ensure_ascii=False)
    # Outside of strings JSON has none of these characters.
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
