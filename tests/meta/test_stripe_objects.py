"""What is read of Stripe's objects: the SDK's types have every field, and what may be null there may be null here."""

from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest

from service.stripe_gateway import disputes, objects, paths, payouts
from service.stripe_gateway.marks import STRIPE_NAMES_MAX, RefundMarks, producers_own, read_refund_marks
from service.stripe_gateway.objects import Answer, BalanceTransaction, Charge, Intent, Refund
from tests.meta.stripe_names import fields

ID = UUID("0192e4a0-0000-7000-8000-000000000001")
MARKS = RefundMarks(account_id=ID, order_id=ID, refund_id=ID, key="k", instance=ID)
STRIPES_NAME = {"Intent": "PaymentIntent", "LastPaymentError": "PaymentIntent.LastPaymentError"}
INTENT = {"id": "pi_1", "created": 1, "amount": 1999, "currency": "usd", "status": "succeeded", "metadata": {}}
CHARGE = {"id": "ch_1", "created": 2, "amount": 1999, "currency": "usd", "status": "succeeded", "captured": True}
MOVEMENT = {"id": "txn_1", "amount": 1200, "fee": 88, "net": 1112, "currency": "usd", "created": 3, "type": "charge"}
REFUND = {"id": "re_1", "created": 1, "amount": 700, "currency": "usd", "status": "succeeded"}


@pytest.mark.parametrize("name", ["Intent", "Charge", "Refund", "BalanceTransaction", "LastPaymentError"])
def test_what_is_read_stripe_has_and_may_be_null_where_stripe_may_say_so(name: str) -> None:
    known = fields(STRIPES_NAME.get(name, name))
    for field in msgspec.structs.fields(getattr(objects, name)):
        assert field.encode_name in known, field.name
        assert ("Optional[" in known[field.encode_name]) <= (type(None) in get_args(field.type)), field.name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Payout", payouts.Payout), ("Payout.TraceId", payouts.TraceId), ("Dispute", disputes.Dispute),
        ("Dispute.EvidenceDetails", disputes.EvidenceDetails), ("EarlyFraudWarning", disputes.EarlyFraudWarning),
    ],
)  # fmt: skip
def test_the_same_of_payouts_disputes_and_warnings(name: str, kind: type[msgspec.Struct]) -> None:
    known = fields(name)
    for field in msgspec.structs.fields(kind):
        assert field.encode_name in known, field.name
        assert ("Optional[" in known[field.encode_name]) <= (type(None) in get_args(field.type)), field.name


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ({}, None),
        ({"latest_charge": "ch_1"}, None),
        ({"latest_charge": CHARGE}, 2),
        ({"latest_charge": CHARGE | {"balance_transaction": MOVEMENT}}, 2),
        ({"capture_method": "automatic_async", "latest_charge": CHARGE}, 2),
        ({"capture_method": "manual", "latest_charge": CHARGE}, None),
        ({"capture_method": "manual", "latest_charge": CHARGE | {"balance_transaction": "txn_1"}}, None),
        ({"capture_method": "manual", "latest_charge": CHARGE | {"balance_transaction": MOVEMENT}}, 3),
    ],
)
def test_the_moment_of_a_capture_is_its_balance_transactions(said: dict[str, Any], moment: int | None) -> None:
    assert msgspec.convert(INTENT | said, Intent).charged_at == moment


def test_a_dispute_takes_what_was_captured_and_no_more() -> None:
    partly = msgspec.convert(CHARGE | {"amount_captured": 1200}, Charge)
    assert [msgspec.structs.replace(partly, **{how: True}).returned for how in ("refunded", "disputed")] == [1200, 1200]
    assert msgspec.structs.replace(partly, amount_refunded=700).returned == 700


@pytest.mark.parametrize(
    ("said", "flaw"),
    [
        ({}, None),
        ({"status": None}, "its status is no word of Stripe's"),
        ({"status": "gone away"}, "its status is no word of Stripe's"),
        ({"amount": 10**30 % 2**63}, "its amount is beyond any sum of money"),
        ({"balance_transaction": MOVEMENT | {"created": -1}}, "a moment of its balance transaction is none"),
        (
            {"failure_balance_transaction": MOVEMENT | {"fee": 2**62, "net": 1 - 2**62}},
            "its fee is beyond any sum of money",
        ),
    ],
)
def test_a_refund_that_nobody_can_book_says_so(said: dict[str, Any], flaw: str | None) -> None:
    assert msgspec.convert(REFUND | said, Refund).flaw == flaw


def test_an_object_of_another_kind_is_none_of_ours() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(INTENT | {"object": "charge"}, Intent | Refund)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(REFUND | {"object": "payment_intent"}, Refund)


def test_the_word_of_an_answer_is_the_status_of_what_it_shows() -> None:
    refund = msgspec.convert(REFUND | {"status": "pending"}, Refund)
    assert Answer(http_status=200, refund=refund).word == "200 pending"
    assert Answer(http_status=200, refund=msgspec.structs.replace(refund, status=None)).word == "200 object"


def test_a_refunds_marks_are_read_as_they_were_written() -> None:
    metadata = MARKS.metadata({"cart": "17"})
    assert read_refund_marks(metadata) == MARKS
    assert producers_own(metadata) == {"cart": "17"}


def test_a_refunds_marks_fit_beside_as_many_names_as_a_producer_may_give() -> None:
    full = {f"name{n}": "v" for n in range(STRIPE_NAMES_MAX - 3)}
    metadata = MARKS.metadata(full)
    assert len(metadata) == STRIPE_NAMES_MAX
    assert read_refund_marks(metadata) == RefundMarks(account_id=ID, order_id=ID, refund_id=ID)


@pytest.mark.parametrize("damage", [{"eo_refund": "x"}, {"eo_account": ""}, {"eo_instance": "nobody's"}])
def test_damaged_marks_are_none(damage: dict[str, str]) -> None:
    assert read_refund_marks({**MARKS.metadata({}), **damage}) is None
    assert read_refund_marks({"cart": "17"}) is read_refund_marks({}) is read_refund_marks(None) is None


def test_each_route_has_a_rate_of_its_own_whatever_ids_are_in_it() -> None:
    gets = [paths.PAYMENT_INTENTS, paths.payment_intent("pi_1"), paths.REFUNDS, paths.refund("re_1")]
    gets += [paths.PAYOUTS, paths.payout("po_1"), paths.DISPUTES, paths.dispute("dp_1")]
    gets += [paths.FRAUD_WARNINGS, paths.fraud_warning("issfr_1")]
    assert [paths.endpoint("get", path) for path in gets] == [
        "get_payment_intents", "get_payment_intent", "get_refunds", "get_refund", "get_payouts",
        "get_payout", "get_disputes", "get_dispute", "get_early_fraud_warnings", "get_early_fraud_warning",
    ]  # fmt: skip
    posts = [paths.capture("pi_1"), paths.cancel("pi_1"), paths.REFUNDS]
    assert [paths.endpoint("post", path) for path in posts] == [
        "post_payment_intent_capture", "post_payment_intent_cancel", "post_refunds",
    ]  # fmt: skip


def test_what_brings_the_money_back_is_read_beside_what_took_it() -> None:
    failed = msgspec.convert(
        REFUND | {"balance_transaction": MOVEMENT, "failure_balance_transaction": MOVEMENT | {"id": "txn_2"}}, Refund
    )
    movements = (failed.balance_transaction, failed.failure_balance_transaction)
    assert [m.id for m in movements if isinstance(m, BalanceTransaction)] == ["txn_1", "txn_2"]
