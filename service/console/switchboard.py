"""What the chaos page offers and shows: each fault in a sentence, what should be seen, and the counts that prove it.

What was charged is counted by the sandbox's own books, which no code of this service writes or reads otherwise.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import duplicates
from service.chaos import Board, Fault, Switch, Witness
from service.foundation.postgres.sql import Record, Statement, connect
from service.states import ORDER_MOVES_BY_ITSELF

Given = Literal["", "times", "seconds"]
ORDERS_MAX = 200  # placed by one form


@dataclass(frozen=True, slots=True)
class Offer:
    """One switch of the page. `given`: the number that its form asks for. `places`: whether it places an order."""

    switch: Switch
    verb: str
    does: str
    sees: str
    given: Given = ""
    places: bool = False
    is_rough: bool = False  # everything waits for a moment


OFFERS = (
    Offer(
        Switch.KILL_AFTER_CHARGE,
        "Kill a worker after the charge",
        "Places an order. Stripe charges it and withholds its answer; then the worker is killed by SIGKILL.",
        "A new worker takes the order over, the same key gets the same PaymentIntent: charged once, and paid.",
        places=True,
    ),
    Offer(
        Switch.FREEZE,
        "Freeze a worker after the charge",
        "Places an order. The worker that has it is stopped by SIGSTOP past its lease, then goes on.",
        "A second worker books the charge. The first one wakes with an answer in hand, and is fenced by its token.",
        places=True,
    ),
    Offer(
        Switch.LOSE_REPLIES,
        "Lose Stripe's replies",
        "Stripe executes the next charges, and cuts the connection instead of answering.",
        "The orders are paid all the same: by the same key, sent again, or by Stripe's event.",
        given="times",
    ),
    Offer(
        Switch.DOUBLE,
        "Deliver everything twice",
        "For a while every message of the broker and every event of Stripe comes twice.",
        "Duplicates absorbed go up; charges do not.",
        given="seconds",
    ),
    Offer(
        Switch.EMPTY_REDIS,
        "Empty Redis",
        "Redis forgets every message that waits (FLUSHALL).",
        "Rows in the outbox come due again and are published once more. Nothing is lost, some orders wait a moment.",
    ),
    Offer(
        Switch.KILL_WORKER,
        "Kill the worker",
        "The worker is killed by SIGKILL, whatever it has in hand.",
        "Another one starts by itself, and takes over what the dead one held.",
    ),
    Offer(
        Switch.KILL_RELAY,
        "Kill the relay",
        "The relay is killed by SIGKILL, perhaps between publishing and its note of it.",
        "What it had claimed comes due again: at least once, so perhaps twice.",
    ),
    Offer(
        Switch.KILL_API,
        "Kill the API",
        "The process that serves this page is killed by SIGKILL.",
        "This page stands still for some seconds. An order that was answered with 201 is there.",
        is_rough=True,
    ),
    Offer(
        Switch.KILL_POSTGRES,
        "Kill PostgreSQL",
        "The server is stopped at once: no session ends properly, no checkpoint is written.",
        "It recovers from its log, everybody connects again, and relay and worker ask Stripe before they send.",
        is_rough=True,
    ),
    Offer(
        Switch.DAY,
        "Let a day pass",
        "All that is stored, here and at Stripe, becomes 25 hours older. Stripe forgets its idempotency keys.",
        "An order whose answer was lost is not sent again, which would charge it twice: it is looked up.",
        is_rough=True,
    ),
    Offer(
        Switch.KEEP_COPY,
        "Keep a copy of the database",
        "Copies the data directory while the server runs.",
        "Place orders afterwards, then forget them.",
    ),
    Offer(
        Switch.FORGET,
        "Forget what came after the copy",
        "Stops PostgreSQL, puts the copy in its place, and starts it, as after a restored backup.",
        "Orders are missing, and are back within seconds: Stripe was asked what the database forgot.",
        is_rough=True,
    ),
)
OFFER_OF: Mapping[Switch, Offer] = MappingProxyType({offer.switch: offer for offer in OFFERS})


@dataclass(frozen=True, slots=True)
class Card:
    """A test card to place orders with, and where such an order ends."""

    token: str
    label: str


CARDS: Mapping[str, Card] = MappingProxyType(
    {
        "pays": Card("pm_card_visa", "pays"),
        "declined": Card("pm_card_visa_chargeDeclined", "is declined"),
        "asks": Card("pm_card_threeDSecureRequired", "asks for 3-D Secure"),
        "disputed": Card("pm_card_createDispute", "pays, and is disputed"),
        "mixed": Card("", "all four, in turns"),
    }
)


def tokens(kind: str, count: int) -> list[str]:
    """The payment methods of so many orders."""
    each = [card.token for card in CARDS.values() if card.token]
    return [CARDS[kind].token or each[n % len(each)] for n in range(count)]


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals since this installation was made, but for `injected`, which is since `eo up` started.

    The three of Stripe are None where the sandbox does not answer.
    """

    orders: int
    paid: int
    unsettled: int
    absorbed: Mapping[str, int]
    injected: Mapping[str, int]
    charges: int | None
    charged: int | None
    charged_twice: int | None


class _Counted(Record):
    orders: int
    paid: int
    unsettled: int


class _Status(Record):
    id: UUID
    status: str


class _Account(Record):
    id: UUID


_COUNTED = Statement(f"""
SELECT count(*) AS orders, count(*) FILTER (WHERE status = 'paid') AS paid,
       count(*) FILTER (WHERE status IN ({", ".join(f"'{status}'" for status in sorted(ORDER_MOVES_BY_ITSELF))}))
         AS unsettled
  FROM orders
""").returning(_Counted)
_STATUSES = Statement("SELECT id, status FROM orders WHERE id = ANY(CAST(:ids AS uuid[]))").returning(_Status)
_ACCOUNT = Statement("SELECT id FROM accounts WHERE is_default").returning(_Account)


async def counts(engine: AsyncEngine, board: Board) -> Counts:
    """The counts as they are now."""
    async with connect(engine) as connection:
        ours = await connection.one(_COUNTED)
    absorbed = await duplicates.totals(engine)
    found = await _totals(Witness(board.sandbox, board.secret))
    return Counts(
        ours.orders,
        ours.paid,
        ours.unsettled,
        {guard.value: times for guard, times in absorbed.items() if times},
        board.injected,
        found.get("charges_succeeded"),
        found.get("orders_charged"),
        found.get("orders_charged_twice"),
    )


async def statuses(engine: AsyncEngine, faults: Sequence[Fault]) -> dict[str, str]:
    """The status of each order that a fault struck, where the database knows it."""
    ids = [fault.order for fault in faults if fault.order]
    async with connect(engine) as connection:
        rows = await connection.rows(_STATUSES, {"ids": ids}) if ids else []
    return {str(row.id): row.status for row in rows}


async def default_account(engine: AsyncEngine) -> UUID:
    """The account for which the page places orders."""
    async with connect(engine) as connection:
        return (await connection.one(_ACCOUNT)).id


def at(seconds: float) -> datetime:
    """An instant of `eo up`, which counts seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


async def _totals(witness: Witness) -> Mapping[str, Any]:
    try:
        return await asyncio.to_thread(witness.totals)
    except OSError:
        return {}
