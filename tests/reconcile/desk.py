"""An operator's desk, and one case for each step that a report may name."""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from click.testing import CliRunner, Result
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service import disputes, outbox, payouts
from service.disputes import Seen
from service.foundation.postgres.sql import Statement, begin
from service.foundation.settings import Settings
from service.ledger import fee_entry, post
from service.ops.cli import cli
from service.stripe_gateway.balance import Balance, Funds
from service.stripe_gateway.disputes import Dispute
from service.stripe_gateway.objects import BalanceTransaction, Charge, Intent
from service.stripe_gateway.payouts import Payout
from tests.disputes.arguing import dispute, now
from tests.payouts.bodies import payout
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.refund_stories import give_back, made_refund
from tests.reconcile.world import HOUR, Story, declined, held, intent, names, paid, success, unknown

ROOT = Path(__file__).parents[2]
COMMANDS = re.compile(r"`(eo [^`]*)`")
OLD = datetime.now(UTC) - 3 * HOUR


class Stripe(FakeStripe):
    """A gateway for the command itself."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""

    async def account_id(self) -> tuple[str, float | None]:
        return "acct_1", None

    async def key_of(self, _intent: Intent) -> str | None:
        return None

    async def list_balance_transactions(self, _gte: int, _lt: int | None = None) -> AsyncIterator[BalanceTransaction]:
        for shown in list[BalanceTransaction]():
            yield shown

    async def retrieve_balance_transaction(self, _id: str) -> BalanceTransaction | None:
        return None

    async def balance(self) -> Balance:
        return Balance(available=[Funds(amount=1911 + 5, currency="usd")], pending=[])


@dataclass
class Case:
    """A difference, what is done at Stripe or by the relay where the step says so, and the alternative not taken.

    heals: it is gone afterwards; else it may be there, acknowledged.
    """

    story: Story
    by_hand: Callable[["Desk"], Awaitable[None]] | None = None
    not_taken: str | None = None
    heals: bool = False
    payouts: tuple[Payout, ...] = ()  # as Stripe shows them
    ours: tuple[Payout, ...] = ()  # as Stripe showed them when they were followed last
    disputes: tuple[Dispute, ...] = ()
    our_disputes: tuple[Dispute, ...] = ()
    put: tuple[str, ...] = ()  # statements that put the rest on record


@dataclass
class Desk:
    """An operator's: a shell, and a hand at Stripe."""

    engine: AsyncEngine
    settings: Settings
    stripe: Stripe
    case: Case

    async def eo(self, line: str) -> Result:
        """Run a command as it was printed, with its capitals filled in."""
        return await asyncio.to_thread(CliRunner().invoke, cli, shlex.split(await self._filled_in(line))[1:])

    async def report(self) -> tuple[int, list[dict[str, Any]]]:
        """Exit code and discrepancies."""
        done = await self.eo("eo reconcile --json")
        return done.exit_code, json.loads(done.stdout)["discrepancies"]

    async def refund(self) -> None:
        """The last payment, whole, at Stripe."""
        charge = self.case.story.intent.latest_charge
        assert isinstance(charge, Charge)
        self.tell(latest_charge=replace(charge, refunded=True, amount_refunded=charge.amount))

    def tell(self, **changes: Any) -> None:
        """Stripe tells the last payment differently."""
        self.case.story.at_stripe(**changes)
        self.stripe.intents[self.case.story.intent.id] = self.case.story.intent

    async def book_fee(self) -> None:
        """As the relay's sweep does."""
        story = self.case.story
        charge = story.intent.latest_charge
        assert isinstance(charge, Charge)
        assert isinstance(charge.balance_transaction, BalanceTransaction)
        entry = fee_entry(
            account_id=story.order.account_id,
            order_id=story.order.id,
            payment_intent_id=story.intent.id,
            balance_transaction_id=charge.balance_transaction.id,
            fee_minor=charge.balance_transaction.fee,
            currency="usd",
            occurred_at=OLD,
        )
        assert entry is not None
        async with begin(self.engine) as tx:
            await post(tx, [entry])

    async def put_the_rest(self) -> None:
        """Payouts and disputes on both sides; ours were followed when they were made."""
        self.stripe.payouts = {one.id: one for one in self.case.payouts}
        self.stripe.disputes = {one.id: one for one in self.case.disputes}
        await payouts.settle(self.engine, self.case.ours)
        await disputes.settle(self.engine, [Seen.now(one) for one in self.case.our_disputes])
        async with begin(self.engine) as tx:
            await tx.run(Statement("UPDATE payouts SET updated_at = stripe_created"))
            await tx.run(Statement("UPDATE disputes SET updated_at = stripe_created"))
            for statement in self.case.put:
                await tx.run(Statement(statement))

    async def _filled_in(self, line: str) -> str:
        rows = await outbox.list_rows(self.engine)
        known = {"ID": str(rows[0]["id"]) if rows else "", "ORDER": str(self.case.story.order.id), "TEXT": "known"}
        return " ".join(known.get(word, word) for word in line.split())


