"""A Stripe of a hundred lines: it executes, remembers keys for a day, and answers oddly when told so."""

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from service.stripe_gateway.objects import Answer, ErrorBody, Intent, LastPaymentError

KEY_LIVES_H = 24.0
# What may happen to a request, besides being answered honestly.
ODD = ("lost request", "lost reply", "429", "401", "409", "500 saved", "500 not saved", "html", "refused")
RESULTS = ("succeeded", "declined", "requires_action", "processing")

_numbers = count(1)


@dataclass
class Payment:
    """A PaymentIntent, changeable; `created` becomes older as time passes."""

    intent: Intent
    created: float

    @property
    def status(self) -> str:
        return self.intent.status

    def seen(self) -> Intent:
        """As Stripe shows it now."""
        return replace_intent(self.intent, created=int(self.created))


# In which states a payment can be captured, or canceled.
POSSIBLE = {
    "capture": ("requires_capture",),
    "cancel": ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"),
}


@dataclass
class _Saved:
    answer: Answer
    age_h: float = 0.0


@dataclass
class TinyStripe:
    """The payments of one order, and the keys they were made under."""

    payments: list[Payment] = field(default_factory=list)
    _saved: dict[str, _Saved] = field(default_factory=dict)

    def post(self, request: dict[str, Any], key: str, *, now: float, result: str, odd: str | None) -> Answer:
        """A POST that creates and confirms."""
        if (unexecuted := _unexecuted(odd)) is not None:
            return unexecuted
        answer = self._replayed(key) or self._executed(request, key, now, result, saved_500=odd == "500 saved")
        return Answer(http_status=None, note="lost reply") if odd == "lost reply" else answer

    def get(self, intent_id: str) -> Answer:
        """The present state of a payment."""
        (found,) = (p for p in self.payments if p.intent.id == intent_id)
        return Answer(http_status=200, intent=found.seen(), request_id="req_get")

    def change_of(self, intent_id: str, kind: str, key: str, *, amount: int | None, odd: str | None) -> Answer:
        """A POST that captures or cancels; where the state forbids it, the refusal, which is saved."""
        if (unexecuted := _unexecuted(odd)) is not None:
            return unexecuted
        answer = self._replayed(key) or self._changed(intent_id, kind, key, amount, saved_500=odd == "500 saved")
        return Answer(http_status=None, note="lost reply") if odd == "lost reply" else answer

    def successes(self) -> list[Payment]:
        return [p for p in self.payments if p.status == "succeeded"]

    def change(self, old: str, new: str) -> bool:
        """The customer, the bank or a human at Stripe moves a payment on. Whether there was one in that state."""
        for payment in self.payments:
            if payment.status == old:
                payment.intent = _in_state(payment.intent, new)
                return True
        return False

    def time_passes(self, hours: float) -> None:
        """Payments and keys become older; a key of a day is forgotten."""
        for payment in self.payments:
            payment.created -= hours * 3600
        for saved in self._saved.values():
            saved.age_h += hours
        self._saved = {key: saved for key, saved in self._saved.items() if saved.age_h < KEY_LIVES_H}

    def _replayed(self, key: str) -> Answer | None:
        saved = self._saved.get(key)
        return replace(saved.answer, replayed=True) if saved else None

    def _changed(self, intent_id: str, kind: str, key: str, amount: int | None, *, saved_500: bool) -> Answer:
        (found,) = (p for p in self.payments if p.intent.id == intent_id)
        answer = _error(400, "payment_intent_unexpected_state")
        if found.status in POSSIBLE[kind]:
            found.intent = _in_state(found.intent, "canceled" if kind == "cancel" else "succeeded", amount)
            answer = Answer(http_status=200, intent=found.intent, request_id="req_change")
        if saved_500:
            answer = _error(500, "api_error")
        self._saved[key] = _Saved(answer)
        return answer

    def _executed(self, request: dict[str, Any], key: str, now: float, result: str, *, saved_500: bool) -> Answer:
        number = next(_numbers)
        blank = Intent(
            id=f"pi_{number}",
            created=int(now),
            amount=request["amount"],
            currency=request["currency"],
            status="requires_confirmation",
            metadata=request["metadata"],
            latest_charge=f"ch_{number}",
        )
        if request.get("capture_method") == "manual" and result == "succeeded":
            result = "requires_capture"
        intent = _in_state(blank, "requires_payment_method" if result == "declined" else result)
        self.payments.append(Payment(intent, now))
        answer = Answer(http_status=200, intent=intent, request_id="req_post")
        if result == "declined":
            error = ErrorBody(type="card_error", code="card_declined", payment_intent=intent)
            answer = Answer(http_status=402, intent=intent, error=error, request_id="req_post")
        if saved_500:  # it was executed all the same, and the key will say 500 for a day
            answer = _error(500, "api_error")
        self._saved[key] = _Saved(answer)
        return answer


def replace_intent(intent: Intent, **changes: Any) -> Intent:
    """A copy with these fields changed."""
    fields = {name: getattr(intent, name) for name in intent.__struct_fields__}
    return Intent(**fields | changes)


def _in_state(intent: Intent, status: str, amount: int | None = None) -> Intent:
    received = (amount or intent.amount) if status == "succeeded" else 0
    error = LastPaymentError(code="card_declined") if status == "requires_payment_method" else None
    return replace_intent(intent, status=status, amount_received=received, last_payment_error=error)


def _unexecuted(odd: str | None) -> Answer | None:
    """The answer to a request that came to nothing, or never came; None where it is carried out."""
    if odd in ("429", "401", "409"):
        return _error(int(odd), {"429": "rate_limit", "401": "unauthorized", "409": "idempotency_key_in_use"}[odd])
    if odd == "refused":
        return Answer(http_status=None, nothing_sent=True, note="refused")
    if odd in ("lost request", "html"):
        return Answer(http_status=None, note=odd)
    return _error(500, "api_error") if odd == "500 not saved" else None


def _error(status: int, code: str) -> Answer:
    return Answer(http_status=status, error=ErrorBody(type="api_error", code=code), request_id="req_error")
