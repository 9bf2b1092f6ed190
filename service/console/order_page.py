"""What `/console/orders/{id}` shows: the order, its story, what it owes, what may be done with it, and who did what."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit, orders
from service.audit import Noted
from service.console.story import Scene, Subject, draw, fold, scenes_of, since, summary, text_of
from service.foundation.money import spelled
from service.orders import Order
from service.orders.all_accounts import Whose, one
from service.outbox.reading import Listed, rows_of_order
from service.states import ORDER_CANCELABLE

_AUDIT_MAX = 200
_FAILS_BY_HAND = ("charge", "cancel")  # what `eo orders fail` ends


@dataclass(frozen=True, slots=True)
class OrderPage:
    """An order with its story. `rows`: what the outbox still holds of it. `deeds`: what operators did, newest first."""

    whose: Whose
    order: Order
    rows: Sequence[Listed]
    deeds: Sequence[Noted]
    events: Sequence[Mapping[str, Any]]
    scenes: Sequence[Scene]

    @property
    def about(self) -> Subject:
        """Whom the story is about."""
        return subject(self.order, self.whose.account)

    @property
    def summary(self) -> str:
        """The story in one sentence."""
        return summary(self.scenes)

    def picture(self) -> str:
        """The story as SVG."""
        title = f"What happened to order {self.order.id}, as a sequence diagram"
        return draw(self.scenes, title=title, description=f"The order is {self.order.status}. {self.summary}")

    def text(self) -> str:
        """The story as text."""
        return text_of(self.about, self.scenes)

    def as_json(self) -> bytes:
        """Order, timeline, and the scenes that picture and text are made of."""
        shown = {"account": self.whose.account, "order": self.order, "timeline": self.events, "story": self.scenes}
        return msgspec.json.format(msgspec.json.encode(shown), indent=2)

    @property
    def told(self) -> list[Scene]:
        """The scenes, repeats folded."""
        return fold(self.scenes)

    def since(self, at: datetime) -> str:
        """How long after the order was accepted."""
        return since(self.scenes[0].at, at)

    @property
    def left(self) -> int:
        """What can still be given back, in minor units; that a dispute is open is not asked here."""
        return max(0, self.order.amount_captured - self.order.amount_refunded - self.order.amount_disputed)

    @property
    def may_fail(self) -> bool:
        """Whether it is one of those that only a human can end."""
        return any(row.parked_at is not None and row.kind in _FAILS_BY_HAND for row in self.rows)

    @property
    def may_cancel(self) -> bool:
        """Whether its state allows a cancellation; the state may change before it is asked for."""
        return self.order.status in ORDER_CANCELABLE

    @property
    def seen(self) -> str:
        """What a page shows that an action depends on: an action of a page that shows something else is refused."""
        order = self.order
        sums = f"{order.amount_captured} {order.amount_refunded} {order.amount_disputed}"
        rows = " ".join(f"{row.id} {row.parked_at is not None}" for row in self.rows)
        return f"{order.status} {sums} {rows}".strip()


async def order_page(engine: AsyncEngine, order_id: UUID, checks: Mapping[str, str]) -> OrderPage:
    """The page of this order; `checks` are readiness's, for why it waits. Raises NotFound."""
    whose = await one(engine, order_id)
    order = await orders.get(engine, whose.account_id, whose.id)
    events = await orders.timeline(engine, whose.account_id, whose.id, checks)
    deeds = await audit.noted(engine, subject=order.id, limit=_AUDIT_MAX)
    told = sorted([*events, *map(_event, reversed(deeds))], key=lambda event: event["at"])
    rows = await rows_of_order(engine, whose.id)
    return OrderPage(whose, order, rows, deeds, told, scenes_of(subject(order, whose.account), told))


def subject(order: Order, account: str) -> Subject:
    """Whom a story of this order is about."""
    return Subject(order.id, order.idempotency_key, spelled(order.amount, order.currency), order.currency, account)


def _event(noted: Noted) -> dict[str, Any]:
    """An operator's deed, as an event of the story."""
    return {
        "at": noted.at,
        "event": "operator.acted",
        "actor": noted.actor,
        "via": noted.via,
        "action": noted.action,
        "subject": noted.subject,
        "reason": noted.reason,
        "after": json.loads(noted.after) if noted.after else None,
    }
