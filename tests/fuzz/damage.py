"""Damages valid files, as disks, transfers and attackers do.

Most random bytes are refused by the first check of a reader. A valid file with a few changes gets further, and a
number in it that is as large as it can be gets furthest.
"""

import copy
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

_EDGES = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    2**64 - 1,
)
_PIECES = (
    b"",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\x1b[31m",
    b"\r",
    b"\n\n",
    b"\t",
    b'"',
    b"'",
    b"\\",
    b"\\ud800",
    b",",
    b";",
    b"(((",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"-1",
    b"0",
    b"1e999",
    b"-Infinity",
    b"NaN",
    b"null",
    b"true",
    b"9" * 30,
    b"9" * 5000,
    b"1_000",
    b"<script>alert(1)</script>",
    b"x" * 70_000,
    "\u202eé😀".encode(),
)

Draw = Callable[[st.SearchStrategy[int]], int]
Edit = Callable[[Draw, bytearray], None]


def _place(draw: Draw, content: bytearray, room: int = 0) -> int:
    """Return a place with ``room`` bytes behind it: in half of the cases in the first or last 128 bytes, where
    most formats keep what the rest depends on."""
    last = max(0, len(content) - room)
    near = min(last, 128)
    return draw(st.one_of(st.integers(0, last), st.integers(0, near), st.integers(last - near, last)))


def _flip(draw: Draw, content: bytearray) -> None:
    if content:
        content[_place(draw, content, 1)] ^= 1 << draw(st.integers(0, 7))


def _set_number(draw: Draw, content: bytearray) -> None:
    size, order = draw(st.sampled_from((1, 2, 4, 8))), draw(st.sampled_from("<>"))
    value = draw(st.sampled_from(_EDGES)) % 256**size
    place = _place(draw, content, size)
    content[place : place + size] = struct.pack(f"{order}{ {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}[size] }", value)


def _nudge(draw: Draw, content: bytearray) -> None:
    """Change a byte by one: a length that is nearly right, a type that is the next one."""
    if content:
        place = _place(draw, content, 1)
        content[place] = (content[place] + draw(st.sampled_from((1, -1)))) % 256


def _truncate(draw: Draw, content: bytearray) -> None:
    del content[_place(draw, content) :]


def _delete(draw: Draw, content: bytearray) -> None:
    place = _place(draw, content)
    del content[place : place + draw(st.integers(1, 40))]


def _insert(draw: Draw, content: bytearray) -> None:
    place = _place(draw, content)
    content[place:place] = draw(st.sampled_from(_PIECES))


def _overwrite(draw: Draw, content: bytearray) -> None:
    piece = draw(st.sampled_from(_PIECES))
    place = _place(draw, content, len(piece))
    content[place : place + len(piece)] = piece


def _repeat(draw: Draw, content: bytearray) -> None:
    place = _place(draw, content)
    part = content[place : place + draw(st.integers(1, 200))]
    content[place:place] = bytes(part) * draw(st.sampled_from((1, 2, 50)))


def _move(draw: Draw, content: bytearray) -> None:
    place = _place(draw, content)
    part = content[place : place + draw(st.integers(1, 100))]
    del content[place : place + len(part)]
    to = _place(draw, content)
    content[to:to] = part


def _exchange_number(draw: Draw, content: bytearray) -> None:
    """Put another number in place of one that is written in digits."""
    starts = [i for i in range(len(content)) if content[i : i + 1].isdigit()]
    if not starts:
        return
    start = starts[draw(st.integers(0, len(starts) - 1))]
    stop = start
    while stop < len(content) and content[stop : stop + 1].isdigit():
        stop += 1
    content[start:stop] = draw(
        st.sampled_from((b"-1", b"0", b"1e400", b"0.5", b"99999999999999999999", b'"1"', b"[]"))
    )


_EDITS: Sequence[Edit] = (
    _flip,
    _set_number,
    _nudge,
    _truncate,
    _delete,
    _insert,
    _overwrite,
    _repeat,
    _move,
    _exchange_number,
)


_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**6,
    10**400,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "\ud800\x1b[31m<b>",
    "../../x",
    [],
    [[]],
    {},
    {"a": None},
)


@st.composite
def changed_json(draw: st.DrawFn, *valid: bytes) -> bytes:
    """One of these JSON texts with one to three values replaced, left out or put in."""
    content = json.loads(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 3))):
        content = _changed(draw, content)
    return json.dumps(content).encode()


def _value(draw: st.DrawFn) -> Any:
    """Return a value of its own: it may be changed, too."""
    return copy.deepcopy(draw(st.sampled_from(_VALUES)))


def _changed(draw: st.DrawFn, node: Any) -> Any:
    """Go down to a random place, and change what is there."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    if not keys or draw(st.integers(0, 9)) == 0:
        return _value(draw)
    key = draw(st.sampled_from(keys))
    match draw(st.integers(0, 9)):
        case 0:
            del node[key]
        case 1 if isinstance(node, dict):
            node[draw(st.sampled_from(("", "name", "x" * 5000, "\ud800")))] = _value(draw)
        case 1:
            node.insert(key, copy.deepcopy(node[key]))
        case _:
            node[key] = _changed(draw, node[key])
    return node


@st.composite
def damaged(draw: st.DrawFn, *valid: bytes) -> bytes:
    """One of these files with one to four changes."""
    content = bytearray(draw(st.sampled_from(valid)))
    for edit in draw(st.lists(st.sampled_from(_EDITS), min_size=1, max_size=4)):
        edit(draw, content)
    return bytes(content)
