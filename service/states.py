"""The machines of the story: the states of order, charge, change and refund, what may follow, and what others ask.

An order is what its producer sees. It is `pending` until a worker opens it, and `processing` until Stripe has answered.
The answer makes it `paid`, `failed` or `canceled`, `requires_action` while its customer confirms the payment, or
`authorized` while the money is held and not taken. It may be paid again after a decline: failed -> processing.
Stripe's proof of success outranks every state (R23): hence failed -> paid and canceled -> paid.

A charge is one attempt of an order. It is `sending` from the commit before the first call, and `unknown` once a call
may have run and nobody knows. Neither is an error: Stripe is asked until it says what happened. `requires_action`,
`processing` and `authorized` are payments that wait for the customer, the bank or the merchant. `succeeded`, `declined`
and `canceled` are ends. `duplicate` is a second success of one order: it is booked to suspense, for a human.

A change is what is asked of a known PaymentIntent: to capture it, or to cancel it. It is `pending` until it is opened,
`sending` until Stripe shows that it is `done`, or that it can no longer be done (`refused`).

A refund is `pending` until it is opened, and `processing` until Stripe says how it ended: `succeeded`, `failed` or
`canceled`. A success can still fail, days later: then the money comes back, and the customer is owed it.

A dispute and a payout are Stripe's own, and their words are Stripe's: we only follow. A movement is one balance
transaction: it is `waiting` until what moved the money is known here, then `booked`; what nobody can explain stands in
`suspense`.

Beside its state each charge, change and refund stores the next call: what its next delivery asks of Stripe.

An outbox row has no word: it is fresh, out (`published` above 0) or parked, and deleted when its attempt has ended.

A new state is added here. The statements, the API's description, the reports and the diagrams in docs follow. The words
are also constraints of the database, so a new one needs a migration. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

OrderStatus = Literal["pending", "processing", "paid", "failed", "requires_action", "authorized", "canceled"]
ORDER_STATUSES: tuple[str, ...] = get_args(OrderStatus)

ORDER_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"processing", "canceled"}),
    "processing": frozenset({"paid", "failed", "requires_action", "authorized", "canceled"}),
    "requires_action": frozenset({"processing", "paid", "failed", "authorized", "canceled"}),
    "authorized": frozenset({"paid", "failed", "canceled"}),
    "failed": frozenset({"processing", "paid"}),
    "canceled": frozenset({"paid"}),
    "paid": frozenset(),
}

# Something happens to the order by itself: `Prefer: wait` waits for it, and an attempt may be opened.
ORDER_MOVES_BY_ITSELF = frozenset({"pending", "processing"})
# The order still wants its money. For any other one a charge may be found at Stripe, and is never sent.
ORDER_WANTS_MONEY = ORDER_MOVES_BY_ITSELF | {"requires_action", "authorized"}
# The order has come to an end, although Stripe may still prove a success.
ORDER_FINAL = frozenset(ORDER_STATUSES) - ORDER_WANTS_MONEY

# What producers are told of: the order has an end, or waits for somebody.
ORDER_TOLD = frozenset(ORDER_STATUSES) - ORDER_MOVES_BY_ITSELF
# It comes to these once at most.
ORDER_COMES_ONCE = frozenset({"paid", "canceled"})

# What a state says of the money, for people.
ORDER_MEANS: Mapping[str, str] = {
    "pending": "It waits for its first delivery.",
    "processing": "Whether Stripe takes the money is not known yet.",
    "requires_action": "Its customer has to confirm the payment (3-D Secure).",
    "authorized": "The money is held, and waits to be captured or canceled.",
    "paid": "Stripe has taken the money, and it is on the books.",
    "failed": "Nothing was taken.",
    "canceled": "Nothing was taken, and nothing will be.",
}

# Whose turn it is, where Stripe has answered and the payment has no end yet.
WaitsFor = Literal["customer", "bank", "merchant", "stripe", "funds", "human"]
# The state of a payment without an end, the order's and the charge's alike -> whose turn it is.
WHOSE_TURN: Mapping[str, WaitsFor] = {"requires_action": "customer", "processing": "bank", "authorized": "merchant"}
# Stripe has a payment that waits for somebody else than the bank, so it can still be canceled.
CANCELED_AT_STRIPE = frozenset(state for state, turn in WHOSE_TURN.items() if turn != "bank")
# An order that may be canceled: unopened, or at Stripe.
ORDER_CANCELABLE = CANCELED_AT_STRIPE | {"pending"}
# Stripe's word for a payment without an end -> ours.
WAITS_AS: Mapping[str, str] = {
    "requires_action": "requires_action",
    "processing": "processing",
    "requires_capture": "authorized",
}

ChargeStatus = Literal[
    "sending",
    "unknown",
    "requires_action",
    "processing",
    "authorized",
    "succeeded",
    "declined",
    "canceled",
    "duplicate",
]
CHARGE_STATUSES: tuple[str, ...] = get_args(ChargeStatus)

# Stripe took the money.
CHARGE_MONEY_MOVED = frozenset({"succeeded", "duplicate"})
# A PaymentIntent in one of these stays in it: Stripe's word for it is proof, whoever brings it (R21).
CHARGE_PROVEN = frozenset({"succeeded", "canceled"})
# The attempt has ended without money.
CHARGE_ENDED_UNPAID = frozenset({"declined", "canceled"})
# Nothing is left to do for the attempt.
CHARGE_FINAL = CHARGE_MONEY_MOVED | CHARGE_ENDED_UNPAID
# Stripe knows the payment, and it waits for the customer, the bank or the merchant.
CHARGE_WAITS_AT_STRIPE = frozenset(WHOSE_TURN)
# Nobody knows yet what Stripe did.
CHARGE_UNANSWERED = frozenset({"sending", "unknown"})
# The attempt has no end yet.
CHARGE_OPEN = CHARGE_UNANSWERED | CHARGE_WAITS_AT_STRIPE

_ANSWERED = CHARGE_WAITS_AT_STRIPE | CHARGE_FINAL
CHARGE_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "sending": CHARGE_UNANSWERED | _ANSWERED,
    "unknown": CHARGE_UNANSWERED | _ANSWERED,
    "requires_action": _ANSWERED,
    "processing": _ANSWERED,
    "authorized": CHARGE_FINAL | {"authorized"},
    "declined": CHARGE_MONEY_MOVED,
    "canceled": CHARGE_MONEY_MOVED,
    "succeeded": frozenset(),
    "duplicate": frozenset(),
}

ChangeKind = Literal["capture", "cancel"]
CHANGE_KINDS: tuple[str, ...] = get_args(ChangeKind)
ChangeStatus = Literal["pending", "sending", "done", "refused"]
CHANGE_STATUSES: tuple[str, ...] = get_args(ChangeStatus)
CHANGE_FINAL = frozenset({"done", "refused"})
# Stripe may still be asked for it: no second change of the same payment may be begun.
CHANGE_OPEN = frozenset(CHANGE_STATUSES) - CHANGE_FINAL
CHANGE_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "pending": frozenset(CHANGE_STATUSES),
    "sending": frozenset({"sending"}) | CHANGE_FINAL,
    "done": frozenset(),
    "refused": frozenset(),
}

RefundStatus = Literal["pending", "processing", "succeeded", "failed", "canceled"]
REFUND_STATUSES: tuple[str, ...] = get_args(RefundStatus)
# Nothing is left to do for it by itself; a success may still turn into a failure.
REFUND_FINAL = frozenset({"succeeded", "failed", "canceled"})
# It has ended, and the customer has not got the money.
REFUND_ENDED_UNPAID = REFUND_FINAL - {"succeeded"}
# Stripe's words for a refund that waits: for the bank, or for the customer, whom Stripe asks where the money shall go.
REFUND_WAITS_AT_STRIPE = ("pending", "requires_action")
# It is counted as under way, so that no other refund takes the same money (R26).
REFUND_OPEN = frozenset(REFUND_STATUSES) - REFUND_FINAL
REFUND_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"pending", "processing"}) | REFUND_FINAL,
    "processing": frozenset({"processing"}) | REFUND_FINAL,
    "succeeded": frozenset({"failed"}),
    "failed": frozenset(),
    "canceled": frozenset(),
}

# Nothing is left to do for a charge, change or refund in one of these; no machine uses such a word for anything else.
EFFECT_FINAL = CHARGE_FINAL | CHANGE_FINAL | REFUND_FINAL

# What Stripe says of a dispute. An inquiry (`warning_…`) holds no money; `prevented` ended before it took any.
DisputeStatus = Literal[
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "won",
    "lost",
    "prevented",
    "appeal_needs_response",
    "appeal_under_review",
]
DISPUTE_STATUSES: tuple[str, ...] = get_args(DisputeStatus)
# The bank holds the money or has taken it: what an order shows as disputed.
DISPUTE_HOLDS_MONEY = frozenset(
    {"needs_response", "under_review", "appeal_needs_response", "appeal_under_review", "lost"}
)
# Nobody has decided yet: no refund is made meanwhile, because the bank may give the same money back.
DISPUTE_OPEN = DISPUTE_HOLDS_MONEY - {"lost"}
# Stripe may come back to any of them: no state of a dispute is for ever.
DISPUTE_DECIDED = frozenset({"warning_closed", "won", "lost", "prevented"})

# A payout may show `paid` first and fail within five business days.
PayoutStatus = Literal["pending", "in_transit", "paid", "failed", "canceled"]
PAYOUT_STATUSES: tuple[str, ...] = get_args(PayoutStatus)
# It has come to an end, although a paid one may still fail.
PAYOUT_FINAL = frozenset({"paid", "failed", "canceled"})
# The money did not reach the bank.
PAYOUT_CAME_BACK = PAYOUT_FINAL - {"paid"}
# What producers are told of.
PAYOUT_TOLD = PAYOUT_FINAL - {"canceled"}
# It is still on its way.
PAYOUT_OPEN = frozenset(PAYOUT_STATUSES) - PAYOUT_FINAL
# What was read late, and says less than is known, changes nothing.
PAYOUT_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"in_transit"}) | PAYOUT_FINAL,
    "in_transit": PAYOUT_FINAL,
    "paid": PAYOUT_CAME_BACK,
    "failed": frozenset(),
    "canceled": frozenset(),
}

# A movement of Stripe's balance waits for what it is of, is booked, or stands in suspense.
MovementStatus = Literal["waiting", "booked", "suspense"]
MOVEMENT_STATUSES: tuple[str, ...] = get_args(MovementStatus)
# It has no booking that says what it is.
MOVEMENT_OPEN = frozenset({"waiting", "suspense"})

# A notice to a producer. `dropped`: its endpoint was deleted; `parked`: given up, until somebody resends it.
NoticeStatus = Literal["pending", "delivered", "parked", "dropped"]
NOTICE_STATUSES: tuple[str, ...] = get_args(NoticeStatus)
# Nothing is owed any more: it is deleted some day.
NOTICE_FORGOTTEN = frozenset({"delivered", "dropped"})

NextCall = Literal["send", "lookup", "retrieve"]
NEXT_CALLS: tuple[NextCall, ...] = get_args(NextCall)

# Stripe's words for a PaymentIntent that comes to no other state by itself.
INTENT_ENDED = frozenset({"succeeded", "canceled", "requires_payment_method"})
# Where Stripe took no money, a charge and its PaymentIntent say the same when they are in one of these pairs of states.
AGREED: Mapping[str, tuple[str, ...]] = {
    "declined": ("requires_payment_method", "canceled"),
    "canceled": ("canceled",),
    "requires_action": ("requires_action",),
    "processing": ("processing",),
    "authorized": ("requires_capture",),
    "sending": ("requires_action", "processing", "requires_capture", "requires_confirmation"),
    "unknown": ("requires_action", "processing", "requires_capture", "requires_confirmation"),
}

# A refund and Stripe's object of it say the same when they are in one of these pairs of states.
REFUND_AGREED: Mapping[str, tuple[str, ...]] = {
    "pending": REFUND_WAITS_AT_STRIPE,
    "processing": REFUND_WAITS_AT_STRIPE,
    "succeeded": ("succeeded",),
    "failed": ("failed",),
    "canceled": ("canceled",),
}

_WORDS: tuple[str, ...] = (
    *ORDER_STATUSES,
    *CHARGE_STATUSES,
    *CHANGE_STATUSES,
    *REFUND_STATUSES,
    *DISPUTE_STATUSES,
    *PAYOUT_STATUSES,
    *MOVEMENT_STATUSES,
    *NOTICE_STATUSES,
)


def in_sql(words: Iterable[str]) -> str:
    """These states as a list of SQL, in the order of their machine: `('pending', 'processing')`."""
    return f"({', '.join(repr(word) for word in sorted(words, key=_WORDS.index))})"


def pairs_in_sql(table: Mapping[str, Iterable[str]]) -> str:
    """A table of pairs of states as a list of SQL rows."""
    return f"({', '.join(f'({ours!r}, {theirs!r})' for ours, row in table.items() for theirs in row)})"
