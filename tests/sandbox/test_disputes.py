"""Disputes: opened by test cards or by hand, answered, decided, and what each of it moves."""

from typing import Any

import pytest
from stripe import InvalidRequestError

from sandbox.disputing import HOLDS_MONEY, MAY_BECOME
from tests.sandbox.client import failure
from tests.sandbox.shop import Shop

FEE = 1500
OPENED = {
    "pm_card_createDispute": ("needs_response", "fraudulent", "chargeback", "10.4"),
    "pm_card_createDisputeProductNotReceived": ("needs_response", "product_not_received", "chargeback", "13.1"),
    "pm_card_createDisputeInquiry": ("warning_needs_response", "fraudulent", "inquiry", "10"),
}


async def only(shop: Shop) -> Any:
    """The one dispute of the shop's charge."""
    (dispute,) = (await shop.api.v1.disputes.list_async({"charge": shop.intent.latest_charge})).data
    return dispute


async def disputed(shop: Shop, card: str = "pm_card_createDispute") -> Any:
    await shop.sell(card)
    shop.sandbox.control("POST", "disputes/flush")
    return await only(shop)


async def answer(shop: Shop, dispute: Any, text: str, **params: Any) -> Any:
    sent = {"evidence": {"uncategorized_text": text}} | params
    return await shop.api.v1.disputes.update_async(dispute.id, sent)


def moves(dispute: Any) -> list[tuple[str, int, int]]:
    return [(entry.reporting_category, entry.amount, entry.fee) for entry in dispute.balance_transactions]


def money(shop: Shop) -> tuple[Any, ...]:
    truth = shop.sandbox.truth(shop.order)
    return tuple(truth[name].get("usd", 0) for name in ("disputed", "withdrawn", "reinstated", "dispute_fees"))


async def net(shop: Shop, currency: str = "usd") -> int:
    """The balance by the API, and by the books: they are one."""
    shown = await shop.api.v1.balance.retrieve_async()
    told = sum(e.amount for e in (*shown.available, *shown.pending) if e.currency == currency)
    assert told == shop.sandbox.truth()["balance"].get(currency, {"net": 0})["net"]
    return int(told)


# -- opened -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", OPENED)
async def test_a_test_card_lets_a_dispute_follow(shop: Shop, card: str) -> None:
    dispute = await disputed(shop, card)
    shown = dispute.payment_method_details.card
    assert (dispute.status, dispute.reason, shown.case_type, shown.network_reason_code) == OPENED[card]
    assert (dispute.amount, dispute.currency, dispute.payment_intent) == (1999, "usd", shop.intent.id)
    inquiry = dispute.status.startswith("warning_")
    assert dispute.is_charge_refundable is inquiry
    assert moves(dispute) == ([] if inquiry else [("dispute", -1999, FEE)])
    assert (await shop.charge()).disputed is True
    told = ["charge.dispute.created", *([] if inquiry else ["charge.dispute.funds_withdrawn"])]
    assert await shop.told(dispute.id) == told
    assert money(shop) == ((0, 0, 0, 0) if inquiry else (1999, 1999, 0, FEE))
    assert shop.sandbox.truth(shop.order)["dispute_ids"] == [dispute.id]


async def test_a_dispute_follows_by_itself_and_only_on_money_that_was_taken(own_shop: Shop) -> None:
    await own_shop.sell("pm_card_createDispute", capture_method="manual")
    own_shop.sandbox.control("POST", "clock", {"advance_s": 10})
    assert (await own_shop.api.v1.disputes.list_async()).data == []
    await own_shop.api.intents.capture_async(own_shop.intent.id, {"amount_to_capture": 1000})
    own_shop.sandbox.control("POST", "clock", {"advance_s": 10})
    assert (await only(own_shop)).amount == 1000


async def test_the_withdrawal_is_a_balance_transaction_like_any_other(shop: Shop) -> None:
    dispute = await disputed(shop)
    (moved,) = dispute.balance_transactions
    read = await shop.api.v1.balance_transactions.retrieve_async(moved.id, {"expand": ["source"]})
    assert (read.type, read.reporting_category, read.net) == ("adjustment", "dispute", -1999 - FEE)
    assert (read.source.object, read.source.id) == ("dispute", dispute.id)
    assert read.description == f"Chargeback withdrawal for {dispute.charge}"
    assert read.to_dict() | {"source": dispute.id} == moved.to_dict()


async def test_amount_and_fee_may_move_apart(own_shop: Shop) -> None:
    await own_shop.sell()
    own_shop.sandbox.control("POST", "fees/flush")
    before = await net(own_shop)
    own_shop.dispute(amount=999, fee=2000, apart=True)
    dispute = await only(own_shop)
    assert moves(dispute) == [("dispute", -999, 0), ("dispute", -2000, 0)]
    assert await net(own_shop) == before - 2999
    assert money(own_shop) == (999, 999, 0, 2000)


