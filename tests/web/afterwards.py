"""Orders in the states that a worker leaves them in, written by hand: what is asked of them is judged by the API."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.web.conftest import Api

# The state of an order, and that of its newest charge.
CHARGE_OF = {
    "processing": "unknown",
    "requires_action": "requires_action",
    "authorized": "authorized",
    "paid": "succeeded",
    "failed": "declined",
    "canceled": "canceled",
}
DECLINED = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "No."}


async def rows(engine: AsyncEngine, sql: str, **values: object) -> list[dict[str, Any]]:
    """What a statement answers; it is committed."""
    async with engine.begin() as connection:
        found = await connection.execute(text(sql), values)
        return [dict(row) for row in found.mappings()] if found.returns_rows else []


async def one(engine: AsyncEngine, sql: str, **values: object) -> Any:
    """The only value that a statement answers."""
    ((value,),) = (row.values() for row in await rows(engine, sql, **values))
    return value


async def order_in(
    api: Api, engine: AsyncEngine, status: str, key: str = "k1", *, intent: str | None = "", **changes: Any
) -> str:
    """The id of an order in this state, with the charge that brought it there. `intent` "": one of its own."""
    order_id = str((await api.order(key, **changes)).json()["id"])
    await bring(engine, order_id, status, intent=f"pi_{uuid4().hex}" if intent == "" else intent)
    return order_id


async def bring(
    engine: AsyncEngine, order_id: str, status: str, *, intent: str | None, failure: dict[str, Any] | None = None
) -> None:
    """Settle the present attempt of an order by hand."""
    if status == "pending":
        return
    failed = json.dumps(failure or DECLINED) if status == "failed" else None
    await rows(engine, "DELETE FROM outbox WHERE order_id = :id AND kind = 'charge'", id=order_id)
    await rows(
        engine,
        """INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status,
               request, stripe_version, maybe_executed, first_sent_at, last_sent_at, life, payment_intent_id)
           SELECT :charge, account_id, id, attempt, 'wire-' || id || attempt, amount_minor, currency, :status,
                  '{}', 'v', true, now(), now(), 1, :intent FROM orders WHERE id = :id""",
        id=order_id, charge=uuid4(), status=CHARGE_OF[status], intent=intent,
    )  # fmt: skip
    await rows(
        engine,
        """UPDATE orders SET status = :status, payment_intent_id = :intent, failure = CAST(:failure AS jsonb)
            WHERE id = :id""",
        id=order_id, status=status, intent=intent, failure=failed,
    )  # fmt: skip


async def ask(api: Api, order_id: str | UUID, what: str, key: str = "a1", **wanted: Any) -> httpx.Response:
    """POST below an order; `prefer` is a header."""
    headers = {"Idempotency-Key": key}
    if prefer := wanted.pop("prefer", None):
        headers["Prefer"] = prefer
    return await api.http.post(f"/v1/orders/{order_id}/{what}", json=wanted, headers=headers)


async def owed(engine: AsyncEngine) -> list[tuple[str, dict[str, Any]]]:
    """Kind and payload of each outbox row, oldest first."""
    return [(row["kind"], row["payload"]) for row in await rows(engine, "SELECT kind, payload FROM outbox ORDER BY id")]
