"""What happens around the calls: the door, the outbox, the ledger, Stripe's and the bank's news, and people. Pure."""

from service.console.story.calls import Part
from service.console.story.model import Arrow, Event, Kind, Lane, Subject, band, note
from service.console.tones import tone
from service.foundation.money import spelled
from service.states import ORDER_MEANS

_ENDS: dict[str, Kind] = {"good": Kind.GOOD, "bad": Kind.BAD}
# The entries that a worker books when it settles; all others are booked when Stripe shows a movement of its balance.
_SETTLED = ("charge", "duplicate", "refund_pending", "refund")


def accepted(event: Event, about: Subject) -> Part:
    """The producer's request, and the commit that makes it a promise."""
    del event
    tells = (
        f'The producer asked for {about.amount} under the idempotency key "{about.key}". The API stored the order and, '
        "in the same transaction, the promise to charge it: a row of the outbox. Then it answered 201."
    )
    return Part(
        tells,
        (
            Arrow(Kind.ASK, Lane.PRODUCER, Lane.API, f"POST /v1/orders · {about.amount}", f"key {about.key}"),
            Arrow(Kind.BOOKED, Lane.API, Lane.OUTBOX, "COMMIT: order + promise", "one transaction"),
            Arrow(Kind.ANSWER, Lane.API, Lane.PRODUCER, "201 accepted", "after the commit"),
        ),
    )


def adopted(noun: str) -> Part:
    """It is at Stripe, and this database had no row of it."""
    tells = f"Stripe showed a {noun} that this database did not know. Its row was written again from what Stripe has."
    return Part(tells, (Arrow(Kind.TOLD, Lane.STRIPE, Lane.OUTBOX, f"{noun} found at Stripe: brought back"),))


def state(status: str) -> Part:
    """What the order is now."""
    return Part(
        f"The order is {status}. {ORDER_MEANS[status]}",
        (band(_ENDS.get(tone(status), Kind.STATE), f"order {status}"),),
    )


def promised(event: Event) -> Part:
    """A row that is still in the outbox."""
    times = _times(event["deliveries"])
    opened = f"it was opened {times}" if event["deliveries"] else "nobody has opened it yet"
    tells = f"The promise ({event['kind']}) is still in the outbox, and stays until it is kept; {opened}."
    return Part(tells, (note(Kind.WAITS, Lane.OUTBOX, f"promise: {event['kind']}", f"opened {times}"),))


def due(event: Event) -> Part:
    """When it comes next, and what it waits for."""
    wait = event["due_in_s"]
    when = f"due in {wait:g} s" if wait > 0 else "due now"
    return Part(
        f"It waits: {event['waits_for']} What to do: {event['next_step']}",
        (note(Kind.WAITS, Lane.OUTBOX, f"{when}: {event['waits_for']}", str(event["next_step"])),),
    )


def parked(event: Event) -> Part:
    """Taken out of delivery, for a human."""
    reason = event.get("reason") or "no reason given"
    return Part(
        f"The promise was parked: {reason}. {event['waits_for']} What to do: {event['next_step']}",
        (note(Kind.PARKED, Lane.OUTBOX, f"parked: {reason}", str(event["next_step"])),),
    )


def asked(event: Event) -> Part:
    """Something was asked of the order after it was placed."""
    what = event["operation"]
    tells = f"The producer asked to {what} the order; the API stored that and answered."
    return Part(tells, (Arrow(Kind.ASK, Lane.PRODUCER, Lane.API, f"POST …/{what}", "under a key of its own"),))


def owed(noun: str, event: Event, about: Subject) -> Part:
    """A change or refund is promised."""
    amount = f" {spelled(event['amount'], about.currency)}" if "amount" in event else ""
    by = {"pay": " before another attempt", "expiry": " because a wait is over"}.get(event.get("wanted_by", ""), "")
    what = f"{event.get('kind', noun)}{amount}"
    tells = f"The promise to {what}{by} was stored, with its outbox row, in one transaction."
    return Part(tells, (Arrow(Kind.BOOKED, Lane.API, Lane.OUTBOX, f"COMMIT: promise to {what}", by.strip()),))


