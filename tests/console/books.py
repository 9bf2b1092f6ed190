"""Books, parked rows, notices and a reconciliation to look at; among them texts that are made to break a page."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.effects import Rules
from service.effects.parking import POISON, Parked
from service.foundation.settings import Settings
from service.ledger import rollup
from service.reconcile import Span, reconcile
from service.stripe_gateway.objects import Refund
from tests.reconcile.desk import Stripe
from tests.reconcile.records import default_account, write
from tests.reconcile.world import HOUR, Story, declined, intent, names, paid, unknown, waiting

# What a key, a reason or a message of Stripe's may be: markup, a turn of direction, a quote, and no end.
NASTY = "<script>document.title='broken'</script><img src=x onerror=alert(1)>\u202egnp.exe\u2066 \"' & " + "x" * 10_000
POISONED = 3


class Shown(Stripe):
    """A Stripe that also lists the refunds of one payment."""

    async def list_refunds(
        self, *, created_gte: int | None = None, created_lt: int | None = None, payment_intent: str | None = None
    ) -> AsyncIterator[Refund]:
        async for found in super().list_refunds(created_gte=created_gte, created_lt=created_lt):
            if payment_intent in (None, found.payment_intent):
                yield found


@dataclass
class Books:
    """What was put there. stripe: what Stripe shows of it."""

    stripe: Stripe
    account: UUID
    order_ids: list[UUID]
    entry: UUID
    run: UUID
    fingerprints: dict[str, list[str]]

    def pages(self) -> list[str]:
        """Every page of the four, with something on it."""
        (mismatch, *_), (missing, *_) = (self.fingerprints[n] for n in ("amount_mismatch", "status_mismatch"))
        account = "/console/ledger/accounts/usd/assets:stripe:balance"
        return [
            "/console/outbox?show=waiting",
            "/console/outbox?show=out",
            "/console/outbox?show=parked",
            "/console/parked",
            "/console/parked?reason=poison",
            "/console/ledger",
            "/console/ledger?as_of=2020-01-01T00:00",
            account,
            f"{account}?day={(datetime.now(UTC) - 3 * HOUR).date()}",
            f"/console/ledger/entries/{self.entry}",
            "/console/reconciliation",
            "/console/reconciliation?class=amount_mismatch",
            "/console/reconciliation/runs",
            f"/console/reconciliation/runs/{self.run}",
            f"/console/reconciliation/discrepancies/{mismatch}",
            f"/console/reconciliation/discrepancies/{missing}",
        ]


async def fill(engine: AsyncEngine, settings: Settings) -> Books:
    """Put all of it there."""
    account, old = await default_account(engine), datetime.now(UTC) - 3 * HOUR
    stories = _stories(account, old)
    written = await write(engine, stories)
    stripe = Shown(list(written.intents.values()))
    await _more(engine, account, stories)
    await rollup(engine)
    async with reconcile(engine, stripe, Span(), grace_s=600, rules=Rules.of(settings), balance=stripe) as report:
        run = report.run_id
    fingerprints: dict[str, list[str]] = {}
    async with engine.begin() as tx:
        for row in await tx.execute(text("SELECT class, fingerprint FROM discrepancies ORDER BY first_seen_at")):
            fingerprints.setdefault(row[0], []).append(row[1])
        entry = (await tx.execute(text("SELECT min(id::text)::uuid FROM journal_entries"))).scalar_one()
        values = {"side": json.dumps({"status": NASTY, "amount": 5}), "one": fingerprints["amount_mismatch"][0]}
        await tx.execute(text(_ODD_SIDE), values)
        await tx.execute(text(_ODD_LINE), values | {"run": run, "nasty": NASTY})
    return Books(stripe, account, [story.order.id for story in stories], entry, run, fingerprints)


def _stories(account: UUID, old: datetime) -> list[Story]:
    """Books in two currencies, two discrepancies of a kind that is accepted and three that heal, and rows that wait."""
    stories = [paid(account, old - n * timedelta(minutes=1), 1999 + n) for n in range(4)]
    stories += [paid(account, old, 5000, "jpy", fee=180)]
    for amount in (2999, 3999):
        other = paid(account, old, amount)
        other.at_stripe(amount=7, amount_received=7)
        stories.append(other)
    for _ in range(3):
        unbooked = declined(account, old)
        unbooked.intents[0] = replace(intent(old, fee=0, metadata=names(unbooked.order)), id=unbooked.intent.id)
        stories.append(unbooked)
    reasons = [POISON] * POISONED + [NASTY, Parked.REFUSED.because(NASTY), Parked.REFUSED.because("403 by an account")]
    for reason in reasons:
        parked = unknown(account, old)
        parked.parked = reason
        stories.append(parked)
    return stories + [waiting(account, datetime.now(UTC)) for _ in range(4)]


async def _more(engine: AsyncEngine, account: UUID, stories: list[Story]) -> None:
    """Rows that are out, parked notices, suspense, a balance that was swept, and an entry of a hostile name."""
    endpoint, gone = uuid7(), uuid7()
    rows: list[tuple[str, dict[str, Any]]] = [
        (_OUT, {"order": stories[-1].order.id, "error": "429 rate_limit"}),
        (_ENDPOINT, {"id": endpoint, "account": account, "url": "https://shop.example/hooks", "deleted": None}),
        (_ENDPOINT, {"id": gone, "account": account, "url": f"https://{NASTY}", "deleted": datetime.now(UTC)}),
        *((_NOTICE, _notice(account, endpoint, stories[0].order.id, "503")) for _ in range(4)),
        (_NOTICE, _notice(account, gone, stories[1].order.id, NASTY)),
        (_SUSPENDED, {"id": "txn_nasty", "why": NASTY}),
        (_SWEPT, {}),
        ("UPDATE instance SET balance_opened_at = now()", {}),
    ]
    async with engine.begin() as tx:
        for statement, values in rows:
            await tx.execute(text(statement), values)


def _notice(account: UUID, endpoint: UUID, order: UUID, answer: str) -> dict[str, Any]:
    return {"id": uuid7(), "account": account, "endpoint": endpoint, "order": order, "answer": answer}


_OUT = """UPDATE outbox SET published = 1, deliver_after = now() + interval '1 hour', last_error = :error
 WHERE order_id = :order"""
_ENDPOINT = """INSERT INTO webhook_endpoints (id, account_id, idempotency_key, fingerprint, url, events, deleted_at)
VALUES (CAST(:id AS uuid), :account, CAST(CAST(:id AS uuid) AS text), '', :url, '{order.paid}', :deleted)"""
_NOTICE = """INSERT INTO notices (id, account_id, endpoint_id, webhook_id, type, object_id, order_id, body, status,
                     tries, answer, tried_at, ended_at)
VALUES (CAST(:id AS uuid), :account, :endpoint, CAST(CAST(:id AS uuid) AS text), 'order.paid',
        CAST(CAST(:order AS uuid) AS text), CAST(:order AS uuid), '{}',
        'parked', 12, :answer, now(), now())"""
_SUSPENDED = """INSERT INTO balance_transactions (id, type, category, source, amount_minor, fee_minor, net_minor,
                                  currency, stripe_created, status, why)
VALUES (:id, 'teleport', :why, :why, -7, 0, -7, '<b>x</b>', now(), 'suspense', :why)"""
_SWEPT = "INSERT INTO sweeps (kind, swept_until, swept_at) VALUES ('balance_transactions', now(), now())"
_ODD_SIDE = "UPDATE discrepancies SET ours = CAST(:side AS jsonb) WHERE fingerprint = :one"
_ODD_LINE = """INSERT INTO reconciliation_findings (run_id, n, class, payment_intent_id, ours, currency, amount_minor,
                                     happened_at, first_seen_at, fingerprint)
VALUES (:run, 9000, 'amount_mismatch', :nasty, CAST(:side AS jsonb), '<b>', 5, now(), now(), :one)"""
