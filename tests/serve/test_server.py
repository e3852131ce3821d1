"""The command ``throughtime serve``: start, a port in use, signals, and the end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import throughtime as tt
from tests.cli.conftest import RunCli, run_cli
from throughtime.serve.app import ServedRuns
from throughtime.serve.server import listening, serve

from .conftest import KINDS

__all__ = ["run_cli"]

_SERVER = """
import sys
import torch
from throughtime.cli import main
from throughtime.models import TextCNN

forward = TextCNN.forward

def slow(self, *arguments):  # until the test writes to standard input
    if len(arguments[0]) > 2:
        print("computing", flush=True)
        sys.stdin.readline()
    return forward(self, *arguments)

TextCNN.forward = slow
main()
"""


@pytest.fixture
def server(run_of: Callable[[str], Path]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _SERVER, "serve", str(run_of("text")), "--port", "0", "--threads", "1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}, **pipes) as process:
        yield process
        process.kill()


def post(url: str, content: object) -> tuple[int, object]:
    request = urllib.request.Request(url, json.dumps(content).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.status, json.load(response)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


def test_a_server_from_start_to_end(server: subprocess.Popen[str], run_of: Callable[[str], Path]) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stderr is not None
    assert line_of(server) == f"text: classification with textcnn, 3 classes, from {run_of('text')}"
    ready = line_of(server)
    assert ready.startswith("ready on http://127.0.0.1:")
    assert ready.endswith(" (Ctrl-C stops)")
    url = ready.split()[2]
    rows = KINDS["text"].rows(range(2))
    predictor = tt.load(run_of("text"))
    status, content = post(f"{url}/predict", {"rows": rows})
    assert status == 200
    assert [row["label"] for row in content["predictions"]] == predictor.predict(rows)

    server.send_signal(signal.SIGHUP)
    assert "text was loaded anew, weights " in server.stderr.readline()

    answers: list[tuple[int, object]] = []
    asking = threading.Thread(target=lambda: answers.append(post(f"{url}/predict", ["good film"] * 3)))
    asking.start()
    assert line_of(server) == "computing"
    server.send_signal(signal.SIGTERM)
    assert line_of(server) == "stopping; accepted requests are answered"
    with pytest.raises(OSError, match="refused"):
        until_refused(url)
    server.stdout.close()  # nobody reads the last line
    server.stdin.write("\n")
    server.stdin.flush()
    asking.join(60)
    assert [status for status, _ in answers] == [200]
    assert server.wait(60) == 0
    assert server.stderr.read() == ""


def test_a_signal_where_the_event_loop_takes_none(
    monkeypatch: pytest.MonkeyPatch, run_of: Callable[[str], Path]
) -> None:
    monkeypatch.setattr("throughtime.serve.server.sys", SimpleNamespace(**vars(sys) | {"platform": "win32"}))
    monkeypatch.delattr(signal, "SIGHUP")
    told: list[str] = []
    handler = signal.getsignal(signal.SIGTERM)

    def ready(url: str, served: ServedRuns) -> None:
        told.append(url)
        signal.raise_signal(signal.SIGTERM)

    serve([run_of("text")], port=0, started=ready, stopping=lambda: told.append("stopping"))
    assert told[0].startswith("http://127.0.0.1:")
    assert told[1:] == ["stopping"]
    assert signal.getsignal(signal.SIGTERM) is handler


def until_refused(url: str) -> None:
    """Connect until the server refuses it: it closes its socket after the line that is printed."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    for _ in range(3000):
        socket.create_connection((host, int(port)), timeout=10).close()
        threading.Event().wait(0.01)


def test_a_port_in_use_is_one_line(run_of: Callable[[str], Path], run_cli: RunCli) -> None:
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        outcome = run_cli("serve", run_of("text"), "--port", port, "--threads", 1)
    message = f"error: port {port} of 127.0.0.1 is in use; stop the program that uses it, or choose another --port\n"
    assert (outcome.code, outcome.out, outcome.err) == (2, "", message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--queue", "0"), "--queue: queue must be at least 1, got 0"),
        (("--max-wait-ms", "soon"), "--max-wait-ms must be a number, got 'soon'"),
        (("--host", "not an address"), "'not an address' is no address of this machine"),
        (("--host", "192.0.2.1"), "'192.0.2.1' is no address of this machine; choose another --host"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: tuple[str, ...], message: str, run_of: Callable[[str], Path], run_cli: RunCli
) -> None:
    outcome = run_cli("serve", run_of("text"), "--port", "0", "--threads", "1", *arguments)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {message}")
    assert outcome.err.count("\n") == 1


def test_a_missing_extra_is_named(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "throughtime.serve", None)
    outcome = run_cli("serve", "run")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.endswith("; in a clone of throughtime: pip install '.[serve]'\n")


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, run_cli: RunCli) -> None:
    outcome = run_cli("serve", tmp_path, "--port", "0", "--threads", "1")
    message = f"error: {tmp_path} is not a run: run.json is missing; give the folder of a run\n"
    assert (outcome.code, outcome.err) == (2, message)
