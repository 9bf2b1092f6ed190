"""What the conformance suite cannot say in its steps: whole bodies, sums, exact sets, many requests at once."""

import asyncio
import time
from typing import Any

from stripe import APIError

from tests.sandbox.client import Api, new_key


async def test_a_fee_is_the_sum_of_its_parts_and_is_told_once(sandbox_api: Api) -> None:
    charge = (await sandbox_api.pay(expand=["latest_charge"])).latest_charge
    assert charge.balance_transaction is None

    movement = await _movement_of(sandbox_api, charge.id)

    assert movement.fee == sum(detail.amount for detail in movement.fee_details) > 0
    assert movement.net == movement.amount - movement.fee
    assert [event.type for event in await _events(sandbox_api, charge.id)].count("charge.updated") == 1


async def test_a_charge_is_told_in_events_that_name_their_request(sandbox_api: Api) -> None:
    key = new_key()
    intent = await sandbox_api.pay(key=key)

    events = await _events(sandbox_api, intent.id)

    assert {event.type for event in events} == {"payment_intent.created", "payment_intent.succeeded"}
    assert {event.request.idempotency_key for event in events} == {key}
    assert {event.request.id for event in events} == {intent.last_response.request_id}


async def test_a_replay_is_the_first_answer_to_the_letter(sandbox_api: Api) -> None:
    key = new_key()
    first, again = await sandbox_api.pay(key=key), await sandbox_api.pay(key=key)
    assert again.to_dict() == first.to_dict()


async def test_an_intent_reads_back_as_it_was_answered(sandbox_api: Api) -> None:
    intent = await sandbox_api.pay()
    assert (await sandbox_api.intents.retrieve_async(intent.id)).to_dict() == intent.to_dict()


async def test_a_key_in_use_by_many_at_once_charges_once(sandbox_api: Api) -> None:
    key = new_key()
    answers = await asyncio.gather(*(sandbox_api.pay(key=key) for _ in range(5)), return_exceptions=True)

    paid = [answer for answer in answers if not isinstance(answer, BaseException)]
    busy: list[Any] = [answer for answer in answers if isinstance(answer, APIError)]
    assert len(paid) + len(busy) == 5
    assert len({intent.id for intent in paid}) == 1
    assert {error.error.code for error in busy} <= {"idempotency_key_in_use"}


async def _movement_of(api: Api, charge_id: str) -> Any:
    """The balance transaction of the charge, as soon as there is one."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        charge = await api.v1.charges.retrieve_async(charge_id, {"expand": ["balance_transaction"]})
        if charge.balance_transaction is not None:
            return charge.balance_transaction
        await asyncio.sleep(0.02)
    raise AssertionError("the balance transaction did not appear")


async def _events(api: Api, object_id: str) -> list[Any]:
    """The newest events about one object."""
    page = await api.v1.events.list_async({"limit": 100})
    return [event for event in page.data if event.data.object["id"] == object_id]
