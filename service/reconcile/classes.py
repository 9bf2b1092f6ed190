"""The classes of discrepancies, in the order in which a report lists them: their meaning, and what an operator does.

Text between backticks in a step is a command that can be run as written, after words in capitals are replaced.
docs/reference/discrepancies.md shows the table.
"""

from typing import NamedTuple

IN_FLIGHT = "in_flight"
SOURCE_INCOMPLETE = "source_incomplete"
OWED = "owed"

_ACK = "`eo reconcile ack {fingerprint} --reason TEXT`"


class DiscrepancyClass(NamedTuple):
    """One class: what it means, and the next step, with places for the object it is about and the fingerprint."""

    means: str
    next_step: str


# Precedence: a pair that differs in several ways has the class that explains most, missing before duplicate before
# currency before amount before status before ledger before fee. The CASE in findings.py decides by this order. A refund
# is a pair of its own (refund_findings.py), and so is a payout (payout_tables.py). Money that went back without a
# refund is listed beside what else is wrong.
CLASSES: dict[str, DiscrepancyClass] = {
    SOURCE_INCOMPLETE: DiscrepancyClass(
        "a page or a PaymentIntent could not be read, a PaymentIntent has a sum or a word that no table can hold (it "
        "is named, the others are compared), or the listing contradicts itself; nothing is concluded from what was not "
        "shown",
        "`eo reconcile` again: what Stripe did not show is neither clean nor a discrepancy",
    ),
    "missing_locally": DiscrepancyClass(
        "Stripe took money and we have no charge for it, or the charge is settled and its journal entry is not there, "
        "or not in the currency that Stripe's balance got. "
        "A payment made past us, without our metadata, is named by its id. The one case where `duplicate_charge` comes "
        "first: the order is already paid by another PaymentIntent",
        "`eo reconcile --heal` tells whether {pi} is ours, `eo reconcile --heal --yes` books what is; refund the rest",
    ),
    "missing_at_stripe": DiscrepancyClass(
        "we hold an id that Stripe does not know, or an order is paid without any charge",
        "check which account STRIPE_API_KEY is of: Stripe has no {pi}; correct the books by hand, then " + _ACK,
    ),
    "duplicate_charge": DiscrepancyClass(
        "a second success of one order, booked to suspense or not at all, and not given back whole by refunds that "
        "succeeded; nothing is refunded without a human",
        "`eo reconcile --heal --yes` books it to suspense where it is not; check both payments, refund {pi} at Stripe; "
        "`eo reconcile --heal --yes` then books its refund out of suspense",
    ),
    "currency_mismatch": DiscrepancyClass(
        "order, charge and Stripe name different currencies",
        "compare {pi} with the order's request; refund it, or correct the books by hand; then " + _ACK,
    ),
    "amount_mismatch": DiscrepancyClass(
        "order, charge and Stripe name different amounts, or another amount was received",
        "compare {pi} with the order's request; refund what is too much, or correct the books by hand; then " + _ACK,
    ),
    "status_mismatch": DiscrepancyClass(
        "the words contradict: Stripe succeeded and our order is not paid, or we say paid and Stripe did not take the "
        "money",
        "`eo reconcile --heal --yes` books Stripe's success; where Stripe has none, correct the books by hand, then "
        + _ACK,
    ),
    "authorization_expired": DiscrepancyClass(
        "an order is authorized here, and its PaymentIntent is canceled at Stripe, or older than the 7 days for which "
        "Stripe holds the money; nothing is left to capture",
        "see with `eo status` that all parts run: they ask Stripe for {pi}, and the order follows a cancellation; what "
        "Stripe still holds is captured or canceled by the order's routes; a case known to be otherwise: " + _ACK,
    ),
    "refund_missing_locally": DiscrepancyClass(
        "Stripe gave money back and we have no refund for it, or the refund is settled and its journal entry is not "
        "there",
        "`eo reconcile --heal` tells whether refund {refund} of {pi} is ours, `eo reconcile --heal --yes` books what "
        "is; book the rest by hand, then " + _ACK,
    ),
    "refund_missing_at_stripe": DiscrepancyClass(
        "we hold the id of a refund that Stripe does not know, or a refund succeeded here without one",
        "check which account STRIPE_API_KEY is of: Stripe has no refund {refund}; correct the books by hand, then "
        + _ACK,
    ),
    "refund_amount_mismatch": DiscrepancyClass(
        "our refund and Stripe's differ in amount or currency, or give back another payment",
        "compare refund {refund} with what was asked for; refund what is missing, or correct the books by hand; then "
        + _ACK,
    ),
    "refund_status_mismatch": DiscrepancyClass(
        "the words contradict: a refund failed at Stripe after it succeeded here, or ended there and not here",
        "`eo reconcile --heal --yes` books what Stripe shows of refund {refund}; where ours has ended otherwise, "
        "correct the books by hand, then " + _ACK,
    ),
    "dispute_missing_locally": DiscrepancyClass(
        "Stripe shows a dispute of a payment of ours, and we do not have it",
        "`eo reconcile --heal --yes` stores what Stripe shows of dispute {dispute}; where it comes again, `eo status` "
        "shows whether all parts run: they read Stripe's list of disputes",
    ),
    "dispute_status_mismatch": DiscrepancyClass(
        "our dispute and Stripe's differ in status or sum, or Stripe does not know it; a state may be a word that this "
        "version does not know",
        "`eo reconcile --heal --yes` follows what Stripe shows of dispute {dispute}; a word that is not known needs a "
        "newer version: look at the dispute at Stripe, then " + _ACK,
    ),
    "payout_missing_locally": DiscrepancyClass(
        "Stripe made a payout that we do not have, or it was paid, or failed after it was paid, and the journal entry "
        "of that is not there",
        "`eo reconcile --heal --yes` follows and books what Stripe shows of payout {payout}; where it comes again, "
        "`eo status` shows whether all parts run: they read Stripe's list of payouts",
    ),
    "payout_status_mismatch": DiscrepancyClass(
        "our payout and Stripe's differ in status or sum, or Stripe does not know it; a paid one may fail days later",
        "`eo reconcile --heal --yes` follows what Stripe shows of payout {payout}; where ours has ended otherwise, ask "
        "Stripe, correct the books by hand, then " + _ACK,
    ),
    "stale_pending": DiscrepancyClass(
        "accepted or sent, and without an end for longer than the grace; a payment or refund that waits at Stripe: "
        "longer than a customer or a bank may; parked, at any age",
        "`eo outbox list --parked` says why it waits: repair that, then `eo outbox retry ID`, or end it with"
        " `eo orders fail ORDER --reason TEXT` (docs/howto/parked-rows.md has the command for a refund); where nothing"
        " is parked, see with `eo status` that all parts run",
    ),
    "ledger_imbalance": DiscrepancyClass(
        "an entry does not balance, has another amount than its charge or refund, or books one that is not ours or was "
        "booked before",
        "`eo ledger verify` names the rows; book a correcting entry, nothing booked is ever changed; then " + _ACK,
    ),
    "fee_missing": DiscrepancyClass(
        "the fee is not booked, or Stripe has not made its balance transaction",
        "see with `eo status` that the relay runs, it books late fees; where Stripe has no balance transaction, ask it",
    ),
    "fee_mismatch": DiscrepancyClass(
        "the fee booked is not the balance transaction's",
        "compare the balance transaction of {pi} with the fee entry; book a correcting entry; then " + _ACK,
    ),
    "money_returned": DiscrepancyClass(
        "Stripe calls a charge disputed, and neither we nor Stripe's list have a dispute of it; or money of it went "
        "back, as its `amount_refunded` tells, that no refund of ours or of Stripe's list explains",
        "`eo reconcile` again, and look at {pi} at Stripe: what nothing explains is booked by hand, then " + _ACK,
    ),
    "balance_drift": DiscrepancyClass(
        "in one currency Stripe's balance is not the ledger's, what is in flight left out; or a movement of it stands "
        "on one side alone, or with another sum, and is named. One that is missing here is both",
        "`eo ledger verify` names what is booked otherwise or not at all; see with `eo status` that the relay runs, "
        "which sweeps the balance; compare movement {movement} with Stripe; a case known to be otherwise: " + _ACK,
    ),
    "unknown_category": DiscrepancyClass(
        "a movement of Stripe's balance stands in suspense: its category is unknown to this version, or what it is of "
        "is unknown here and no other class names it",
        "`eo ledger suspense` says why; look at {movement} at Stripe: a newer version books a category by itself, what "
        "another program moved stays in suspense; then " + _ACK,
    ),
    OWED: DiscrepancyClass(
        "a refund failed or was canceled after Stripe had made it: the customer is owed the money, and the books say "
        "so; not a discrepancy",
        "refund the order again: that draws on what is owed",
    ),
    IN_FLIGHT: DiscrepancyClass(
        "younger than the grace, or a refund of a payment that is settled in another currency and not booked before "
        "Stripe tells its balance transaction; not a "
        "discrepancy",
        "wait: it is younger than EO_RECONCILE_GRACE_S, or its payment is listed by itself; `eo reconcile` again",
    ),
}

