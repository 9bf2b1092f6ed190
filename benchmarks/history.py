"""Years of orders by COPY: paid, charged and booked, with keys that fall anywhere in an index.

Only loading is shortened: indexes are built after the rows, and the triggers that check each statement are off
meanwhile. When it is done, everything is as the migrations made it.
"""

import asyncio
import itertools
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from service import ledger

CHUNK = 20_000
_LOAD_S = 3_600.0
_START_MS = 1_735_689_600_000  # 2025-01-01: ids and times of a year ago
_SCRAMBLE, _MASK = 0x9E3779B97F4A7C15, 2**64 - 1
_TABLES = ("orders", "charges", "journal_entries", "postings")
_STRIPPED = (*_TABLES, "order_aliases")  # which refers to orders

# COPY's text form; every second charge has its fee booked, which makes three postings an order.
_ORDER = (
    "{id}\t{account}\t{key}\t\\\\x01{digest}\t1999\tusd\tpm_card_visa\t"
    '{{"cart": "17"}}\tpaid\tpi_3{mixed}\t{at}\t{at}\n'
)
_CHARGE = (
    "{charge}\t{account}\t{id}\t1\t{key}\t1999\tusd\tsucceeded\tsend\t{request}\t2026-10-28.endive\tt\t{at}\t{at}\t"
    "pi_3{mixed}\tch_3{mixed}\t{at}\ttxn_3{mixed}\t"
    '[{{"at": "{at}", "call": "send"}}, {{"at": "{at}", "answer": "200 succeeded", "request_id": "req_{digest:.14}"}}]'
    "\t{at}\t{at}\t0\n"
)
_REQUEST = (
    '{{"amount":1999,"currency":"usd","payment_method":"pm_card_visa",'
    '"automatic_payment_methods":{{"enabled":true,"allow_redirects":"never"}},"confirm":true,'
    '"metadata":{{"cart":"17","eo_account":"{account}","eo_order":"{id}","eo_attempt":"1","eo_key":"{key}",'
    '"eo_fingerprint":"{fingerprint}","eo_instance":"{instance}"}}}}'
)
_INSTANCE = "0192e4a0-0000-4000-8000-000000000001"  # no code reads this column
_COLUMNS = {
    "orders": "id account_id idempotency_key fingerprint amount_minor currency payment_method metadata status "
    "payment_intent_id created_at updated_at",
    "charges": "id account_id order_id attempt idempotency_key amount_minor currency status next_call request "
    "stripe_version maybe_executed first_sent_at last_sent_at payment_intent_id stripe_charge_id stripe_created "
    "balance_transaction_id history created_at updated_at life",
    "journal_entries": "id account_id reference kind digest order_id payment_intent_id occurred_at created_at",
    "postings": "entry_id line ledger_account_id currency amount_minor occurred_at",
}

Book = dict[str, int]


def store(database: str, orders: int) -> None:
    """Fill a migrated, empty database with `orders` orders and all that belongs to them."""
    asyncio.run(_store(database, orders))


async def _store(database: str, orders: int) -> None:
    connection = await asyncpg.connect(database, server_settings={"synchronous_commit": "off"})
    try:
        account = await connection.fetchval("SELECT id FROM accounts WHERE is_default")
        book = await _open_accounts(connection, account)
        rebuild = await _strip(connection)
        for table, rows in _makers(account, book).items():
            await connection.copy_to_table(
                table, source=_chunks(rows, orders), columns=_COLUMNS[table].split(), timeout=_LOAD_S
            )
        await connection.execute("SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 2")
        for statement in rebuild:
            await connection.execute(statement, timeout=_LOAD_S)
        await connection.execute(_REMEMBERED)
        await connection.execute("VACUUM (ANALYZE)", timeout=_LOAD_S)
        await connection.execute("CHECKPOINT", timeout=_LOAD_S)
    finally:
        await connection.close()


async def _open_accounts(connection: Any, account: UUID) -> Book:
    rows = await connection.fetch(
        "INSERT INTO ledger_accounts (account_id, code, currency, type) SELECT $1, code, 'usd', type"
        " FROM unnest($2::text[], $3::text[]) AS chart (code, type) RETURNING code, id",
        account,
        list(ledger.CHART),
        list(ledger.CHART.values()),
    )
    return {row["code"]: row["id"] for row in rows}


