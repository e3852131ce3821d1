"""A stream over a WebSocket: chunks as JSON messages, and for each the prediction so far."""

from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from throughtime.data.columns import short
from throughtime.errors import DataError
from throughtime.serve.responses import described
from throughtime.serve.rows import parsed
from throughtime.serve.sessions import Session, Sessions, Streaming

_KEYS = ("chunk", "end")
_CODES = 4000
"""Added to the status of HTTP for the code of a closed WebSocket, for which 4000 to 4999 are free."""
_LONGEST_REASON = 120


async def converse(websocket: WebSocket, sessions: Sessions, loaded: Streaming) -> None:
    """Answer the messages of a connection until it ends.

    A message is a chunk by itself or ``{"chunk": ...}``; ``{"end": true}`` asks for the prediction for all of
    them, after which the connection is closed. The answer to a chunk that cannot be read is
    ``{"error": "..."}``; the stream goes on without it.
    """
    try:
        session = await sessions.open(loaded)
    except Exception as error:
        await refuse(websocket, error)
        return
    try:
        while (answer := await _answered(session, await _received(websocket))) is not None:
            await websocket.send_json(answer)
            if answer.get("end"):
                await websocket.close()
                return
    except WebSocketDisconnect:
        pass
    finally:
        session.forget()


async def refuse(websocket: WebSocket, error: Exception) -> None:
    """Send an error and close the connection with its code: 4000 and the status of HTTP."""
    status, content = described(error)
    await websocket.send_json(content)
    reason = content["error"].encode()[:_LONGEST_REASON].decode(errors="ignore")
    await websocket.close(_CODES + status, reason)


async def _received(websocket: WebSocket) -> bytes:
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    text: str | None = message.get("text")
    content: bytes = message["bytes"] if text is None else text.encode()
    return content


async def _answered(session: Session, message: bytes) -> dict[str, Any]:
    try:
        content = _content(message)
        if "end" in content:
            return {"prediction": await session.end(), "end": True}
        return {"prediction": await session.push(content["chunk"], len(message))}
    except Exception as error:
        return described(error)[1]


def _content(message: bytes) -> dict[str, Any]:
    """Return a message as an object with one of the keys "chunk" and "end"."""
    value = parsed(message)
    if not isinstance(value, dict):
        return {"chunk": value}
    if len(value) != 1 or next(iter(value)) not in _KEYS or value.get("end", True) is not True:
        raise DataError(f'the message is {short(repr(value))}, expected {{"chunk": ...}} or {{"end": true}}')
    return value
