"""A charge between opening and settling. Pure data."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from service.foundation.settings import Settings
from service.states import CHARGE_FINAL, NextCall, WaitsFor
from service.stripe_gateway.marks import Marks, read_marks
from service.stripe_gateway.objects import Answer, Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCharge:
    """A charge this worker may act on until its lease ends, as it stood when it was opened.

    `first_send` is R16's: no request of this charge can have been executed before the one about to be made.
    All times are the database's; `opened_at` is its clock at the open. `history` has an entry per call and per answer.
    `marks` is what the metadata of this attempt's PaymentIntent must say; `life` the verified one it was opened under.
    """

    id: UUID
    outbox_id: UUID
    account_id: UUID
    order_id: UUID
    attempt: int
    idempotency_key: str
    amount: int
    currency: str
    customer: str | None
    request: dict[str, Any]
    stripe_version: str
    status: str
    call: NextCall
    first_send: bool
    token: UUID
    marks: Marks
    life: int
    order_created_at: datetime
    opened_at: datetime
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    deliveries: int = 0
    unclear_answers: int = 0
    payment_intent_id: str | None = None
    cancel_key: str = ""
    cancel_try: int = 1
    key_conflict: bool = False
    history: tuple[dict[str, Any], ...] = ()

    @property
    def age_s(self) -> float | None:
        """Seconds since the key was first sent; None when it never was. Stripe forgets keys by this age."""
        return None if self.first_sent_at is None else (self.opened_at - self.first_sent_at).total_seconds()

    @property
    def since_last_send_s(self) -> float | None:
        """Seconds since the last send; None when this database knows of none."""
        return None if self.last_sent_at is None else (self.opened_at - self.last_sent_at).total_seconds()

    def matches(self, intent: Intent) -> bool:
        """Whether `intent` is this attempt: our metadata and amount and currency (R15, R19, R32).

        What was adopted without a key may name the order that was forgotten: then its known id speaks for it (R31).
        """
        if (intent.amount, intent.currency) != (self.amount, self.currency):
            return False
        if self.payment_intent_id not in (None, intent.id):
            return False
        if self.marks.are_named_by(intent.metadata):
            return True
        found = read_marks(intent.metadata)
        if found is None or self.payment_intent_id is None:
            return found is not None and self.marks.match(found)
        same_attempt = (found.account_id, found.attempt) == (self.account_id, self.attempt)
        return self.marks.match(found) or (same_attempt and found.key is None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that speaks of us and not of the charge: the breaker hears of it, and no order fails by it.

    about "key": our API key is refused (401, 403; R20). "form": our request's form is, as every order's would be.
    "other": a 400 that is nobody's fault that we know of, or our account's (both R33).
    """

    about: Literal["key", "form", "other"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an answer makes of a charge.

    status, order_status: the states from now on (`order_status` None: the order stays as it is).
    next_call: what the next delivery asks. proven_unexecuted: nothing of it has run (R16).
    retry_s: at least so long until then; None lets the backoff decide. parked: needs a human, with this reason.
    refusal: the answer speaks of us, not of this charge (R20, R33).
    key_conflict: Stripe has the key for another request, so nobody may post it again (R32).
    waits_for: whose turn it is, where the answer was a fact and not the end. wait_s: then exactly so long until then.
    cancel_refused: Stripe did not cancel, and would say so again to the same key for a day.
    """

    status: str
    order_status: str | None = None
    next_call: NextCall = "send"
    proven_unexecuted: bool = False
    unclear_answers: int = 0
    intent: Intent | None = None
    failure: dict[str, str | None] | None = None
    retry_s: float | None = None
    parked: str | None = None
    refusal: Refusal | None = None
    key_conflict: bool = False
    waits_for: WaitsFor | None = None
    wait_s: float | None = None
    cancel_refused: bool = False
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether nothing is left to do for this attempt."""
        return self.status in CHARGE_FINAL


@dataclass(frozen=True, slots=True)
class Settlement:
    """A charge, what its answer made of it, and the answer itself for the history (None: nothing was asked)."""

    charge: OpenCharge
    outcome: Outcome
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The bounds of the protocol that the pure functions need, in seconds."""

    key_age_max_s: float
    miss_counts_after_s: float
    lease_s: float
    clock_skew_max_s: float
    action_max_s: float
    bank_max_s: float

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """The bounds as configured."""
        return cls(
            key_age_max_s=settings.key_age_max_s,
            miss_counts_after_s=settings.miss_counts_after_s,
            lease_s=settings.charge_lease_s,
            clock_skew_max_s=settings.clock_skew_max_s,
            action_max_s=settings.action_max_s,
            bank_max_s=settings.bank_max_s,
        )
