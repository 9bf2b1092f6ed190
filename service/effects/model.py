"""An effect at Stripe between opening and settling. Pure data."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from service.foundation.settings import Settings
from service.states import EFFECT_FINAL, NextCall, WaitsFor
from service.stripe_gateway.objects import Answer, Intent, Refund


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(ABC):
    """An effect this worker may act on until its lease ends, as it stood when it was opened.

    `first_send` is R16's: no request of this effect can have been executed before the one about to be made.
    All times are the database's; `opened_at` is its clock at the open, `born_at` the moment before which nobody can
    have sent its key. `history` has an entry per call and per answer. `life` is the verified one it was opened under.
    `nth` counts the keys it was tried under (R37).
    """

    unsent: ClassVar[str]  # its state where nothing of it has run

    id: UUID
    outbox_id: UUID
    account_id: UUID
    order_id: UUID
    idempotency_key: str
    request: dict[str, Any]
    stripe_version: str
    status: str
    call: NextCall
    first_send: bool
    token: UUID
    life: int
    born_at: datetime
    opened_at: datetime
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    deliveries: int = 0
    unclear_answers: int = 0
    nth: int = 1
    key_conflict: bool = False
    history: tuple[dict[str, Any], ...] = ()

    @property
    @abstractmethod
    def undecided(self) -> str:
        """Its state while nothing new is known about it."""

    @property
    def has_run(self) -> bool:
        """Whether the object that it made at Stripe is known."""
        return False

    @property
    @abstractmethod
    def found_by(self) -> NextCall:
        """The call that finds out what became of it: its object is asked for, or searched in Stripe's lists."""

    @property
    def age_s(self) -> float | None:
        """Seconds since the key was first sent; None when it never was. Stripe forgets keys by this age."""
        return None if self.first_sent_at is None else (self.opened_at - self.first_sent_at).total_seconds()

    @property
    def since_last_send_s(self) -> float | None:
        """Seconds since the last send; None when this database knows of none."""
        return None if self.last_sent_at is None else (self.opened_at - self.last_sent_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that speaks of us and not of the effect: the breaker hears of it, and no order fails by it.

    about "key": our API key is refused (401, 403; R20). "form": our request's form is, as every order's would be.
    "other": a 400 that is nobody's fault that we know of, or our account's (both R33).
    """

    about: Literal["key", "form", "other"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an answer makes of an effect.

    status, order_status: the states from now on (`order_status` None: the order stays as it is).
    next_call: what the next delivery asks. proven_unexecuted: nothing of it has run (R16).
    next_try: the answer is saved under this key, so whatever is sent next has another one (R37).
    retry_s: at least so long until then; None lets the backoff decide. parked: needs a human, with this reason.
    refusal: the answer speaks of us, not of this effect (R20, R33).
    key_conflict: Stripe has the key for another request, so nobody may post it again (R32).
    waits_for: whose turn it is, where the answer was a fact and not the end. wait_s: then exactly so long until then.
    expires: the wait is over, and the payment is to be canceled at Stripe (R36).
    intent, refund: the object that Stripe showed.
    """

    status: str
    order_status: str | None = None
    next_call: NextCall = "send"
    proven_unexecuted: bool = False
    next_try: bool = False
    unclear_answers: int = 0
    intent: Intent | None = None
    refund: Refund | None = None
    failure: dict[str, str | None] | None = None
    retry_s: float | None = None
    parked: str | None = None
    refusal: Refusal | None = None
    key_conflict: bool = False
    waits_for: WaitsFor | None = None
    wait_s: float | None = None
    expires: bool = False
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether nothing is left to do for this effect."""
        return self.status in EFFECT_FINAL

    @property
    def object_created(self) -> int | None:
        """Unix seconds at which Stripe made the object it showed."""
        shown = self.refund or self.intent
        return shown.created if shown else None


E = TypeVar("E", bound=Effect)
E_co = TypeVar("E_co", bound=Effect, covariant=True)


@dataclass(frozen=True, slots=True)
class Settlement(Generic[E_co]):
    """An effect, what its answer made of it, and the answer itself for the history (None: nothing was asked).

    ms: how long its call took; None where none was made for it alone.
    """

    effect: E_co
    outcome: Outcome
    answer: Answer | None = None
    ms: float | None = None


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
