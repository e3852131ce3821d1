"""Load on `throughtime serve` over loopback: throughput, latency at half of it, and reloads under load.

    python benchmarks/serving.py [--model bilstm] [--tokens 50] [--connections 200] [--seconds 10]

Trains a model on random texts of so many words, starts `throughtime serve` with it, and measures

one at a time   one connection, which sends a request when the one before is answered
maximum         all connections do so: requests per second that the server can answer
half            open loop: requests start at random times (Poisson) at half of the maximum rate, over all
                connections, whatever the answers; a latency counts from the time at which its request is due
reload          all connections as for the maximum, while the run is loaded anew again and again

A request has one text. The client runs in this process, on the same processor as the server, so the server
alone can do more. `--url URL` measures a server that runs already and takes a text.
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import throughtime as tt
from throughtime.bench.machine import this_machine

_SIZES = ("throughtime_batch_requests_sum", "throughtime_batch_requests_count")
WORDS = [f"word{number}" for number in range(3000)]


@dataclass
class Load:
    """The answers of one measurement: statuses, and seconds from each request to its answer."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Return a percentile of the latencies in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def __str__(self) -> str:
        median, p95, p99 = (self.percentile(percent) for percent in (50, 95, 99))
        others = {status: count for status, count in self.statuses.items() if status != 200}
        return (
            f"{self.rate:7.0f} requests/s, latency {median:.1f} ms median, {p95:.1f} ms p95, {p99:.1f} ms "
            f"p99; {len(self.latencies):,} answers, {others or 'none'} other than 200"
        )


class Client:
    """Connections that are kept open, each with one request at a time."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self.host, self.port = place.hostname or "127.0.0.1", place.port or 80
        self._idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def connect(self, connections: int) -> None:
        for _ in range(connections):
            self._idle.put_nowait(await asyncio.open_connection(self.host, self.port))

    async def post(self, path: str, body: bytes = b"") -> int:
        """Send a request over the next idle connection and return the status of the answer."""
        reader, writer = await self._idle.get()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        self._idle.put_nowait((reader, writer))
        return int(head[9:12])

    async def close(self) -> None:
        while not self._idle.empty():
            self._idle.get_nowait()[1].close()


async def closed_loop(client: Client, bodies: list[bytes], senders: int, seconds: float) -> Load:
    """Return the answers to requests that ``senders`` tasks send one after another."""
    load, start = Load(), time.perf_counter()

    async def sender(number: int) -> None:
        place = number
        while (began := time.perf_counter()) < start + seconds:
            load.statuses[await client.post("/predict", bodies[place % len(bodies)])] += 1
            load.latencies.append(time.perf_counter() - began)
            place += senders

    await asyncio.gather(*map(sender, range(senders)))
    load.seconds = time.perf_counter() - start
    return load


async def open_loop(client: Client, bodies: list[bytes], rate: float, seconds: float) -> Load:
    """Return the answers to requests that are sent at random times, so many per second on average."""
    load, start, draw = Load(), time.perf_counter(), random.Random(0)

    async def send(place: int, due: float) -> None:
        load.statuses[await client.post("/predict", bodies[place % len(bodies)])] += 1
        load.latencies.append(time.perf_counter() - due)

    tasks, due = [], start
    while due < start + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(send(len(tasks), due)))
        due += draw.expovariate(rate)
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - start
    return load


async def reloading(url: str, load: Awaitable[Load]) -> tuple[Load, list[int]]:
    """Return the answers of a load, and the statuses of reloads during it."""
    operator = Client(url)
    await operator.connect(1)
    running, statuses = asyncio.ensure_future(load), []
    while not running.done():
        statuses.append(await operator.post("/reload"))
        await asyncio.sleep(0.5)
    await operator.close()
    return await running, statuses


def texts_of(count: int, tokens: int) -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=tokens)) for _ in range(count)]


def trained(folder: Path, model: str, tokens: int) -> Path:
    """Return the folder of a model of random texts."""
    texts = texts_of(600, tokens)
    rows = {"text": texts, "label": ["a", "b", "c"] * 200}
    tt.fit(rows, model=model, out=folder / "model", epochs=1, min_count=1, progress=False)
    return folder / "model"


@contextmanager
def served(run: Path, arguments: list[str]) -> Iterator[str]:
    """Yield the URL of a server in a process of its own."""
    command = [sys.executable, "-m", "throughtime", "serve", str(run), "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(line.split()[2] for line in process.stdout if line.startswith("ready on "))
        finally:
            process.terminate()


def batches(url: str) -> str:
    """Return the mean number of requests in a batch so far."""
    with urllib.request.urlopen(f"{url}/metrics") as response:
        lines = response.read().decode().splitlines()
    totals = {line.split("{")[0]: float(line.split()[-1]) for line in lines if line.startswith(_SIZES)}
    mean = totals["throughtime_batch_requests_sum"] / totals["throughtime_batch_requests_count"]
    return f"{mean:.1f} requests in a batch on average, over all measurements"


async def measure(url: str, bodies: list[bytes], connections: int, seconds: float) -> bool:
    """Print all measurements and return whether the aims are reached."""
    client = Client(url)
    await client.connect(connections)
    await closed_loop(client, bodies, 8, 1.0)  # warm up
    alone, most = [], []
    for _ in range(3):  # in turns, as the load of the machine changes
        alone.append(await closed_loop(client, bodies, 1, seconds / 3))
        most.append(await closed_loop(client, bodies, connections, seconds / 3))
    single = sorted(alone, key=lambda load: load.rate)[1]
    maximum = sorted(most, key=lambda load: load.rate)[1]
    ratio = statistics.median(many.rate / one.rate for one, many in zip(alone, most, strict=True))
    print(f"one at a time  {single}")
    print(f"maximum        {maximum}")
    print(f"               {ratio:.2f} times one at a time")
    half = await open_loop(client, bodies, maximum.rate / 2, seconds)
    print(f"half           {half}")
    again, reloads = await reloading(url, closed_loop(client, bodies, connections, seconds))
    print(f"reload         {again}; {len(reloads)} reloads, statuses {dict(Counter(reloads))}")
    await client.close()
    lost = sum((one.statuses for one in (*alone, *most, half, again)), Counter()).keys() != {200}
    return ratio >= 3 and half.percentile(99) < 50 and not lost


def main() -> None:
    parser = argparse.ArgumentParser(description="Load on throughtime serve over loopback.")
    parser.add_argument("--model", default="bilstm")
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=1, help="threads of the model in the server")
    parser.add_argument("--url", help="server that runs already")
    parser.add_argument("rest", nargs="*", help="after --: further options of throughtime serve")
    options = parser.parse_args()
    machine = this_machine(options.threads)
    print(
        f"{machine.processor}, {machine.cores} cores, load {machine.load}, {machine.date}, {machine.versions}"
    )
    print(f"{options.model}, texts of {options.tokens} tokens, {options.connections} connections")
    bodies = [f'["{text}"]'.encode() for text in texts_of(500, options.tokens)]
    with tempfile.TemporaryDirectory() as folder:
        if options.url:
            reached = asyncio.run(measure(options.url, bodies, options.connections, options.seconds))
        else:
            run = trained(Path(folder), options.model, options.tokens)
            arguments = ["--threads", str(options.threads), *options.rest]
            with served(run, arguments) as url:
                reached = asyncio.run(measure(url, bodies, options.connections, options.seconds))
                print(batches(url))
    print("aims reached" if reached else "AIMS MISSED", f"(load average {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
