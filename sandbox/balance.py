"""The Stripe balance: each movement of it as a balance transaction, and what they add up to.

Under `automatic_async` capture the fee is not known when the card is charged: the balance transaction appears later,
is linked to the charge, and `charge.updated` tells. Source: Stripe's page on asynchronous capture.
"""

from typing import Literal, NamedTuple

from sandbox import events, settlement
from sandbox.cards import CARDS
from sandbox.currencies import DEFAULT, fee
from sandbox.ids import new_id
from sandbox.objects import BalanceTransaction, Charge, Json, Refund, decode_charge, encode
from sandbox.settlement import Settled
from sandbox.state import BY_ITSELF, Sandbox
from sandbox.store import Store

# Card money can be paid out two days later in most countries.
AVAILABLE_AFTER_S = 2 * 86_400
_BEFORE_THE_FEE = b'{"balance_transaction":null}'
_PENDING, _AVAILABLE = b'"status":"pending"', b'"status":"available"'
PROCESSING_FEE = "Stripe processing fees"
# How Stripe's page on reporting categories groups types; what is not here is a category of its own name.
CATEGORIES = {
    "adjustment": "other_adjustment",
    "payment_failure_refund": "charge_failure",
    "payout_cancel": "payout_reversal",
    "payout_failure": "payout_reversal",
    "reserve_hold": "risk_reserved_funds",
    "reserve_release": "risk_reserved_funds",
    "reserve_transaction": "risk_reserved_funds",
    "stripe_fee": "fee",
    "stripe_fx_fee": "fee",
    "tax_fee": "tax",
}
_AVAILABLE_NOW = "currency = ? AND available_on <= ? AND balance = 'payments'"


Balance = Literal["payments", "issuing", "refund_and_dispute_prefunding", "risk_reserved"]


class Movement(NamedTuple):
    """What moves a balance; `amount` and `fee` are in the currency that it settles in.

    The balance of payments is the one that `GET /v1/balance` shows and that is paid out.
    """

    type: str
    category: str
    amount: int
    settled: Settled
    source: str | None
    description: str | None
    fee: int = 0
    fee_name: str = PROCESSING_FEE
    of: Balance = "payments"


def book_fee(sandbox: Sandbox, charge_id: str, _payload: bytes, at: int) -> None:
    """Scheduled task: write the balance transaction of a charge, link it to the charge, and record the event."""
    store = sandbox.store
    (body,) = store.row("SELECT body FROM charges WHERE id = ?", (charge_id,))
    charge = decode_charge(body)
    charge.balance_transaction = book(store, charge, at)
    updated = encode(charge)
    store.write("UPDATE charges SET body = ? WHERE id = ?", (updated, charge_id))
    events.record(store, "charge.updated", updated, BY_ITSELF, at, previous=_BEFORE_THE_FEE)


def book(store: Store, charge: Charge, at: int) -> str:
    """Write the balance transaction of `charge` and return its id."""
    settled = settlement.now(store, charge.currency)
    amount = settled.convert(charge.amount_captured)
    kept = fee(amount, settled.currency)
    movement = Movement("charge", "charge", amount, settled, charge.id, charge.description, kept)
    return move(store, movement, at, available_on=at + _delay_s(store, charge)).id


def book_refund(store: Store, refund: Refund, settled: Settled, description: str | None, at: int) -> str:
    """Write what the refund takes from the balance. Stripe keeps the charge's fee, and takes none for the refund."""
    return move(store, _of_refund(refund, settled, -1, "refund", _titled("REFUND FOR CHARGE", description)), at).id


def book_failure(store: Store, refund: Refund, settled: Settled, description: str | None, at: int) -> str:
    """Write what a failed or canceled refund gives back to the balance."""
    return move(store, _of_refund(refund, settled, 1, "refund_failure", _titled("REFUND FAILURE", description)), at).id


def move(
    store: Store, movement: Movement, at: int, *, available_on: int | None = None, payout: str | None = None
) -> BalanceTransaction:
    """Write a balance transaction; the balance has it at once, unless `available_on` says when. `payout` takes it."""
    currency, kept = movement.settled.currency, movement.fee
    entry = BalanceTransaction(
        id=new_id("txn_"),
        amount=movement.amount,
        available_on=at if available_on is None else available_on,
        balance_type=movement.of,
        created=at,
        currency=currency,
        description=movement.description,
        exchange_rate=movement.settled.exchange_rate,
        fee=kept,
        fee_details=[_fee_detail(kept, currency, movement.fee_name)] if kept else [],
        net=movement.amount - kept,
        reporting_category=movement.category,
        source=movement.source,
        status="available" if available_on in (None, at) else "pending",
        type=movement.type,
    )
    store.write(
        "INSERT INTO balance_transactions"
        " (id, created, available_on, balance, currency, net, type, source, payout, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.id,
            at,
            entry.available_on,
            movement.of,
            currency,
            entry.net,
            entry.type,
            entry.source or "",
            payout,
            encode(entry),
        ),
    )
    return entry


def render(body: bytes, available_on: int, now: int) -> bytes:
    """The balance transaction's JSON: `pending` turns `available` by the clock, without a write."""
    return body.replace(_PENDING, _AVAILABLE) if available_on <= now else body


def totals(sandbox: Sandbox) -> Json:
    """`GET /v1/balance`: the sum of all balance transactions per currency; the account's own is always there."""
    rows = sandbox.store.rows(
        "SELECT currency, SUM(net * (available_on <= ?1)), SUM(net * (available_on > ?1))"
        " FROM balance_transactions WHERE balance = 'payments' GROUP BY 1 ORDER BY 1",
        (sandbox.clock.now(),),
    )
    sums = {DEFAULT: (0, 0)} | {currency: (available, pending) for currency, available, pending in rows}
    return {
        "object": "balance",
        "available": [_sum(currency, available) for currency, (available, _) in sums.items()],
        "livemode": False,
        "pending": [_sum(currency, pending) for currency, (_, pending) in sums.items()],
    }


def available(sandbox: Sandbox, currency: str) -> int:
    """What can be paid out now."""
    sql = f"SELECT COALESCE(SUM(net), 0) FROM balance_transactions WHERE {_AVAILABLE_NOW}"
    return int(sandbox.store.row(sql, (currency, sandbox.clock.now()))[0])


def take(sandbox: Sandbox, currency: str, payout_id: str) -> None:
    """Note that what is available now, and in no payout yet, is in this one."""
    sql = f"UPDATE balance_transactions SET payout = ? WHERE {_AVAILABLE_NOW} AND payout IS NULL"
    sandbox.store.write(sql, (payout_id, currency, sandbox.clock.now()))


def _delay_s(store: Store, charge: Charge) -> int:
    row = store.row("SELECT card FROM payment_methods WHERE id = ?", (charge.payment_method,))
    return 0 if CARDS[row[0]].available_at_once else AVAILABLE_AFTER_S


def _fee_detail(amount: int, currency: str, description: str) -> Json:
    return {
        "amount": amount,
        "application": None,
        "currency": currency,
        "description": description,
        "type": "stripe_fee",
    }


def _sum(currency: str, net: int) -> Json:
    return {"amount": net, "currency": currency, "source_types": {"card": net}}


def _titled(title: str, charged_for: str | None) -> str:
    return title if charged_for is None else f"{title} ({charged_for})"


def _of_refund(refund: Refund, settled: Settled, sign: int, kind: str, description: str) -> Movement:
    return Movement(kind, kind, sign * settled.convert(refund.amount), settled, refund.id, description)
