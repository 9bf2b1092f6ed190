"""What must hold once everything is quiet, whatever died before. Written once, for every test and storm here.

The witnesses are independent of each other: what the producer was told, our tables, the ledger's own passes, the
sandbox's books, and the reconciliation.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from service import ledger
from service.effects.model import Rules
from service.foundation.postgres.db import create_engine
from service.foundation.settings import Settings
from service.reconcile import Span, reconcile
from service.stripe_gateway.client import StripeGateway
from tests.acceptance.fleet import Fleet
from tests.chaos import afterwards, both_balances
from tests.chaos.bank import all_at_stripe, is_ours
from tests.chaos.customer import Customer
from tests.chaos.producer import Producer, Told
from tests.chaos.stories import CARD, has_story, number_of, story_of, wanted

FINAL = ("paid", "failed", "canceled", "authorized")  # authorized: kept on purpose, by its story
SHOWN = 5  # of each kind of violation
LIFE_DAYS = 30  # more than any test lets pass

_ALIASES = "SELECT id::text, order_id::text FROM order_aliases"
_CLOSED = "SELECT count(*) FROM lives WHERE identity = database_identity() AND verified_until = 'infinity'"
# An order that is only held waits for its merchant: it is asked for now and then, and nothing else happens to it.
_OPEN = """
SELECT count(*) FROM outbox x
 WHERE x.parked_at IS NULL AND NOT (x.kind = 'charge'
   AND EXISTS (SELECT FROM orders o WHERE o.id = x.order_id AND o.status = 'authorized'))"""
_NO_FEE_YET = """
SELECT count(*) FROM charges WHERE status IN ('succeeded', 'duplicate') AND balance_transaction_id IS NULL"""
_ORDERS = """
SELECT o.id::text, o.idempotency_key AS key, o.status, o.currency, o.failure ->> 'code' AS why,
       CASE o.status WHEN 'paid' THEN coalesce(o.amount_captured_minor, o.amount_minor) ELSE 0 END AS amount,
       EXISTS (SELECT FROM outbox x WHERE x.order_id = o.id AND x.parked_at IS NOT NULL) AS parked,
       (SELECT count(*) FROM journal_entries j WHERE j.order_id = o.id AND j.kind IN ('charge', 'duplicate')) AS entries
  FROM orders o"""


_LEFT = """
SELECT x.kind, x.payload::text, x.order_id::text, x.deliver_after - now() AS due_in,
       x.published, x.deliveries, x.opens_unsettled, x.last_error,
       x.parked_at IS NOT NULL AS parked, o.status, c.status AS charge, c.next_call, c.unclear_in_a_row, c.history::text
  FROM outbox x JOIN orders o ON o.id = x.order_id LEFT JOIN charges c ON c.order_id = o.id
 WHERE NOT (x.kind = 'charge' AND o.status = 'authorized') LIMIT 3"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found wrong (nothing: it held), and what there was."""

    violations: list[str]
    orders: int
    paid: int
    failed: int
    parked: int


def is_quiet(fleet: Fleet) -> bool:
    """Nothing is on its way: every promise is kept or parked, every fee booked. False while PostgreSQL is away."""
    try:
        return not any(fleet.rows(statement)[0][0] for statement in (_OPEN, _NO_FEE_YET))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def is_closed(fleet: Fleet) -> bool:
    """Stripe was asked what this life may have forgotten, a second time too. False while PostgreSQL is away."""
    try:
        return bool(fleet.rows(_CLOSED)[0][0])
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def what_is_left(fleet: Fleet) -> str:
    """For whoever wonders why it does not get quiet."""
    no_fee = fleet.rows(_NO_FEE_YET)[0][0]
    return "\n".join(
        [
            f"{no_fee} without a fee; {fleet.outbox()} open promises, some of them:",
            *(str(dict(row)) for row in fleet.rows(_LEFT)),
        ]
    )


def judge(fleet: Fleet, producers: Sequence[Producer], *, is_swept: bool = False) -> Verdict:
    """Hold everything against everything. The fleet must be quiet. is_swept: it has read all that Stripe lists, too."""
    told: dict[str, Told] = {}
    found: list[str] = []
    for producer in producers:
        told |= producer.accepted
        found += producer.faults[:SHOWN]
    rows = fleet.rows(_ORDERS)
    charged = {entry["order"]: entry for entry in fleet.truth(per_order=True)["orders"]}
    found += _few(_promises(told, rows))
    found += _few(_charges(rows, _former_ids(fleet), charged))
    found += _few(_outcomes(rows))
    found += _few(afterwards.money(fleet))
    if is_swept:
        found += _few(both_balances.differences(fleet))
        found += _few(both_balances.suspense(fleet))
    for customer in (one for one in producers if isinstance(one, Customer)):
        found += _few(afterwards.promises(fleet, customer))
    found += asyncio.run(_books(fleet, is_swept=is_swept))
    states = Counter(row["status"] for row in rows)
    return Verdict(found, len(rows), states["paid"], states["failed"], sum(row["parked"] for row in rows))


