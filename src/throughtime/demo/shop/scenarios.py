"""The tests of the shop, for unittest and pytest. They also pass with the fault: no test sees it."""

import logging
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import ClassVar
from unittest import TestCase

from throughtime.demo.shop.service import PRICES, TOKENS, Shop


class ShopTests(TestCase):
    """Requests to a shop and their answers."""

    log: ClassVar[logging.Logger] = logging.Logger("shop")
    random: ClassVar[Random] = Random(0)  # noqa: S311 - not for secrets
    requests: ClassVar[Iterator[int]] = count()
    leaks: ClassVar[bool] = False
    leaked: ClassVar[list[str]] = []
    """Requests with the fault."""

    def setUp(self) -> None:
        """Open a new shop."""
        self.shop = Shop(self.log, self.random, self.leaks, self.requests, self.leaked)
        self.addCleanup(self.shop.close)
        self.token = self.random.choice(list(TOKENS))

    def basket(self) -> dict[str, int]:
        """Return a few articles, cheap enough for a payment."""
        names = self.random.sample(["lamp", "chair", "shelf"], self.random.randrange(1, 4))
        return {name: self.random.randrange(1, 3) if name == "lamp" else 1 for name in names}

    def expect(self, actual: object, expected: object) -> None:
        """Fail if two values differ."""
        self.assertEqual(actual, expected)  # noqa: PT009 - the demo runs the tests without pytest

    def ordered(self) -> int:
        """Order articles and return the number of the order."""
        answer = self.shop.order(self.token, self.basket())
        self.expect(answer.status, 201)
        return answer.order

    def test_orders_have_different_numbers(self) -> None:
        """Three orders."""
        self.expect(len({self.ordered() for _ in range(3)}), 3)

    def test_an_order_is_found_again(self) -> None:
        """From the database, then from the cache."""
        number = self.ordered()
        for _ in range(self.random.randrange(2, 5)):
            self.expect(self.shop.find(number), (200, number))

    def test_a_cancelled_order_stays_in_the_database(self) -> None:
        """It is dropped from the cache alone."""
        number = self.ordered()
        self.shop.find(number)
        self.expect(self.shop.cancel(self.token, number).status, 200)
        self.expect(self.shop.find(number).status, 200)

    def test_an_unknown_token_is_refused(self) -> None:
        """For orders and cancellations."""
        self.expect(self.shop.order("t-who", self.basket()).status, 401)
        self.expect(self.shop.cancel("t-who", self.ordered()).status, 401)

    def test_an_unknown_order_is_not_found(self) -> None:
        """Neither by a search nor by a cancellation."""
        self.expect(self.shop.find(self.random.randrange(100, 999)).status, 404)
        self.expect(self.shop.cancel(self.token, self.random.randrange(100, 999)).status, 404)

    def test_articles_that_are_not_in_stock_are_refused(self) -> None:
        """More than there are."""
        wanted = {self.random.choice(list(PRICES)): self.random.randrange(21, 99)}
        self.expect(self.shop.order(self.token, wanted).status, 409)

    def test_a_payment_can_be_declined(self) -> None:
        """The articles are returned to the stock, so that a smaller order succeeds."""
        desks = self.random.randrange(4, 20)
        self.expect(self.shop.order(self.token, {"desk": desks}).status, 402)
        self.expect(self.shop.order(self.token, {"desk": 1}).status, 201)
