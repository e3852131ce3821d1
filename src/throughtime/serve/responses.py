"""The answers of a server: JSON, and one line that says what was wrong with a request."""

import logging
import uuid
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from throughtime.errors import NotFiniteError, ThroughtimeError
from throughtime.serve.batcher import QueueFullError, StoppedError
from throughtime.serve.rows import NotJsonError, TooManyRowsError

log = logging.getLogger("throughtime.serve")

TOO_MANY = 429
"""Status of a request that found the queue full."""

_STATUS: Mapping[type[BaseException], int] = {
    NotJsonError: 400,
    TooManyRowsError: 413,
    ThroughtimeError: 422,
    QueueFullError: TOO_MANY,
    StoppedError: 503,
}
_LATER = (TOO_MANY, 503)
_RETRY = {"Retry-After": "1"}
"""For clients that were refused: seconds until they may try again."""


def refusal(error: BaseException) -> Response:
    """Return the answer to a request that ended with an error; see `described`."""
    status, content = described(error)
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse(content, status, _RETRY if status in _LATER else headers)


def described(error: BaseException) -> tuple[int, dict[str, str]]:
    """Return the status of an error, and its line as JSON; an unexpected one is logged."""
    if isinstance(error, HTTPException):
        return error.status_code, {"error": error.detail}
    for kind, status in _STATUS.items():
        if isinstance(error, kind) and not isinstance(error, NotFiniteError):  # of outputs: the model's error
            return status, {"error": " ".join(str(error).split())}
    number = uuid.uuid4().hex[:12]
    log.error("error %s", number, exc_info=error)
    return 500, {"error": f"unexpected error {number}; the log of the server describes it", "id": number}
