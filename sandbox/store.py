"""The sandbox's books: one SQLite file, written before any answer leaves.

Group commit: requests handled in one turn of the event loop write into one open transaction; a callback at the end of
the turn commits it, and then their answers are sent. With `synchronous=OFF` a commit is in the operating system's
cache: killing this process loses nothing, a power cut may.
"""

import asyncio
import fcntl
import logging
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from sandbox.schema import MONEY
from sandbox.telling import SCHEMA as TELLING
from sandbox.telling import Recorded
from sandbox.words import words

SCHEMA = """
-- Facts about this sandbox itself: account id, clock offset.
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revoked_keys (key TEXT PRIMARY KEY) WITHOUT ROWID;
-- Requests seen, by answer; kept so that a restart does not forget them.
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- The saved answer of every executed POST. Rows older than 24 h are overwritten, not deleted.
CREATE TABLE IF NOT EXISTS idempotency_keys (
  key TEXT PRIMARY KEY, endpoint TEXT NOT NULL, fingerprint BLOB NOT NULL, created INTEGER NOT NULL,
  status INTEGER NOT NULL, request_id TEXT NOT NULL, body BLOB NOT NULL);

-- Objects: `body` is the JSON that is answered, the other columns are what lists filter by.
CREATE TABLE IF NOT EXISTS payment_intents (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, customer TEXT, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS payment_intents_created ON payment_intents (created);
CREATE INDEX IF NOT EXISTS payment_intents_customer ON payment_intents (customer, created) WHERE customer IS NOT NULL;
CREATE TABLE IF NOT EXISTS charges (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, customer TEXT,
  payment_intent TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS charges_created ON charges (created);
CREATE INDEX IF NOT EXISTS charges_payment_intent ON charges (payment_intent);
CREATE INDEX IF NOT EXISTS charges_customer ON charges (customer, created) WHERE customer IS NOT NULL;
-- `waiting`: the currency of settlement of which there is too little for this refund.
CREATE TABLE IF NOT EXISTS refunds (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, charge TEXT NOT NULL,
  payment_intent TEXT NOT NULL, waiting TEXT, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS refunds_created ON refunds (created);
CREATE INDEX IF NOT EXISTS refunds_charge ON refunds (charge);
CREATE INDEX IF NOT EXISTS refunds_payment_intent ON refunds (payment_intent);
CREATE INDEX IF NOT EXISTS refunds_waiting ON refunds (waiting) WHERE waiting IS NOT NULL;
-- What is left for refunds, where somebody set it, by currency of settlement; without a row it is always enough.
CREATE TABLE IF NOT EXISTS funds (currency TEXT PRIMARY KEY, available INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS balance_transactions (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, available_on INTEGER NOT NULL,
  currency TEXT NOT NULL, net INTEGER NOT NULL, type TEXT NOT NULL, source TEXT NOT NULL, payout TEXT,
  body BLOB NOT NULL, balance TEXT NOT NULL DEFAULT 'payments');
CREATE INDEX IF NOT EXISTS balance_transactions_created ON balance_transactions (created);
CREATE INDEX IF NOT EXISTS balance_transactions_source ON balance_transactions (source);
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, type TEXT NOT NULL,
  request_id TEXT, idempotency_key TEXT, body BLOB NOT NULL, previous BLOB);
CREATE INDEX IF NOT EXISTS events_created ON events (created);
-- A pm_card_* token becomes a payment method of its own at each use, as at Stripe. `intent` is where it was used first,
-- `authenticated` that its owner proved to be there.
CREATE TABLE IF NOT EXISTS payment_methods (
  id TEXT PRIMARY KEY, card TEXT NOT NULL, intent TEXT, authenticated INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;

-- The witness: one row for every time a card was really charged, written where the charge succeeds and nowhere else.
CREATE TABLE IF NOT EXISTS movements (
  seq INTEGER PRIMARY KEY, charge TEXT NOT NULL, payment_intent TEXT NOT NULL, amount INTEGER NOT NULL,
  currency TEXT NOT NULL, eo_account TEXT, eo_order TEXT, eo_attempt TEXT);
CREATE INDEX IF NOT EXISTS movements_order ON movements (eo_order, eo_account, eo_attempt);
-- The witness of what came before and after that: money held and released, captured, given back. `subject` is the
-- object it happened to.
CREATE TABLE IF NOT EXISTS aftermath (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, amount INTEGER NOT NULL,
  currency TEXT NOT NULL, eo_account TEXT, eo_order TEXT, eo_attempt TEXT);
CREATE INDEX IF NOT EXISTS aftermath_order ON aftermath (eo_order, eo_account, eo_attempt);

-- What happens later by itself: a fee that becomes known, a payment that ends, a 500 that rolls forward.
CREATE TABLE IF NOT EXISTS scheduled (
  seq INTEGER PRIMARY KEY, due REAL NOT NULL, task TEXT NOT NULL, subject TEXT NOT NULL, payload BLOB);
CREATE INDEX IF NOT EXISTS scheduled_due ON scheduled (due);
"""

