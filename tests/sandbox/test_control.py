"""The control API: time, speed, keys, endings from outside, and the truth."""

import asyncio
import stat
import time
import urllib.request
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from stripe import APIError, AuthenticationError, CardError, InvalidRequestError, RateLimitError

from sandbox.limits import Latency
from sandbox.secret import control_secret, secret_file
from tests.sandbox.client import Api, Target, failure, new_key, order
from tests.sandbox.process import KEY, SandboxProcess

DAY_S = 86_400


# -- who may --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {KEY}"}])
def test_without_the_secret_nothing_but_the_health_is_told_or_done(
    sandbox: SandboxProcess, headers: dict[str, str]
) -> None:
    for method, path in (
        ("GET", "truth"), ("GET", "faults"), ("POST", "faults"), ("DELETE", "faults"), ("POST", "clock"),
        ("POST", "age"), ("POST", "latency"), ("POST", "rate_limit"), ("POST", "keys/revoke"), ("POST", "fees"),
        ("POST", "fees/flush"), ("GET", "strict"), ("POST", "strict"), ("GET", "nothing"),
        ("POST", "payment_intents/pi_x/complete_action"), ("POST", "balance"), ("POST", "refunds/re_x/end"),
        ("POST", "refunds/flush"), ("POST", "charges/ch_x/dispute"), ("POST", "deliveries"), ("GET", "deliveries"),
        ("POST", "deliveries/flush"), ("GET", "events/evt_x/deliveries"), ("POST", "events/evt_x/resend"),
        ("POST", "webhook_endpoints/we_x/roll"), ("POST", "event_destinations/ed_x/roll"),
    ):  # fmt: skip
        url = f"{sandbox.base}/_sandbox/{path}"
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, b"{}", headers, method=method))  # noqa: S310  our own
        assert refused.value.code == 401, path
        refused.value.close()
    with urllib.request.urlopen(f"{sandbox.base}/_sandbox/health") as answer:  # noqa: S310
        assert answer.status == 200


def test_a_secret_is_made_at_first_run_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "books.sqlite3"
    made = control_secret(data, None)
    assert control_secret(data, None) == made
    assert stat.S_IMODE(secret_file(data).stat().st_mode) == 0o600
    assert control_secret(data, "x" * 20) == "x" * 20
    for bad in ("short", "with a space in it, long", "é" * 20):
        with pytest.raises(ValueError, match="EO_SANDBOX_SECRET"):
            control_secret(data, bad)


# -- time ---------------------------------------------------------------------------------------------------------


async def test_a_key_is_remembered_just_below_a_day(own_sandbox: SandboxProcess, own_api: Api) -> None:
    first = await own_api.pay(key="k")
    own_sandbox.control("POST", "clock", {"advance_s": DAY_S - 60})
    assert (await own_api.pay(key="k")).id == first.id


async def test_a_forgotten_key_charges_again(own_sandbox: SandboxProcess, own_api: Api) -> None:
    await own_api.pay(key="k", metadata=order("o1"))
    own_sandbox.control("POST", "clock", {"advance_s": DAY_S})
    await own_api.pay(key="k", metadata=order("o1"))
    assert own_sandbox.truth("o1")["charges"] == 2


async def test_the_clock_moves_the_date_header_and_the_stamps(own_sandbox: SandboxProcess, own_api: Api) -> None:
    own_sandbox.control("POST", "clock", {"advance_s": 3 * DAY_S})
    intent = await own_api.pay()
    date = parsedate_to_datetime(intent.last_response.headers["date"]).timestamp()
    assert intent.created == pytest.approx(time.time() + 3 * DAY_S, abs=5)
    assert date == pytest.approx(intent.created, abs=5)


def test_the_clock_never_moves_back(sandbox: SandboxProcess) -> None:
    with pytest.raises(OSError, match=r"4\d\d"):
        sandbox.control("POST", "clock", {"advance_s": -1})


async def test_ageing_moves_the_past_and_leaves_the_clock(own_sandbox: SandboxProcess, own_api: Api) -> None:
    before = await own_api.pay(key="k", metadata={"created": "5"})
    own_sandbox.control("POST", "age", {"seconds": 1000})
    after = await own_api.pay()

    aged = await own_api.intents.retrieve_async(before.id)
    assert aged.created == before.created - 1000
    assert aged.metadata["created"] == "5"
    assert after.created == pytest.approx(time.time(), abs=5)
    assert (await own_api.pay(key="k", metadata={"created": "5"})).created == aged.created
    window: Any = {"created": {"lte": aged.created}}
    assert [i.id for i in (await own_api.intents.list_async(window)).data] == [before.id]


