"""Each try of a worker leaves one line that the order's id, its key's hash and Stripe's Request-Id find."""

import asyncio
import json
from typing import Any

import pytest

from service.foundation.log import hashed
from tests.charges.world import World


async def attempts(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The attempts that were logged since the last look, once this turn of the event loop has ended."""
    await asyncio.sleep(0)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "attempt.settled"]


async def test_a_charge_leaves_one_line_with_its_ids_and_nothing_of_its_content(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    promise = await world.order(description="for-nobody")
    await world.deliver(promise)
    (line,) = await attempts(capfd)
    assert line.pop("ts")
    assert line.pop("ms") > 0
    assert line.pop("stripe_request").startswith("req_")
    assert line == {
        "level": "info", "process": "worker", "event": "attempt.settled", "kind": "charge", "attempt": 1,
        "account_id": str(promise.account_id), "order_id": str(promise.order_id), "outbox_id": str(promise.outbox_id),
        "key": hashed(promise.key), "outcome": "succeeded", "answer": "200 succeeded",
    }  # fmt: skip


async def test_a_declined_one_has_its_line_too(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    declined = await world.order(payment_method="pm_card_chargeDeclined")
    await world.deliver(declined)
    (line,) = await attempts(capfd)
    assert (line["outcome"], line["answer"]) == ("declined", "402 card_declined")
