"""The table of movements: each balance transaction of Stripe's once, and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from service.foundation.postgres.sql import Batch, Connection, Integer, Record, Statement
from service.states import MOVEMENT_OPEN, in_sql
from service.stripe_gateway.objects import BalanceTransaction

_SOONEST_S, _LATEST_S, _OF_ITS_AGE = 1, 21_600, 4


class _Id(Record):
    id: str


_STORED = Statement("""
SELECT id FROM balance_transactions WHERE id = ANY (CAST(:ids AS text[]))
""").returning(_Id)


async def stored(tx: Connection, ids: Sequence[str]) -> set[str]:
    """Those of `ids` that are in the table already."""
    return {row.id for row in await tx.rows(_STORED, {"ids": ids})}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a movement stands: its status, why it has no booking, and whose it is."""

    status: str
    why: str | None = None
    account_id: UUID | None = None
    order_id: UUID | None = None


class _New(Batch, frozen=True):
    """Movements that were never seen before."""

    alias = "new"
    id: Sequence[str]
    type: Sequence[str]
    category: Sequence[str]
    balance_type: Sequence[str]
    source: Sequence[str | None]
    amount_minor: Sequence[int]
    fee_minor: Sequence[int]
    net_minor: Sequence[int]
    currency: Sequence[str]
    stripe_created: Sequence[datetime]
    available_on: Sequence[datetime | None]
    status: Sequence[str]
    why: Sequence[str | None]
    account_id: Sequence[UUID | None]
    order_id: Sequence[UUID | None]


_INSERT = Statement(f"""
INSERT INTO balance_transactions ({_New.columns()})
SELECT {_New.columns()} FROM {_New.unnest()} ORDER BY id COLLATE "C"
ON CONFLICT (id) DO NOTHING
RETURNING id
""").returning(_Id)


async def insert(tx: Connection, found: Sequence[tuple[BalanceTransaction, Standing]]) -> set[str]:
    """Store these where they are new; returns the ids of those that are."""
    new = _New(
        id=[bt.id for bt, _ in found],
        type=[bt.type for bt, _ in found],
        category=[bt.reporting_category for bt, _ in found],
        balance_type=[bt.balance_type for bt, _ in found],
        source=[bt.source for bt, _ in found],
        amount_minor=[bt.amount for bt, _ in found],
        fee_minor=[bt.fee for bt, _ in found],
        net_minor=[bt.net for bt, _ in found],
        currency=[bt.currency for bt, _ in found],
        stripe_created=[_moment(bt.created) for bt, _ in found],
        available_on=[None if bt.available_on is None else _moment(bt.available_on) for bt, _ in found],
        status=[at.status for _, at in found],
        why=[at.why for _, at in found],
        account_id=[at.account_id for _, at in found],
        order_id=[at.order_id for _, at in found],
    )
    return {row.id for row in await tx.rows(_INSERT, new.bound())}


class Open(Record):
    """A movement that has no booking of its own. `is_old`: it has waited for its source for longer than the grace."""

    id: str
    type: str
    category: str
    balance_type: str
    source: str | None
    amount_minor: int
    fee_minor: int
    net_minor: int
    currency: str
    stripe_created: datetime
    status: str
    why: str | None
    is_old: bool

    @property
    def transaction(self) -> BalanceTransaction:
        """The movement as Stripe showed it."""
        return BalanceTransaction(
            id=self.id,
            amount=self.amount_minor,
            fee=self.fee_minor,
            net=self.net_minor,
            currency=self.currency,
            created=int(self.stripe_created.timestamp()),
            type=self.type,
            source=self.source,
            reporting_category=self.category,
            balance_type=self.balance_type,
        )


# Another process may look at others meanwhile: both skip what is locked.
_TAKE = Statement(f"""
SELECT id, type, category, balance_type, source, amount_minor, fee_minor, net_minor, currency, stripe_created, status,
       why, seen_at <= now() - make_interval(secs => :grace_s) AS is_old
  FROM balance_transactions
 WHERE status IN {in_sql(MOVEMENT_OPEN)} AND look_at <= now()
 ORDER BY look_at LIMIT :most
   FOR NO KEY UPDATE SKIP LOCKED
""").returning(Open)


async def take(tx: Connection, most: int, grace_s: int) -> list[Open]:
    """Those whose time has come to look again for what they are of; nobody else has them until the transaction ends."""
    return await tx.rows(_TAKE, {"most": most, "grace_s": float(grace_s)})


class _Seen(Batch, frozen=True):
    """Movements and where they stand now."""

    alias = "now_at"
    id: Sequence[str]
    status: Sequence[str]
    why: Sequence[str | None]
    account_id: Sequence[UUID | None]
    order_id: Sequence[UUID | None]


# What is still open is looked for again after a quarter of its age, so that what never comes costs ever less.
_NOTE = Statement(f"""
UPDATE balance_transactions b SET status = now_at.status, why = now_at.why, account_id = now_at.account_id,
    order_id = now_at.order_id,
    look_at = now() + least(greatest((now() - b.seen_at) / {_OF_ITS_AGE}, make_interval(secs => {_SOONEST_S})),
                            make_interval(secs => {_LATEST_S}))
  FROM {_Seen.unnest()}
 WHERE b.id = now_at.id
""")


async def note(tx: Connection, seen: Sequence[tuple[str, Standing]]) -> None:
    """Store where these stand now."""
    batch = _Seen(
        id=[movement for movement, _ in seen],
        status=[at.status for _, at in seen],
        why=[at.why for _, at in seen],
        account_id=[at.account_id for _, at in seen],
        order_id=[at.order_id for _, at in seen],
    )
    await tx.run(_NOTE, batch.bound())


class _Count(Record):
    rows: Integer


_STATUS = Statement("""
SELECT CAST(count(*) AS integer) AS rows FROM balance_transactions
 WHERE id = ANY (CAST(:ids AS text[])) AND status = 'suspense'
""").returning(_Count)


async def suspended(tx: Connection, ids: Sequence[str]) -> int:
    """How many of these stand in suspense."""
    return (await tx.one(_STATUS, {"ids": ids})).rows


# Workers forbid bitmaps, and a block-range index has no other plan: without this the table would be read whole.
_BY_TIME = Statement("SET LOCAL enable_bitmapscan = on")

_KNOWN = Statement("""
SELECT id FROM balance_transactions
 WHERE stripe_created >= to_timestamp(:gte) AND stripe_created < to_timestamp(:lt)
""").returning(_Id)


async def known(tx: Connection, gte: int, lt: int) -> set[str]:
    """Ids of those created in [gte, lt) Unix seconds."""
    await tx.run(_BY_TIME)
    return {row.id for row in await tx.rows(_KNOWN, {"gte": gte, "lt": lt})}


def _moment(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
