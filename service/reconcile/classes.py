"""The classes of discrepancies, in the order in which a report lists them, each with what an operator does next.

Whatever a step names between backticks is a command that can be run as it stands; capitals are to be filled in.
"""

IN_FLIGHT = "in_flight"
SOURCE_INCOMPLETE = "source_incomplete"

_ACK = "`eo reconcile ack {fingerprint} --reason TEXT`"

# Precedence: a pair that differs in several ways has the class that explains most, missing before duplicate before
# currency before amount before status before ledger before fee. The CASE in findings.py holds it; this is the same
# order. Money that went back is a fact of its own, beside whatever else differs.
NEXT_STEP: dict[str, str] = {
    SOURCE_INCOMPLETE: "`eo reconcile` again: what Stripe did not show is neither clean nor a discrepancy",
    "missing_locally": (
        "`eo reconcile --heal` tells whether {pi} is ours, `eo reconcile --heal --yes` books what is; refund the rest"
    ),
    "missing_at_stripe": (
        "check which account STRIPE_API_KEY is of: Stripe has no {pi}; correct the books by hand, then " + _ACK
    ),
    "duplicate_charge": (
        "`eo reconcile --heal --yes` books it to suspense where it is not; check both payments, refund {pi} at Stripe"
    ),
    "currency_mismatch": "compare {pi} with the order's request; refund it, or correct the books by hand; then " + _ACK,
    "amount_mismatch": (
        "compare {pi} with the order's request; refund what is too much, or correct the books by hand; then " + _ACK
    ),
    "status_mismatch": (
        "`eo reconcile --heal --yes` books Stripe's success; where Stripe has none, correct the books by hand, then "
        + _ACK
    ),
    "stale_pending": (
        "`eo outbox list --parked` says why it waits: repair that, then `eo outbox retry ID`, or end it with"
        " `eo orders fail ORDER --reason TEXT`; where nothing is parked, see with `eo status` that all parts run"
    ),
    "ledger_imbalance": (
        "`eo ledger verify` names the rows; book a correcting entry, nothing booked is ever changed; then " + _ACK
    ),
    "fee_missing": (
        "see with `eo status` that the relay runs, it books late fees; where Stripe has no balance transaction, ask it"
    ),
    "fee_mismatch": "compare the balance transaction of {pi} with the fee entry; book a correcting entry; then " + _ACK,
    "money_returned": (
        "a refund or a dispute of {pi} at Stripe, which the books do not hold: book it by hand, then " + _ACK
    ),
    IN_FLIGHT: "wait: it is younger than EO_RECONCILE_GRACE_S, or settled in another currency; `eo reconcile` again",
}

CLASSES = tuple(NEXT_STEP)
# Shown, but neither a discrepancy nor worth remembering across runs.
NOT_KEPT = (IN_FLIGHT, SOURCE_INCOMPLETE)
# What Stripe's own success may put right.
HEALABLE = ("missing_locally", "duplicate_charge", "status_mismatch")

SHORT = 12  # hex digits of a fingerprint: enough to name one among millions


def next_step(name: str, payment_intent: str | None, fingerprint: str) -> str:
    """One line for the operator."""
    return NEXT_STEP[name].format(pi=payment_intent or "such payment", fingerprint=fingerprint[:SHORT])