async def _strip(connection: Any) -> list[str]:
    """Drop constraints and indexes, silence the triggers; returns the statements that bring them back."""
    rebuild: list[str] = []
    constraints = await connection.fetch(_CONSTRAINTS, list(_STRIPPED))
    for row in reversed(constraints):  # foreign keys first
        await connection.execute(f"ALTER TABLE {row['tab']} DROP CONSTRAINT {row['name']}")
    indexes = await connection.fetch(_INDEXES, list(_STRIPPED))
    for row in indexes:
        await connection.execute(f"DROP INDEX {row['name']}")
    rebuild += [row["definition"] for row in indexes]
    rebuild += [f"ALTER TABLE {r['tab']} ADD CONSTRAINT {r['name']} {r['definition']}" for r in constraints]
    for row in await connection.fetch(_TRIGGERS, list(_STRIPPED)):
        await connection.execute(f"ALTER TABLE {row['tab']} DISABLE TRIGGER {row['name']}")
        rebuild.append(f"ALTER TABLE {row['tab']} ENABLE ALWAYS TRIGGER {row['name']}")
    return rebuild


# Processes that start on this database need not look for these payments in the stand-in, which never saw them.
_REMEMBERED = """
INSERT INTO lives (identity, bound, margin, verified_until, heartbeat_at)
VALUES ('loaded', now(), '0', 'infinity', now())
"""
_CONSTRAINTS = """
SELECT conrelid::regclass::text AS tab, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
  FROM pg_constraint WHERE conrelid = ANY($1::text[]::regclass[]) AND contype IN ('p', 'u', 'f')
 ORDER BY contype = 'f', contype <> 'p'
"""
_INDEXES = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
  FROM pg_index WHERE indrelid = ANY($1::text[]::regclass[])
"""
_TRIGGERS = """
SELECT tgrelid::regclass::text AS tab, quote_ident(tgname) AS name
  FROM pg_trigger WHERE tgrelid = ANY($1::text[]::regclass[]) AND NOT tgisinternal
"""


async def _chunks(rows: Callable[[int], str], orders: int) -> AsyncIterator[bytes]:
    numbers = iter(range(orders))
    while chunk := list(itertools.islice(numbers, CHUNK)):
        yield "".join(map(rows, chunk)).encode()


def _makers(account: UUID, book: Book) -> dict[str, Callable[[int], str]]:
    """The lines of each table for the order of a number."""
    return {
        "orders": lambda n: _ORDER.format(account=account, **_names(n)),
        "charges": lambda n: _charge(account, n),
        "journal_entries": lambda n: "".join(_entries(account, n)),
        "postings": lambda n: "".join(_postings(book, n)),
    }


def _names(n: int) -> dict[str, str]:
    """The ids, keys and times of an order, calculated from its number."""
    mixed = f"{n * _SCRAMBLE & _MASK:016x}"
    return {
        "id": _uuid(n, 1),
        "charge": _uuid(n, 2),
        "key": f"{mixed}-history",
        "mixed": mixed,
        "digest": mixed * 4,
        "at": _at(n),
    }


def _charge(account: UUID, n: int) -> str:
    return _CHARGE.format(account=account, request=_request(account, n), **_names(n))


def _request(account: UUID, n: int) -> str:
    names = _names(n)
    fingerprint = urlsafe_b64encode(b"\x01" + bytes.fromhex(names["digest"])).decode()
    return _REQUEST.format(account=account, instance=_INSTANCE, fingerprint=fingerprint, **names)


def _entries(account: UUID, n: int) -> Iterator[str]:
    names = _names(n)
    mixed, at, digest = names["mixed"], names["at"], names["digest"]
    rest = f"\\\\x01{digest}\t{names['id']}\tpi_3{mixed}\t{at}\t{at}\n"
    yield f"{_uuid(n, 3)}\t{account}\tcharge:ch_3{mixed}\tcharge\t{rest}"
    if n % 2:
        yield f"{_uuid(n, 4)}\t{account}\tfee:txn_3{mixed}\tfee\t{rest}"


def _postings(book: Book, n: int) -> Iterator[str]:
    moves: Sequence[tuple[int, str, int]] = ((3, ledger.entry.REVENUE, 1999),)
    if n % 2:
        moves = (*moves, (4, ledger.entry.PROCESSING_FEES, -88))
    for kind, code, amount in moves:
        entry, at, balance = _uuid(n, kind), _at(n), book[ledger.entry.STRIPE_BALANCE]
        yield f"{entry}\t1\t{balance}\tusd\t{amount}\t{at}\n{entry}\t2\t{book[code]}\tusd\t{-amount}\t{at}\n"


def _uuid(n: int, kind: int) -> str:
    """A UUIDv7 of a busy day a year ago: an order every 3 ms."""
    ms, low = _START_MS + n * 3, n * _SCRAMBLE & _MASK
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{kind:03x}-8{low >> 52:03x}-{n:012x}"


def _at(n: int) -> str:
    """The time in an id, as PostgreSQL reads it."""
    seconds, ms = divmod(n * 3, 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"2025-01-{day % 28 + 1:02d} {hour:02d}:{minute:02d}:{second:02d}.{ms:03d}+00"
