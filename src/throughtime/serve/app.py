"""`create_app`: the routes of a server, as an ASGI application."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from throughtime._words import counted
from throughtime.data.columns import shown_names
from throughtime.errors import RunError
from throughtime.serve.card import model_card
from throughtime.serve.metrics import ServerMetrics
from throughtime.serve.options import ServeOptions
from throughtime.serve.page import rendered
from throughtime.serve.responses import TOO_MANY, log, refusal
from throughtime.serve.rows import parsed, rows_of
from throughtime.serve.served_run import ServedRun
from throughtime.serve.websocket import converse, refuse

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class ServedRuns:
    """The runs of a server by name."""

    def __init__(self, paths: Sequence[str | Path], options: ServeOptions) -> None:
        self.options, self.metrics, self.ready = options, ServerMetrics.create(), False
        self.runs = _by_name([ServedRun(Path(path), options, self.metrics) for path in paths])

    def start(self) -> None:
        """Start to answer requests."""
        for run in self.runs.values():
            run.start()
        self.ready = True

    def stop(self) -> None:
        """Answer the requests that wait, and take no more."""
        self.ready = False
        for run in self.runs.values():
            run.stop()

    def of(self, request: HTTPConnection) -> ServedRun:
        """Return the run that a request is for: the named one, or the only one."""
        name = request.path_params.get("name")
        if name is None:
            return self._only(request.url.path)
        if name in self.runs:
            return self.runs[name]
        raise HTTPException(404, f"no model is named {name!r}; models are {shown_names(self.runs)}")

    def _only(self, path: str) -> ServedRun:
        if len(self.runs) == 1:
            return next(iter(self.runs.values()))
        raise HTTPException(
            404,
            f"{counted(len(self.runs), 'model')} are served; use /models/NAME{path}, where NAME is one of "
            f"{shown_names(self.runs)}",
        )

    async def reload(self, runs: Sequence[ServedRun]) -> list[str]:
        """Load runs anew while they answer; return the error of each that could not be loaded."""
        results = await asyncio.gather(
            *(asyncio.to_thread(run.reload) for run in runs), return_exceptions=True
        )
        errors = []
        for run, result in zip(runs, results, strict=True):
            if result is None:
                log.info("%s was loaded anew, weights %s", run.name, run.loaded.weights)
            else:
                errors.append(f"{run.name} was not loaded anew, the former model answers: {result}")
                log.error("%s", errors[-1])
        return errors


def create_app(runs: Sequence[str | Path], options: ServeOptions | None = None) -> Starlette:
    """Return an ASGI application that answers requests for predictions, to run in a server of your own.

    Parameters
    ----------
    runs : sequence of path
        Folders of runs; a model has the name of its folder.
    options : ServeOptions, optional
        Limits.

    Raises
    ------
    RunError
        If a folder is no run, is damaged, or is of a task that predicts no rows; or if two have one name.

    Examples
    --------
    >>> import throughtime as tt
    >>> from tempfile import TemporaryDirectory
    >>> from starlette.testclient import TestClient
    >>> from throughtime.serve import create_app
    >>> rows = {"text": ["good film", "bad film", "good play", "bad play"] * 10, "label": ["+", "-"] * 20}
    >>> with TemporaryDirectory() as folder:
    ...     _ = tt.fit(rows, out=f"{folder}/reviews", epochs=5, progress=False)
    ...     with TestClient(create_app([f"{folder}/reviews"])) as client:
    ...         client.post("/predict", json=["good film"]).json()["predictions"][0]["label"]
    '+'
    """
    return app_of(ServedRuns(runs, options or ServeOptions()))


def app_of(served: ServedRuns) -> Starlette:
    """Return the application of loaded runs."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001 - starlette's protocol
        served.start()
        yield
        await asyncio.to_thread(served.stop)

    routes = _Routes(served)
    return Starlette(
        routes=[
            Route("/", routes.root),
            Route("/health", routes.health),
            Route("/metrics", routes.metrics),
            *(
                route
                for prefix in ("", "/models/{name}")
                for route in (
                    Route(f"{prefix}/predict", routes.predict, methods=["POST"]),
                    Route(f"{prefix}/reload", routes.reload, methods=["POST"]),
                    WebSocketRoute(f"{prefix}/stream", routes.stream),
                )
            ),
            Route("/models/{name}", routes.model),
        ],
        exception_handlers={HTTPException: _refused, Exception: _refused},
        lifespan=lifespan,
    )