async def test_disputes_are_found_by_what_they_are_about(own_shop: Shop) -> None:
    for _ in range(3):
        await own_shop.sell()
        own_shop.dispute()
    listing = own_shop.api.v1.disputes.list_async
    page = await listing({"limit": 2})
    rest = await listing({"limit": 2, "starting_after": page.data[-1].id})
    assert (len(page.data), len(rest.data), page.has_more, rest.has_more) == (2, 1, True, False)
    newest = page.data[0]
    for name, value in (("charge", newest.charge), ("payment_intent", newest.payment_intent)):
        assert [one.id for one in (await listing({name: value})).data] == [newest.id]
    assert (await listing({"created": {"gt": newest.created}})).data == []
    refused = await failure(own_shop.api.v1.disputes.retrieve_async("du_nobody"), InvalidRequestError)
    assert (refused.http_status, refused.param) == (404, "dispute")


# -- answered ---------------------------------------------------------------------------------------------------------


async def test_winning_evidence_brings_the_money_back_and_not_the_fee(own_shop: Shop) -> None:
    dispute = await disputed(own_shop)
    sent = await answer(own_shop, dispute, "winning_evidence")
    details = sent.evidence_details
    assert (sent.status, details.has_evidence, details.submission_count) == ("under_review", True, 1)
    assert (await failure(own_shop.refund(), InvalidRequestError)).code == "charge_disputed"

    own_shop.sandbox.control("POST", "clock", {"advance_s": 10})
    won = await only(own_shop)
    assert (won.status, won.is_charge_refundable) == ("won", True)
    assert moves(won) == [("dispute", -1999, FEE), ("dispute_reversal", 1999, 0)]
    assert (await own_shop.told(dispute.id))[2:] == [
        "charge.dispute.updated",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]
    assert money(own_shop) == (0, 1999, 1999, FEE)
    assert (await own_shop.charge()).disputed is True
    assert (await own_shop.refund()).status == "succeeded"


async def test_losing_evidence_moves_nothing_more(shop: Shop) -> None:
    dispute = await disputed(shop)
    await answer(shop, dispute, "losing_evidence")
    shop.sandbox.control("POST", "disputes/flush")
    lost = await only(shop)
    assert (lost.status, moves(lost)) == ("lost", [("dispute", -1999, FEE)])
    assert (await shop.told(dispute.id))[-1] == "charge.dispute.closed"
    assert money(shop) == (1999, 1999, 0, FEE)
    assert (await failure(shop.refund(), InvalidRequestError)).code == "charge_disputed"
    for work in (answer(shop, dispute, "more"), shop.api.v1.disputes.close_async(dispute.id)):
        refused = await failure(work, InvalidRequestError)
        assert (refused.http_status, refused.user_message) == (400, "This dispute is already closed")


async def test_an_inquiry_becomes_a_dispute_and_pending_refunds_fail(shop: Shop) -> None:
    inquiry = await disputed(shop, "pm_card_createDisputeInquiry")
    done = await shop.refund(amount=500)
    shop.sandbox.control("POST", "balance", {"currency": "usd", "available": 0})
    waits = await shop.refund(amount=300)
    assert (await answer(shop, inquiry, "escalate_inquiry_evidence")).status == "warning_under_review"
    shop.sandbox.control("POST", "disputes/flush")
    escalated = await only(shop)
    assert (escalated.status, escalated.is_charge_refundable) == ("needs_response", False)
    assert moves(escalated) == [("dispute", -1999, FEE)]
    assert (await shop.told(inquiry.id))[-2:] == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    assert (await shop.read(done)).status == "succeeded"
    failed = await shop.read(waits)
    assert (failed.status, failed.failure_reason) == ("failed", "charge_for_pending_refund_disputed")


@pytest.mark.parametrize("text", ["winning_evidence", "losing_evidence"])
async def test_an_inquiry_that_is_answered_is_closed_and_moved_nothing(shop: Shop, text: str) -> None:
    inquiry = await disputed(shop, "pm_card_createDisputeInquiry")
    await answer(shop, inquiry, text)
    shop.sandbox.control("POST", "disputes/flush")
    closed = await only(shop)
    assert (closed.status, moves(closed), money(shop)) == ("warning_closed", [], (0, 0, 0, 0))
    assert (await shop.told(inquiry.id))[-1] == "charge.dispute.closed"


async def test_evidence_is_kept_until_it_is_sent(shop: Shop) -> None:
    dispute = await disputed(shop)
    kept = await answer(shop, dispute, "winning_evidence", submit=False, metadata={"case": "7"})
    assert (kept.status, kept.metadata.to_dict()) == ("needs_response", {"case": "7"})
    assert (kept.evidence_details.has_evidence, kept.evidence_details.submission_count) == (True, 0)
    assert (await shop.api.v1.disputes.update_async(dispute.id, {"metadata": {"case": ""}})).metadata.to_dict() == {}
    sent = await shop.api.v1.disputes.update_async(dispute.id, {"submit": True})
    assert (sent.status, sent.evidence.uncategorized_text) == ("under_review", "winning_evidence")


