"""Double entry: what Stripe did, booked once, never changed. A recording ledger: Stripe decides, we book.

entry     the chart of accounts, and the shape of a journal entry
journal   the pure rules event -> entry; refunding: those of refunds; disputing, paying_out, movements: the others;
          opening: what was there before
posting   a batch of entries onto the books, inside the caller's transaction; on_the_books: what is there
exchanging  what goes back of a charge that is settled in another currency                               [pure]
correcting  what was booked wrongly, by reversal and new entry; closing: disputes that are decided
rollups   balances, an order's entries, and the sums that keep reading cheap
checks    named passes that recompute what the database promises; refund_checks, payout_checks, movement_checks,
          opening_checks: those of refunds, of payouts, of all that moved Stripe's balance, and of how the books began

There is no balance row to contend on: a balance is the sum of postings, helped by rollups.
"""

from service.ledger.checks import Finding, verify
from service.ledger.closing import Decided, close_disputes
from service.ledger.correcting import (
    anew,
    booked_anew,
    redate,
    redated_entry,
    reversal_entry,
    reverse,
    settled_entry,
    standing,
)
from service.ledger.disputing import dispute_closed_entry, dispute_entry, dispute_reference
from service.ledger.entry import CHART, JournalEntry, Money, Posting
from service.ledger.exchanging import Made, Rate, Worth, worth_of
from service.ledger.journal import (
    charge_entry,
    charge_reference,
    duplicate_entry,
    duplicate_reference,
    fee_entry,
    fee_reference,
)
from service.ledger.movements import (
    MovementOf,
    Owner,
    charge_failure_entry,
    charge_failure_reference,
    mirror_of,
    movement_of,
    partial_capture_reference,
    partial_capture_reversal_entry,
    reserve_entry,
    reserve_reference,
    stripe_fee_entry,
    stripe_fee_reference,
    suspense_entry,
    suspense_reference,
)
from service.ledger.opening import opening_entry, opening_reference
from service.ledger.paying_out import (
    payout_arrived_entry,
    payout_arrived_reference,
    payout_entry,
    payout_failed_entry,
    payout_failed_reference,
    payout_reference,
    payout_returned_entry,
    payout_returned_reference,
)
from service.ledger.posting import PostResult, post
from service.ledger.refunding import (
    refund_duplicate_failed_reference,
    refund_duplicate_reference,
    refund_entries,
    refund_entry,
    refund_failed_entry,
    refund_failed_reference,
    refund_pending_entry,
    refund_pending_reference,
    refund_reference,
)
from service.ledger.rollups import Balance, Entry, balances, entries, imbalance, rollup

__all__ = [
    "CHART",
    "Balance",
    "Decided",
    "Entry",
    "Finding",
    "JournalEntry",
    "Made",
    "Money",
    "MovementOf",
    "Owner",
    "PostResult",
    "Posting",
    "Rate",
    "Worth",
    "anew",
    "balances",
    "booked_anew",
    "charge_entry",
    "charge_failure_entry",
    "charge_failure_reference",
    "charge_reference",
    "close_disputes",
    "dispute_closed_entry",
    "dispute_entry",
    "dispute_reference",
    "duplicate_entry",
    "duplicate_reference",
    "entries",
    "fee_entry",
    "fee_reference",
    "imbalance",
    "mirror_of",
    "movement_of",
    "opening_entry",
    "opening_reference",
    "partial_capture_reference",
    "partial_capture_reversal_entry",
    "payout_arrived_entry",
    "payout_arrived_reference",
    "payout_entry",
    "payout_failed_entry",
    "payout_failed_reference",
    "payout_reference",
    "payout_returned_entry",
    "payout_returned_reference",
    "post",
    "redate",
    "redated_entry",
    "refund_duplicate_failed_reference",
    "refund_duplicate_reference",
    "refund_entries",
    "refund_entry",
    "refund_failed_entry",
    "refund_failed_reference",
    "refund_pending_entry",
    "refund_pending_reference",
    "refund_reference",
    "reserve_entry",
    "reserve_reference",
    "reversal_entry",
    "reverse",
    "rollup",
    "settled_entry",
    "standing",
    "stripe_fee_entry",
    "stripe_fee_reference",
    "suspense_entry",
    "suspense_reference",
    "verify",
    "worth_of",
]
