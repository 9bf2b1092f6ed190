"""The answer table: what one answer of Stripe means for one effect.

The same words mean different things on a first send and on a re-send: a 429, 401, 404 or 409 to a re-send says nothing
about the first one, which may have moved the money. Only a success, a decline or an object can speak for both.
Sources: R15, R16, R18, R20 and R33 of docs/rules.md; Stripe's idempotency rules (which answers are saved, and which
never are).
"""

from service.effects.kind import Kind
from service.effects.model import E, Effect, Outcome, Refusal
from service.effects.refusals import Fault, fault_of, reason_of
from service.stripe_gateway.objects import Answer

_ABANDONED = "abandoned before the call: the lease was too short for it"


def judge_send(kind: Kind[E], effect: E, answer: Answer) -> Outcome:
    """What the answer to a POST of the stored request means."""
    status = answer.http_status
    if status is None:
        return _no_answer(effect, answer)
    if status in (200, 402):
        return kind.spoken(effect, answer) or unclear(effect, answer, look_up=True)
    if status in (401, 403):
        return _unexecuted(effect, answer, refusal=Refusal("key", reason_of(answer.word, answer.error)))
    if status == 429:
        return _unexecuted(effect, answer)
    if status == 409:
        return _still_open(effect, answer)
    if status in (400, 404):
        return _refused(kind, effect, answer)
    return unclear(effect, answer, look_up=True)


def _refused(kind: Kind[E], effect: E, answer: Answer) -> Outcome:
    """400 or 404. On a re-send it cannot be Stripe's memory of the first; on a first send it depends whose fault it is.

    What is not this order's fault fails no order (R33).
    """
    error = answer.error
    if error is not None and error.type == "idempotency_error":
        # Stripe has this key for another request: of a life that this database forgot, or of another system. It is
        # looked up, and never posted again (R32).
        return Outcome(
            status=effect.undecided,
            next_call=effect.found_by,
            unclear_answers=effect.unclear_answers + 1,
            key_conflict=True,
            retry_s=0.0,
        )
    if not effect.first_send:
        return unclear(effect, answer, look_up=True)
    if (definitive := kind.refused(effect, answer)) is not None:
        return definitive
    if answer.replayed or answer.intent is not None:
        # A saved answer, or one about an object: something of this key did run once, in a life that we forgot.
        return unclear(effect, answer, look_up=True)
    return _refused_us(effect, answer, fault_of(error))


def _refused_us(effect: Effect, answer: Answer, fault: Fault) -> Outcome:
    """A first send that was refused before anything ran, for a reason that is not this order's (R16, R33)."""
    reason = reason_of(answer.word, answer.error)
    return Outcome(
        status=effect.unsent,
        next_call="send",
        proven_unexecuted=True,
        refusal=Refusal("form" if fault is Fault.FORM else "other", reason),
        retry_s=answer.retry_after_s,
        entry={"refused": reason, "fault": fault.value},
    )


def _unexecuted(effect: Effect, answer: Answer, *, refusal: Refusal | None = None) -> Outcome:
    """An answer that proves that *this* request did not run. It proves nothing about an earlier one (R16)."""
    if effect.first_send:
        return Outcome(
            status=effect.unsent,
            next_call="send",
            proven_unexecuted=True,
            refusal=refusal,
            retry_s=answer.retry_after_s,
        )
    return _still_open(effect, answer, refusal=refusal)


def _still_open(effect: Effect, answer: Answer, *, refusal: Refusal | None = None) -> Outcome:
    """An answer that says nothing of this effect: the same call is made again."""
    return Outcome(
        status=effect.undecided,
        next_call=effect.call,
        unclear_answers=effect.unclear_answers,
        refusal=refusal,
        retry_s=answer.retry_after_s,
    )


def _no_answer(effect: Effect, answer: Answer) -> Outcome:
    if answer.nothing_sent:
        return _unexecuted(effect, answer)
    # A lost reply: Stripe remembers it, so the same bytes again bring the answer. After the second, look up.
    return unclear(effect, answer, look_up=effect.unclear_answers >= 1)


def unclear(effect: Effect, answer: Answer, *, look_up: bool) -> Outcome:
    """An answer that leaves open whether the request ran."""
    return Outcome(
        status=effect.undecided,
        next_call=effect.found_by if look_up or effect.has_run else "send",
        unclear_answers=effect.unclear_answers + 1,
        retry_s=answer.retry_after_s,
    )


def mismatch(effect: Effect) -> Outcome:
    """An object that is not what we asked for. Nothing is booked on its word; Stripe is asked another way."""
    return Outcome(
        status=effect.undecided,
        next_call=effect.found_by,
        unclear_answers=effect.unclear_answers + 1,
        waits_for="human" if effect.has_run else None,
        entry={"alarm": "the answer's id, amount, currency or metadata is not what was asked for"},
    )


def ask_again(effect: Effect, answer: Answer) -> Outcome:
    """Nothing new is known of an object whose id is known: it is asked for again."""
    return Outcome(
        status=effect.undecided,
        next_call="retrieve",
        unclear_answers=effect.unclear_answers,
        refusal=Refusal("key", reason_of(answer.word, answer.error)) if answer.http_status in (401, 403) else None,
        retry_s=answer.retry_after_s,
    )


def abandoned(effect: Effect) -> Outcome:
    """Not called after all. A first send that was never made is proven not to have run."""
    return Outcome(
        status=effect.unsent if effect.first_send else effect.status,
        next_call=effect.call,
        proven_unexecuted=effect.first_send,
        unclear_answers=effect.unclear_answers,
        retry_s=0.0,
        entry={"answer": _ABANDONED},
    )
