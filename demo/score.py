"""The numbers that are counted for each contender. Charges and refunds are those in the Stripe stand-in's books."""

from dataclasses import dataclass, field
from typing import Any

# The guards in the order in which a duplicate meets them, with the words that the screen shows for them.
GUARDS = {
    "door": "the idempotency key at the door",
    "open": "the unique index and the lease at open",
    "stripe": "Stripe's memory of the key",
    "settle": "the token at settle",
    "journal": "the journal's unique reference, last",
}


@dataclass(frozen=True, slots=True)
class Books:
    """What a contender's own books say. Minor units, but for `paid`."""

    paid: int  # orders
    charged: int
    refunded: int
    ledger_off: int  # debits and credits differ by this, over all entries


@dataclass(slots=True)
class Score:
    """One contender's numbers. None: not known before everything is quiet."""

    has_no_guards: bool = False
    orders: int = 0
    deliveries: int = 0
    duplicates: int = 0  # made on purpose: requests and messages sent twice
    killed: int = 0
    troubles: int = 0  # of Stripe: lost replies, 500s, …
    stripe_requests: int = 0
    charges: int = 0
    twice: int = 0  # orders charged more than once
    overcharged: int = 0  # minor units charged beyond what was ordered
    refunds_wanted: int = 0  # orders of which a refund was accepted, one each
    refunds: int = 0
    refunded_twice: int = 0  # orders refunded more than once
    over_refunded: int = 0  # minor units given back beyond what was asked for
    absorbed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GUARDS, 0))
    lost: int | None = None  # accepted, and never charged
    unsettled: int | None = None  # accepted, and not recorded as paid
    off_books: int | None = None  # minor units: Stripe's charges minus what our books say was charged
    refunds_lost: int | None = None  # accepted, and never given back
    refunds_off_books: int | None = None  # minor units: Stripe's refunds minus what our books say went back
    ledger_off: int | None = None  # minor units by which debits and credits differ, over all entries

    @property
    def faults(self) -> int:
        """How many faults it met."""
        return self.duplicates + self.killed + self.troubles

    def read(self, accepted: dict[str, int], wanted: dict[str, int], truth: Any) -> None:
        """Copy what the Stripe stand-in says was charged and given back. `wanted`: how much of which order."""
        self.orders = len(accepted)
        self.stripe_requests = sum(truth["totals"]["requests"].values())
        charged = {entry["order"]: entry for entry in truth["orders"]}
        self.charges = sum(entry["charges"] for entry in charged.values())
        self.twice = sum(entry["charges"] > 1 for entry in charged.values())
        self.overcharged = sum(
            max(0, sum(charged[order]["amounts"].values()) - amount)
            for order, amount in accepted.items()
            if order in charged
        )
        self.refunds_wanted = len(wanted)
        self.refunds = sum(entry["refunds"] for entry in charged.values())
        self.refunded_twice = sum(entry["refunds"] > 1 for entry in charged.values())
        self.over_refunded = sum(
            max(0, sum(entry["refunded"].values()) - wanted.get(order, 0)) for order, entry in charged.items()
        )

    def close(self, accepted: dict[str, int], wanted: dict[str, int], truth: Any, books: Books) -> None:
        """Complete the score, when nothing is on its way any more."""
        self.read(accepted, wanted, truth)
        charged = {entry["order"] for entry in truth["orders"] if entry["charges"]}
        self.lost = sum(order not in charged for order in accepted)
        self.unsettled = len(accepted) - books.paid
        self.off_books = sum(truth["totals"]["amounts"].values()) - books.charged
        refunded = {entry["order"] for entry in truth["orders"] if entry["refunds"]}
        self.refunds_lost = sum(order not in refunded for order in wanted)
        self.refunds_off_books = sum(truth["totals"]["refunded"].values()) - books.refunded
        self.ledger_off = books.ledger_off

    @property
    def is_perfect(self) -> bool:
        """Nothing lost, nothing twice, nothing left, and the books agree. False while anything is unknown."""
        once = self.twice == self.refunded_twice == self.over_refunded == 0
        kept = self.lost == self.unsettled == self.refunds_lost == 0
        return once and kept and self.off_books == self.refunds_off_books == self.ledger_off == 0
