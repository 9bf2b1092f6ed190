"""The answer table, row by row: what one answer of Stripe means on a first send and on a re-send (R15-R20).

Nothing here needs a server. The last tests let Hypothesis look for an answer that breaks a promise.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.charges import CHARGE
from service.charges.answers import judge_retrieve
from service.charges.lookup import Window, judge_lookup, windows
from service.charges.model import OpenCharge
from service.effects.answers import judge_send
from service.effects.lookup import HOPELESS_AFTER_S
from service.effects.model import Outcome
from service.states import CHARGE_FINAL, CHARGE_TRANSITIONS, ORDER_TRANSITIONS
from service.stripe_gateway.objects import Answer, ErrorBody, Intent, LastPaymentError
from tests.charges.answers import HOUR, NOW, OURS, RULES, charge, decline, error, intent, nothing, ok, resent

# How far Stripe's clock may be from ours before sending stops, and how long a request may be under way.
SKEW, LEASE = int(RULES.clock_skew_max_s + RULES.lease_s), int(RULES.lease_s)


class Meaning(NamedTuple):
    """What an answer comes to."""

    status: str
    order: str | None = None
    then: str | None = None  # the next call; None where nothing is left to do
    proven_unexecuted: bool = False  # it is proven that nothing ran
    alarm: bool = False  # the breaker hears of it


def meaning(outcome: Outcome) -> Meaning:
    then = None if outcome.final else outcome.next_call
    return Meaning(outcome.status, outcome.order_status, then, outcome.proven_unexecuted, outcome.refusal is not None)


PAID = Meaning("succeeded", "paid")
DECLINED = Meaning("declined", "failed")
CANCELED = Meaning("canceled", "canceled")
ASK_CUSTOMER = Meaning("requires_action", "requires_action", "retrieve")
ASK_BANK = Meaning("processing", "processing", "retrieve")
NOT_RUN = Meaning("sending", None, "send", proven_unexecuted=True)
REFUSED = NOT_RUN._replace(alarm=True)
SEND_AGAIN = Meaning("unknown", None, "send")
LOOK_UP = Meaning("unknown", None, "lookup")
ASK_HUMAN = Meaning("unknown", None, "retrieve")

# answer: (what it means on a first send, what it means on a re-send)
TABLE: dict[str, tuple[Answer, Meaning, Meaning]] = {
    "succeeded": (ok(), PAID, PAID),
    "requires_action": (ok("requires_action"), ASK_CUSTOMER, ASK_CUSTOMER),
    "processing": (ok("processing"), ASK_BANK, ASK_BANK),
    "canceled": (ok("canceled"), CANCELED, CANCELED),
    "a status of tomorrow": (ok("requires_weather"), ASK_HUMAN, ASK_HUMAN),
    "402": (decline(), DECLINED, DECLINED),
    "402 replayed": (decline(replayed=True), DECLINED, DECLINED),
    "402 without an object": (error(402, "card_error", code="expired_card"), DECLINED, DECLINED),
    "400 validation": (error(400, "invalid_request_error", code="amount_too_small"), DECLINED, LOOK_UP),
    "400 of a payment method": (
        error(400, "invalid_request_error", code="resource_missing", param="payment_method"),
        DECLINED,
        LOOK_UP,
    ),
    "400 of our form": (error(400, "invalid_request_error", code="parameter_unknown"), REFUSED, LOOK_UP),
    "400 of our account": (error(400, "invalid_request_error", code="testmode_charges_only"), REFUSED, LOOK_UP),
    "400 of nobody knows what": (error(400, "invalid_request_error"), REFUSED, LOOK_UP),
    "404 of the address": (error(404, "invalid_request_error"), REFUSED, LOOK_UP),
    "400 idempotency_error": (error(400, "idempotency_error"), LOOK_UP, LOOK_UP),
    "401": (error(401, "invalid_request_error"), REFUSED, SEND_AGAIN._replace(alarm=True)),
    "403": (error(403, "invalid_request_error"), REFUSED, SEND_AGAIN._replace(alarm=True)),
    "409": (error(409, "invalid_request_error", code="idempotency_key_in_use"), SEND_AGAIN, SEND_AGAIN),
    "429": (error(429, "invalid_request_error", code="rate_limit"), NOT_RUN, SEND_AGAIN),
    "424": (error(424), LOOK_UP, LOOK_UP),
    "500": (error(500), LOOK_UP, LOOK_UP),
    "500 replayed": (error(500, replayed=True), LOOK_UP, LOOK_UP),
    "503": (error(503), LOOK_UP, LOOK_UP),
    "an unlisted 2xx": (Answer(http_status=202, intent=intent(), request_id="req_1"), LOOK_UP, LOOK_UP),
    "lost reply": (nothing("TimeoutError"), SEND_AGAIN, LOOK_UP),
    "cut body": (nothing("ClientPayloadError"), SEND_AGAIN, LOOK_UP),
    "html": (nothing("502 not Stripe's"), SEND_AGAIN, LOOK_UP),
    "nothing sent": (nothing("ClientConnectorError", sent=False), NOT_RUN, SEND_AGAIN),
}


@pytest.mark.parametrize("row", TABLE)
def test_each_answer_to_a_first_send_means_what_the_table_says(row: str) -> None:
    answer, first, _ = TABLE[row]
    assert meaning(judge_send(CHARGE, charge(), answer)) == first


@pytest.mark.parametrize("row", TABLE)
def test_each_answer_to_a_resend_means_what_the_table_says(row: str) -> None:
    answer, _, again = TABLE[row]
    assert meaning(judge_send(CHARGE, resent(), answer)) == again


def test_the_first_lost_reply_is_sent_again_the_second_looked_up() -> None:
    first = judge_send(CHARGE, charge(), nothing())
    assert (first.next_call, first.unclear_answers) == ("send", 1)
    second = judge_send(CHARGE, resent(unclear_answers=first.unclear_answers), nothing())
    assert (second.next_call, second.unclear_answers) == ("lookup", 2)


def test_a_key_used_for_another_request_is_looked_up_and_the_order_not_failed() -> None:
    for state in (charge(), resent()):
        outcome = judge_send(CHARGE, state, error(400, "idempotency_error"))
        assert (outcome.next_call, outcome.key_conflict) == ("lookup", True)
        assert (outcome.status, outcome.order_status, outcome.parked) == ("unknown", None, None)


def test_retry_after_reaches_the_outcome() -> None:
    for status in (409, 429, 500, 503):
        for state in (charge(), resent()):
            assert judge_send(CHARGE, state, error(status, retry_after_s=7.0)).retry_s == 7.0


def test_a_decline_keeps_stripes_codes_and_its_payment_intent() -> None:
    outcome = judge_send(CHARGE, charge(), decline())
    assert outcome.failure == {"code": "card_declined", "decline_code": "generic_decline", "message": None}
    assert outcome.intent is not None
    assert outcome.intent.id == "pi_1"


MISMATCHES: dict[str, dict[str, Any]] = {
    "amount": {"amount": 2000},
    "currency": {"currency": "eur"},
    "account": {"metadata": OURS | {"eo_account": "somebody else"}},
    "order": {"metadata": OURS | {"eo_order": "another order"}},
    "attempt": {"metadata": OURS | {"eo_attempt": "2"}},
    "no metadata": {"metadata": {}},
    "no charge": {"latest_charge": None},
    "another sum received": {"amount_received": 1},
}


@pytest.mark.parametrize("what", MISMATCHES)
def test_an_object_that_is_not_what_we_asked_for_books_nothing(what: str) -> None:
    for state in (charge(), resent()):
        outcome = judge_send(CHARGE, state, ok(**MISMATCHES[what]))
        assert meaning(outcome) == LOOK_UP
        assert "alarm" in outcome.entry
        assert outcome.intent is None


@pytest.mark.parametrize("what", MISMATCHES)
def test_a_decline_about_something_else_fails_nobody(what: str) -> None:
    about = replace(decline(), intent=intent("requires_payment_method", **MISMATCHES[what]))
    if what in ("no charge", "another sum received"):
        return  # a declined PaymentIntent has neither
    assert meaning(judge_send(CHARGE, charge(), about)) == LOOK_UP


def test_another_payment_intent_under_a_known_id_books_nothing() -> None:
    known = resent(status="processing", payment_intent_id="pi_0", call="retrieve")
    assert meaning(judge_retrieve(known, ok())) == Meaning("processing", None, "retrieve")


# --- asking for a known PaymentIntent ---

RETRIEVED: dict[str, tuple[Answer, Meaning]] = {
    "succeeded": (ok(), PAID),
    "canceled": (ok("canceled"), Meaning("canceled", "canceled")),
    "requires_action": (ok("requires_action"), Meaning("requires_action", "requires_action", "retrieve")),
    "processing": (ok("processing"), Meaning("processing", "processing", "retrieve")),
    "declined": (
        ok("requires_payment_method", last_payment_error=LastPaymentError(code="card_declined")),
        DECLINED,
    ),
    "401": (error(401), Meaning("requires_action", None, "retrieve", alarm=True)),
    "404": (error(404), Meaning("requires_action", None, "retrieve")),
    "429": (error(429), Meaning("requires_action", None, "retrieve")),
    "500": (error(500), Meaning("requires_action", None, "retrieve")),
    "nothing": (nothing(), Meaning("requires_action", None, "retrieve")),
    "nothing sent": (nothing(sent=False), Meaning("requires_action", None, "retrieve")),
}


@pytest.mark.parametrize("row", RETRIEVED)
def test_a_known_payment_intent_is_asked_for_and_never_sent_again(row: str) -> None:
    answer, wanted = RETRIEVED[row]
    waiting = resent(status="requires_action", payment_intent_id="pi_1", call="retrieve")
    assert meaning(judge_retrieve(waiting, answer)) == wanted


# --- look-ups ---


def looked_up(found: list[Intent], *, complete: bool = True, sent: timedelta | None = HOUR, **changes: Any) -> Outcome:
    """Judge a look-up `sent` after the last send (None: this database knows of no send)."""
    at = None if sent is None else NOW - sent
    state = resent(call="lookup", first_sent_at=at or NOW - 21 * HOUR, last_sent_at=at, **changes)
    return judge_lookup(state, found, complete=complete, rules=RULES)


def test_a_hit_is_a_fact_at_any_age_and_from_any_listing() -> None:
    for sent in (timedelta(seconds=1), 21 * HOUR, 24 * 30 * HOUR):
        for complete in (True, False):
            assert meaning(looked_up([intent()], sent=sent, complete=complete)) == PAID


def test_of_several_hits_the_success_counts() -> None:
    dead = intent("requires_payment_method", id="pi_0", last_payment_error=LastPaymentError(code="card_declined"))
    assert meaning(looked_up([dead, intent()])) == PAID


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (timedelta(seconds=1), SEND_AGAIN),
        (19 * HOUR, SEND_AGAIN),
        (20 * HOUR, LOOK_UP),
        (24 * HOUR, LOOK_UP),
        (24.5 * HOUR - timedelta(seconds=1), LOOK_UP),
        (24.5 * HOUR, DECLINED),
    ],
)
def test_a_complete_miss_counts_only_after_24_h_30(sent: timedelta, wanted: Meaning) -> None:
    assert meaning(looked_up([], sent=sent)) == wanted


def test_what_was_never_executed_is_called_so() -> None:
    outcome = looked_up([], sent=25 * HOUR)
    assert outcome.failure is not None
    assert outcome.failure["code"] == "never_executed"


def test_an_incomplete_listing_says_nothing_whatever_the_age() -> None:
    for sent in (timedelta(seconds=1), 24 * HOUR, 25 * HOUR, 24 * 30 * HOUR):
        assert meaning(looked_up([], sent=sent, complete=False)) == LOOK_UP


def test_look_ups_that_cannot_be_completed_are_given_to_a_human_in_the_end() -> None:
    horizon = timedelta(seconds=RULES.miss_counts_after_s + HOPELESS_AFTER_S)
    assert looked_up([], sent=horizon - timedelta(seconds=1), complete=False).parked is None
    assert looked_up([], sent=horizon, complete=False).parked is not None


def test_a_hit_that_cannot_be_judged_is_given_to_a_human_in_the_end() -> None:
    odd = [intent("requires_confirmation")]
    assert looked_up(odd, sent=24 * HOUR).parked is None
    assert looked_up(odd, sent=26 * HOUR).parked is not None


def test_an_old_order_is_sent_only_after_a_clean_look_up() -> None:
    assert meaning(looked_up([], sent=None)) == NOT_RUN
    assert meaning(looked_up([], sent=None, complete=False)) == LOOK_UP
    assert meaning(looked_up([intent()], sent=None)) == PAID


def test_a_saved_500_is_never_asked_for_again() -> None:
    history = ({"at": NOW.isoformat(), "answer": "500 api_error", "replayed": True},)
    assert meaning(looked_up([], history=history)) == LOOK_UP


def test_windows_of_one_customer_merge_where_they_overlap_and_only_there() -> None:
    def sent(minutes: int, customer: str | None = None) -> OpenCharge:
        at = (NOW + timedelta(minutes=minutes)).isoformat()
        return charge(customer=customer, history=({"at": at, "call": "send"}, {"at": at, "answer": "500 api_error"}))

    start, early, late = int(NOW.timestamp()), SKEW + 1, LEASE + SKEW + 2
    found = windows([sent(0), sent(3), sent(60), sent(1, "cus_1"), sent(2, "cus_1")], RULES)
    assert found == [
        Window(start - early, start + 180 + late, None),
        Window(start + 3600 - early, start + 3600 + late, None),
        Window(start + 60 - early, start + 120 + late, "cus_1"),
    ]


@given(st.lists(st.tuples(st.integers(0, 200_000), st.sampled_from([None, "cus_1", "cus_2"])), max_size=20))
def test_every_moment_of_a_send_lies_in_a_window_of_its_customer(sends: list[tuple[int, str | None]]) -> None:
    charges = [
        charge(customer=customer, history=({"at": (NOW + timedelta(seconds=s)).isoformat(), "call": "send"},))
        for s, customer in sends
    ]
    found = windows(charges, RULES)
    for seconds, customer in sends:
        moment = int(NOW.timestamp()) + seconds
        early, late = moment - SKEW, moment + LEASE + SKEW
        assert sum(w.customer == customer and w.gte <= early and late < w.lt for w in found) == 1


def test_a_charge_never_sent_is_looked_for_in_the_orders_whole_life() -> None:
    (window,) = windows([charge(born_at=NOW - 30 * HOUR)], RULES)
    assert window.gte <= (NOW - 30 * HOUR).timestamp() - SKEW
    assert window.lt > NOW.timestamp() + SKEW


# --- whatever Stripe says ---

_STATUSES = st.sampled_from(
    "succeeded requires_action processing canceled requires_payment_method requires_confirmation requires_capture new"
    .split()
)  # fmt: skip
_ERRORS = st.builds(
    ErrorBody,
    type=st.sampled_from(["api_error", "card_error", "invalid_request_error", "idempotency_error", "?"]),
    code=st.sampled_from([None, "card_declined", "idempotency_key_in_use", "rate_limit"]),
)
_INTENTS = st.builds(
    intent,
    _STATUSES,
    id=st.sampled_from(["pi_1", "pi_2"]),
    amount=st.sampled_from([1999, 1]),
    amount_received=st.sampled_from([0, 1999, 5]),
    metadata=st.sampled_from([OURS, OURS | {"eo_attempt": "2"}, {}]),
    latest_charge=st.sampled_from([None, "ch_1"]),
    last_payment_error=st.sampled_from([None, LastPaymentError(code="card_declined")]),
)
_ANSWERS = st.builds(
    Answer,
    http_status=st.sampled_from([None, 200, 201, 302, 400, 401, 402, 403, 404, 409, 418, 424, 429, 500, 502, 503]),
    intent=st.none() | _INTENTS,
    error=st.none() | _ERRORS,
    replayed=st.booleans(),
    nothing_sent=st.booleans(),
    retry_after_s=st.none() | st.floats(0, 1e6),
)
_SENDABLE = st.builds(
    lambda first, **fields: charge(first_send=first, **fields) if first else resent(**fields),
    first=st.booleans(),
    status=st.sampled_from(["sending", "unknown"]),
    unclear_answers=st.integers(0, 3),
)
_WAITING = st.builds(
    resent,
    status=st.sampled_from(["requires_action", "processing"]),
    payment_intent_id=st.sampled_from(["pi_1", "pi_2"]),
    call=st.just("retrieve"),
)
# The states in which an order may be while its charge is in the named one.
_ORDERS_OF = {"sending": {"processing"}, "unknown": {"processing"}, "requires_action": {"requires_action"},
              "processing": {"processing"}}  # fmt: skip


def keeps_the_promises(state: OpenCharge, answer: Answer | None, outcome: Outcome) -> None:
    """What must hold of every outcome, whoever brought it."""
    assert outcome.status in CHARGE_TRANSITIONS[state.status], "settle would refuse it, and the charge hang"
    for order in _ORDERS_OF[state.status]:
        assert outcome.order_status in {None, order} | ORDER_TRANSITIONS[order]
    assert (outcome.status == "succeeded") == (outcome.order_status == "paid")
    if outcome.order_status == "paid":
        assert outcome.intent is not None
        assert state.matches(outcome.intent)
        assert outcome.intent.status == "succeeded"
        assert outcome.intent.charge_id
    if outcome.proven_unexecuted:
        assert state.first_send, "nobody can prove that an earlier send did not run"
    if outcome.order_status == "failed" and answer is not None:
        told_so = answer.http_status == 402 or (answer.intent is not None and state.matches(answer.intent))
        assert told_so or (state.first_send and answer.http_status in (400, 404)), "an unknown outcome became a failure"
    if outcome.final:
        assert outcome.parked is None
    if state.payment_intent_id and not outcome.final:
        assert outcome.next_call == "retrieve", "a known PaymentIntent is never posted again"


@given(_SENDABLE, _ANSWERS)
def test_whatever_a_send_is_answered_the_outcome_can_be_settled(state: OpenCharge, answer: Answer) -> None:
    keeps_the_promises(state, answer, judge_send(CHARGE, state, answer))


@given(_WAITING, _ANSWERS)
def test_whatever_a_retrieve_is_answered_the_outcome_can_be_settled(state: OpenCharge, answer: Answer) -> None:
    keeps_the_promises(state, answer, judge_retrieve(state, answer))


@given(_SENDABLE, st.lists(_INTENTS, max_size=3), st.booleans(), st.integers(0, 200_000))
def test_whatever_a_look_up_finds_the_outcome_can_be_settled(
    state: OpenCharge, listed: list[Intent], complete: bool, sent: int
) -> None:
    at = NOW - timedelta(seconds=sent)
    asked = replace(state, call="lookup", first_send=False, first_sent_at=at, last_sent_at=at)
    outcome = judge_lookup(asked, [i for i in listed if asked.matches(i)], complete=complete, rules=RULES)
    keeps_the_promises(asked, None, outcome)


def test_the_tables_know_every_state_and_success_is_reachable_from_all_but_itself() -> None:
    for state, following in CHARGE_TRANSITIONS.items():
        assert following <= CHARGE_TRANSITIONS.keys()
        assert ("succeeded" in following) == (state not in ("succeeded", "duplicate"))
    assert CHARGE_TRANSITIONS.keys() >= CHARGE_FINAL
    for order, following in ORDER_TRANSITIONS.items():
        assert ("paid" in following) == (order not in ("paid", "pending"))
