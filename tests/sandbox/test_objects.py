"""Every object and every error that the sandbox answers with is one that Stripe's SDKs know, complete and in type."""

import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import stripe
from stripe import CardError, StripeError

from sandbox import disputing, payouting
from sandbox.cards import CARDS
from sandbox.state import API_VERSION
from tests.sandbox.client import Api, Target, failure, new_key
from tests.sandbox.process import KEY, SandboxProcess
from tests.sandbox.sdk_types import ALWAYS_SENT_IN, Fault, faults
from tests.sandbox.test_requests import INTENTS, OPEN, SHOWN, Tree
from tests.sandbox.wire import Connection

KINDS: dict[str, type[stripe.StripeObject]] = {
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "dispute": stripe.Dispute,
    "radar.early_fraud_warning": stripe.radar.EarlyFraudWarning,
    "balance_transaction": stripe.BalanceTransaction,
    "payout": stripe.Payout,
}
DAY_S = 86_400
# A card, and what its refund goes through after its first state.
REFUNDS: dict[str, list[str]] = {
    "pm_card_visa": ["failed"],
    "pm_card_pendingRefund": ["succeeded", "failed"],
    "pm_sandbox_refundAsks": ["canceled"],
}
# The states that a dispute goes through after its first.
DISPUTES: dict[str, list[str]] = {
    "needs_response": ["under_review", "won", "appeal_needs_response", "appeal_under_review", "lost"],
    "warning_needs_response": ["warning_under_review", "warning_closed", "needs_response"],
    "prevented": [],
}
BEHIND_A_REFUND = [
    "balance_transaction.source",
    "failure_balance_transaction",
    "charge.refunds.data.balance_transaction",
    "payment_intent.latest_charge",
]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A sandbox in which fees are known at once."""
    process = SandboxProcess(tmp_path_factory.mktemp("objects") / "books.sqlite3", "--fee-delay-s", "0")
    yield process.start()
    process.kill()


@pytest.fixture
async def mine(books: SandboxProcess) -> AsyncIterator[Api]:
    async with Api(Target(books.base, KEY)) as api:
        yield api


def said(answer: Any) -> Any:
    """The JSON as it came."""
    return answer.last_response.data


def nothing_wrong(answer: Any, expected: Any) -> None:
    assert list(faults(answer, expected)) == []


def complete(books: SandboxProcess, intent_id: str, *, succeed: bool) -> None:
    books.control("POST", f"payment_intents/{intent_id}/complete_action", {"succeed": succeed})


def fund(books: SandboxProcess) -> None:
    """Money that can be paid out, whatever other tests left."""
    books.control("POST", "payouts")
    books.control("POST", "balance_transactions", {"type": "adjustment", "amount": 1000, "currency": "usd"})


def pay_out(books: SandboxProcess) -> Any:
    """A payout of the day."""
    fund(books)
    (payout,) = books.control("POST", "payouts")["payouts"]
    return payout


# -- PaymentIntents and charges -----------------------------------------------------------------------------------


@pytest.mark.parametrize("card", sorted(CARDS))
async def test_a_payment_with_any_card_is_complete(mine: Api, card: str) -> None:
    try:
        answer = await mine.pay(card, expand=["latest_charge.balance_transaction"])
    except CardError as declined:
        body: Any = declined.json_body
        nothing_wrong(body["error"], stripe.ErrorObject)
        intent = body["error"]["payment_intent"]
    else:
        intent = said(answer)
        nothing_wrong(intent, stripe.PaymentIntent)
    page = said(await mine.v1.charges.list_async({"payment_intent": intent["id"]}))
    nothing_wrong(page, stripe.ListObject[stripe.Charge])


async def test_an_intent_is_complete_in_every_state(mine: Api, books: SandboxProcess) -> None:
    seen = {}
    back = "https://example.com/back"
    created = await mine.create(description="an order", metadata={"k": "v"}, receipt_email="a@example.com")
    for intent in [
        created,
        await mine.create(payment_method="pm_card_visa", setup_future_usage="off_session"),
        await mine.create(payment_method_types=None),
        await mine.pay("pm_card_authenticationRequired"),
        await mine.pay("pm_card_authenticationRequired", return_url=back),
        await mine.pay("pm_sandbox_processing"),
        await mine.pay(statement_descriptor_suffix="order 17"),
        await mine.intents.cancel_async(created.id, {"cancellation_reason": "abandoned"}),
    ]:
        nothing_wrong(said(intent), stripe.PaymentIntent)
        seen[intent.status] = intent.id
    assert set(seen) == {
        "requires_payment_method",
        "requires_confirmation",
        "requires_action",
        "processing",
        "succeeded",
        "canceled",
    }
    listed = said(await mine.intents.list_async({"limit": 100, "expand": ["data.latest_charge"]}))
    nothing_wrong(listed, stripe.ListObject[stripe.PaymentIntent])


@pytest.mark.parametrize("given", [given for given, _ in SHOWN], ids=",".join)
def test_what_parameters_say_is_complete(books: SandboxProcess, given: Tree) -> None:
    with Connection(books.base) as wire:
        paid = wire.send("POST", INTENTS, OPEN | given | {"confirm": True, "expand": ["latest_charge"]})
    assert paid.status == 200, paid.body
    nothing_wrong(paid.body, stripe.PaymentIntent)


@pytest.mark.parametrize("succeed", [True, False])
async def test_an_authenticated_payment_is_complete(mine: Api, books: SandboxProcess, *, succeed: bool) -> None:
    intent = await mine.pay("pm_card_threeDSecure2Required")
    complete(books, intent.id, succeed=succeed)

    after = said(await mine.intents.retrieve_async(intent.id, {"expand": ["latest_charge"]}))

    nothing_wrong(after, stripe.PaymentIntent)
    if succeed:
        shown = after["latest_charge"]["payment_method_details"]["card"]["three_d_secure"]
        assert (shown["result"], shown["authentication_flow"]) == ("authenticated", "challenge")


async def test_an_authorization_and_its_capture_are_complete(mine: Api) -> None:
    held = await mine.pay(capture_method="manual", expand=["latest_charge"])
    nothing_wrong(said(held), stripe.PaymentIntent)
    shown = said(held)["latest_charge"]["payment_method_details"]["card"]
    assert shown["capture_before"] == held.latest_charge.created + 7 * DAY_S

    taken = await mine.intents.capture_async(held.id, {"amount_to_capture": 1000, "expand": ["latest_charge"]})
    nothing_wrong(said(taken), stripe.PaymentIntent)
    let_go = await mine.pay(capture_method="manual")
    nothing_wrong(said(await mine.intents.cancel_async(let_go.id, {"expand": ["latest_charge"]})), stripe.PaymentIntent)


async def test_a_refund_is_complete_in_every_state(mine: Api, books: SandboxProcess) -> None:
    seen = set()
    for card, endings in REFUNDS.items():
        refund = await _refund(mine, (await mine.pay(card)).id)
        nothing_wrong(said(refund), stripe.Refund)
        seen.add(refund.status)
        for ending in endings:
            nothing_wrong(books.control("POST", f"refunds/{refund.id}/end", {"status": ending}), stripe.Refund)
            whole = await mine.v1.refunds.retrieve_async(refund.id, {"expand": BEHIND_A_REFUND})
            nothing_wrong(said(whole), stripe.Refund)
            seen.add(ending)
    assert seen == {"pending", "requires_action", "succeeded", "failed", "canceled"}
    page = said(await mine.v1.refunds.list_async({"limit": 100, "expand": ["data.charge.refunds"]}))
    nothing_wrong(page, stripe.ListObject[stripe.Refund])


async def test_the_movements_of_a_refund_are_complete(mine: Api, books: SandboxProcess) -> None:
    paid = await mine.pay(description="an order")
    refund = await _refund(mine, paid.id, amount=700)
    books.control("POST", f"refunds/{refund.id}/end", {"status": "failed"})
    page = said(await mine.v1.balance_transactions.list_async({"source": refund.id, "expand": ["data.source"]}))
    nothing_wrong(page, stripe.ListObject[stripe.BalanceTransaction])
    assert [(entry["type"], entry["reporting_category"], entry["net"]) for entry in page["data"]] == [
        ("refund_failure", "refund_failure", 700),
        ("refund", "refund", -700),
    ]
    assert page["data"][1]["description"] == "REFUND FOR CHARGE (an order)"


# -- disputes and warnings ----------------------------------------------------------------------------------------


async def test_a_dispute_is_complete_in_every_state(mine: Api, books: SandboxProcess) -> None:
    seen = set()
    for first in ("needs_response", "warning_needs_response", "prevented"):
        for reason in ("fraudulent", "general"):
            charge = (await mine.pay(description="an order")).latest_charge
            dispute = books.control("POST", f"charges/{charge}/dispute", {"status": first, "reason": reason})
            for status in (first, *DISPUTES[first]):
                if status != first:
                    dispute = books.control("POST", f"disputes/{dispute['id']}/end", {"status": status})
                nothing_wrong(dispute, stripe.Dispute)
                seen.add(dispute["status"])
    assert seen == set(disputing.MAY_BECOME)
    page = said(await mine.v1.disputes.list_async({"limit": 100, "expand": ["data.charge", "data.payment_intent"]}))
    nothing_wrong(page, stripe.ListObject[stripe.Dispute])
    evidence = {"uncategorized_text": "We sent it.", "customer_name": "A"}
    opened = books.control("POST", f"charges/{(await mine.pay()).latest_charge}/dispute", {})
    nothing_wrong(said(await mine.v1.disputes.update_async(opened["id"], {"evidence": evidence})), stripe.Dispute)
    nothing_wrong(said(await mine.v1.disputes.close_async(opened["id"])), stripe.Dispute)


async def test_a_warning_of_fraud_is_complete(mine: Api, books: SandboxProcess) -> None:
    charge = (await mine.pay()).latest_charge
    warning = books.control("POST", f"charges/{charge}/fraud_warning", {})
    nothing_wrong(warning, stripe.radar.EarlyFraudWarning)
    page = said(await mine.v1.radar.early_fraud_warnings.list_async({"expand": ["data.charge"]}))
    nothing_wrong(page, stripe.ListObject[stripe.radar.EarlyFraudWarning])


# -- payouts ------------------------------------------------------------------------------------------------------


async def test_a_payout_is_complete_in_every_state(mine: Api, books: SandboxProcess) -> None:
    seen = set()
    for steps in (["in_transit", "paid", "failed"], ["canceled"]):
        payout = pay_out(books)
        nothing_wrong(payout, stripe.Payout)
        nothing_wrong(books.control("POST", f"payouts/{payout['id']}/reconcile"), stripe.Payout)
        seen |= {payout["status"], *steps}
        for status in steps:
            nothing_wrong(books.control("POST", f"payouts/{payout['id']}/end", {"status": status}), stripe.Payout)
        listed = said(await mine.v1.balance_transactions.list_async({"payout": payout["id"]}))
        its_own = {"source": payout["id"], "expand": ["data.source"]}
        moved = said(await mine.v1.balance_transactions.list_async(its_own))
        for page in (listed, moved):
            nothing_wrong(page, stripe.ListObject[stripe.BalanceTransaction])
        assert [entry["source"]["object"] for entry in moved["data"]] == ["payout", "payout"]
    assert seen == set(payouting.MAY_BECOME)
    fund(books)
    by_hand = await mine.v1.payouts.create_async({"amount": 1, "currency": "usd"})
    nothing_wrong(said(by_hand), stripe.Payout)
    nothing_wrong(said(await mine.v1.payouts.cancel_async(by_hand.id)), stripe.Payout)
    expand = ["data.balance_transaction.source", "data.failure_balance_transaction"]
    page = said(await mine.v1.payouts.list_async({"limit": 100, "expand": expand}))
    nothing_wrong(page, stripe.ListObject[stripe.Payout])


# -- the money, the account, the events ---------------------------------------------------------------------------


async def test_the_balance_of_a_new_account_is_zero_in_its_currency(own_api: Api) -> None:
    balance = said(await own_api.v1.balance.retrieve_async())
    nothing_wrong(balance, stripe.Balance)
    for entries in (balance["available"], balance["pending"]):
        assert [(entry["amount"], entry["currency"]) for entry in entries] == [(0, "usd")]


async def test_the_balance_is_complete_in_every_currency(own_api: Api, own_sandbox: SandboxProcess) -> None:
    for currency in ("usd", "eur", "jpy"):
        await own_api.pay(currency=currency)
    own_sandbox.control("POST", "fees/flush")
    balance = said(await own_api.v1.balance.retrieve_async())
    nothing_wrong(balance, stripe.Balance)
    assert {entry["currency"]: entry["amount"] for entry in balance["pending"]} == {
        "usd": 1999 - 88,
        "eur": 1999 - 88,
        "jpy": 1999 - 88,
    }
    assert {entry["currency"]: entry["amount"] for entry in balance["available"]} == {"usd": 0, "eur": 0, "jpy": 0}


async def test_a_balance_transaction_is_complete(mine: Api) -> None:
    await mine.pay()
    page = said(await mine.v1.balance_transactions.list_async({"limit": 1, "expand": ["data.source"]}))
    nothing_wrong(page, stripe.ListObject[stripe.BalanceTransaction])
    assert page["data"][0]["source"]["object"] == "charge"


async def test_the_account_is_complete(mine: Api) -> None:
    nothing_wrong(said(await mine.v1.accounts.retrieve_current_async()), stripe.Account)


async def test_every_event_and_the_object_in_it_is_complete(mine: Api, books: SandboxProcess) -> None:
    await mine.pay()
    await failure(mine.pay("pm_card_visa_chargeDeclined"), CardError)
    waiting = await mine.pay("pm_card_authenticationRequired")
    await mine.pay("pm_sandbox_processing")
    await mine.intents.cancel_async(waiting.id)
    held = await mine.pay(capture_method="manual")
    await mine.intents.capture_async(held.id)
    refund = await _refund(mine, held.id)
    books.control("POST", f"refunds/{refund.id}/end", {"status": "failed"})
    warned = (await mine.pay("pm_card_createIssuerFraudRecord")).latest_charge
    books.control("POST", "disputes/flush")
    inquiry = books.control("POST", f"charges/{warned}/dispute", {"status": "warning_needs_response"})["id"]
    for status in ("needs_response", "won"):
        books.control("POST", f"disputes/{inquiry}/end", {"status": status})
    payout = pay_out(books)
    books.control("POST", f"payouts/{payout['id']}/reconcile")
    for status in ("paid", "failed"):
        books.control("POST", f"payouts/{payout['id']}/end", {"status": status})
    fund(books)
    await mine.v1.payouts.cancel_async((await mine.v1.payouts.create_async({"amount": 1, "currency": "usd"})).id)

    page = said(await mine.v1.events.list_async({"limit": 100}))

    nothing_wrong(page, stripe.ListObject[stripe.Event])
    for event in page["data"]:
        told = event["data"]["object"]
        nothing_wrong(told, KINDS[told["object"]])
    assert {event["type"] for event in page["data"]} >= {
        "payment_intent.created",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.requires_action",
        "payment_intent.processing",
        "payment_intent.canceled",
        "charge.succeeded",
        "charge.failed",
        "charge.updated",
        "charge.captured",
        "charge.refunded",
        "payment_intent.amount_capturable_updated",
        "refund.created",
        "refund.updated",
        "refund.failed",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
        "radar.early_fraud_warning.created",
        "radar.early_fraud_warning.updated",
        "payout.created",
        "payout.updated",
        "payout.paid",
        "payout.failed",
        "payout.canceled",
        "payout.reconciliation_completed",
    }


async def test_an_update_tells_what_it_changed(mine: Api) -> None:
    charge = (await mine.pay()).latest_charge
    events = (await mine.v1.events.list_async({"limit": 100})).data
    (updated,) = [e for e in events if e.type == "charge.updated" and e.data.object["id"] == charge]
    assert updated.data.previous_attributes.to_dict() == {"balance_transaction": None}
    assert updated.data.object["balance_transaction"]
    others = [e for e in events if not e.type.endswith(".updated")]
    assert not any("previous_attributes" in e.data for e in others)


async def test_events_are_given_back_for_thirty_days(own_api: Api, own_sandbox: SandboxProcess) -> None:
    await own_api.create()
    (event,) = (await own_api.v1.events.list_async()).data
    own_sandbox.control("POST", "clock", {"advance_s": 30 * DAY_S - 60})
    assert (await own_api.v1.events.retrieve_async(event.id)).id == event.id

    own_sandbox.control("POST", "clock", {"advance_s": 120})

    assert (await own_api.v1.events.list_async()).data == []
    assert (await failure(own_api.v1.events.retrieve_async(event.id), StripeError)).http_status == 404
    assert len((await own_api.intents.list_async()).data) == 1


async def _refund(api: Api, intent_id: str, **params: Any) -> Any:
    return await api.v1.refunds.create_async({"payment_intent": intent_id, **params})


# -- errors -------------------------------------------------------------------------------------------------------


async def test_every_refusal_is_complete(mine: Api) -> None:
    paid = await mine.pay()
    canceled = await mine.create()
    await mine.intents.cancel_async(canceled.id)
    key = new_key()
    await mine.create(key)
    async with Api(Target(mine.base, "sk_wrong")) as stranger:
        for work in [
            mine.pay(amount=1),
            mine.pay(colour="red"),
            mine.intents.retrieve_async("pi_nobody"),
            mine.intents.confirm_async(paid.id),
            mine.intents.cancel_async(paid.id),
            mine.intents.confirm_async(canceled.id),
            mine.create(key, amount=5000),
            mine.intents.capture_async(paid.id),
            mine.intents.capture_async(canceled.id),
            _refund(mine, canceled.id),
            _refund(mine, paid.id, amount=2000),
            stranger.create(),
        ]:
            refused = await failure(work, StripeError)
            nothing_wrong(refused.json_body["error"], stripe.ErrorObject)


# -- the checker itself -------------------------------------------------------------------------------------------


def _at(tree: Any, path: str) -> tuple[Any, str]:
    *above, last = path.split(".")
    for name in above:
        tree = tree[name]
    return tree, last


def _removed(tree: Any, path: str) -> None:
    node, name = _at(tree, path)
    del node[name]


def _set(value: Any) -> Callable[[Any, str], None]:
    def put(tree: Any, path: str) -> None:
        node, name = _at(tree, path)
        node[name] = value

    return put


PLANTED = [
    ("payment_intent.review", _removed, "missing"),
    ("payment_intent.amount_capturable", _removed, "missing"),
    ("payment_intent.last_payment_error.payment_method.card.checks", _removed, "missing"),
    ("payment_method.billing_details.address.country", _removed, "missing"),
    ("payment_intent.amount", _set("1999"), "str instead of int"),
    ("payment_intent.amount", _set(19.99), "float instead of int"),
    ("payment_intent.amount", _set(True), "bool instead of int"),
    ("payment_intent.amount", _set(None), "null"),
    ("payment_intent.livemode", _set(0), "int instead of bool"),
    ("payment_intent.metadata", _set([]), "no hash"),
    ("payment_intent.metadata", _set({"k": 1}), "int instead of str"),
    ("payment_intent.status", _set("paid"), "unknown word 'paid'"),
    ("payment_intent.payment_method_types", _set("card"), "no array"),
    ("payment_intent.payment_method_types", _set([1]), "int instead of str"),
    ("payment_intent.payment_method_options", _set({"card": {}}), "missing"),
    ("payment_intent.invoice", _set(None), "not a field of PaymentIntent"),
    ("payment_method.card.network", _set("visa"), "not a field of PaymentMethod.Card"),
    ("payment_method.allow_redisplay", _set("often"), "unknown word 'often'"),
    ("decline_code", _set(None), "null, where Stripe leaves the field out"),
    ("colour", _set("red"), "not a field of ErrorObject"),
]


@pytest.mark.parametrize(("path", "plant", "what"), PLANTED)
async def test_a_planted_mistake_is_found(mine: Api, path: str, plant: Callable[[Any, str], None], what: str) -> None:
    declined = await failure(mine.pay("pm_card_chargeCustomerFail"), CardError)
    spoiled = copy.deepcopy(declined.json_body["error"])
    plant(spoiled, path)

    found = list(faults(spoiled, stripe.ErrorObject))

    assert found
    assert all(fault.path.startswith(f".{path}") and fault.what == what for fault in found), found


def test_a_type_that_nobody_looked_up_is_a_fault() -> None:
    assert list(faults({}, stripe.Topup)) == [Fault("", "nothing is known about Topup")]


def test_both_sdks_speak_of_the_version_that_the_sandbox_answers_with() -> None:
    assert stripe.api_version == ALWAYS_SENT_IN == API_VERSION