PRAGMAS = (
    "PRAGMA page_size=8192",  # bytes: a charge has 2.5 KB, and a page of 4 KB would hold only one
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=OFF",
    "PRAGMA cache_size=-65536",  # negative: KiB; enough to hold what 100 000 orders need often
    "PRAGMA wal_autocheckpoint=8000",  # pages: fewer, larger copies into the main file
)
# Columns that files of earlier versions lack.
ADDED = (
    ("payment_methods", "intent", "TEXT"),
    ("payment_methods", "authenticated", "INTEGER NOT NULL DEFAULT 0"),
    ("events", "previous", "BLOB"),
    ("balance_transactions", "balance", "TEXT NOT NULL DEFAULT 'payments'"),
)
GROUP_MAX = 64  # requests per commit; with more, the first ones would wait longer and little CPU would be saved
AGED_TABLES = words(
    """payment_intents charges refunds disputes early_fraud_warnings payouts balance_transactions events destinations
    idempotency_keys"""
)
# Stamps inside stored JSON. A user's text cannot match: its quotes are escaped and its values are strings.
_STAMP = re.compile(
    rb'"(created|canceled_at|available_on|capture_before|email_sent_at|expires_at|due_by|arrival_date)":(\d+)'
)
_log = logging.getLogger("sandbox")


class RolledBack(Exception):
    """The transaction that held this request's writes was undone: nothing of it happened."""


