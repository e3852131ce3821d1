"""Parameters of log messages: words that contain digits, which are replaced by a wildcard."""

import re

WILDCARD = "<*>"
"""Placeholder of a parameter in a template."""
MOST_CHARACTERS = 4096
"""Maximum number of characters of a message; the rest is treated as a parameter."""

_PARAMETER = re.compile(r"(?<![\w.-])[\w.-]*?\d[\w.-]*(?:[/:+%@,][\w.%-]*\d[\w.%-]*)*")
_STATUS = re.compile(
    r"(\b(?:HTTP/\d(?:\.\d)?\W{1,2}|(?:status|code|rc|errno|exit|returned)(?:[ _-](?:status|code))?\W{1,4}))"
    r"(?:([1-5])\d\d|0)(?![\w.])",
    re.IGNORECASE,
)
_CLASSES = {
    "1": "<informational>",
    "2": "<success>",
    "3": "<redirect>",
    "4": "<client-error>",
    "5": "<server-error>",
    None: "<zero>",
}


def masked(message: str) -> str:
    """Return a message with a wildcard for each parameter.

    A parameter is a word with a digit, such as a number, an address, a date or an identifier. The class of an
    HTTP status and whether an exit code is 0 are kept, because they distinguish failures from successes.

    Examples
    --------
    >>> masked("blk_-160 of 10.0.0.1:50010 took 12ms, status=503")
    '<*> of <*> took <*>, status=<server-error>'
    """
    text = message if len(message) <= MOST_CHARACTERS else f"{message[:MOST_CHARACTERS]} {WILDCARD}"
    return _PARAMETER.sub(WILDCARD, _STATUS.sub(_class, text))


def _class(match: re.Match[str]) -> str:
    return match[1] + _CLASSES[match[2]]
