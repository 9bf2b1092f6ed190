"""Why a row is parked: each reason once, with what it means and what a human does.

`last_error` of a parked row begins with one of these words. docs/reference/parking-reasons.md shows the table.
"""

from enum import StrEnum

from service.stripe_gateway.marks import KEY, ORDER


class Parked(StrEnum):
    """The first words of `last_error`, by which a person or a program tells parked rows apart."""

    KEY_CONFLICT = "key_conflict"
    REFUSED = "refused"
    POISON = "poison"
    LOOK_UPS = "look-ups"
    UNFINISHED = "unfinished"
    BOOKS = "books"

    def because(self, detail: str) -> str:
        """The whole of `last_error`."""
        return f"{self}: {detail}"


POISON = Parked.POISON.because("opened again and again without ever settling")
KEY_IS_ANOTHERS = Parked.KEY_CONFLICT.because("this key already charges something else")
KEY_AT_STRIPE = Parked.KEY_CONFLICT.because("Stripe has the key for another request")
LOOK_UPS_INCONCLUSIVE = Parked.LOOK_UPS.because("none was conclusive for a day")

# Reason → (what it means, what a human does), as the page shows it.
HELP: dict[Parked, tuple[str, str]] = {
    Parked.KEY_CONFLICT: (
        "Stripe has the key for another request, or it charges another order here",
        (
            f"see whose payment it is: `{ORDER}` and `{KEY}` in its metadata at Stripe. `retry` looks again and never "
            "posts; `eo orders fail` ends the order, `eo refunds fail` the refund"
        ),
    ),
    Parked.REFUSED: (
        "Stripe refuses this order, for a reason that is neither its data nor ours, and takes others",
        "look the answer up by its Request-Id in Stripe's dashboard; when the cause is gone: retry",
    ),
    Parked.POISON: (
        "opened `EO_POISON_OPENS` times, the last of them alone in its process, and the worker never came to settle",
        "read the worker's log for that time; repair, then retry",
    ),
    Parked.LOOK_UPS: (
        "Stripe's lists could not be read to their end for a day",
        "when Stripe lists again: retry",
    ),
    Parked.UNFINISHED: (
        "its PaymentIntent came to no end at Stripe in the time it has; the text has its state",
        "end it in Stripe's dashboard (cancel or capture it), then retry: the order follows Stripe's answer",
    ),
    Parked.BOOKS: (
        "the books refused what Stripe answered; the text has the PaymentIntent's id",
        "compare with Stripe before retrying",
    ),
}
