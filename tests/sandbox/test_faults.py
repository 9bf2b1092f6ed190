"""The fault plan: what the client sees, what was charged, and what the key remembers."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from stripe import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    CardError,
    PermissionError,  # noqa: A004  Stripe's own name
    RateLimitError,
    StripeError,
)

from tests.sandbox.client import Api, failure, new_key, order
from tests.sandbox.process import SandboxProcess


def named(value: object) -> str | None:
    return str(value["fault"]) if isinstance(value, dict) else None


# fault → (what the client gets, status)
NOT_EXECUTED: list[tuple[dict[str, Any], type[Exception], int | None]] = [
    ({"fault": "drop_before"}, APIConnectionError, None),
    ({"fault": "html_502"}, APIError, 502),
    ({"fault": "rate_limited"}, RateLimitError, 429),
    ({"fault": "lock_timeout"}, RateLimitError, 429),
    ({"fault": "conflict_409"}, APIError, 409),
    ({"fault": "failed_dependency_424"}, APIError, 424),
    ({"fault": "unauthorized_401"}, AuthenticationError, 401),
    ({"fault": "forbidden_403"}, PermissionError, 403),
    ({"fault": "error_500_before", "saved": False}, APIError, 500),
    ({"fault": "stall", "executed": False, "stall_s": 0.05}, APIConnectionError, None),
]
EXECUTED: list[tuple[dict[str, Any], type[Exception], int | None]] = [
    ({"fault": "executed_reply_lost"}, APIConnectionError, None),
    ({"fault": "cut_body"}, aiohttp.ClientPayloadError, None),
    ({"fault": "stall", "stall_s": 0.05}, APIConnectionError, None),
    ({"fault": "html_502_executed"}, APIError, 502),
    ({"fault": "failed_dependency_424", "executed": True}, APIError, 424),
]


@pytest.mark.parametrize(("rule", "error", "status"), NOT_EXECUTED, ids=named)
async def test_what_fails_before_execution_charges_only_the_repeat(
    sandbox: SandboxProcess,
    sandbox_api: Api,
    rule: dict[str, Any],
    error: type[Exception],
    status: int | None,
) -> None:
    key = new_key()
    sandbox.faults({**rule, "method": "POST", "times": 1})

    failed = await failure(sandbox_api.pay(key=key, metadata=order(key)), error)
    assert getattr(failed, "http_status", None) == status
    assert sandbox.truth(key)["charges"] == 0

    repeat = await sandbox_api.pay(key=key, metadata=order(key))
    assert "idempotent-replayed" not in repeat.last_response.headers
    assert (sandbox.truth(key)["charges"], sandbox.fired()) == (1, [1])


@pytest.mark.parametrize(("rule", "error", "status"), EXECUTED, ids=named)
async def test_what_fails_after_execution_is_replayed_to_the_repeat(
    sandbox: SandboxProcess,
    sandbox_api: Api,
    rule: dict[str, Any],
    error: type[Exception],
    status: int | None,
) -> None:
    key = new_key()
    sandbox.faults({**rule, "method": "POST", "times": 1})

    failed = await failure(sandbox_api.pay(key=key, metadata=order(key)), error)
    assert getattr(failed, "http_status", None) == status
    assert sandbox.truth(key)["charges"] == 1

    repeat = await sandbox_api.pay(key=key, metadata=order(key))
    assert repeat.last_response.headers["idempotent-replayed"] == "true"
    assert (sandbox.truth(key)["charges"], sandbox.fired()) == (1, [1])


async def test_a_lost_decline_is_replayed_as_a_decline(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    key = new_key()
    sandbox.faults({"fault": "executed_reply_lost", "times": 1})
    await failure(sandbox_api.pay("pm_card_visa_chargeDeclined", key), APIConnectionError)
    declined = await failure(sandbox_api.pay("pm_card_visa_chargeDeclined", key), CardError)
    assert declined.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(("fault", "charges"), [("executed_500", 1), ("error_500_before", 0)])
async def test_a_500_is_saved_and_a_repeat_only_replays_it(
    sandbox: SandboxProcess, sandbox_api: Api, fault: str, charges: int
) -> None:
    key = new_key()
    sandbox.faults({"fault": fault, "times": 1})
    first = await failure(sandbox_api.pay(key=key, metadata=order(key)), APIError)
    again = await failure(sandbox_api.pay(key=key, metadata=order(key)), APIError)

    assert (first.http_status, again.http_status) == (500, 500)
    assert first.headers["stripe-should-retry"] == again.headers["stripe-should-retry"] == "false"
    assert again.headers["idempotent-replayed"] == "true"
    assert sandbox.truth(key)["charges"] == charges


async def test_a_500_may_roll_forward(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    key = new_key()
    sandbox.faults({"fault": "error_500_roll_forward", "delay_s": 0.1, "times": 1})
    await failure(sandbox_api.pay(key=key, metadata=order(key)), APIError)
    assert sandbox.truth(key)["charges"] == 0

    (intent,) = (await _until_charged(sandbox, key))["payment_intents"]
    assert (await sandbox_api.intents.retrieve_async(intent)).metadata["eo_order"] == key
    assert (await failure(sandbox_api.pay(key=key, metadata=order(key)), APIError)).http_status == 500


async def test_a_stalled_request_may_be_answered_after_all(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.faults({"fault": "stall", "stall_s": 0.1, "then": "answer", "times": 1})
    start = time.monotonic()
    assert (await sandbox_api.pay()).status == "succeeded"
    assert time.monotonic() - start >= 0.1


async def test_a_rate_limit_says_what_the_rule_says(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.faults({"fault": "rate_limited", "retry_after": 7, "should_retry": True})
    limited = await failure(sandbox_api.pay(), RateLimitError)
    assert limited.headers["retry-after"] == "7"
    assert limited.headers["stripe-should-retry"] == "true"


async def test_a_lock_timeout_asks_for_a_repeat(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.faults({"fault": "lock_timeout"})
    locked = await failure(sandbox_api.pay(), RateLimitError)
    assert (locked.error.code, locked.headers["stripe-should-retry"]) == ("lock_timeout", "true")


async def test_an_answer_may_lie_about_the_amount(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.faults({"fault": "wrong_amount", "method": "POST"})
    intent = await sandbox_api.pay(metadata=order("liar"))
    assert intent.amount == 2000
    assert sandbox.truth("liar")["amounts"] == {"usd": 1999}


async def test_an_answer_may_lack_its_request_id(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.faults({"fault": "no_request_id"})
    assert "request-id" not in (await sandbox_api.pay()).last_response.headers


async def test_a_list_may_break_off_after_its_first_page(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    for _ in range(3):
        await sandbox_api.create()
    sandbox.faults({"fault": "incomplete_list", "path": "payment_intents$"})
    page = await sandbox_api.intents.list_async({"limit": 2})

    async def rest() -> None:
        async for _ in page.auto_paging_iter():
            pass

    assert (await failure(rest(), APIError)).http_status == 500


async def test_a_later_page_may_be_slow(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    intent = await sandbox_api.create()
    sandbox.faults({"fault": "slow_list", "stall_s": 0.1})
    start = time.monotonic()
    await sandbox_api.intents.list_async({"starting_after": intent.id})
    assert time.monotonic() - start >= 0.1


async def test_a_rule_strikes_only_the_order_it_names(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.faults({"fault": "drop_before", "metadata_order": "unlucky"})
    assert (await sandbox_api.pay(metadata=order("lucky"))).status == "succeeded"
    await failure(sandbox_api.pay(metadata=order("unlucky")), APIConnectionError)


async def test_a_rule_finds_the_order_behind_an_intents_id(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    intent = await sandbox_api.create(metadata=order("unlucky"))
    other = await sandbox_api.create(metadata=order("lucky"))
    sandbox.faults({"fault": "html_502", "metadata_order": "unlucky"})
    assert (await sandbox_api.intents.retrieve_async(other.id)).id == other.id
    await failure(sandbox_api.intents.retrieve_async(intent.id), APIError)


async def test_nth_counts_the_requests_that_the_rule_selects(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.faults({"fault": "conflict_409", "method": "POST", "path": "payment_intents$", "nth": [1, 3]})
    await sandbox_api.v1.balance.retrieve_async()
    struck = [await _strikes(sandbox_api) for _ in range(4)]
    assert struck == [True, False, True, False]


async def test_a_seed_repeats_its_faults(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    runs = []
    for seed in (7, 7, 8):
        sandbox.faults({"fault": "conflict_409", "probability": 0.5}, seed=seed)
        runs.append([await _strikes(sandbox_api) for _ in range(24)])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert 4 < sum(runs[0]) < 20


async def test_without_a_plan_nothing_fails(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    sandbox.faults({"fault": "drop_before"})
    await failure(sandbox_api.pay(), APIConnectionError)
    assert sandbox.control("DELETE", "faults")["rules"][0]["fired"] == 1
    assert (await sandbox_api.pay()).status == "succeeded"


async def test_cut_connections_are_counted(own_sandbox: SandboxProcess, own_api: Api) -> None:
    own_sandbox.faults({"fault": "executed_reply_lost", "nth": [1]}, {"fault": "drop_before", "nth": [2]})
    for _ in range(2):
        await failure(own_api.pay(), APIConnectionError)
    truth = own_sandbox.control("GET", "truth")
    assert (truth["cut"], truth["charges_succeeded"]) == (2, 1)


async def _strikes(api: Api) -> bool:
    try:
        await api.create()
    except StripeError:
        return True
    return False


async def _until_charged(sandbox: SandboxProcess, name: str) -> Any:
    deadline = time.monotonic() + 10
    while not sandbox.truth(name)["charges"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return sandbox.truth(name)


async def test_plans_stand_side_by_side_and_end_one_by_one(sandbox: SandboxProcess, sandbox_api: Api) -> None:
    lost = {"fault": "executed_reply_lost", "method": "POST", "times": 1}
    sandbox.control("POST", "faults/ours", {"rules": [{**lost, "metadata_order": "mine"}]})
    sandbox.faults(lost)  # replaces the plan without a name, and only that
    mine, other = new_key(), new_key()
    await failure(sandbox_api.pay(key=other, metadata={"eo_order": "other"}), APIConnectionError)
    await failure(sandbox_api.pay(key=mine, metadata={"eo_order": "mine"}), APIConnectionError)
    assert (await sandbox_api.pay(key=mine, metadata={"eo_order": "mine"})).status == "succeeded"
    sandbox.control("DELETE", "faults")
    (rule,) = sandbox.control("GET", "faults/ours")["rules"]
    assert rule["fired"] == 1
    sandbox.control("DELETE", "faults/ours")
    with pytest.raises(OSError, match="404"):
        sandbox.control("GET", "faults/ours")