async def test_a_dispute_that_is_accepted_is_lost(shop: Shop) -> None:
    dispute = await disputed(shop)
    closed = await shop.api.v1.disputes.close_async(dispute.id)
    assert (closed.status, moves(closed)) == ("lost", [("dispute", -1999, FEE)])
    inquiry = await disputed(shop, "pm_card_createDisputeInquiry")
    assert (await shop.api.v1.disputes.close_async(inquiry.id)).status == "warning_closed"


# -- decided ----------------------------------------------------------------------------------------------------------


async def test_the_balance_has_the_money_exactly_while_the_bank_has_not(own_shop: Shop) -> None:
    """Every step between two states that may follow each other, walked once."""
    for first in ("needs_response", "warning_needs_response", "prevented"):
        for path in _walks(first):
            await own_shop.sell()
            own_shop.sandbox.control("POST", "fees/flush")
            whole = await net(own_shop)
            dispute = own_shop.dispute(status=first, fee=0)
            for status in path:
                dispute = own_shop.decide(dispute, status, fee=0)
            held = 1999 if dispute["status"] in HOLDS_MONEY else 0
            assert await net(own_shop) == whole - held, (first, path)
            out, withdrawn, reinstated, _ = money(own_shop)
            assert (out, withdrawn - reinstated) == (held, held), (first, path)
            assert dispute["is_charge_refundable"] is (held == 0)
            with pytest.raises(OSError, match="400"):
                own_shop.decide(dispute, dispute["status"])
            own_shop.order += "x"


async def test_a_win_may_give_the_fee_back(shop: Shop) -> None:
    dispute = await disputed(shop)
    won = shop.decide(dispute, "won", fee_returned=FEE)
    back = won["balance_transactions"][-1]
    assert (back["amount"], back["fee"], back["net"]) == (1999, -FEE, 1999 + FEE)
    assert money(shop) == (0, 1999, 1999, 0)


async def test_what_was_prevented_moved_nothing_and_leaves_the_charge_refundable(shop: Shop) -> None:
    await shop.sell()
    prevented = shop.dispute(status="prevented")
    assert (prevented["balance_transactions"], money(shop)) == ([], (0, 0, 0, 0))
    assert (await shop.refund()).status == "succeeded"


async def test_the_truth_adds_the_orders_up(own_shop: Shop) -> None:
    for status in ("won", "lost"):
        await own_shop.sell()
        own_shop.decide(own_shop.dispute(), status)
        own_shop.order += "x"
    truth = own_shop.sandbox.truth()
    assert (truth["disputes"], truth["disputed"]) == (2, {"usd": 1999})
    assert (truth["withdrawn"], truth["reinstated"]) == ({"usd": 3998}, {"usd": 1999})
    per_order = own_shop.sandbox.truth(per_order=True)["orders"]
    assert [entry["disputed"] for entry in per_order] == [{}, {"usd": 1999}]


# -- warnings of fraud ------------------------------------------------------------------------------------------------


async def test_the_bank_warns_and_a_dispute_or_a_refund_ends_the_warning(shop: Shop) -> None:
    listing = shop.api.v1.radar.early_fraud_warnings.list_async
    for end in (shop.dispute, shop.refund):
        await shop.sell("pm_card_createIssuerFraudRecord")
        shop.sandbox.control("POST", "disputes/flush")
        (warning,) = (await listing({"payment_intent": shop.intent.id})).data
        assert (warning.actionable, warning.fraud_type) == (True, "made_with_stolen_card")
        if end is shop.refund:
            await shop.refund()
        else:
            shop.dispute()
        (after,) = (await listing({"charge": shop.intent.latest_charge})).data
        assert after.actionable is False
        told = ["radar.early_fraud_warning.created", "radar.early_fraud_warning.updated"]
        assert await shop.told(warning.id) == told
    warned = shop.sandbox.control("POST", f"charges/{shop.intent.latest_charge}/fraud_warning", {"fraud_type": "misc"})
    assert (warned["fraud_type"], warned["actionable"]) == ("misc", False)


def _walks(first: str) -> list[list[str]]:
    """Shortest ways from `first` over every step that can be made from there."""
    ways: dict[str, list[str]] = {first: []}
    found: list[list[str]] = [[]]
    queue = [first]
    for state in queue:
        for status in sorted(MAY_BECOME[state]):
            found.append([*ways[state], status])
            if status not in ways:
                ways[status] = [*ways[state], status]
                queue.append(status)
    return found
