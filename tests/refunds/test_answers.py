"""What one answer of Stripe means for a refund, row by row; nothing here needs a server."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from service.effects import Outcome, judge_send
from service.effects.parking import KEY_AT_STRIPE
from service.effects.patience import with_an_end
from service.refunds import REFUND, OpenRefund, judge_lookup, judge_refund
from service.refunds.answers import judge_retrieve
from service.states import REFUND_FINAL, REFUND_TRANSITIONS
from service.stripe_gateway.marks import RefundMarks
from service.stripe_gateway.objects import Answer, BalanceTransaction, Refund
from tests.charges.answers import ACCOUNT, HOUR, INSTANCE, NOW, ORDER, RULES, error, nothing

ID = UUID("0192e4a0-0000-7000-8000-0000000000e1")
MARKS = RefundMarks(account_id=ACCOUNT, order_id=ORDER, refund_id=ID, key="r:1", instance=INSTANCE)
OURS = MARKS.metadata({})
LONG = timedelta(days=365)


def held(**changes: Any) -> OpenRefund:
    """A refund about to be sent for the first time, unless told otherwise."""
    fields: dict[str, Any] = {
        "id": ID,
        "outbox_id": UUID("0192e4a0-0000-7000-8000-0000000000b3"),
        "account_id": ACCOUNT,
        "order_id": ORDER,
        "amount": 500,
        "currency": "usd",
        "payment_intent_id": "pi_1",
        "marks": MARKS,
        "idempotency_key": "eo1:key",
        "request": {"payment_intent": "pi_1", "amount": 500},
        "stripe_version": "v",
        "status": "processing",
        "call": "send",
        "first_send": True,
        "token": UUID("0192e4a0-0000-7000-8000-0000000000a3"),
        "life": 1,
        "born_at": NOW,
        "opened_at": NOW,
    }
    return OpenRefund(**fields | changes)


def resent(**changes: Any) -> OpenRefund:
    """The same, sent before with an answer that nobody saw."""
    sent = NOW - timedelta(minutes=1)
    lost = {"first_send": False, "unclear_answers": 1, "first_sent_at": sent, "last_sent_at": sent}
    return held(**lost | changes)


def moved(amount: int = -500, kind: str = "refund") -> BalanceTransaction:
    return BalanceTransaction(
        id=f"txn_{kind}", amount=amount, fee=0, net=amount, currency="usd", created=int(NOW.timestamp()), type=kind
    )


def shown(status: str | None = "succeeded", **changes: Any) -> Refund:
    """The refund as Stripe shows it, its balance transactions expanded."""
    fields: dict[str, Any] = {
        "id": "re_1",
        "created": int(NOW.timestamp()),
        "amount": 500,
        "currency": "usd",
        "status": status,
        "payment_intent": "pi_1",
        "metadata": OURS,
        "balance_transaction": moved(),
    }
    return Refund(**fields | changes)


def ok(refund: Refund) -> Answer:
    return Answer(http_status=200, refund=refund, request_id="req_1")


def meaning(outcome: Outcome) -> tuple[str, str | None]:
    """The state, and the next call where something is left to do."""
    return outcome.status, None if outcome.final else outcome.next_call


SUCCEEDED, FAILED = ("succeeded", None), ("failed", None)
SEND, LOOK_UP, ASK = ("processing", "send"), ("processing", "lookup"), ("processing", "retrieve")
BACK = moved(500, "refund_failure")
REFUSED = "invalid_request_error"
# answer: (what it means on a first send, what it means on a re-send)
TABLE: dict[str, tuple[Answer, tuple[str, str | None], tuple[str, str | None]]] = {
    "succeeded": (ok(shown()), SUCCEEDED, SUCCEEDED),
    "succeeded, its movement not shown": (ok(shown(balance_transaction="txn_1")), ASK, ASK),
    "succeeded, nothing moved yet": (ok(shown(balance_transaction=None)), ASK, ASK),
    "pending": (ok(shown("pending")), ASK, ASK),
    "requires_action": (ok(shown("requires_action", balance_transaction=None)), ASK, ASK),
    "failed before it left": (ok(shown("failed", balance_transaction=None)), FAILED, FAILED),
    "failed and back": (ok(shown("failed", failure_balance_transaction=BACK)), FAILED, FAILED),
    "failed, not back yet": (ok(shown("failed")), ASK, ASK),
    "canceled": (ok(shown("canceled", balance_transaction=None)), ("canceled", None), ("canceled", None)),
    "a status of tomorrow": (ok(shown("requires_weather")), ASK, ASK),
    "no status": (ok(shown(None)), ASK, ASK),
    "already refunded": (error(400, REFUSED, code="charge_already_refunded"), FAILED, LOOK_UP),
    "disputed": (error(400, REFUSED, code="charge_disputed"), FAILED, LOOK_UP),
    "more than is left": (error(400, REFUSED, param="amount"), FAILED, LOOK_UP),
    "no such payment": (error(400, REFUSED, code="resource_missing", param="payment_intent"), FAILED, LOOK_UP),
    "a short balance": (error(400, REFUSED, code="balance_insufficient"), SEND, LOOK_UP),
    "our form": (error(400, REFUSED, code="parameter_unknown", param="amounts"), SEND, LOOK_UP),
    "our account": (error(400, REFUSED, code="testmode_charges_only"), SEND, LOOK_UP),
    "nobody knows what": (error(400, REFUSED), SEND, LOOK_UP),
    "404": (error(404, REFUSED), SEND, LOOK_UP),
    "another's key": (error(400, "idempotency_error"), LOOK_UP, LOOK_UP),
    "401": (error(401, REFUSED), SEND, SEND),
    "403": (error(403, REFUSED), SEND, SEND),
    "402": (error(402, "card_error", code="card_declined"), LOOK_UP, LOOK_UP),
    "409": (error(409, REFUSED, code="idempotency_key_in_use"), SEND, SEND),
    "429": (error(429, REFUSED, code="rate_limit"), SEND, SEND),
    "500": (error(500), LOOK_UP, LOOK_UP),
    "lost": (nothing(), SEND, LOOK_UP),
    "not even connected": (nothing(sent=False), SEND, SEND),
}
PROVE_NOTHING_RAN = ("a short balance", "our form", "our account", "nobody knows what", "404", "401", "403", "429",
                     "not even connected")  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_the_table(name: str) -> None:
    answer, first, again = TABLE[name]
    assert meaning(judge_send(REFUND, held(), answer)) == first
    assert meaning(judge_send(REFUND, resent(), answer)) == again
    assert judge_send(REFUND, held(), answer).proven_unexecuted == (name in PROVE_NOTHING_RAN)
    assert not judge_send(REFUND, resent(), answer).proven_unexecuted, "it says nothing of the one before"


@pytest.mark.parametrize("name", TABLE)
def test_no_answer_leaves_the_table_of_transitions_or_another_key(name: str) -> None:
    for effect in (held(), resent()):
        outcome = judge_send(REFUND, effect, TABLE[name][0])
        assert outcome.status in REFUND_TRANSITIONS[effect.status]
        assert not outcome.next_try, "a refund has one key for ever: beside another one a forgotten try could be made"


NOT_OURS: tuple[dict[str, object], ...] = (
    {"amount": 501},
    {"currency": "eur"},
    {"payment_intent": "pi_2"},
    {"payment_intent": None},
    {"metadata": {}},
    {"metadata": None},
    {"metadata": OURS | {"eo_account": str(ID)}},
    {"metadata": OURS | {"eo_refund": str(ORDER), "eo_key": "r:2"}},
    {"metadata": OURS | {"eo_refund": str(ORDER), "eo_order": str(ID)}},
)


@pytest.mark.parametrize("other", NOT_OURS)
def test_nothing_is_believed_of_another_refund(other: dict[str, Any]) -> None:
    for status in ("succeeded", "failed", "canceled", "pending"):
        outcome = judge_send(REFUND, held(), ok(shown(status, **other)))
        assert (meaning(outcome), outcome.refund) == (LOOK_UP, None)
        assert not held().matches(shown(status, **other))


def test_a_refund_that_was_forgotten_and_asked_for_again_is_known_by_its_key() -> None:
    assert held().matches(shown(metadata=OURS | {"eo_refund": str(INSTANCE)}))


def test_once_its_id_is_known_its_id_alone_speaks_for_it() -> None:
    known = resent(stripe_refund_id="re_1", call="retrieve")
    assert judge_refund(known, shown(metadata={})).status == "succeeded"
    assert judge_refund(known, shown(id="re_2")).refund is None
    assert judge_send(REFUND, known, error(500)).next_call == "retrieve"


@pytest.mark.parametrize("answer", [error(429), error(500), error(401), error(409), nothing(), error(404, REFUSED)])
def test_a_question_that_is_not_answered_changes_nothing(answer: Answer) -> None:
    known = resent(stripe_refund_id="re_1", call="retrieve")
    outcome = judge_retrieve(known, answer)
    assert (outcome.status, outcome.next_call, outcome.refund) == ("processing", "retrieve", None)
    assert not outcome.proven_unexecuted


def test_a_miss_is_never_a_failure_and_makes_no_second_key() -> None:
    """It is still owed: once nothing can be on its way any more it is sent as if new."""
    for hours, meant in ((0.1, SEND), (21, LOOK_UP), (24.4, LOOK_UP), (24.6, SEND)):
        sent = NOW - hours * HOUR
        outcome = judge_lookup(resent(first_sent_at=sent, last_sent_at=sent), [], complete=True, rules=RULES)
        assert (meaning(outcome), outcome.next_try) == (meant, False)
        assert outcome.proven_unexecuted == (hours > 24.5)
        incomplete = judge_lookup(resent(first_sent_at=sent, last_sent_at=sent), [], complete=False, rules=RULES)
        assert meaning(incomplete) == LOOK_UP
    found = judge_lookup(resent(), [shown()], complete=False, rules=RULES)
    assert found.status == "succeeded", "a hit is a fact, however much of the list was read"


@pytest.mark.parametrize("status", [None, "pending", "requires_action", "succeeded", "failed", "canceled", "weather"])
def test_no_state_of_a_refund_is_asked_for_without_an_end(status: str | None) -> None:
    old = resent(stripe_refund_id="re_1", call="retrieve", first_sent_at=NOW - LONG)
    answer = ok(shown(status, balance_transaction=None, created=int((NOW - LONG).timestamp())))
    outcome = with_an_end(old, judge_retrieve(old, answer), RULES)
    assert outcome.status in REFUND_FINAL or outcome.parked


def test_a_balance_that_stays_short_is_a_humans_turn_after_a_month() -> None:
    short = error(400, REFUSED, code="balance_insufficient")
    for days, parked in ((30.9, False), (31.1, True)):
        old = held(born_at=NOW - timedelta(days=days))
        outcome = with_an_end(old, judge_send(REFUND, old, short), RULES)
        assert (outcome.parked is not None) == parked
        assert outcome.refusal is None, "no breaker hears of it: charges go on"


def test_a_key_that_stripe_had_for_another_request_is_free_once_stripe_forgets_it() -> None:
    """A refund that Stripe once refused and this database forgot, for instance; where one was made, nothing is sent."""
    for hours, meant in ((0.1, LOOK_UP), (24.4, LOOK_UP), (24.6, SEND)):
        sent = NOW - hours * HOUR
        conflict = resent(first_sent_at=sent, last_sent_at=sent, key_conflict=True)
        outcome = judge_lookup(conflict, [], complete=True, rules=RULES)
        assert (meaning(outcome), outcome.parked) == (meant, None)
        other = judge_lookup(conflict, [shown(amount=501)], complete=True, rules=RULES)
        assert other.parked == KEY_AT_STRIPE, "another sum went back under the key"
