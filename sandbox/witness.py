"""The witness: what really happened to money, written where it happens and nowhere else; only `truth.py` reads it.

`movements` has a row for every time money was taken from a card, `aftermath` one for everything else:

    authorized     a card holds money for a capture          captured   some or all of it was taken (and is a movement)
    released       the card holds the rest no longer         canceled   the PaymentIntent can never be charged again
    refunded       money went back to the customer           returned   the same money came back: the refund failed
    opened         a dispute, or an inquiry                  disputed   the bank wants the payment back from now on
    undisputed     it wants it no longer                     withdrawn  the balance paid for it …
    reinstated     … and got it back                         disputing  what the dispute itself cost, or gave back

The last three are in the currency of settlement, all others in that of the payment.
"""

from collections.abc import Mapping
from typing import Literal

from sandbox.objects import Charge
from sandbox.store import Store

Kind = Literal[
    "authorized",
    "captured",
    "released",
    "canceled",
    "refunded",
    "returned",
    "opened",
    "disputed",
    "undisputed",
    "withdrawn",
    "reinstated",
    "disputing",
]


def took(store: Store, charge: Charge) -> None:
    """Money was taken: as much as the charge has captured."""
    given = charge.metadata.get
    store.write(
        "INSERT INTO movements (charge, payment_intent, amount, currency, eo_account, eo_order, eo_attempt)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            charge.id,
            charge.payment_intent,
            charge.amount_captured,
            charge.currency,
            given("eo_account"),
            given("eo_order"),
            given("eo_attempt"),
        ),
    )


def noted(store: Store, kind: Kind, subject: str, amount: int, currency: str, metadata: Mapping[str, str]) -> None:
    """Something else happened to `amount`; the metadata is the payment's, so that the order is named by one object."""
    given = metadata.get
    store.write(
        "INSERT INTO aftermath (kind, subject, amount, currency, eo_account, eo_order, eo_attempt)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kind, subject, amount, currency, given("eo_account"), given("eo_order"), given("eo_attempt")),
    )