def _planted(account: UUID) -> Case:
    story = paid(account, OLD)
    story.intents.append(intent(OLD))
    return Case(story, Desk.refund)


def _forgotten_attempt(account: UUID) -> Case:
    story = unknown(account, OLD)
    story.intents.append(intent(OLD, fee=0, metadata=names(story.order)))
    story.promised = True
    return Case(story, heals=True)


def _unbooked(account: UUID) -> Case:
    story = paid(account, OLD, fee=0)
    story.entries.clear()
    return Case(story, heals=True)


def _gone(account: UUID) -> Case:
    story = paid(account, OLD)
    story.intents.clear()
    return Case(story)


def _duplicate(account: UUID) -> Case:
    story = paid(account, OLD)
    success(story, OLD, duplicate=True)
    return Case(story, Desk.refund)


def _other_currency(account: UUID) -> Case:
    story = paid(account, OLD)
    story.at_stripe(currency="eur")
    return Case(story)


def _other_amount(account: UUID) -> Case:
    story = paid(account, OLD)
    story.at_stripe(amount=2999, amount_received=2999)
    return Case(story)


def _paid_with_another_card(account: UUID) -> Case:
    story = declined(account, OLD)
    story.intents[0] = replace(intent(OLD, fee=0, metadata=names(story.order)), id=story.intent.id)
    return Case(story, heals=True)


def _not_taken_there(account: UUID) -> Case:
    story = paid(account, OLD)
    story.at_stripe(status="canceled", amount_received=0, latest_charge=None)
    return Case(story)


def _parked(account: UUID) -> Case:
    story = unknown(account, OLD)
    story.parked = "poison"
    return Case(story, not_taken="eo outbox retry ID", heals=True)  # tests/recovery/test_healing.py takes that one


def _booked_wrong(account: UUID) -> Case:
    story = paid(account, OLD)
    story.order.amount = story.charge.amount = 2000
    story.at_stripe(amount=2000, amount_received=2000)
    return Case(story)


def _no_fee(account: UUID) -> Case:
    story = paid(account, OLD)
    story.entries.pop()
    story.charge.txn = None
    return Case(story, Desk.book_fee, heals=True)


def _other_fee(account: UUID) -> Case:
    story = paid(account, OLD)
    story.fee_at_stripe(fee=1)
    return Case(story)


def _refunded(account: UUID) -> Case:
    story = paid(account, OLD)
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, amount_refunded=500))
    return Case(story)


def _refund_past_us(account: UUID) -> Case:
    story = paid(account, OLD)
    made_refund(story, OLD, 500)
    return Case(story)


def _refund_gone(account: UUID) -> Case:
    story = paid(account, OLD)
    give_back(story, OLD)
    story.refunded.clear()
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, amount_refunded=0))
    return Case(story)


def _refund_of_more(account: UUID) -> Case:
    story = paid(account, OLD)
    give_back(story, OLD)
    story.refund_at_stripe(amount=501)
    return Case(story)


