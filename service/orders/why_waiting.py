"""Why an order waits, in words for a person, and what to do about it. Pure: from its outbox row and the last look."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_RECOVER = "Nothing: it goes on by itself; `eo recover` tells how far it is."
# What the row remembers of its last delivery (the beginning of it) → what that means, and the next step.
_LAST: tuple[tuple[str, str, str], ...] = (
    (r"breaker open: ", "nothing was sent to Stripe", "Nothing is needed once its cause is gone; see /health/ready."),
    (r"429 lock_timeout", "Stripe was busy with the same object", "Nothing: it is tried again."),
    (r"429\b", "Stripe asked for fewer calls (429)", "Nothing; where it lasts, lower EO_STRIPE_MAX_RPS or ask Stripe."),
    (r"401\b", "Stripe refused our API key", "Correct STRIPE_API_KEY and start relay and workers again."),
    (r"403\b", "Stripe did not allow our API key this", "Allow it in Stripe's dashboard, or set another key."),
    (r"409\b", "Stripe still worked on an earlier request of this order", "Nothing: it is asked again."),
    (r"5\d\d\b|424\b", "Stripe answered with an error of its own", "Nothing: it is asked what it did."),
    (r"400\b|404\b", "Stripe refused the form of our request", "See docs/howto/stripe-refuses-us.md."),
    (r"200 processing", "the bank has not decided yet", "Nothing: Stripe is asked again; it may take days."),
    (
        r"200 pending",
        "Stripe had not paid it out: its balance with Stripe may be too low",
        "Nothing: it is asked again. Where it lasts, see the balance in Stripe's dashboard.",
    ),
    (r"200 requires_action", "the customer has to confirm the payment (3-D Secure)", "The customer acts."),
    (r"200 requires_capture", "the money was held and not taken", "Capture or cancel it, before Stripe lets go."),
    (r"Stripe is being|it could not be found out|another", "Stripe had to be asked what was forgotten", _RECOVER),
    (r"abandoned before the call", "the worker had no time left to call", "Nothing; start workers where it lasts."),
    (r"", "the answer to the last call was lost or unclear", "Nothing: Stripe is asked what it did."),
)
_PARKED: tuple[tuple[str, str, str], ...] = (
    (
        r"key_conflict",
        "Stripe has its key for another request",
        "`eo outbox retry`; `eo orders fail` (a refund: `eo refunds fail`).",
    ),
    (r"refused", "Stripe refuses this order and takes others", "Look it up in Stripe's dashboard, then retry."),
    (r"poison", "its workers died again and again", "Read the worker's log, repair, then `eo outbox retry`."),
    (r"look-ups", "Stripe's lists could not be read for a day", "`eo outbox retry` once Stripe lists again."),
    (r"unfinished", "it came to no end at Stripe in time", "End it in Stripe's dashboard, then `eo outbox retry`."),
    (r"books", "the books refused what Stripe answered", "Compare it with Stripe, then `eo outbox retry`."),
    (r"", "a human has to decide", "See docs/howto/parked-rows.md; then `eo outbox retry`."),
)
# The checks of readiness that keep an order from being paid, the nearest cause first.
_CHECKS = ("stripe", "memory", "redis", "relay", "worker")


@dataclass(frozen=True, slots=True)
class Owed:
    """An outbox row as it stands. `due_in_s` is negative where it is due already."""

    parked: bool
    out: bool  # handed to the broker and not answered for
    due_in_s: float
    last_error: str | None


def why(owed: Owed, checks: Mapping[str, str]) -> tuple[str, str]:
    """What it waits for, and what to do."""
    if owed.parked:
        words, step = _found(_PARKED, owed.last_error or "")
        return f"It is parked for a human: {words}.", step
    for name in _CHECKS:
        if (said := checks.get(name, "ok")) != "ok":
            return said, "Remove that cause; the order then goes on by itself."
    if owed.last_error is None:
        return _by_time(owed), "Nothing: it goes on by itself."
    words, step = _found(_LAST, owed.last_error)
    return f"Last seen: {words}. {_by_time(owed)}", step


def _by_time(owed: Owed) -> str:
    seconds = round(abs(owed.due_in_s))
    if owed.out and owed.due_in_s > 0:
        return (
            "It is with a worker, which may wait for its turn under Stripe's rate limit; without an answer it is handed"
            f" out again in {seconds} s."
        )
    if owed.due_in_s > 0:
        return f"It is due in {seconds} s."
    return f"It has been due for {seconds} s and waits for a relay."


def _found(table: tuple[tuple[str, str, str], ...], text: str) -> tuple[str, str]:
    return next((words, step) for pattern, words, step in table if re.match(pattern, text))
