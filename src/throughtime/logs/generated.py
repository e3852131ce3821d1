"""A log of known templates, sessions and faults, generated for tests, benchmarks and the tutorial.

It is the log of a small shop: requests pass through a front end, a cart, a payment and a database, and leave
the lines that such services leave. A fault changes a request: a retry, a missing answer, an error with a
traceback, or a step in the wrong order.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

_START = dt.datetime(2026, 1, 31, 12, 0, 0)  # noqa: DTZ001 - logs without a time zone

TEMPLATES: Final[tuple[tuple[str, str, str], ...]] = (
    ("INFO", "front.Router", "GET /cart/{id} from {ip}"),
    ("INFO", "front.Router", "POST /order/{id} from {ip} as {name}"),
    ("DEBUG", "front.Auth", "token of user {name} accepted, expires in {n}s"),
    ("INFO", "cart.Store", "cart {id} loaded with {n} items"),
    ("DEBUG", "cart.Cache", "cache hit for key cart:{id}"),
    ("DEBUG", "cart.Cache", "cache miss for key cart:{id}"),
    ("INFO", "db.Pool", "connection {n} acquired in {ms} ms"),
    ("INFO", "db.Pool", "connection {n} released after {ms} ms"),
    ("DEBUG", "db.Query", "select from carts where id = {id} returned {n} rows in {ms} ms"),
    ("INFO", "pay.Client", "payment {hex} of {money} EUR authorised by bank {ip}"),
    ("INFO", "pay.Client", "payment {hex} captured"),
    ("INFO", "mail.Queue", "confirmation for order {id} queued to {name}@example.org"),
    ("INFO", "front.Router", "answered status=200 in {ms} ms"),
    ("DEBUG", "stock.Client", "item {id} reserved, {n} left"),
    ("INFO", "jobs.Timer", "cleanup removed {n} expired sessions"),
    # Lines of faults, or rare ones.
    ("WARNING", "pay.Client", "bank {ip} did not answer within {ms} ms, attempt {n}"),
    ("ERROR", "front.Router", "answered status=500 in {ms} ms"),
    ("ERROR", "pay.Client", "payment {hex} declined"),
    ("WARNING", "db.Pool", "pool exhausted, {n} requests are waiting"),
    ("ERROR", "cart.Store", "cart {id} could not be loaded"),
)
"""Level, logger and message of each line that the log may have."""

FIRST_OF_FAULTS = 15
"""Number of the first template that only faults have."""
FAULTS = ("timeout", "declined", "crash", "order", "leak")
"""Kinds of faults: a bank without an answer, a declined payment, an exception with its traceback, a payment
that is captured before it is authorised, and a connection that is never released."""

_NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
_TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "/srv/shop/cart.py", line 88, in load',
    "    return self.rows[key]",
    "KeyError: 'cart'",
)


@dataclass(frozen=True)
class GeneratedLine:
    """A line of the log.

    Parameters
    ----------
    text : str
        The line.
    template : int or None
        Number of its template in `TEMPLATES`; None if it continues the line before.
    session : str
        Identifier of its request.
    fault : str or None
        The fault of its request, if it has one.
    """

    text: str
    template: int | None
    session: str
    fault: str | None


def generated_log(
    sessions: int, *, faults: Sequence[str] = (), seed: int = 0, overlap: int = 4
) -> Iterator[GeneratedLine]:
    """Yield the lines of a log of interleaved requests.

    Parameters
    ----------
    sessions : int
        Number of requests.
    faults : sequence of str
        Faults, of `FAULTS`, each in one request, spread evenly over the log.
    seed : int
        Random seed.
    overlap : int
        Most requests at a time.

    Examples
    --------
    >>> lines = list(generated_log(2))
    >>> print(lines[3].text)
    2026-01-31 12:00:00,324 DEBUG [worker-7] cart.Cache - req-000001 cache hit for key cart:53664
    """
    random = Random(seed)  # noqa: S311 - not for secrets
    faulty = {(2 * place + 1) * sessions // (2 * len(faults)): fault for place, fault in enumerate(faults)}
    waiting = ((number, faulty.get(number)) for number in range(sessions))
    open_requests: list[_Request] = []
    now = 0.0
    while True:
        while len(open_requests) < overlap and (following := next(waiting, None)) is not None:
            open_requests.append(_Request(*following, random))
        if not open_requests:
            return
        request = random.choice(open_requests)
        now += random.expovariate(20)
        yield from request.write(now)
        if not request.steps:
            open_requests.remove(request)


class _Request:
    def __init__(self, number: int, fault: str | None, random: Random) -> None:
        self.random, self.fault, self.name = random, fault, f"req-{number:06d}"
        self.thread = random.randrange(8)
        self.steps = _steps(random, fault)

    def write(self, now: float) -> Iterator[GeneratedLine]:
        template = self.steps.pop(0)
        level, logger, message = TEMPLATES[template]
        time = (_START + dt.timedelta(seconds=now)).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
        text = f"{time} {level} [worker-{self.thread}] {logger} - {self.name} {self._filled(message)}"
        yield GeneratedLine(text, template, self.name, self.fault)
        if template == 19:
            for line in _TRACEBACK:
                yield GeneratedLine(line, None, self.name, self.fault)

    def _filled(self, message: str) -> str:
        random = self.random
        return message.format(
            id=random.randrange(10_000, 99_999),
            n=random.randrange(1, 60),
            ms=random.randrange(1, 900),
            hex=f"{random.getrandbits(48):012x}",
            money=f"{random.uniform(1, 500):.2f}",
            ip=f"10.0.{random.randrange(256)}.{random.randrange(256)}:{random.randrange(1024, 65535)}",
            name=random.choice(_NAMES),
        )


def _steps(random: Random, fault: str | None) -> list[int]:
    """Return the numbers of the templates of a request."""
    loaded = [4, 3] if random.random() < 0.6 else [5, 6, 8, 7, 3]
    if fault is None and random.random() < 0.5:
        return [0, 2, *loaded, *([14] if random.random() < 0.05 else []), 12]
    items = [13] * random.randrange(1, 4)
    paid = [9, 10]
    end = [11, 12]
    if fault == "timeout":
        paid = [15, 15, 15, *paid]
    elif fault == "declined":
        paid, end = [17], [16]
    elif fault == "crash":
        loaded, items, paid, end = [5, 6, 19], [], [], [16]
    elif fault == "order":
        paid = [10, 9]
    elif fault == "leak":
        loaded = [5, 6, 8, 3]
    return [1, 2, *loaded, *items, *paid, *end]