def ended(noun: str, event: Event) -> Part:
    """A change or refund has come to its end."""
    what, status = event.get("kind", noun), event["status"]
    kind = Kind.GOOD if status in ("done", "succeeded") else Kind.BAD
    tells = f"The {what} is {status}, and its promise left the outbox in the same transaction."
    return Part(tells, (note(kind, Lane.OUTBOX, f"{what} {status}", event.get("balance_transaction", "")),))


def booked(event: Event) -> Part:
    """A journal entry."""
    kind, reference = event["kind"], event["reference"]
    source = Lane.WORKER if kind in _SETTLED else Lane.STRIPE
    tells = f"The ledger booked `{kind}` once, under the unique reference {reference}."
    entry = Arrow(Kind.BOOKED, source, Lane.LEDGER, f"book {kind}", reference)
    if kind != "charge":
        return Part(tells, (entry,))
    kept = Arrow(Kind.BOOKED, Lane.WORKER, Lane.OUTBOX, "promise kept: row deleted", "the same transaction")
    return Part(f"{tells} In the same transaction the promise left the outbox.", (entry, kept))


def disputed(event: Event, about: Subject) -> Part:
    """A dispute, in Stripe's words."""
    amount, status = spelled(event["amount"], about.currency), event.get("status", "?")
    why = f" ({event['reason']})" if event.get("reason") else ""
    tells = f"The customer's bank disputes {amount}{why}; Stripe says: {status}."
    return Part(tells, (Arrow(Kind.TOLD, Lane.STRIPE, Lane.API, f"dispute {status} · {amount}", event["dispute"]),))


def suspected(event: Event) -> Part:
    """A bank's warning of fraud."""
    open_ = "" if event["actionable"] else ", and nothing is left to do about it"
    tells = f"The customer's bank warned of fraud ({event['fraud_type']}){open_}."
    text = f"fraud warning: {event['fraud_type']}"
    return Part(tells, (Arrow(Kind.TOLD, Lane.STRIPE, Lane.API, text, event["fraud_warning"]),))


def told(event: Event) -> Part:
    """An event of Stripe's, that came once or more often."""
    times, how = event["received"], "delivered" if event["source"] == "webhook" else "fetched"
    arrow = Arrow(Kind.TOLD, Lane.STRIPE, Lane.API, f"event {event['type']}", event["stripe_event"])
    tells = f"Stripe told {event['type']} ({event['stripe_event']}): a hint that its object is to be read."
    if times > 1:
        more = f"{how} {_times(times)}, stored once"
        again = Arrow(Kind.ABSORBED, Lane.STRIPE, Lane.API, more, "guard: the event's id is unique")
        return Part(f"{tells} It was {more}.", (arrow, again))
    return Part(tells, (arrow,))


def sent(event: Event) -> Part:
    """A notice to the producer arrived."""
    after = f", after {_times(event['tries'])}" if event["tries"] > 1 else ""
    tells = f"The producer was told `{event['type']}` at its endpoint{after}."
    return Part(tells, (Arrow(Kind.TOLD, Lane.WORKER, Lane.PRODUCER, f"notice {event['type']}", event["webhook_id"]),))


def given_up(event: Event) -> Part:
    """A notice to the producer was given up."""
    last = f" (last: {event['answer']})" if event.get("answer") else ""
    tells = f"The producer could not be told `{event['type']}` after {_times(event['tries'])}{last}: it is parked."
    text = f"notice {event['type']} given up{last}"
    return Part(tells, (Arrow(Kind.LOST, Lane.WORKER, Lane.PRODUCER, text, event["webhook_id"]),))


def acted(event: Event) -> Part:
    """An operator did something to the order, or to what it owes."""
    why = f": {event['reason']}" if event.get("reason") else ""
    tells = f"{event['actor']} ({event['via']}) did {event['action']}{why}."
    return Part(
        tells, (note(Kind.HUMAN, Lane.OUTBOX, f"{event['action']} by {event['actor']}", event.get("reason", "")),)
    )


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
