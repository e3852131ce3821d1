"""`serve`: run the application in uvicorn until a signal ends it, with every accepted request answered."""

import asyncio
import contextlib
import errno
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from throughtime.serve.app import ServedRuns, app_of
from throughtime.serve.options import ServeOptions

_BACKLOG = 2048
_KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than reverse proxies and clients keep theirs."""
_SWITCH_SECONDS = 0.0005
"""Longest time that a thread of the model holds Python's lock while requests are received."""


def serve(
    runs: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    options: ServeOptions | None = None,
    started: Callable[[str, ServedRuns], None] | None = None,
    stopping: Callable[[], None] | None = None,
) -> None:
    """Answer requests for the predictions of runs, until SIGTERM or Ctrl-C.

    Then no more connections are accepted, and the requests that were accepted are answered. SIGHUP, which
    Windows does not have, loads the runs anew.

    Parameters
    ----------
    runs : sequence of path
        Folders of runs.
    host : str
        Address or name to listen on; ``"0.0.0.0"`` and ``"::"`` are all of the machine.
    port : int
        0 is a free one.
    options : ServeOptions, optional
        Limits.
    started : callable, optional
        Called with the URL and the runs, when requests are accepted.
    stopping : callable, optional
        Called when a signal has come.

    Raises
    ------
    OSError
        If the address cannot be used, such as a port in use.
    RunError
        If a folder is no run, is damaged, or is of a task that predicts no rows.
    """
    with listening(host, port) as listener:
        served = ServedRuns(runs, options or ServeOptions())
        config = uvicorn.Config(
            app_of(served),
            log_config=None,
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=served.options.max_bytes,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        server = _Server(
            config,
            served,
            started=lambda: started(_url(listener), served) if started else None,
            stopping=stopping or (lambda: None),
        )
        interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            server.run(sockets=[listener])
        finally:
            sys.setswitchinterval(interval)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that is bound to an address.

    Raises
    ------
    OSError
        If the address cannot be used; the message says why.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise OSError(
            f"{host!r} is no address of this machine ({error.strerror}); choose another --host"
        ) from error
    with socket.socket(family, kind, protocol) as listener:
        if sys.platform != "win32":  # where it would admit a second server to a port in use
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise OSError(_unusable(host, port, error)) from error
        yield listener


def _unusable(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; stop the program that uses it, or choose another --port"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} needs the rights of the administrator; choose a --port from 1024"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host!r} is no address of this machine; choose another --host"
    return f"{host}:{port} cannot be used ({error.strerror}); choose another --host or --port"


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Uvicorn's server, which ends with exit code 0 after a signal, and loads runs anew at SIGHUP."""

    def __init__(
        self,
        config: uvicorn.Config,
        served: ServedRuns,
        *,
        started: Callable[[], None],
        stopping: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._served, self._when_started, self._when_stopping = served, started, stopping
        self._reloads: set[asyncio.Task[list[str]]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while the server runs; uvicorn would raise them again afterwards."""
        if sys.platform == "win32":  # no signal handlers in the event loop, and no SIGHUP
            with super().capture_signals():
                yield
            return
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop, signal.SIGHUP: self._reload}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Stop, where uvicorn handles the signals."""
        self._stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests, and say so."""
        await super().startup(sockets)
        self._when_started()

    def _stop(self) -> None:
        if self.should_exit:
            self.force_exit = True  # a second signal
            return
        self._served.ready = False
        self.should_exit = True
        self._when_stopping()

    def _reload(self) -> None:
        task = asyncio.ensure_future(self._served.reload(list(self._served.runs.values())))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