# Listed in a report, but no discrepancies, and not stored across runs.
NOT_KEPT = (IN_FLIGHT, SOURCE_INCOMPLETE, OWED)
# Classes that healing may put right where Stripe shows a success.
HEALABLE = ("missing_locally", "duplicate_charge", "status_mismatch")
# Classes that healing may put right by what Stripe shows of a refund.
HEALABLE_REFUNDS = ("refund_missing_locally", "refund_status_mismatch")
# Classes that healing may put right by what Stripe shows of a dispute.
HEALABLE_DISPUTES = ("dispute_missing_locally", "dispute_status_mismatch")
# Classes that healing may put right by what Stripe shows of a payout.
HEALABLE_PAYOUTS = ("payout_missing_locally", "payout_status_mismatch")

SHORT = 12  # hex digits of a fingerprint that reports show and commands accept


def next_step(
    name: str,
    payment_intent: str | None,
    fingerprint: str,
    refund: str | None = None,
    payout: str | None = None,
    dispute: str | None = None,
    movement: str | None = None,
) -> str:
    """The next step of a class as one line, with the ids of this discrepancy."""
    step = CLASSES[name].next_step
    named = {"pi": payment_intent or "such payment", "refund": refund or "of such a payment"}
    named |= {"payout": payout or "of such an id", "dispute": dispute or "of such an id"}
    named["movement"] = movement or "of such an id"
    return step.format(**named, fingerprint=fingerprint[:SHORT])