class _Routes:
    def __init__(self, served: ServedRuns) -> None:
        self._served = served

    async def predict(self, request: Request) -> Response:
        run, began = self._served.of(request), time.perf_counter()
        try:
            response: Response = JSONResponse({"predictions": await _predictions(request, run)})
        except Exception as error:
            response = refusal(error)
        if response.status_code == TOO_MANY:
            run.metrics.rejected.inc()
        run.metrics.answered(response.status_code, time.perf_counter() - began)
        return response

    async def stream(self, websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            run = self._served.of(websocket)
        except HTTPException as error:
            await refuse(websocket, error)
        else:
            await converse(websocket, run.sessions, run.loaded)

    async def reload(self, request: Request) -> Response:
        runs = (
            [self._served.of(request)] if "name" in request.path_params else list(self._served.runs.values())
        )
        errors = await self._served.reload(runs)
        if errors:
            return JSONResponse({"error": " ".join("; ".join(errors).split())}, 409)
        return JSONResponse({"reloaded": {run.name: run.loaded.weights for run in runs}})

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - starlette's protocol
        ready = self._served.ready
        return JSONResponse({"live": True, "ready": ready}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002 - starlette's protocol
        return Response(self._served.metrics.text(), media_type=_TEXT)

    async def model(self, request: Request) -> Response:
        return _shown(request, [self._served.of(request)])

    async def root(self, request: Request) -> Response:
        return _shown(request, list(self._served.runs.values()))


async def _predictions(request: Request, run: ServedRun) -> list[dict[str, Any]]:
    body = await _body(request, run.options)
    model = run.loaded
    recipe = model.predictor.recipe
    rows = rows_of(parsed(body), recipe.columns, run.options.max_rows, split=recipe.inputs.split_tokens)
    predictions = await run.predicted(rows, model, len(body))
    run.metrics.rows.inc(len(rows))
    return predictions


async def _body(request: Request, options: ServeOptions) -> bytes:
    """Return the body of a request, of which no more is read than is allowed."""
    length = request.headers.get("content-length", "")
    parts, size = [], int(length) if length.isdecimal() else 0
    if size <= options.max_bytes:
        size = 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > options.max_bytes:
                break
    if size > options.max_bytes:
        raise HTTPException(
            413, f"the request has more than {options.max_body:,} MiB; send its rows in several requests"
        )
    return b"".join(parts)


def _shown(request: Request, runs: Sequence[ServedRun]) -> Response:
    """Return the cards of models, as a page with a form for browsers."""
    cards = [model_card(run) for run in runs]
    headers = {"Vary": "Accept"}
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(rendered(cards), headers=headers)
    return JSONResponse(cards[0] if len(cards) == 1 else {"models": cards}, headers=headers)


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.detail == HTTPStatus(error.status_code).phrase:
        what = f"{request.method} {request.url.path} does not exist"
        error = HTTPException(error.status_code, f"{what}; use POST /predict or GET /", error.headers)
    return refusal(error)


def _by_name(runs: Sequence[ServedRun]) -> dict[str, ServedRun]:
    by_name = {run.name: run for run in runs}
    for run in runs:
        if by_name[run.name] is not run:
            raise RunError(
                f"{run.path} and {by_name[run.name].path} have the same name {run.name!r}, by which requests "
                "would choose a model; rename one of the folders"
            )
    return by_name
