"""What tests of Stripe's balance share: a list of its movements, and charges that they are of."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.balance import BalanceGateway, BalanceSweep, Booked, Looking, book_waiting
from service.foundation.settings import Settings
from service.stripe_gateway.balance import Balance, Funds
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import MOMENT_MAX, BalanceTransaction, IncompleteListing
from service.sweeps import Sweeping
from tests.ledger.support import ALICE

PAGE = 100
_begun = [datetime.now(UTC)]


def begin() -> None:
    """A test begins."""
    _begun[0] = datetime.now(UTC).replace(microsecond=0)


def now() -> datetime:
    """When the test began, to the second."""
    return _begun[0]


class Stripe:
    """A list of balance transactions, newest first, and a note of each listing asked for."""

    def __init__(self, transactions: Iterable[BalanceTransaction] = (), *, breaks_after: int | None = None) -> None:
        self.transactions = list(transactions)
        self.breaks_after = breaks_after
        self.asked: list[tuple[int, int | None]] = []
        self.shown = 0

    async def list_balance_transactions(
        self, created_gte: int, created_lt: int | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        self.asked.append((created_gte, created_lt))
        for n, item in enumerate(sorted(self.transactions, key=lambda t: -t.created)):
            if n == self.breaks_after:
                raise IncompleteListing("page 2 could not be read")
            in_window = created_gte <= item.created and (created_lt is None or item.created < created_lt)
            if in_window or not 0 <= item.created <= MOMENT_MAX:  # a moment that is none is in every window
                self.shown += 1
                yield item
            if n % PAGE == 0:  # one request a page: in between, others run
                await asyncio.sleep(0)

    async def retrieve_balance_transaction(self, transaction_id: str) -> BalanceTransaction | None:
        return next((one for one in self.transactions if one.id == transaction_id), None)

    async def balance(self) -> Balance:
        """All that is listed, and nothing else."""
        return Balance(available=[], pending=[Funds(amount=bt.net, currency=bt.currency) for bt in self.transactions])

    async def clock(self) -> float | None:
        return datetime.now(UTC).timestamp()


async def _always() -> bool:
    return True


async def sweep(engine: AsyncEngine, settings: Settings, stripe: Stripe) -> bool:
    """One round of the sweep, and what waited for it."""
    whole = await _sweeping(engine, settings, stripe, stripe.clock)
    await all_looked_at(engine, settings)
    return whole


async def look(engine: AsyncEngine, settings: Settings, stripe: Stripe) -> Booked:
    """One look of a process that has just begun."""
    return await Looking(engine, stripe, settings).once()


async def sweep_balance(engine: AsyncEngine, settings: Settings) -> None:
    """Store and book what Stripe's list of movements shows, as a relay does."""
    async with StripeGateway(settings) as gateway:
        await _sweeping(engine, settings, gateway, gateway.clock)
    await all_looked_at(engine, settings)


async def _sweeping(engine: AsyncEngine, settings: Settings, gateway: BalanceGateway, clock: Any) -> bool:
    return await Sweeping(engine, gateway, BalanceSweep(), settings, clock, may_go_on=_always).once()


async def all_looked_at(engine: AsyncEngine, settings: Settings) -> Booked:
    """The time of everything that waits has come."""
    await run(engine, "UPDATE balance_transactions SET look_at = now() WHERE status <> 'booked'")
    return await book_waiting(engine, settings)


def transaction(
    n: int | str,
    *,
    amount: int = 1999,
    fee: int = 88,
    currency: str = "usd",
    at: datetime | None = None,
    type_: str = "charge",
    category: str = "charge",
    source: str | None = None,
) -> BalanceTransaction:
    """A movement; of the charge of its own name, where nothing else is said."""
    return BalanceTransaction(
        id=f"txn_{n}",
        amount=amount,
        fee=fee,
        net=amount - fee,
        currency=currency,
        created=int((at or now()).timestamp()),
        type=type_,
        reporting_category=category,
        source=source or f"ch_{n}",
    )


async def paid(
    engine: AsyncEngine,
    *names: int | str,
    at: datetime | None = None,
    status: str = "succeeded",
    captured: int | None = None,
) -> None:
    """Charges that succeeded at Stripe and whose fee is due; `captured`: where less than all of it was taken."""
    async with engine.begin() as connection:
        for name in names:
            order = {"order_id": uuid4(), "account_id": ALICE, "key": f"{name}", "name": f"{name}"}
            await connection.execute(_ORDER, {k: v for k, v in order.items() if k != "name"})
            charge = {**order, "id": uuid4(), "at": at or now(), "status": status, "captured": captured}
            await connection.execute(_CHARGE, charge)


async def due(engine: AsyncEngine) -> set[str]:
    """Charges whose movement is not booked."""
    statement = text("SELECT stripe_charge_id FROM charges WHERE balance_transaction_id IS NULL")
    async with engine.connect() as connection:
        return set((await connection.scalars(statement)).all())


async def standing(engine: AsyncEngine) -> dict[str, str]:
    """Where each movement stands."""
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT id, status FROM balance_transactions"))
        return {row.id: row.status for row in rows}


async def references(engine: AsyncEngine) -> list[str]:
    """What is on the books, by natural key."""
    async with engine.connect() as connection:
        return list((await connection.scalars(text("SELECT reference FROM journal_entries ORDER BY 1"))).all())


async def run(engine: AsyncEngine, statement: str, **values: Any) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement), values)


async def default_account(engine: AsyncEngine) -> UUID:
    async with engine.connect() as connection:
        found: UUID = (await connection.execute(text("SELECT id FROM accounts WHERE is_default"))).scalar_one()
        return found


_ORDER = text("""
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, status)
VALUES (:order_id, :account_id, :key, '', 1999, 'usd', 'pm_card_visa', 'paid')
""")

_CHARGE = text("""
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,
                     stripe_version, maybe_executed, payment_intent_id, stripe_charge_id, stripe_created,
                     charged_at, captured_minor, life)
VALUES (:id, :account_id, :order_id, 1, :key, 1999, 'usd', :status, '{}', '', true,
        'pi_' || CAST(:name AS text), 'ch_' || CAST(:name AS text), CAST(:at AS timestamptz) - interval '1 day', :at,
        :captured, 1)
""")