async def test_what_is_planned_ages_too(own_sandbox: SandboxProcess, own_api: Api) -> None:
    own_sandbox.control("POST", "fees", {"delay_s": 3600})
    intent = await own_api.pay()
    own_sandbox.control("POST", "age", {"seconds": 7200})
    (movement,) = (await own_api.v1.balance_transactions.list_async()).data
    assert movement.created == pytest.approx(intent.created - 3600, abs=2)


async def test_an_aged_key_is_forgotten(own_sandbox: SandboxProcess, own_api: Api) -> None:
    first = await own_api.pay(key="k")
    own_sandbox.control("POST", "age", {"seconds": DAY_S})
    assert (await own_api.pay(key="k")).id != first.id


async def test_money_becomes_available_after_two_days(own_sandbox: SandboxProcess, own_api: Api) -> None:
    await own_api.pay(amount=10_000)
    assert own_sandbox.control("POST", "fees/flush")["booked"] == 1
    (pending,) = (await own_api.v1.balance.retrieve_async()).pending

    own_sandbox.control("POST", "clock", {"advance_s": 2 * DAY_S})
    balance = await own_api.v1.balance.retrieve_async()
    assert pending.amount == balance.available[0].amount == 10_000 - 320
    assert [entry.amount for entry in balance.pending] == [0]
    assert [b.status for b in (await own_api.v1.balance_transactions.list_async()).data] == ["available"]


# -- fees ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "fee"),
    [
        (1999, "usd", 88),
        (50, "usd", 31),
        (1017, "usd", 59),
        (1018, "usd", 60),
        (500, "jpy", 45),
        (5000, "kwd", 445),
    ],
)
async def test_the_fee_is_2_9_percent_half_up_and_thirty(
    sandbox: SandboxProcess, sandbox_api: Api, amount: int, currency: str, fee: int
) -> None:
    intent = await sandbox_api.pay(amount=amount, currency=currency)
    sandbox.control("POST", "fees/flush")
    (movement,) = (await sandbox_api.v1.balance_transactions.list_async({"source": intent.latest_charge})).data
    assert (movement.fee, movement.net, movement.currency) == (fee, amount - fee, currency)


async def test_a_late_fee_stays_away_until_it_is_due(own_sandbox: SandboxProcess, own_api: Api) -> None:
    own_sandbox.control("POST", "fees", {"delay_s": 3600})
    intent = await own_api.pay()
    assert not (await own_api.v1.balance_transactions.list_async()).data

    own_sandbox.control("POST", "clock", {"advance_s": 7200})
    (movement,) = (await own_api.v1.balance_transactions.list_async()).data
    assert movement.created == pytest.approx(intent.created + 3600, abs=2)


async def test_capture_at_once_knows_the_fee_at_once(sandbox_api: Api) -> None:
    intent = await sandbox_api.pay(capture_method="automatic", expand=["latest_charge"])
    assert intent.latest_charge.balance_transaction.startswith("txn_")


# -- speed --------------------------------------------------------------------------------------------------------


