"""What came twice, and the guard that absorbed it, as the picture shows it. Pure."""

from dataclasses import dataclass

from service.console.story.calls import Part
from service.console.story.model import Arrow, Event, Kind, Lane
from service.duplicates import Guard


@dataclass(frozen=True, slots=True)
class Absorbed:
    """Between whom a duplicate came, what it was, and what keeps it from having an effect."""

    source: Lane
    target: Lane
    what: str
    guard: str
    tells: str


GUARDS: dict[Guard, Absorbed] = {
    Guard.IDEMPOTENCY_KEY: Absorbed(
        Lane.PRODUCER,
        Lane.API,
        "the same POST again",
        "unique (account, idempotency key)",
        "The producer sent its request again. Its key is known, so the answer was the order as it is, and nothing new.",
    ),
    Guard.OPERATION_KEY: Absorbed(
        Lane.PRODUCER,
        Lane.API,
        "asked for again",
        "unique (account, operation, key)",
        "The producer asked for the same thing again under the same key: the answer was the first one's.",
    ),
    Guard.DELIVERY: Absorbed(
        Lane.BROKER,
        Lane.WORKER,
        "delivered again",
        "the row is done, or in hand",
        "The broker delivered a message again. Its work was done, or in another worker's hand: nobody called Stripe.",
    ),
    Guard.CHARGE_INDEX: Absorbed(
        Lane.WORKER,
        Lane.OUTBOX,
        "a second charge",
        "unique (account, key on the wire)",
        "A second charge under the same key was refused by the unique index.",
    ),
    Guard.TOKEN: Absorbed(
        Lane.WORKER,
        Lane.OUTBOX,
        "a late answer",
        "its token was taken over",
        "An answer came from a worker whose lease was over. Another had taken over its token: it changed nothing.",
    ),
    Guard.STRIPE_KEY: Absorbed(
        Lane.STRIPE,
        Lane.WORKER,
        "replayed",
        "Stripe's Idempotency-Key",
        "Stripe was sent the same key again and repeated its first answer: nothing was done twice.",
    ),
    Guard.LEDGER_REFERENCE: Absorbed(
        Lane.WORKER,
        Lane.LEDGER,
        "booked again",
        "unique (account, reference)",
        "What was on the books was to be booked again: its reference is unique, and nothing was added.",
    ),
    Guard.EVENT: Absorbed(
        Lane.STRIPE,
        Lane.API,
        "the same event again",
        "unique event id",
        "Stripe delivered an event again: it was counted, and nothing else.",
    ),
}


def absorbed(event: Event) -> Part:
    """A duplicate that had no effect."""
    found, times = GUARDS[Guard(event["guard"])], event.get("times", 1)
    more = f" ({times} times)" if times > 1 else ""
    arrow = Arrow(Kind.ABSORBED, found.source, found.target, f"{found.what}{more}", f"guard: {found.guard}")
    return Part(f"{found.tells}{f' That happened {times} times.' if times > 1 else ''}", (arrow,))
