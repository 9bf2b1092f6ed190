"""The Stripe balance: a balance transaction per captured charge, refund and failed refund, and what they add up to.

Under `automatic_async` capture the fee is not known when the card is charged: the balance transaction appears later,
is linked to the charge, and `charge.updated` tells. Source: Stripe's page on asynchronous capture.
"""

from sandbox import events
from sandbox.cards import CARDS
from sandbox.currencies import DEFAULT, fee
from sandbox.ids import new_id
from sandbox.objects import BalanceTransaction, Charge, Json, Refund, decode_charge, encode
from sandbox.state import BY_ITSELF, Sandbox
from sandbox.store import Store

# Card money can be paid out two days later in most countries.
AVAILABLE_AFTER_S = 2 * 86_400
_BEFORE_THE_FEE = b'{"balance_transaction":null}'
_PENDING, _AVAILABLE = b'"status":"pending"', b'"status":"available"'


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
    kept = fee(charge.amount_captured, charge.currency)
    entry = BalanceTransaction(
        id=new_id("txn_"),
        amount=charge.amount_captured,
        available_on=at + _delay_s(store, charge),
        created=at,
        currency=charge.currency,
        description=charge.description,
        fee=kept,
        fee_details=[_fee_detail(kept, charge.currency)],
        net=charge.amount_captured - kept,
        source=charge.id,
    )
    return _write(store, entry)


def book_refund(store: Store, refund: Refund, description: str | None, at: int) -> str:
    """Write what the refund takes from the balance. Stripe keeps the charge's fee, and takes none for the refund."""
    return _write(store, _of_refund(refund, -refund.amount, "refund", "REFUND FOR CHARGE", description, at))


def book_failure(store: Store, refund: Refund, description: str | None, at: int) -> str:
    """Write what a failed or canceled refund gives back to the balance."""
    return _write(store, _of_refund(refund, refund.amount, "refund_failure", "REFUND FAILURE", description, at))


def render(body: bytes, available_on: int, now: int) -> bytes:
    """The balance transaction's JSON: `pending` turns `available` by the clock, without a write."""
    return body.replace(_PENDING, _AVAILABLE) if available_on <= now else body


def totals(sandbox: Sandbox) -> Json:
    """`GET /v1/balance`: net amounts per currency; the account's own is always there, and what was set counts."""
    rows = sandbox.store.rows(
        "SELECT currency, SUM(net * (available_on <= ?1)), SUM(net * (available_on > ?1))"
        " FROM balance_transactions GROUP BY 1 ORDER BY 1",
        (sandbox.clock.now(),),
    )
    funds = dict(sandbox.store.rows("SELECT currency, available FROM funds"))
    sums = (
        {DEFAULT: (0, 0)}
        | dict.fromkeys(funds, (0, 0))
        | {currency: (available, pending) for currency, available, pending in rows}
    )
    return {
        "object": "balance",
        "available": [_sum(currency, funds.get(currency, mine)) for currency, (mine, _) in sums.items()],
        "livemode": False,
        "pending": [_sum(currency, pending) for currency, (_, pending) in sums.items()],
    }


def _delay_s(store: Store, charge: Charge) -> int:
    row = store.row("SELECT card FROM payment_methods WHERE id = ?", (charge.payment_method,))
    return 0 if CARDS[row[0]].available_at_once else AVAILABLE_AFTER_S


def _fee_detail(amount: int, currency: str) -> Json:
    return {
        "amount": amount,
        "application": None,
        "currency": currency,
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }


def _sum(currency: str, net: int) -> Json:
    return {"amount": net, "currency": currency, "source_types": {"card": net}}


def _of_refund(
    refund: Refund, amount: int, kind: str, title: str, charged_for: str | None, at: int
) -> BalanceTransaction:
    return BalanceTransaction(
        id=new_id("txn_"),
        amount=amount,
        available_on=at,
        created=at,
        currency=refund.currency,
        description=title if charged_for is None else f"{title} ({charged_for})",
        fee=0,
        fee_details=[],
        net=amount,
        reporting_category=kind,
        source=refund.id,
        type=kind,
    )


def _write(store: Store, entry: BalanceTransaction) -> str:
    store.write(
        "INSERT INTO balance_transactions (id, created, available_on, currency, net, type, source, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.id,
            entry.created,
            entry.available_on,
            entry.currency,
            entry.net,
            entry.type,
            entry.source,
            encode(entry),
        ),
    )
    return entry.id
