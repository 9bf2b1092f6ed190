"""Asks for the refunds as the orders were placed: over HTTP under a key, or as messages to the naive consumer."""

from collections.abc import Sequence

from demo import naive
from demo.feeder import HttpFeeder, QueueFeeder, Request

Wanted = Sequence[tuple[str, int]]  # orders, and how much of each goes back, in minor units


class HttpRefunder(HttpFeeder):
    """Asks the service's API for refunds, and repeats unclear ones under the same Idempotency-Key."""

    order_field = "order_id"

    def __init__(self, url: str, api_key: str, wanted: Wanted, **options: float) -> None:
        super().__init__(url, api_key, first=0, count=len(wanted), **options)
        self._wanted = wanted

    def request(self, number: int) -> Request:
        """The request to refund one order, the same each time."""
        order_id, minor = self._wanted[number]
        return Request(f"/v1/orders/{order_id}/refunds", f"refund-{number}", {"amount": minor})


class QueueRefunder(QueueFeeder):
    """Publishes a message for each refund, as the naive shop does. A repeated request is a second message."""

    actor = naive.REFUND

    def __init__(self, database: str, redis: str, wanted: Wanted, *, messages_twice: float, **options: float) -> None:
        super().__init__(database, redis, messages_twice=messages_twice, first=0, count=len(wanted), **options)
        self._wanted = wanted

    def order(self, number: int) -> tuple[str, int]:
        """The order of one number, and how much of it goes back."""
        return self._wanted[number]

    async def store(self, order_id: str, minor: int) -> bool:
        """Store nothing: the shop knows the order."""
        del order_id, minor
        return True
