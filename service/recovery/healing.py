"""One payment that Stripe took and this database has not on the books: put right by Stripe's own success (R21, R23).

Nothing is ever sent: the PaymentIntent is read, and settled or adopted as any other whose answer was lost, and so are
its refunds. What is settled already is only completed, forward: its journal entry, its order's state.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import charges, ledger, notices, orders
from service.charges import elsewhere
from service.foundation.postgres.sql import Connection, Record, Statement, begin, connect
from service.foundation.settings import Settings
from service.ledger import JournalEntry
from service.recovery import lives
from service.recovery.adoption import Step, Verdict, judge
from service.recovery.instance import instance_of
from service.recovery.knowing import Listed, what_is_known
from service.recovery.refund_healing import adopt_refund
from service.recovery.verification import brought_back, with_key
from service.states import CHARGE_MONEY_MOVED, ORDER_TRANSITIONS
from service.stripe_gateway.marks import read_marks
from service.stripe_gateway.objects import BalanceTransaction, Charge, Intent

if TYPE_CHECKING:  # the SDK costs half a second
    from service.stripe_gateway.client import StripeGateway

_NOT_OURS = Verdict(Step.REPORT, "it bears no marks of this installation: refund it at Stripe if it is nobody's")


async def heal(
    engine: AsyncEngine, gateway: "StripeGateway", settings: Settings, intent_id: str, *, dry_run: bool
) -> Verdict:
    """Put the PaymentIntent on the books if Stripe took its money; a dry run only tells. Raises IncompleteListing."""
    intent = await gateway.retrieve_payment_intent(intent_id)
    if intent is None or intent.status != "succeeded":
        return Verdict(Step.REPORT, "Stripe did not take its money")
    held = await _holder(engine, intent)
    if held is not None and _differs(held, intent):
        return Verdict(Step.REPORT, "its amount or currency is not its charge's")
    if held is not None and _is_settled(held):
        return await _complete(engine, held, intent, dry_run=dry_run)
    marks = read_marks(intent.metadata)
    if marks is None or marks.instance not in (None, await instance_of(engine)):
        return _NOT_OURS
    listed = Listed(intent, marks)
    (known,) = await what_is_known(engine, [listed])
    if known.order_id is None and known.is_default:
        listed = await with_key(gateway, listed)
        (known,) = await what_is_known(engine, [listed])
    verdict = judge(intent, listed.marks, known)
    if dry_run or verdict.step not in (Step.SETTLE, Step.ADOPT):
        return verdict
    verdict = await brought_back(engine, listed, await lives.current(engine, settings), settings)
    if not _is_settled(await _holder(engine, intent)):
        return Verdict(Step.REPORT, "it could not be settled: what Stripe shows is not this charge's")
    async for shown in gateway.list_refunds(payment_intent=intent_id):
        await adopt_refund(engine, shown, settings)
    return verdict


class _Held(Record):
    """A charge, and the state of its order."""

    id: UUID
    status: str
    account_id: UUID
    order_id: UUID
    stripe_charge_id: str | None
    amount_minor: int
    captured_minor: int | None
    currency: str
    charged_at: datetime | None
    capture: str
    order_status: str
    settlement_currency: str | None
    waits: bool


_HOLDER = Statement(f"""
SELECT c.id, c.status, c.account_id, c.order_id, c.stripe_charge_id, c.amount_minor, c.captured_minor, c.currency,
       c.charged_at, o.capture, o.status AS order_status, c.settlement_currency, {elsewhere.waits("c")} AS waits
  FROM accounts a JOIN charges c ON c.account_id = a.id AND c.payment_intent_id = :intent
  JOIN orders o ON o.id = c.order_id
""").returning(_Held)


async def _holder(engine: AsyncEngine, intent: Intent) -> _Held | None:
    """The charge that bears this PaymentIntent's id, whatever its metadata says by now."""
    async with connect(engine) as connection:
        return await connection.row(_HOLDER, {"intent": intent.id})


