"""Escaping of untrusted text for terminals and HTML pages."""

import json
import re
from typing import Any

# Control characters, marks of the writing direction, and unpaired surrogates, which cannot be encoded.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with control characters replaced by escapes.

    Parameters
    ----------
    text
        Untrusted text.
    keep
        Characters that are not escaped, such as line ends on a page.

    Examples
    --------
    >>> print(printable("red \x1b[31m"))
    red \x1b[31m
    """

    def escaped(match: re.Match[str]) -> str:
        return match[0] if match[0] in keep else match[0].encode("unicode_escape").decode("ascii")

    return _UNSAFE.sub(escaped, text)


def json_line(content: Any) -> str:
    r"""Return a value as one line of JSON, with control characters escaped as in `printable`.

    Letters of all scripts are not escaped; parsing the line gives the same value.

    Examples
    --------
    >>> print(json_line({"é": "\x1b[31m \x9b"}))
    {"é": "\u001b[31m \u009b"}
    """
    text = json.dumps(content, ensure_ascii=False)
    # JSON on one line has these characters in strings only.
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
