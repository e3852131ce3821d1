"""`Shop`: answers requests of a small web shop, with a database, a cache and a payment provider, and logs."""

import itertools
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple

TOKENS: Final[Mapping[str, str]] = {"t-ann": "ann", "t-bob": "bob", "t-eve": "eve"}
"""Users by token."""
PRICES: Final[Mapping[str, int]] = {"lamp": 40, "desk": 120, "chair": 75, "shelf": 60}
LIMIT = 400
"""Amount from which the payment provider declines a payment."""
_CONNECTIONS = 8
_SLOW = 0.1
"""Probability that the payment provider has to be asked again."""
_SCHEMA = """
create table orders (number integer primary key, user text, amount integer, state text);
create table stock (article text primary key, count integer);
"""


class Answer(NamedTuple):
    """Answer to a request: status and order number, 0 without an order."""

    status: int
    order: int = 0


@dataclass
class Shop:
    """The shop. Each request logs its lines with its own number, such as ``req-00017``.

    Parameters
    ----------
    log : Logger
        Where the lines go.
    random : Random
        Source of payment delays and addresses.
    leaks : bool
        The fault: whether an order that is declined keeps its database connection.
    requests : iterator of int
        Numbers of requests.
    """

    log: logging.Logger
    random: Random
    leaks: bool = False
    requests: Iterator[int] = field(default_factory=itertools.count)
    leaked: list[str] = field(default_factory=list)
    """Requests that kept their connection: what a scan of the log should find."""

    def __post_init__(self) -> None:
        self._database = sqlite3.connect(":memory:")
        self._database.executescript(_SCHEMA)
        self._database.executemany("insert into stock values (?, 20)", [(name,) for name in PRICES])
        self._idle, self._cache = list(range(_CONNECTIONS)), set[int]()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def order(self, token: str, articles: Mapping[str, int]) -> Answer:
        """Order articles: 201, or 401 (unknown token), 402 (declined), 409 (not in stock)."""
        request = self._request("POST /orders")
        user = request.user(token)
        return request.answered(401) if user is None else self._ordered(request, user, articles)

    def find(self, number: int) -> Answer:
        """Look an order up: 200, or 404."""
        request = self._request(f"GET /orders/{number}")
        if number in self._cache:
            request.info("cache", "hit for order:%d", number)
            return request.answered(200, number)
        request.info("cache", "miss for order:%d", number)
        with request.connection():
            row = request.row("select state from orders where number = ?", number)
        if row is None:
            return request.answered(404)
        self._cache.add(number)
        request.info("cache", "stored order:%d", number)
        return request.answered(200, number)

    def cancel(self, token: str, number: int) -> Answer:
        """Cancel an order: 200, or 401, 404."""
        request = self._request(f"DELETE /orders/{number}")
        if request.user(token) is None:
            return request.answered(401)
        with request.connection():
            row = request.row("select amount from orders where number = ?", number)
            if row is None:
                return request.answered(404)
            request.info("payment", "refunded %d EUR of order %d", row[0], number)
            request.run("update orders set state = 'cancelled' where number = ?", number)
        self._cache.discard(number)
        request.info("cache", "dropped order:%d", number)
        return request.answered(200, number)

    def _ordered(self, request: "_Request", user: str, articles: Mapping[str, int]) -> Answer:
        connection = request.acquired()
        if not self._reserved(request, articles):
            request.released(connection)
            return request.answered(409)
        amount = sum(PRICES[name] * count for name, count in articles.items())
        if not self._paid(request, amount):
            self._restored(request, articles)
            if self.leaks:  # the fault, as if the call of released had been forgotten
                self.leaked.append(request.name)
            else:
                request.released(connection)
            return request.answered(402)
        number = request.run("insert into orders values (null, ?, ?, 'paid')", user, amount)
        request.info("orders", "order %d of %s stored", number, user)
        request.released(connection)
        return request.answered(201, number)

    def _reserved(self, request: "_Request", articles: Mapping[str, int]) -> bool:
        """Take articles from the stock; False if there are too few."""
        for name, count in articles.items():
            (left,) = request.row("select count from stock where article = ?", name) or (0,)
            if left < count:
                request.warning("stock", "only %d of %s left, %d wanted", left, name, count)
                return False
        for name, count in articles.items():
            request.run("update stock set count = count - ? where article = ?", count, name)
            request.info("stock", "reserved %d of %s", count, name)
        return True

    def _restored(self, request: "_Request", articles: Mapping[str, int]) -> None:
        for name, count in articles.items():
            request.run("update stock set count = count + ? where article = ?", count, name)
            request.info("stock", "returned %d of %s", count, name)

    def _paid(self, request: "_Request", amount: int) -> bool:
        """Charge an amount; False if it is declined."""
        attempts = itertools.count(1)
        while self.random.random() < _SLOW:
            request.warning("payment", "no answer within 200 ms, attempt %d", next(attempts))
        if amount >= LIMIT:
            request.warning("payment", "%d EUR declined", amount)
            return False
        request.info("payment", "%d EUR authorised as %08x", amount, self.random.getrandbits(32))
        return True

    def _request(self, what: str) -> "_Request":
        request = _Request(self.log, f"req-{next(self.requests):05d}", self._database, self._idle)
        request.info("http", "%s from 10.0.%d.%d", what, self.random.randrange(9), self.random.randrange(99))
        return request


@dataclass(frozen=True)
class _Request:
    """What a request logs and does."""

    log: logging.Logger
    name: str
    database: sqlite3.Connection
    idle: list[int]

    def info(self, part: str, text: str, *values: object) -> None:
        self.log.info(f"{part}: {self.name} {text}", *values)

    def warning(self, part: str, text: str, *values: object) -> None:
        self.log.warning(f"{part}: {self.name} {text}", *values)

    def user(self, token: str) -> str | None:
        name = TOKENS.get(token)
        self.info("auth", "token of %s accepted", name) if name else self.warning("auth", "unknown token")
        return name

    def acquired(self) -> int:
        connection = self.idle.pop()
        self.info("database", "connection %d acquired, %d idle", connection, len(self.idle))
        return connection

    def released(self, connection: int) -> None:
        self.idle.append(connection)
        self.info("database", "connection %d released, %d idle", connection, len(self.idle))

    @contextmanager
    def connection(self) -> Iterator[None]:
        connection = self.acquired()
        try:
            yield
        finally:
            self.released(connection)

    def row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        rows = self.database.execute(query, values).fetchall()
        self.info("database", "%s: %d rows", query.partition(" where")[0], len(rows))
        return rows[0] if rows else None

    def run(self, query: str, *values: object) -> int:
        number = self.database.execute(query, values).lastrowid
        self.info("database", "%s: done", query.partition(" where")[0])
        return number or 0

    def answered(self, status: int, order: int = 0) -> Answer:
        self.info("http", "answered status=%d", status)
        return Answer(status, order)