def assert_hold(fleet: Fleet, producers: Sequence[Producer]) -> Verdict:
    """Judge, and fail with what was found."""
    verdict = judge(fleet, producers)
    assert not verdict.violations, "\n".join(verdict.violations)
    return verdict


def _promises(told: Mapping[str, Told], rows: Iterable[Any]) -> Iterable[str]:
    """Every key's last 201 is an order, final or parked; every order was asked for; one key is one order."""
    stored = {row["key"]: row for row in rows}
    for key, last in told.items():
        if key not in stored or stored[key]["id"] != last.ids[-1]:
            there = stored[key]["id"] if key in stored else "not there"
            yield f"lost: {key} was accepted as {', '.join(last.ids)} and is {there}"
        elif stored[key]["status"] not in FINAL and not stored[key]["parked"]:
            yield f"left: {key} is {stored[key]['status']} and nothing will come of it"
    yield from (f"unasked: {key} is stored and nobody was told" for key in stored.keys() - told.keys())


def _former_ids(fleet: Fleet) -> dict[str, list[str]]:
    """Per order the ids that it had before it was forgotten and repeated."""
    found: dict[str, list[str]] = {}
    for former, order_id in fleet.rows(_ALIASES):
        found.setdefault(order_id, []).append(former)
    return found


def _charges(rows: Iterable[Any], former: Mapping[str, list[str]], charged: dict[str | None, Any]) -> Iterable[str]:
    """Charged at Stripe = paid = booked, key by key, once, to the cent, under whatever id the order had then."""
    for row in rows:
        truth: dict[str, Any] = {"charges": 0, "amounts": Counter()}
        for order_id in (row["id"], *former.get(row["id"], ())):
            entry = charged.pop(order_id, {"charges": 0, "amounts": {}})
            truth["charges"] += entry["charges"]
            truth["amounts"].update(entry["amounts"])
        due = 1 if row["status"] == "paid" else 0
        if row["parked"] and not due and truth["charges"] == 1:
            due = 1  # parked with its money taken: a human has it on the desk
        if truth["charges"] != due:
            yield f"charged {truth['charges']} times: {row['key']}, which is {row['status']}"
        elif due and truth["amounts"] != {row["currency"]: row["amount"]}:
            yield f"charged {truth['amounts']}: {row['key']} is about {row['amount']} {row['currency']}"
        if row["entries"] != (row["status"] == "paid"):
            yield f"booked {row['entries']} times: {row['key']}, which is {row['status']}"
    strange = ((order, entry) for order, entry in charged.items() if order is not None)  # a stranger's names no order
    yield from (f"charged without an order: {order}" for order, entry in strange if entry["charges"])


def _outcomes(rows: Iterable[Any]) -> Iterable[str]:
    """A good card is paid, a bad one declined; a failure that is no decline was proven never to have run.

    Where a story is told, its order ends as the story says.
    """
    for row in rows:
        if has_story(row["key"]):
            story = story_of(number_of(row["key"]))
            if row["status"] not in story.ends and (row["status"], row["why"]) != ("failed", "never_executed"):
                yield f"{row['status']} ({row['why']}), and its story is {story.name}: {row['key']}"
            continue
        good = wanted(number_of(row["key"]))["payment_method"] == CARD
        if row["status"] == "paid" and not good:
            yield f"paid by a card that declines: {row['key']}"
        if row["status"] == "canceled" or (row["status"] == "failed" and good and row["why"] != "never_executed"):
            yield f"{row['status']} ({row['why']}) though its card is good: {row['key']}"


async def _books(fleet: Fleet, *, is_swept: bool) -> list[str]:
    """The ledger's own passes, and the reconciliation with no grace to hide in.

    It names each stranger's payment, and what a bank took of one, which no payment of ours explains.
    """
    settings = Settings(
        database_url=fleet.postgres.url, stripe_api_key=fleet.environ["STRIPE_API_KEY"], stripe_api_base=fleet.stripe
    )
    span = Span(since=datetime.now(UTC) - timedelta(days=LIFE_DAYS))
    strange = {one["payment_intent"] for one in all_at_stripe(fleet, "charges") if not is_ours(one)}
    moved = both_balances.of_strangers(fleet)
    engine = create_engine(settings, name="invariants", pool=2)
    try:
        found = [f"ledger: {finding}" for finding in await ledger.verify(engine)]
        async with (
            StripeGateway(settings) as gateway,
            reconcile(
                engine, gateway, span, grace_s=0, rules=Rules.of(settings), balance=gateway if is_swept else None
            ) as report,
        ):
            if report.verdict == "incomplete":
                found.append(f"reconciliation: incomplete, {report.incomplete}")
            open_ = {line.name for line in report.classes if line.is_open}
            differ = [
                d
                async for d in report.discrepancies()
                if d.name in open_ and d.payment_intent not in strange and (d.ours or {}).get("source") not in moved
            ]
            found += [f"reconciliation: {d}" for d in differ[:SHOWN]]
    finally:
        await engine.dispose()
    return found


def _few(found: Iterable[str]) -> list[str]:
    listed = list(found)
    more = [f"… and {len(listed) - SHOWN} more"] if len(listed) > SHOWN else []
    return listed[:SHOWN] + more