async def test_a_key_in_flight_is_409(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.control("POST", "latency", {"p50_ms": 300})
    key = new_key()
    first = asyncio.create_task(sandbox_api.pay(key=key, metadata=order(key)))
    await asyncio.sleep(0.1)
    busy = await failure(sandbox_api.pay(key=key, metadata=order(key)), APIError)

    assert (busy.http_status, busy.error.code) == (409, "idempotency_key_in_use")
    assert (await first).status == "succeeded"
    assert sandbox.truth(key)["charges"] == 1


def test_latency_has_the_median_and_the_tail_asked_for() -> None:
    latency = Latency(20, 60)
    times = sorted(latency.sample_s() for _ in range(20_000))
    assert 0.019 < times[10_000] < 0.021
    assert 0.050 < times[19_800] < 0.072


async def test_every_answer_takes_its_latency(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.control("POST", "latency", {"p50_ms": 20, "p99_ms": 20})
    start = time.monotonic()
    await sandbox_api.v1.accounts.retrieve_current_async()
    assert time.monotonic() - start >= 0.02


async def test_the_rate_limit_stands_before_idempotency(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    key = new_key()
    await sandbox_api.pay(key=key)
    sandbox.control("POST", "rate_limit", {"rps": 1})
    await sandbox_api.pay(key=key)
    limited = await failure(sandbox_api.pay(key=key), RateLimitError)
    assert limited.error.code == "rate_limit"


async def test_each_endpoint_has_a_limit_of_its_own(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.control("POST", "rate_limit", {"rps": 1})
    intent = await sandbox_api.create()
    assert (await sandbox_api.intents.retrieve_async(intent.id)).id == intent.id


# -- who may enter ------------------------------------------------------------------------------------------------


async def test_a_revoked_key_is_shut_out_until_it_is_let_in_again(sandbox: SandboxProcess) -> None:
    async with Api(Target(sandbox.base, "sk_test_revoked")) as api:
        sandbox.control("POST", "keys/revoke", {"key": "sk_test_revoked"})
        with pytest.raises(AuthenticationError):
            await api.pay()
        sandbox.control("POST", "keys/revoke", {"key": "sk_test_revoked", "revoked": False})
        assert (await api.pay()).status == "succeeded"


@pytest.mark.parametrize("key", ["sk_live_0123456789", "pk_test_0123456789", "x"])
async def test_only_secret_test_keys_enter(sandbox: SandboxProcess, key: str) -> None:
    async with Api(Target(sandbox.base, key)) as api:
        with pytest.raises(AuthenticationError):
            await api.v1.balance.retrieve_async()


def test_an_answer_without_authentication_has_stripes_shape(sandbox: SandboxProcess) -> None:
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(f"{sandbox.base}/v1/balance")  # noqa: S310  our own server
    assert refused.value.code == 401
    assert b'"type":"authentication_error"' in refused.value.read()


# -- endings from outside -----------------------------------------------------------------------------------------


async def test_the_customer_completes_three_d_secure(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    intent = await sandbox_api.pay("pm_card_authenticationRequired", metadata=order("3ds"))
    assert sandbox.truth("3ds")["charges"] == 0
    _complete(sandbox, intent.id, succeed=True)
    assert (await sandbox_api.intents.retrieve_async(intent.id)).status == "succeeded"
    assert sandbox.truth("3ds")["charges"] == 1


async def test_the_customer_fails_three_d_secure(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    intent = await sandbox_api.pay("pm_card_authenticationRequired")
    _complete(sandbox, intent.id, succeed=False)
    failed = await sandbox_api.intents.retrieve_async(intent.id)
    assert failed.status == "requires_payment_method"
    error = failed.last_payment_error
    assert (error.code, error.type) == ("payment_intent_authentication_failure", "invalid_request_error")
    assert error.message.startswith("The provided PaymentMethod has failed authentication.")
    assert not (await sandbox_api.v1.charges.list_async({"payment_intent": intent.id})).data


async def test_a_card_may_decline_after_three_d_secure(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    card = "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"
    intent = await sandbox_api.pay(card)
    _complete(sandbox, intent.id, succeed=True)
    failed = await sandbox_api.intents.retrieve_async(intent.id)
    assert failed.last_payment_error.decline_code == "insufficient_funds"


async def test_a_card_set_up_for_off_session_asks_only_on_session(sandbox_api: Api) -> None:
    card = "pm_card_authenticationRequiredOnSetup"
    assert (await sandbox_api.pay(card)).status == "requires_action"
    assert (await sandbox_api.pay(card, off_session=True)).status == "succeeded"


async def test_an_action_may_be_refused_beforehand(sandbox_api: Api) -> None:
    declined = await failure(
        sandbox_api.pay("pm_card_authenticationRequired", error_on_requires_action=True), CardError
    )
    assert (declined.code, declined.error.decline_code) == ("authentication_required", "authentication_not_handled")
    assert "`error_on_requires_action` was set" in declined.user_message
    assert not (await sandbox_api.v1.charges.list_async({"payment_intent": declined.error.payment_intent.id})).data


@pytest.mark.parametrize(("succeed", "status"), [(True, "succeeded"), (False, "requires_payment_method")])
async def test_a_processing_payment_ends_on_request(
    sandbox: SandboxProcess, sandbox_api: Api, *, succeed: bool, status: str
) -> None:
    intent = await sandbox_api.pay("pm_sandbox_processing")
    assert intent.status == "processing"
    with pytest.raises(InvalidRequestError):
        await sandbox_api.intents.cancel_async(intent.id)
    _complete(sandbox, intent.id, succeed=succeed)
    assert (await sandbox_api.intents.retrieve_async(intent.id)).status == status


async def test_a_slow_payment_ends_by_itself(own_sandbox: SandboxProcess, own_api: Api) -> None:
    intent = await own_api.pay("pm_sandbox_slow")
    assert intent.status == "processing"
    own_sandbox.control("POST", "clock", {"advance_s": 10})
    assert (await own_api.intents.retrieve_async(intent.id)).status == "succeeded"


async def test_every_ending_is_told_in_an_event(own_sandbox: SandboxProcess, own_api: Api) -> None:
    waiting = await own_api.pay("pm_card_authenticationRequired")
    processing = await own_api.pay("pm_sandbox_processing")
    await own_api.intents.cancel_async(waiting.id)
    _complete(own_sandbox, processing.id, succeed=False)

    told = [event.type for event in (await own_api.v1.events.list_async({"limit": 100})).data][::-1]
    assert told == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.canceled",
        "charge.failed",
        "payment_intent.payment_failed",
    ]


async def test_what_has_ended_cannot_be_completed(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    intent = await sandbox_api.pay()
    with pytest.raises(OSError, match=r"4\d\d"):
        _complete(sandbox, intent.id, succeed=True)


async def test_an_intent_is_found_by_its_customer(sandbox_api: Api) -> None:
    customer = f"cus_{new_key()[-12:]}"
    intent = await sandbox_api.pay(customer=customer)
    await sandbox_api.pay()
    found = await sandbox_api.intents.list_async({"customer": customer})
    charges = await sandbox_api.v1.charges.list_async({"customer": customer})
    assert [i.id for i in found.data] == [intent.id]
    assert [c.payment_intent for c in charges.data] == [intent.id]


# -- truth --------------------------------------------------------------------------------------------------------


async def test_the_truth_counts_what_was_charged_and_nothing_else(own_sandbox: SandboxProcess, own_api: Api) -> None:
    await own_api.pay(key="a")
    await own_api.pay(key="a")
    await own_api.pay(amount=500, currency="eur")
    await own_api.create()
    with pytest.raises(CardError):
        await own_api.pay("pm_card_visa_chargeDeclined")

    truth = own_sandbox.control("GET", "truth")
    assert truth["amounts"] == {"eur": 500, "usd": 1999}
    assert (truth["charges_succeeded"], truth["charges_failed"], truth["payment_intents"]) == (2, 1, 4)
    assert (truth["requests"], truth["replays"]) == ({"200": 4, "402": 1}, 1)


async def test_the_truth_counts_orders_that_were_charged_twice(own_sandbox: SandboxProcess, own_api: Api) -> None:
    for _ in range(2):
        await own_api.pay(key=new_key(), metadata={"eo_order": "twice", "eo_account": "a"})
    await own_api.pay(key=new_key(), metadata={"eo_order": "once", "eo_account": "a"})
    await own_api.pay(key=new_key(), metadata={"eo_order": "once", "eo_account": "b"})
    await own_api.pay(key=new_key())
    truth = own_sandbox.control("GET", "truth")
    assert (truth["orders_charged"], truth["orders_charged_twice"]) == (3, 1)


async def test_the_truth_per_order_tells_attempts_apart(own_sandbox: SandboxProcess, own_api: Api) -> None:
    one = await own_api.pay(metadata=order("o1"))
    two = await own_api.pay(metadata=order("o1") | {"eo_attempt": "2"}, amount=700)
    await own_api.pay(metadata=order("o2"))
    await own_api.pay()

    orders = {entry["order"]: entry for entry in own_sandbox.control("GET", "truth?per=order")["orders"]}
    assert {name: entry["charges"] for name, entry in orders.items()} == {None: 1, "o1": 2, "o2": 1}
    assert orders["o1"]["account"] == "acc"
    assert orders["o1"]["amounts"] == {"usd": 2699}
    assert [attempt["payment_intents"] for attempt in orders["o1"]["attempts"]] == [[one.id], [two.id]]
    assert own_sandbox.truth("o1")["payment_intents"] == [one.id, two.id]


def test_an_order_never_charged_has_zero_charges(sandbox: SandboxProcess) -> None:
    assert sandbox.truth("never")["charges"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("clock", {"advance": 1}),
        ("faults", {"rules": [{"fault": "no_such"}]}),
        ("nothing", {}),
        ("age", {"seconds": -1}),
    ],
)
def test_a_wrong_control_call_is_refused(sandbox: SandboxProcess, path: str, body: dict[str, Any]) -> None:
    with pytest.raises(OSError, match=r"4\d\d"):
        sandbox.control("POST", path, body)


def _complete(sandbox: SandboxProcess, intent_id: str, *, succeed: bool) -> None:
    sandbox.control("POST", f"payment_intents/{intent_id}/complete_action", {"succeed": succeed})