def _refund_canceled_there(account: UUID) -> Case:
    story = paid(account, OLD)
    give_back(story, OLD)
    story.refund_at_stripe(status="canceled")
    return Case(story)


def _expired(account: UUID) -> Case:
    story = held(account, OLD)
    story.promised = True
    story.at_stripe(status="canceled", latest_charge=None)
    return Case(story)


_MADE: dict[str, Any] = {"created": int(OLD.timestamp()), "arrival_date": int(OLD.timestamp())}


def _payout_past_us(account: UUID) -> Case:
    return Case(paid(account, OLD), payouts=(payout("paid", **_MADE),), heals=True)


def _payout_arrived_there(account: UUID) -> Case:
    return Case(paid(account, OLD), payouts=(payout("paid", **_MADE),), ours=(payout(**_MADE),), heals=True)


def _payout_ended_otherwise(account: UUID) -> Case:
    return Case(paid(account, OLD), payouts=(payout("paid", **_MADE),), ours=(payout("canceled", **_MADE),))


def _dispute_past_us(account: UUID) -> Case:
    story = paid(account, OLD)
    return Case(story, disputes=(_disputed(story, "lost"),), heals=True)


def _dispute_moved_on(account: UUID) -> Case:
    story = paid(account, OLD)
    ours = _disputed(story, "needs_response")
    return Case(story, disputes=(now(ours, "under_review"),), our_disputes=(ours,), heals=True)


def _dispute_in_a_new_state(account: UUID) -> Case:
    story = paid(account, OLD)
    ours = _disputed(story, "arbitration")
    return Case(story, disputes=(ours,), our_disputes=(ours,))


def _disputed(story: Story, status: str) -> Dispute:
    return dispute(story.intent.id, status, created=int(OLD.timestamp()))


def _five_more_at_stripe(account: UUID) -> Case:
    swept = "INSERT INTO sweeps (kind, swept_until, swept_at) VALUES ('balance_transactions', now(), now())"
    return Case(paid(account, OLD), put=(swept, "UPDATE instance SET balance_opened_at = now()"))


def _moved_by_a_new_category(account: UUID) -> Case:
    suspended = (
        "INSERT INTO balance_transactions (id, type, category, amount_minor, fee_minor, net_minor, currency,"
        " stripe_created, status, why) VALUES ('txn_new', 'teleport', 'teleport', -7, 0, -7, 'usd', now(), 'suspense',"
        " 'its category is unknown to this version')"
    )
    return Case(paid(account, OLD), put=(suspended,))


CASES: list[tuple[str, Callable[[UUID], Case]]] = [
    ("missing_locally", _planted),
    ("missing_locally", _unbooked),
    ("missing_at_stripe", _gone),
    ("duplicate_charge", _duplicate),
    ("currency_mismatch", _other_currency),
    ("amount_mismatch", _other_amount),
    ("status_mismatch", _paid_with_another_card),
    ("status_mismatch", _forgotten_attempt),
    ("status_mismatch", _not_taken_there),
    ("stale_pending", _parked),
    ("ledger_imbalance", _booked_wrong),
    ("fee_missing", _no_fee),
    ("fee_mismatch", _other_fee),
    ("money_returned", _refunded),
    ("refund_missing_locally", _refund_past_us),
    ("refund_missing_at_stripe", _refund_gone),
    ("refund_amount_mismatch", _refund_of_more),
    ("refund_status_mismatch", _refund_canceled_there),
    ("authorization_expired", _expired),
    ("dispute_missing_locally", _dispute_past_us),
    ("dispute_status_mismatch", _dispute_moved_on),
    ("dispute_status_mismatch", _dispute_in_a_new_state),
    ("payout_missing_locally", _payout_past_us),
    ("payout_status_mismatch", _payout_arrived_there),
    ("payout_status_mismatch", _payout_ended_otherwise),
    ("balance_drift", _five_more_at_stripe),
    ("unknown_category", _moved_by_a_new_category),
]
