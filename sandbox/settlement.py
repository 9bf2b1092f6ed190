"""Settlement: the currency in which the balance receives a payment, and the rate of that moment.

Without a rule a payment settles in the currency that the customer paid in. By a rule `amount · rate` is booked, both in
minor units as the SDK's types say it of `exchange_rate`, rounded half up.
"""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import NamedTuple

from sandbox.currencies import SUPPORTED
from sandbox.objects import Charge, decode_balance_transaction
from sandbox.store import Store


class Settled(NamedTuple):
    """A currency of the balance, and the rate into it; null where nothing is converted."""

    currency: str
    rate: Decimal | None = None

    def convert(self, amount: int) -> int:
        """So many minor units are booked for `amount`."""
        return amount if self.rate is None else int((amount * self.rate).quantize(Decimal(1), ROUND_HALF_UP))

    @property
    def exchange_rate(self) -> float | None:
        """The rate as a balance transaction shows it."""
        return None if self.rate is None else float(self.rate)


def now(store: Store, currency: str) -> Settled:
    """How a payment in `currency` settles at this moment."""
    row = store.row("SELECT settles_in, rate FROM settlements WHERE currency = ?", (currency,))
    return Settled(currency) if row is None else Settled(row[0], Decimal(row[1]))


def of_charge(store: Store, charge: Charge) -> Settled:
    """How a refund or dispute of `charge` settles now: in the charge's settlement currency, at the newest rate."""
    rule = now(store, charge.currency)
    if charge.balance_transaction is None:
        return rule
    sql = "SELECT body FROM balance_transactions WHERE id = ?"
    entry = decode_balance_transaction(store.row(sql, (charge.balance_transaction,))[0])
    if entry.currency == rule.currency:
        return rule
    return Settled(entry.currency, None if entry.exchange_rate is None else Decimal(str(entry.exchange_rate)))


def settle(store: Store, currency: str, settles_in: str | None, rate: str | None) -> None:
    """From now on payments in `currency` settle in another one at this rate; null: in their own again."""
    if settles_in is None:
        store.write("DELETE FROM settlements WHERE currency = ?", (currency,))
        return
    unknown = {currency, settles_in} - SUPPORTED
    if unknown or currency == settles_in:
        raise ValueError(f"not two currencies of Stripe's: {currency}, {settles_in}")
    store.write("INSERT OR REPLACE INTO settlements VALUES (?, ?, ?)", (currency, settles_in, str(_checked(rate))))


def _checked(rate: str | None) -> Decimal:
    try:
        number = Decimal(rate or "")
    except InvalidOperation:
        raise ValueError(f'not a rate: {rate}; write it as text, such as "1.0842"') from None
    if not number.is_finite() or number <= 0:
        raise ValueError(f"not a rate above 0: {rate}")
    return number
