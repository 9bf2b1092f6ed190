"""How a state looks: each word has a tone, and each tone an icon and a colour. Pure."""

from typing import Literal

from service.states import (
    CHANGE_OPEN,
    CHARGE_MONEY_MOVED,
    CHARGE_UNANSWERED,
    CHARGE_WAITS_AT_STRIPE,
    DISPUTE_OPEN,
    ORDER_MOVES_BY_ITSELF,
    PAYOUT_OPEN,
    REFUND_OPEN,
)

# good: as it should end. moves: by itself. waits: for somebody else. look: a human should. bad: it failed. still: over.
Tone = Literal["good", "moves", "waits", "look", "bad", "still"]

_WORDS: tuple[tuple[Tone, frozenset[str]], ...] = (
    ("good", frozenset({"paid", "succeeded", "done", "booked", "delivered", "won", "ok", "alive"})),
    ("bad", frozenset({"failed", "declined", "refused", "lost", "gone"}) | (CHARGE_MONEY_MOVED - {"succeeded"})),
    ("look", frozenset({"parked", "suspense", "open", "late"}) | DISPUTE_OPEN),
    ("moves", ORDER_MOVES_BY_ITSELF | CHARGE_UNANSWERED | CHANGE_OPEN | REFUND_OPEN | PAYOUT_OPEN),
    ("waits", CHARGE_WAITS_AT_STRIPE | {"waiting"}),
)


def tone(word: str) -> Tone:
    """The tone of a state; `still` where it is over, or no state of ours."""
    return next((found for found, words in _WORDS if word in words), "still")
