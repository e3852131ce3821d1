"""A lexer for Python source that finds every binary, comparison and boolean operator.

Python's own tokenizer splits the text; whether ``-`` or ``*`` stands between two operands follows from the
token before it, and ``in`` belongs to a ``for`` or compares. So incomplete code can be read.
Nothing in the pattern of a ``case`` is an operator, not even the sign of a complex number.
"""

import io
import keyword
import token as kinds
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from throughtime.demo.operators.families import OPERATORS

NEWLINE = "<nl>"
LONG_STRING = "<str>"
FORMATTED_STRING = "<fstr>"
_SHORT = 16
"""Maximum length of a string literal that is a word by itself."""

_SKIPPED = {kinds.NL, kinds.COMMENT, kinds.INDENT, kinds.DEDENT, kinds.ENCODING, kinds.ENDMARKER}
_OPERAND_WORDS = {"True", "False", "None"}
_STATEMENT_WORDS = frozenset(keyword.kwlist) - _OPERAND_WORDS
_SYMBOLS = frozenset(operator for operator in OPERATORS if not operator[0].isalpha())
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")
_AFTER_A_NAME = frozenset([".", ")", ",", ":", NEWLINE])
"""After one of these, ``match`` or ``case`` was a name."""
# From Python 3.12 (and 3.14) the tokenizer looks into formatted strings; here they stay one token.
_STRING_STARTS = {getattr(kinds, name) for name in ("FSTRING_START", "TSTRING_START") if hasattr(kinds, name)}
_STRING_ENDS = {getattr(kinds, name) for name in ("FSTRING_END", "TSTRING_END") if hasattr(kinds, name)}


@dataclass(frozen=True)
class Site:
    """One operator in a file.

    Parameters
    ----------
    place : int
        Index of its token in `Lexed.tokens`.
    first, last : int
        Its window, ``tokens[first:last]``: its logical line, two before and one after.
    line, column : int
        Where it begins in the text, line from 1 and column from 0.
    """

    place: int
    first: int
    last: int
    line: int
    column: int


@dataclass(frozen=True)
class Lexed:
    """A file as tokens, and the operators in it."""

    tokens: list[str]
    sites: list[Site]


_Piece = tuple[str, int, int, bool]  # text, line, column, whether an operand can end with it


def lex(source: str) -> Lexed:
    r"""Split Python source into tokens and find its operators.

    Comments and indentation are dropped, logical lines end with ``<nl>``; a string literal longer than
    16 characters or with white space in it is ``<str>``, a formatted one ``<fstr>``; ``not in`` and
    ``is not`` are one token.

    Raises
    ------
    SyntaxError, tokenize.TokenError
        If Python's tokenizer cannot read the text; which of the two depends on Python's version.

    Examples
    --------
    >>> lexed = lex("if not -a < b:  # no\n    c(*d)\n")
    >>> " ".join(lexed.tokens)
    'if not - a < b : <nl> c ( * d ) <nl>'
    >>> [(lexed.tokens[site.place], site.line, site.column) for site in lexed.sites]
    [('<', 1, 10)]
    """
    tokens: list[str] = []
    found: list[tuple[int, int, int]] = []
    ends: list[int] = []
    context = _Context()
    pieces = [*_pieces(source), (NEWLINE, 0, 0, False)]
    patterns = _patterns([text for text, *_ in pieces])
    skip, pattern_end = False, 0
    for i, ((text, line, column, operand), (following, *_)) in enumerate(pairwise(pieces)):
        if skip:  # the second word of a two-word operator
            skip = False
            continue
        pattern_end = patterns.get(i, pattern_end)
        operator = None if i < pattern_end else context.operator(text, following)
        if operator is not None:
            found.append((len(tokens), line, column))
            skip = operator != text
        context.advance(text, operand=operand and operator is None and i >= pattern_end)
        tokens.append(text if operator is None else operator)
        if text == NEWLINE:
            ends.append(len(tokens))
    return Lexed(tokens, _with_windows(found, ends, len(tokens)))


