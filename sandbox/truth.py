"""The witness: what was charged, by the table `movements`, which no part of the API reads."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import groupby
from typing import Any

from sandbox.objects import Json, encode
from sandbox.state import Sandbox

# One row per attempt: (account, order, attempt, currency, charges, amount, ids of the PaymentIntents).
_PER_ATTEMPT = """
SELECT eo_account, eo_order, eo_attempt, currency, COUNT(*), SUM(amount), group_concat(payment_intent)
FROM movements WHERE {where}
GROUP BY eo_order, eo_account, eo_attempt, currency ORDER BY eo_order, eo_account, eo_attempt"""
_ORDERS_PER_CHUNK = 500


def totals(sandbox: Sandbox) -> Json:
    """The totals of charges, money and requests."""
    store = sandbox.store
    rows = store.rows("SELECT currency, COUNT(*), SUM(amount) FROM movements GROUP BY currency ORDER BY currency")
    (intents,) = store.row("SELECT COUNT(*) FROM payment_intents")
    (charges,) = store.row("SELECT COUNT(*) FROM charges")
    succeeded = sum(count for _, count, _ in rows)
    requests = {name.partition(":")[2]: n for name, n in sorted(store.counts.items()) if ":" in name}
    return {
        "charges_succeeded": succeeded,
        "charges_failed": charges - succeeded,
        "payment_intents": intents,
        "amounts": {currency: amount for currency, _, amount in rows},
        "requests": requests,
        "replays": store.counts["replays"],
        "cut": store.counts["cut"],
    }


def one_order(sandbox: Sandbox, order: str) -> Json:
    """What was charged for `order` in all accounts; an unknown order has zero charges."""
    rows = sandbox.store.rows(_PER_ATTEMPT.format(where="eo_order = ?"), (order,))
    return _entry(order, rows)


async def per_order(sandbox: Sandbox) -> AsyncIterator[bytes]:
    """One JSON document `{"totals": …, "orders": […]}`, written as it is read, so 100 000 orders fit."""
    yield b'{"totals":' + encode(totals(sandbox)) + b',"orders":['
    separator = b""
    for chunk in _chunks(_entries(sandbox), _ORDERS_PER_CHUNK):
        yield separator + b",".join(encode(entry) for entry in chunk)
        separator = b","
        await asyncio.sleep(0)
    yield b"]}"


def _entries(sandbox: Sandbox) -> Iterator[Json]:
    rows = sandbox.store.snapshot(_PER_ATTEMPT.format(where="1"))
    for (order, account), group in groupby(rows, key=lambda row: (row[1], row[0])):
        yield {"account": account, **_entry(order, group)}


def _entry(order: str | None, rows: Iterable[Any]) -> Json:
    amounts: Counter[str] = Counter()
    attempts: list[Json] = []
    for _account, _order, attempt, currency, count, amount, intents in rows:
        amounts[currency] += amount
        attempts.append(
            {"attempt": attempt, "charges": count, "amounts": {currency: amount}, "payment_intents": intents.split(",")}
        )
    return {
        "order": order,
        "charges": sum(attempt["charges"] for attempt in attempts),
        "amounts": dict(amounts),
        "payment_intents": [intent for attempt in attempts for intent in attempt["payment_intents"]],
        "attempts": attempts,
    }


def _chunks(entries: Iterator[Json], size: int) -> Iterator[list[Json]]:
    chunk: list[Json] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
