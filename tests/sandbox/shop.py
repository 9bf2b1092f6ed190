"""A shop that sells one order and refunds it."""

from typing import Any, Self

from tests.sandbox.client import Api, new_key, order
from tests.sandbox.process import SandboxProcess

HOUR_S = 3600


class Shop:
    """One paid order and its refunds."""

    def __init__(self, api: Api, sandbox: SandboxProcess) -> None:
        self.api = api
        self.sandbox = sandbox
        self.order = new_key()
        self.intent: Any = None

    async def sell(self, card: str = "pm_card_visa", **params: Any) -> Self:
        self.intent = await self.api.pay(card, metadata=order(self.order), **params)
        return self

    async def refund(self, key: str | None = None, **params: Any) -> Any:
        sent = {"payment_intent": self.intent.id} | params
        return await self.api.v1.refunds.create_async(sent, {"idempotency_key": key or new_key()})

    async def read(self, refund: Any) -> Any:
        return await self.api.v1.refunds.retrieve_async(refund.id, {"expand": ["failure_balance_transaction"]})

    async def charge(self) -> Any:
        return await self.api.v1.charges.retrieve_async(self.intent.latest_charge, {"expand": ["refunds"]})

    async def told(self, *ids: str) -> list[str]:
        events = (await self.api.v1.events.list_async({"limit": 100})).data
        return [event.type for event in reversed(events) if event.data.object["id"] in ids]

    def end(self, refund: Any, status: str, reason: str | None = None) -> Any:
        return self.sandbox.control("POST", f"refunds/{refund.id}/end", {"status": status, "failure_reason": reason})

    def dispute(self, **opening: Any) -> Any:
        return self.sandbox.control("POST", f"charges/{self.intent.latest_charge}/dispute", opening)

    def decide(self, dispute: Any, status: str, **how: Any) -> Any:
        return self.sandbox.control("POST", f"disputes/{dispute['id']}/end", {"status": status} | how)

    def back(self) -> tuple[int, dict[str, int], int]:
        """What the witness has seen go back: how often, how much, and how often that failed."""
        truth = self.sandbox.truth(self.order)
        return truth["refunds"], truth["refunded"], truth["refunds_failed"]
