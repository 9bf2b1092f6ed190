"""The classes of discrepancies, in the order in which a report lists them, each with what an operator does next."""

IN_FLIGHT = "in_flight"
SOURCE_INCOMPLETE = "source_incomplete"

# Precedence: a pair that differs in several ways has the class that explains most, missing before duplicate before
# currency before amount before status before ledger before fee. The CASE in sql.py holds it; this is the same order.
NEXT_STEP: dict[str, str] = {
    SOURCE_INCOMPLETE: "run again: what Stripe did not show is neither clean nor a discrepancy",
    "missing_locally": (
        "look {pi} up at Stripe: `eo recover --since` a moment before it brings back what is ours; refund what is not"
    ),
    "missing_at_stripe": (
        "check which account STRIPE_API_KEY is of, then reverse the booking by hand: Stripe has no {pi}"
    ),
    "duplicate_charge": "check both payments of the order, then refund {pi} at Stripe",
    "currency_mismatch": "compare {pi} with the order's request, then refund it or correct the books by hand",
    "amount_mismatch": "compare {pi} with the order's request, then refund the difference or correct the books by hand",
    "status_mismatch": (
        "Stripe's word counts: bring the order back with `eo outbox retry`, or settle it by hand from {pi}"
    ),
    "stale_pending": "`eo outbox list --parked` says why it waits; repair that, then `eo outbox retry`",
    "ledger_imbalance": "`eo ledger verify`, then book a correcting entry; nothing booked is ever changed",
    "fee_missing": (
        "check that `eo relay` runs: it books late fees; if Stripe has no balance transaction yet, ask Stripe"
    ),
    "fee_mismatch": "compare the balance transaction of {pi} with the fee entry, then book a correcting entry",
    IN_FLIGHT: "wait, and run again: it is younger than EO_RECONCILE_GRACE_S",
}

CLASSES = tuple(NEXT_STEP)
# Shown, but neither a discrepancy nor worth remembering across runs.
NOT_KEPT = (IN_FLIGHT, SOURCE_INCOMPLETE)


def next_step(name: str, payment_intent: str | None) -> str:
    """One line for the operator."""
    return NEXT_STEP[name].format(pi=payment_intent or "such payment")
