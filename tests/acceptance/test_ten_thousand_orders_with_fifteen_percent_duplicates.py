"""An incident's worth of duplicates: 10,000 orders, 15 % of all requests and 15 % of all messages sent twice.

Real processes: two APIs, two relays, two workers, PostgreSQL, Redis, a sandbox. Afterwards every order was charged
exactly once by the sandbox's own books, ours balance, and both agree.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from tests.acceptance.fleet import Fleet, NewFleet, python
from tests.chaos.mangling_relay import SHARES
from tests.chaos.report import mangled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ORDERS = 10_000
SINGLE = 2_000  # by POST /v1/orders; the rest by POST /v1/orders/batch
BATCH = 100
SENT_TWICE = 0.15
AT_ONCE = 32  # requests in flight
CHARGED_S = 120.0
CURRENCIES = ("usd", "eur", "jpy", "kwd")
SEED = 20_261_124


def wanted(number: int) -> dict[str, Any]:
    """The order with this number: amounts differ, so that a mix-up cannot hide."""
    currency = CURRENCIES[number % len(CURRENCIES)]
    return {"amount": 1_000 + 10 * number, "currency": currency, "payment_method": "pm_card_visa"}


@dataclass
class Producer:
    """Sends every order, some requests twice, to one API or the other, and notes what was answered."""

    fleet: Fleet
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    orders: dict[str, str] = field(default_factory=dict)  # key → order id
    requests: int = 0
    repeats: int = 0
    replays: int = 0

    async def send_all(self) -> None:
        singles = [[n] for n in range(SINGLE)]
        batches = [list(range(start, start + BATCH)) for start in range(SINGLE, ORDERS, BATCH)]
        work = singles + batches
        self.chance.shuffle(work)
        queue = iter(work)
        headers = {"Authorization": f"Bearer {self.fleet.api_key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(30)) as session:
            await asyncio.gather(*(self._stream(session, queue) for _ in range(AT_ONCE)))

    async def _stream(self, session: aiohttp.ClientSession, queue: Iterable[list[int]]) -> None:
        for numbers in queue:
            if self.chance.random() >= SENT_TWICE:
                await self._send(session, numbers)
                continue
            self.repeats += 1
            if self.chance.random() < 0.5:  # a retry after the answer, or both on their way at the same moment
                await self._send(session, numbers)
                await self._send(session, numbers)
            else:
                await asyncio.gather(self._send(session, numbers), self._send(session, numbers))

    async def _send(self, session: aiohttp.ClientSession, numbers: list[int]) -> None:
        self.requests += 1
        url = self.fleet.url(self.chance.choice(["api-1", "api-2"])) + "/v1/orders"
        if len(numbers) > 1:
            body = {"orders": [{"idempotency_key": f"order-{n}", **wanted(n)} for n in numbers]}
            async with session.post(f"{url}/batch", json=body) as answer:
                assert answer.status == 200, await answer.text()
                results = (await answer.json())["results"]
            for number, result in zip(numbers, results, strict=True):
                assert result["status"] == 201, result
                self._note(number, result["order"]["id"])
            return
        (number,) = numbers
        async with session.post(url, json=wanted(number), headers={"Idempotency-Key": f"order-{number}"}) as answer:
            assert answer.status == 201, await answer.text()
            self.replays += answer.headers.get("Idempotent-Replayed") == "true"
            self._note(number, (await answer.json())["id"])

    def _note(self, number: int, order_id: str) -> None:
        assert self.orders.setdefault(f"order-{number}", order_id) == order_id, "one key, two orders"


def test_ten_thousand_orders_with_fifteen_percent_duplicates(new_fleet: NewFleet) -> None:
    print(f"seed {SEED}")
    fleet = new_fleet()
    fleet.start("relay", 2, argv=python("tests.chaos.mangling_relay"), **{SHARES: "0.15 0 0"})
    fleet.start_all(worker=2, api=2, relay=0)
    producer = Producer(fleet)
    asyncio.run(producer.send_all())
    took_s = fleet.settle(within_s=CHARGED_S)
    did = Counter(word for log in fleet.logs.glob("relay-*.log") for word in mangled(log))
    published, twice = did["sent"], did["twice"]
    print(
        f"{producer.requests} requests, {producer.repeats} of them repeats, {producer.replays} single replays; "
        f"{published} messages, {twice} of them twice; settled {took_s:.1f} s after the last request"
    )

    assert len(producer.orders) == ORDERS
    assert producer.replays > 0.1 * SINGLE
    assert producer.repeats > 0.1 * (SINGLE + (ORDERS - SINGLE) / BATCH)
    assert twice > 0.05 * published

    charged = fleet.truth(per_order=True)
    assert charged["totals"]["charges_succeeded"] == ORDERS
    assert charged["totals"]["charges_failed"] == 0
    found = {entry["order"]: (entry["charges"], entry["amounts"]) for entry in charged["orders"]}
    numbers = {order_id: int(key.partition("-")[2]) for key, order_id in producer.orders.items()}
    asked = {i: (1, {wanted(n)["currency"]: wanted(n)["amount"]}) for i, n in numbers.items()}
    assert found == asked

    statuses = Counter(row["status"] for row in fleet.rows("SELECT status FROM orders"))
    assert statuses == {"paid": ORDERS}
    entries = fleet.rows("SELECT count(*) FROM journal_entries WHERE kind = 'charge'")[0][0]
    assert entries == ORDERS
    fees_due = "SELECT count(*) FROM charges WHERE balance_transaction_id IS NULL"
    fleet.until(lambda: fleet.rows(fees_due)[0][0] == 0, within_s=CHARGED_S, what="every fee is booked")
    books = fleet.eo("ledger", "verify")
    assert books.returncode == 0, books.stdout
    # Grace 0: nothing may hide behind "still in flight".
    compared = fleet.eo("reconcile", "--json", EO_RECONCILE_GRACE_S="0")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    report = json.loads(compared.stdout)
    assert (report["verdict"], report["discrepancies"]) == ("clean", [])
    assert report["coverage"]["matched"] == ORDERS
    for currency, totals in report["totals"].items():
        assert totals["ours"] == totals["ledger"] == totals["stripe"], currency
