"""What really happened, by the tables of the witness (`witness.py`), which no part of the API reads."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from heapq import merge
from itertools import groupby
from typing import NamedTuple

from sandbox.objects import Json, encode
from sandbox.state import Sandbox

_IN_ORDER = "GROUP BY eo_order, eo_account, eo_attempt, {} ORDER BY eo_order, eo_account, eo_attempt"
# One row per attempt and kind; of both tables in one shape.
_TAKEN = f"""
SELECT eo_account, eo_order, eo_attempt, 'taken', currency, COUNT(*), SUM(amount), group_concat(payment_intent)
FROM movements WHERE {{where}} {_IN_ORDER.format("currency")}"""
_AFTERMATH = f"""
SELECT eo_account, eo_order, eo_attempt, kind, currency, COUNT(*), SUM(amount), group_concat(subject)
FROM aftermath WHERE {{where}} {_IN_ORDER.format("kind, currency")}"""
_ORDERS_PER_CHUNK = 500


class _Row(NamedTuple):
    """What happened to one attempt of an order: how many times, to how much, to which objects."""

    account: str | None
    order: str | None
    attempt: str | None
    kind: str
    currency: str
    times: int
    amount: int
    subjects: str

    @property
    def place(self) -> tuple[tuple[bool, str], ...]:
        """Where SQLite sorts it: what is null comes first."""
        return tuple((name is not None, name or "") for name in (self.order, self.account))


def totals(sandbox: Sandbox) -> Json:
    """The totals of charges, money and requests."""
    store = sandbox.store
    rows = store.rows("SELECT currency, COUNT(*), SUM(amount) FROM movements GROUP BY currency ORDER BY currency")
    kinds = store.rows("SELECT kind, currency, COUNT(*), SUM(amount), '' FROM aftermath GROUP BY kind, currency")
    times: Counter[str] = Counter()
    for kind, _, count, *_ in kinds:
        times[kind] += count
    (intents,) = store.row("SELECT COUNT(*) FROM payment_intents")
    (charges,) = store.row("SELECT COUNT(*) FROM charges")
    succeeded = sum(count for _, count, _ in rows)
    requests = {name.partition(":")[2]: n for name, n in sorted(store.counts.items()) if ":" in name}
    return {
        "charges_succeeded": succeeded,
        # A charge that was authorized and not captured has neither succeeded nor failed.
        "charges_failed": charges - succeeded - times["authorized"] + times["captured"],
        "payment_intents": intents,
        "amounts": {currency: amount for currency, _, amount in rows},
        **_aftermath([_Row(None, None, None, *row) for row in kinds]),
        "balance": _balance(sandbox),
        "payouts": _payouts(sandbox),
        "canceled": times["canceled"],
        **_charged(sandbox),
        "requests": requests,
        "replays": store.counts["replays"],
        "cut": store.counts["cut"],
    }


def _charged(sandbox: Sandbox) -> Json:
    """How many orders were charged, and how many of them more than once. Without a name there is no order."""
    charged, twice = sandbox.store.row(
        "SELECT COUNT(*), COALESCE(SUM(times > 1), 0) FROM (SELECT COUNT(*) AS times FROM movements"
        " WHERE eo_order IS NOT NULL GROUP BY eo_order, eo_account)"
    )
    return {"orders_charged": charged, "orders_charged_twice": twice}


def _balance(sandbox: Sandbox) -> Json:
    """The balance by the books, pending and available together: its sum per currency, and of what kinds that is."""
    rows = sandbox.store.rows(
        "SELECT currency, type, SUM(net) FROM balance_transactions WHERE balance = 'payments'"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    )
    found: dict[str, Json] = {}
    for currency, kind, net in rows:
        entry = found.setdefault(currency, {"net": 0, "by_type": {}})
        entry["net"] += net
        entry["by_type"][kind] = net
    return found


def _payouts(sandbox: Sandbox) -> list[Json]:
    """Every payout, oldest first."""
    rows = sandbox.store.rows("SELECT id, status, amount, currency FROM payouts ORDER BY seq")
    return [dict(zip(("id", "status", "amount", "currency"), row, strict=True)) for row in rows]


def one_order(sandbox: Sandbox, order: str) -> Json:
    """What happened to the money of `order` in all accounts; an unknown order has zero charges."""
    rows = [
        _Row(*row)
        for sql in (_TAKEN, _AFTERMATH)
        for row in sandbox.store.rows(sql.format(where="eo_order = ?"), (order,))
    ]
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
    sources = (map(_Row._make, sandbox.store.snapshot(sql.format(where="1"))) for sql in (_TAKEN, _AFTERMATH))
    rows = merge(*sources, key=lambda row: row.place)
    for (order, account), group in groupby(rows, key=lambda row: (row.order, row.account)):
        yield {"account": account, **_entry(order, list(group))}


def _entry(order: str | None, rows: list[_Row]) -> Json:
    taken = [row for row in rows if row.kind == "taken"]
    attempts: list[Json] = [
        {
            "attempt": row.attempt,
            "charges": row.times,
            "amounts": {row.currency: row.amount},
            "payment_intents": row.subjects.split(","),
        }
        for row in taken
    ]
    returned = _subjects(rows, "returned")
    return {
        "order": order,
        "charges": sum(row.times for row in taken),
        "amounts": _amounts(rows, "taken"),
        "payment_intents": [intent for attempt in attempts for intent in attempt["payment_intents"]],
        "attempts": attempts,
        **_aftermath(rows),
        "canceled": _subjects(rows, "canceled"),
        "refund_ids": [refund for refund in _subjects(rows, "refunded") if refund not in returned],
        "dispute_ids": _subjects(rows, "opened"),
    }


def _aftermath(rows: list[_Row]) -> Json:
    """What cards hold now, what captures took of it, what was let go; what went back, and what came back of that."""
    returned = sum(row.times for row in rows if row.kind == "returned")
    return {
        "held": _less(_amounts(rows, "authorized"), _amounts(rows, "captured", "released")),
        "captured": _amounts(rows, "captured"),
        "released": _amounts(rows, "released"),
        "refunds": sum(row.times for row in rows if row.kind == "refunded") - returned,
        "refunded": _less(_amounts(rows, "refunded"), _amounts(rows, "returned")),
        "refunds_failed": returned,
        **_disputed(rows),
    }


def _disputed(rows: list[_Row]) -> Json:
    """What banks want back now, and what the balance paid for it and got again, in its own currency."""
    return {
        "disputes": sum(row.times for row in rows if row.kind == "opened"),
        "disputed": _less(_amounts(rows, "disputed"), _amounts(rows, "undisputed")),
        "withdrawn": _amounts(rows, "withdrawn"),
        "reinstated": _amounts(rows, "reinstated"),
        "dispute_fees": _amounts(rows, "disputing"),
    }


def _amounts(rows: Iterable[_Row], *kinds: str) -> dict[str, int]:
    amounts: Counter[str] = Counter()
    for row in rows:
        if row.kind in kinds:
            amounts[row.currency] += row.amount
    return dict(amounts)


def _less(amounts: dict[str, int], taken: dict[str, int]) -> dict[str, int]:
    """The difference; a currency in which nothing remains is left out."""
    found = {currency: amount - taken.get(currency, 0) for currency, amount in amounts.items()}
    return {currency: amount for currency, amount in found.items() if amount}


def _subjects(rows: Iterable[_Row], kind: str) -> list[str]:
    return [subject for row in rows if row.kind == kind for subject in row.subjects.split(",")]


def _chunks(entries: Iterator[Json], size: int) -> Iterator[list[Json]]:
    chunk: list[Json] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