def _is_settled(held: _Held | None) -> bool:
    return held is not None and held.status in CHARGE_MONEY_MOVED


def _differs(held: _Held, intent: Intent) -> bool:
    if (intent.amount, intent.currency) != (held.amount_minor, held.currency):
        return True
    taken = intent.amount_received or intent.amount  # 0: Stripe does not say
    if _is_settled(held):
        return taken != (held.captured_minor or held.amount_minor)
    return taken != intent.amount and not (held.capture == "manual" and 0 < taken < intent.amount)


async def _complete(engine: AsyncEngine, held: _Held, intent: Intent, *, dry_run: bool) -> Verdict:
    """Book the entry of a settled charge that has none, and move its order to `paid`, where it may go there."""
    bt = _movement(intent)
    async with begin(engine) as tx:
        await orders.lock(tx, [held.order_id])
        now = await tx.one(_HOLDER, {"intent": intent.id})
        settled_in = bt.currency if bt else now.settlement_currency or now.currency
        is_booked = await _is_booked(tx, _entry(now, intent), settled_in)
        is_paid = now.order_status == "paid" or now.status == "duplicate"
        if is_booked and is_paid:
            return Verdict(Step.REPORT, "it is settled and booked; what differs else is for a human")
        if not is_paid and not _can_be_paid(now.order_status):
            return Verdict(Step.REPORT, f"its order is {now.order_status} although its charge is settled")
        if bt is None and not is_booked and (now.waits or settled_in != now.currency):
            return Verdict(Step.REPORT, "Stripe has not made its balance transaction yet, which tells what is booked")
        if not dry_run:
            await _written(tx, now, intent, bt)
            if not is_paid:
                await tx.run(_TO_PAID, {"id": held.order_id, "intent": intent.id})
                await notices.tell_of_orders(tx, [held.order_id])
    return Verdict(Step.SETTLE)


def _movement(intent: Intent) -> BalanceTransaction | None:
    charge = intent.latest_charge
    bt = charge.balance_transaction if isinstance(charge, Charge) else None
    return bt if isinstance(bt, BalanceTransaction) else None


async def _is_booked(tx: Connection, entry: JournalEntry, settled_in: str) -> bool:
    """Whether what is on the books of it is in the currency that Stripe's balance got."""
    stands = (await ledger.standing(tx, [entry.name])).get(entry.name)
    return stands is not None and all(posting.currency == settled_in for posting in stands.postings)


_TO_PAID = Statement("""
UPDATE orders SET status = 'paid', payment_intent_id = :intent, failure = NULL, updated_at = now() WHERE id = :id
""")


async def _written(tx: Connection, held: _Held, intent: Intent, bt: BalanceTransaction | None) -> None:
    """Book it; where another currency is in it, by its balance transaction."""
    entry = _entry(held, intent)
    if bt is not None and (held.waits or held.settlement_currency is not None or bt.currency != held.currency):
        refused = bool(await charges.book_moved(tx, [(held.id, bt)]))
    else:
        refused = bool((await ledger.post(tx, [entry])).conflicting)
    if refused:
        raise RuntimeError(f"{entry.reference} is on the books with other content")


def _can_be_paid(status: str) -> bool:
    """A pending order gets there by way of `processing`."""
    return "paid" in ORDER_TRANSITIONS[status] or status == "pending"


def _entry(held: _Held, intent: Intent) -> JournalEntry:
    make = ledger.duplicate_entry if held.status == "duplicate" else ledger.charge_entry
    at_stripe = datetime.fromtimestamp(intent.charged_at or intent.created, UTC)
    return make(
        account_id=held.account_id,
        order_id=held.order_id,
        payment_intent_id=intent.id,
        stripe_charge_id=held.stripe_charge_id or intent.charge_id or "",
        amount_minor=held.captured_minor or held.amount_minor,
        currency=held.currency,
        occurred_at=held.charged_at or at_stripe,
    )