class _Context:
    """What the tokens so far say about the next: whether it stands between two operands."""

    def __init__(self) -> None:
        self.depth = 0
        self.loops: list[int] = []  # bracket depths at which a `for` has not been followed by its `in` yet
        self.after_operand = False

    def operator(self, text: str, following: str) -> str | None:
        """Return the operator that begins here, None if none does."""
        if text == "in":
            return None if self._closes_a_for() else text
        if text == "not":
            return "not in" if self.after_operand and following == "in" else None
        if text == "is":
            return "is not" if following == "not" else text
        if text in {"and", "or"}:
            return text
        return text if text in _SYMBOLS and self.after_operand else None

    def _closes_a_for(self) -> bool:
        return bool(self.loops) and self.loops[-1] == self.depth

    def advance(self, text: str, *, operand: bool) -> None:
        """Go on past a token."""
        if text == "for":
            self.loops.append(self.depth)
        elif text == "in" and self._closes_a_for():
            self.loops.pop()
        elif text in _OPENING:
            self.depth += 1
        elif text in _CLOSING:
            self.depth -= 1
        elif text == NEWLINE:
            self.depth, self.loops = 0, []
        self.after_operand = operand


def _patterns(texts: list[str]) -> dict[int, int]:
    """Return where ``case`` begins and its pattern ends; of ``match``, the keyword alone.

    Both may also be names: a statement they begin has a colon outside of brackets.
    """
    ends = {}
    starts = (i for i, text in enumerate(texts) if text in {"match", "case"})
    for start in starts:
        following = texts[start + 1]
        if (start and texts[start - 1] != NEWLINE) or following in _AFTER_A_NAME or following.endswith("="):
            continue
        stop = _end_of_pattern(texts, start)
        if stop is not None:
            ends[start] = start + 1 if texts[start] == "match" else stop
    return ends


def _end_of_pattern(texts: list[str], start: int) -> int | None:
    """Return where the guard of the statement that begins here is, or its colon; None if it is another."""
    depth, guard = 0, None
    for i in range(start, len(texts)):
        text = texts[i]
        depth += (text in _OPENING) - (text in _CLOSING)
        if text == NEWLINE or (depth == 0 and text == "="):
            return None
        if depth == 0 and text == "if" and guard is None:
            guard = i
        if depth == 0 and text == ":":
            return i if guard is None else guard
    return None


def _with_windows(found: list[tuple[int, int, int]], ends: list[int], total: int) -> list[Site]:
    """Give every operator the tokens of its logical line, two lines before and one after."""
    if not ends or ends[-1] != total:
        ends = [*ends, total]
    starts = [0, *ends[:-1]]
    sites = []
    number = 0
    for place, line, column in found:
        while ends[number] <= place:
            number += 1
        first = starts[max(0, number - 2)]
        last = ends[min(len(ends) - 1, number + 1)]
        sites.append(Site(place, first, last, line, column))
    return sites


def _pieces(source: str) -> Iterator[_Piece]:
    """Yield the tokens that count, a formatted string as one."""
    nested = 0
    for kind, text, (line, column), _, _ in tokenize.generate_tokens(io.StringIO(source).readline):
        if kind in _STRING_STARTS:
            nested += 1
            if nested == 1:
                yield FORMATTED_STRING, line, column, True
        elif kind in _STRING_ENDS:
            nested -= 1
        elif nested or kind in _SKIPPED:
            continue
        elif kind == kinds.NAME:
            yield text, line, column, text not in _STATEMENT_WORDS
        elif kind == kinds.NEWLINE:
            yield NEWLINE, line, column, False
        elif kind == kinds.STRING:
            yield _string(text), line, column, True
        elif kind == kinds.NUMBER:
            yield text.lower(), line, column, True
        else:
            yield text, line, column, text in _CLOSING or text == "..."


def _string(text: str) -> str:
    prefix = text[: min(text.find("'") % (len(text) + 1), text.find('"') % (len(text) + 1))].lower()
    if "f" in prefix:
        return FORMATTED_STRING
    if len(text) > _SHORT or any(character.isspace() for character in text):
        return LONG_STRING
    return prefix.replace("u", "") + "'" + text[len(prefix) :].strip("\"'") + "'"
