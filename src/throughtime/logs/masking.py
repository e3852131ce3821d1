"""Parameters of log messages: words that contain digits, which are replaced by a wildcard."""

import re

WILDCARD = "<*>"
"""Placeholder of a parameter in a template."""
MOST_CHARACTERS = 4096
"""Maximum number of characters of a message; the rest is treated as a parameter."""

_PARAMETER = re.compile(r"(?<![\w.-])[\w.-]*?\d[\w.-]*(?:[/:+%@,][\w.%-]*\d[\w.%-]*)*")
_HOST = re.compile(
    r"(?<![\w./-])(?![\w.-]+\.(?:c|cc|cpp|cs|go|h|java|js|kt|php|pl|py|rb|rs|scala|ts):)"
    r"[A-Za-z][\w-]*(?:\.[\w-]+)+:\d+(?![\w.])"
)
"""A host name with a port, but not a source file with a line number."""
_WEEKDAY = re.compile(
    r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?= +\d)"
)
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

    A parameter is a word with a digit, such as a number, an address or an identifier; a host name with a
    port; or the weekday and month of a date. The class of an HTTP status and whether an exit code is 0 are
    kept, because they distinguish failures from successes.

    Examples
    --------
    >>> masked("db.example.org:5432 is down since Sat Jan 31 12:30:00, see Pool.java:88")
    '<*> is down since <*> <*> <*> <*>, see Pool.java:<*>'
    >>> masked("blk_-160 of 10.0.0.1:50010 took 12ms, status=503")
    '<*> of <*> took <*>, status=<server-error>'
    """
    text = message if len(message) <= MOST_CHARACTERS else f"{message[:MOST_CHARACTERS]} {WILDCARD}"
    if ":" in text:
        text = _WEEKDAY.sub(f"{WILDCARD} {WILDCARD}", _HOST.sub(WILDCARD, text))
    return _PARAMETER.sub(WILDCARD, _STATUS.sub(_class, text))


def _class(match: re.Match[str]) -> str:
    return match[1] + _CLASSES[match[2]]
