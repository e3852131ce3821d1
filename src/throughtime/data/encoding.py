"""Decoding of text files, with the line and byte of what cannot be decoded."""

import codecs

from throughtime._options import named
from throughtime.errors import DataError

_CHUNK_SIZE = 2**20

_CONVERT = "convert the file, for example with iconv -t utf-8"


def decode(raw: bytes, name: str) -> str:
    r"""Decode UTF-8 bytes, without a byte order mark.

    Raises
    ------
    DataError
        If they are not UTF-8; the message gives the line and byte.

    Examples
    --------
    >>> decode("\N{BYTE ORDER MARK}naïve".encode(), "a.txt")
    'naïve'
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _undecodable(raw, name, error, _CONVERT) from error


def to_utf8(raw: bytes, name: str, encoding: str = "utf-8") -> bytes:
    r"""Return the UTF-8 bytes, without a byte order mark, of bytes in another encoding.

    Raises
    ------
    DataError
        If Python has no such encoding, or if the bytes are not in it; the message gives the line and byte.

    Examples
    --------
    >>> to_utf8(b"na\xefve", "a.csv", "latin-1").decode()
    'naïve'
    """
    if _is_utf8(encoding):
        raw = raw.removeprefix(codecs.BOM_UTF8)
        _require_utf8(raw, name)
        return raw
    try:
        return raw.decode(encoding).encode().removeprefix(codecs.BOM_UTF8)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: byte {error.start} (0x{raw[error.start]:02x}) is not {encoding}; give the encoding "
            "that the file has"
        ) from error
    except (LookupError, UnicodeError, ValueError) as error:
        raise DataError(
            f"{encoding!r} is not a text encoding; give a name that Python knows, such as latin-1 or cp1252"
        ) from error


def require_characters(value: str, place: str) -> None:
    """Reject unpaired surrogates, which JSON and folder names can contain, but not UTF-8 and tokenizers.

    Raises
    ------
    DataError
        If the text contains one; ``place`` is the start of the message.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place} contains an unpaired surrogate (\\u{ord(value[error.start]):04x}); write the whole "
            "character or remove it"
        ) from error


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name in {"utf-8", "utf-8-sig"}
    except LookupError:
        return False


def _require_utf8(raw: bytes, name: str) -> None:
    """Decode in pieces, because decoded text may take four times the memory."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(raw), _CHUNK_SIZE):
            decoder.decode(raw[start : start + _CHUNK_SIZE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            instead = f"{_CONVERT}, or give its encoding with {named('encoding', 'latin-1')}"
            raise _undecodable(raw, name, error, instead) from error


def _undecodable(raw: bytes, name: str, error: UnicodeDecodeError, instead: str) -> DataError:
    line = raw[: error.start].count(b"\n") + 1
    place = f"{name}: line {line}, byte {error.start} (0x{raw[error.start]:02x})"
    if error.reason == "unexpected end of data":
        return DataError(
            f"{place} starts a character that is cut off at the end of the file; restore the file, or remove "
            "these last bytes"
        )
    return DataError(f"{place} is not UTF-8; {instead}")
