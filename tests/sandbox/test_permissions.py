"""What a key may not do at the routes after the charge: nothing happens, and the same key of idempotency is free."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from stripe import AuthenticationError, PermissionError  # noqa: A004  Stripe's own name

from tests.sandbox.client import Api, Target, failure, new_key, order
from tests.sandbox.process import SandboxProcess

RESTRICTED = "rk_test_0123456789abcdef"


class Sold(NamedTuple):
    """A payment that is held, one that was taken, and a refund of it that waits for the customer."""

    order: str
    held: str
    taken: str
    refund: str


Work = Callable[[Api, Sold, Any], Awaitable[Any]]
# Method, path, the right by Stripe's name, the call.
ROUTES: dict[str, tuple[str, str, str, Work]] = {
    "capture": ("POST", "/capture$", "rak_payment_intent_write",
                lambda api, sold, options: api.intents.capture_async(sold.held, {}, options)),
    "cancel": ("POST", "/payment_intents/[^/]*/cancel$", "rak_payment_intent_write",
               lambda api, sold, options: api.intents.cancel_async(sold.held, {}, options)),
    "refund": ("POST", "/refunds$", "rak_charge_write",
               lambda api, sold, options: api.v1.refunds.create_async(
                   {"payment_intent": sold.taken, "amount": 100}, options)),
    "refund changed": ("POST", "/refunds/[^/]*$", "rak_charge_write",
                       lambda api, sold, options: api.v1.refunds.update_async(
                           sold.refund, {"metadata": {"a": "b"}}, options)),
    "refund canceled": ("POST", "/refunds/[^/]*/cancel$", "rak_charge_write",
                        lambda api, sold, options: api.v1.refunds.cancel_async(sold.refund, {}, options)),
    "refund read": ("GET", "/refunds/[^/]*$", "rak_charge_read",
                    lambda api, sold, options: api.v1.refunds.retrieve_async(sold.refund, {}, options)),
    "refunds listed": ("GET", "/refunds$", "rak_charge_read",
                       lambda api, sold, options: api.v1.refunds.list_async({"payment_intent": sold.taken}, options)),
}  # fmt: skip


@pytest.fixture
async def sold(sandbox_api: Api) -> Sold:
    """What the calls of this file are about."""
    name = new_key()
    held = await sandbox_api.pay(capture_method="manual", metadata=order(name))
    taken = await sandbox_api.pay("pm_sandbox_refundAsks", metadata=order(name))
    refund = await sandbox_api.v1.refunds.create_async({"payment_intent": taken.id, "amount": 100})
    return Sold(name, held.id, taken.id, refund.id)


@pytest.fixture
async def restricted(sandbox: SandboxProcess) -> AsyncIterator[Api]:
    """stripe-python with a restricted key."""
    async with Api(Target(sandbox.base, RESTRICTED)) as api:
        yield api


@pytest.mark.parametrize("name", ROUTES)
async def test_a_right_that_is_missing_is_named_and_nothing_happens(
    sandbox: SandboxProcess, restricted: Api, sold: Sold, name: str
) -> None:
    method, path, right, call = ROUTES[name]
    sandbox.control("POST", "strict", {"rules": ["restricted_keys"]})
    sandbox.faults({"fault": "forbidden_403", "method": method, "path": path, "permission": right})
    before, options = sandbox.truth(sold.order), {"idempotency_key": new_key()}

    refused = await failure(call(restricted, sold, options), PermissionError)
    assert (refused.http_status, f"'{right}'" in refused.user_message) == (403, True)
    assert (sandbox.fired(), sandbox.truth(sold.order)) == ([1], before)

    sandbox.control("DELETE", "faults")
    answer = await call(restricted, sold, options)
    assert "idempotent-replayed" not in answer.last_response.headers


@pytest.mark.parametrize("name", ROUTES)
async def test_a_restricted_key_enters_only_where_the_rule_is_on(
    sandbox: SandboxProcess, restricted: Api, sold: Sold, name: str
) -> None:
    before = sandbox.truth(sold.order)
    await failure(ROUTES[name][3](restricted, sold, {}), AuthenticationError)
    assert sandbox.truth(sold.order) == before