class Store:
    """SQL in, rows out, and `committed()` to wait for durability."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        for pragma in PRAGMAS:
            self._db.execute(pragma)
        self._db.executescript(SCHEMA + MONEY + TELLING)
        for table, column, kind in ADDED:
            if self.row(f"SELECT 1 FROM pragma_table_info('{table}') WHERE name = ?", (column,)) is None:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        self._db.create_function("older", 2, older, deterministic=True)
        self._waiting: list[asyncio.Future[None]] = []  # requests that wait for the next commit
        self._written: list[tuple[str, tuple[Any, ...]]] = []  # what the open transaction wrote
        self._apart_from = 0  # where in it the present request begins
        self.counts: Counter[str] = Counter(dict(self.rows("SELECT name, value FROM counters")))
        self._counted: set[str] = set()
        # Whether there may be destinations; where there never was one, an event costs no look for them.
        self.has_destinations = self.row("SELECT 1 FROM destinations") is not None
        # Whom each new event is told to, in the transaction that writes it.
        self.announce: Callable[[Recorded], None] = lambda _: None

    def write(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        """Run one writing statement inside the open transaction, opening it if needed."""
        if not self._db.in_transaction:
            self._begin()
        self._db.execute(sql, values)
        self._written.append((sql, values))

    def start_apart(self) -> None:
        """Mark the point from which one request writes until the end of the turn, for `undo_apart`."""
        self._apart_from = len(self._written)

    def undo_apart(self) -> None:
        """Undo these writes; what others wrote into the open transaction before them is written again.

        A savepoint would do the same and costs every charge a quarter more CPU, for what never happens.
        """
        kept, self._written = self._written[: self._apart_from], []
        if self._db.in_transaction:  # a full disk makes SQLite itself undo it
            self._db.execute("ROLLBACK")
        try:
            self._db.execute("BEGIN")
            for sql, values in kept:
                self.write(sql, values)
        except sqlite3.Error:
            _log.exception("writing again what others wrote")
            self.rollback()

    def row(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        """The first row, or None. Sees the writes of the open transaction."""
        return self._db.execute(sql, values).fetchone()

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """All rows."""
        return self._db.execute(sql, values).fetchall()

    def snapshot(self, sql: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Yield rows of the last commit from another connection, so that long reads block no writes."""
        self.commit()
        reader = sqlite3.connect(self.path)
        try:
            yield from reader.execute(sql, values)
        finally:
            reader.close()

    def meta(self, name: str, default: str) -> str:
        """A remembered fact; `default` is remembered when there is none yet."""
        self.write("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, default))
        return str(self.row("SELECT value FROM meta WHERE name = ?", (name,))[0])

    def set_meta(self, name: str, value: str) -> None:
        """Remember `value` under `name`."""
        self.write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def count(self, name: str) -> None:
        """Add one to a counter; it is stored with the next commit."""
        self.counts[name] += 1
        self._counted.add(name)

    async def committed(self) -> None:
        """Return when everything written so far is committed. Raises RolledBack when it was undone instead."""
        if not self._db.in_transaction:
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._commit_when_quiet, 0, loop)
        # A future each: one client's cancelled request must not cancel the commit its neighbours wait for.
        mine = loop.create_future()
        self._waiting.append(mine)
        await mine

    def _commit_when_quiet(self, joined_before: int, loop: asyncio.AbstractEventLoop) -> None:
        """Commit once a turn of the event loop brought no further request, or enough of them wait.

        Nobody waits for company: a lone request is committed in the next turn.
        """
        if joined_before < len(self._waiting) < GROUP_MAX:
            loop.call_soon(self._commit_when_quiet, len(self._waiting), loop)
            return
        try:
            self.commit()
        except sqlite3.Error:
            _log.exception("commit")
            self.rollback()

    def commit(self) -> None:
        """End the open transaction and let the answers that wait for it go."""
        for name in self._counted:
            self.write("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, self.counts[name]))
        self._counted.clear()
        if self._db.in_transaction:
            self._db.execute("COMMIT")
            self._written.clear()
            self._release(None)
        else:
            self._release(RolledBack())

    def rollback(self) -> None:
        """Undo the open transaction, which cannot be committed; its requests fail, and the books stay whole."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._written.clear()
        self._release(RolledBack())

    def age(self, seconds: int, *, refunds: bool = True) -> None:
        """Make every stored key, object and plan `seconds` older while the clock stays; refunds may keep their age."""
        for table in AGED_TABLES if refunds else [name for name in AGED_TABLES if name != "refunds"]:
            which = "" if refunds or table != "balance_transactions" else " WHERE source NOT LIKE 're\\_%' ESCAPE '\\'"
            self.write(f"UPDATE {table} SET created = created - ?1, body = older(body, ?1){which}", (seconds,))
        self.write("UPDATE balance_transactions SET available_on = available_on - ?", (seconds,))
        self.write("UPDATE payouts SET arrival_date = arrival_date - ?", (seconds,))
        self.write("UPDATE scheduled SET due = due - ?", (seconds,))
        self.write("UPDATE deliveries SET due = due - ?", (seconds,))
        self.write("UPDATE destinations SET before_until = before_until - ?", (seconds,))

    def close(self) -> None:
        """Commit and close the file."""
        self.commit()
        self._db.close()
        self._lock.close()

    def _begin(self) -> None:
        """Open a transaction. Requests that still wait for the one before fail: SQLite has undone it."""
        self._written.clear()
        self._release(RolledBack())
        self._db.execute("BEGIN")

    def _release(self, error: RolledBack | None) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if future.done():  # its request was cancelled
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def _lock(path: Path) -> IO[bytes]:
    """Lock the books for this process, by a file beside them: SQLite's own locks end when any descriptor is closed.

    Raises OSError when another process holds it. The system releases it however this process ends.
    """
    lock = path.with_name(path.name + ".lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise OSError("another sandbox uses it") from None
    return lock


def older(body: bytes, seconds: int) -> bytes:
    """The JSON text with each of its stamps moved back."""
    return _STAMP.sub(lambda m: b'"%s":%d' % (m[1], int(m[2]) - seconds), body)
