"""The guards: what may happen twice, and what absorbs it. Pure."""

from enum import StrEnum
from typing import NamedTuple


class Guard(StrEnum):
    """What absorbed a duplicate."""

    IDEMPOTENCY_KEY = "idempotency_key"
    OPERATION_KEY = "operation_key"
    DELIVERY = "delivery"
    CHARGE_INDEX = "charge_index"
    TOKEN = "token"  # noqa: S105  a guard's name
    STRIPE_KEY = "stripe_key"
    LEDGER_REFERENCE = "ledger_reference"
    EVENT = "event"


class Help(NamedTuple):
    """What came twice, and what became of it."""

    twice: str
    instead: str


HELP: dict[Guard, Help] = {
    Guard.IDEMPOTENCY_KEY: Help(
        "a POST of an order, under a key that is known", "its answer is the order as it is now; nothing is stored"
    ),
    Guard.OPERATION_KEY: Help(
        "a capture, cancellation, payment or refund that was asked for under this key",
        "its answer is the first one's; nothing is stored",
    ),
    Guard.DELIVERY: Help(
        "a message whose outbox row is gone, done, in another worker's hand, or not due again yet",
        "no worker calls Stripe for it",
    ),
    Guard.CHARGE_INDEX: Help(
        "a charge under a key that a charge already has", "no charge is made, and its row is parked for a human"
    ),
    Guard.TOKEN: Help(
        "an answer of Stripe's for an effect that another worker has taken over or settled",
        "order, journal and outbox stay as the other one left them",
    ),
    Guard.STRIPE_KEY: Help(
        "a request under a key that Stripe has seen, told by its header `Idempotent-Replayed`",
        "Stripe repeats its first answer, and charges nothing",
    ),
    Guard.LEDGER_REFERENCE: Help(
        "a settlement whose booking is on the books already", "nothing is booked a second time"
    ),
    Guard.EVENT: Help("an event of Stripe's that is stored already", "its delivery is counted, and nothing else"),
}
