"""Group commit, seen from the inside: who shares a commit, who waits for it, who learns that it failed."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.store import RolledBack, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "books.sqlite3")
    yield store
    store.close()


async def test_an_answer_waits_for_its_commit(store: Store) -> None:
    store.set_meta("k", "v")
    assert _committed(store) == []
    await store.committed()
    assert _committed(store) == [("k", "v")]


async def test_requests_of_one_turn_share_a_commit(store: Store) -> None:
    async def request(name: str) -> None:
        store.set_meta(name, "v")
        await store.committed()
        assert len(_committed(store)) == 5

    await asyncio.gather(*(request(f"k{n}") for n in range(5)))


async def test_a_read_alone_waits_for_nothing(store: Store) -> None:
    store.rows("SELECT 1")
    async with asyncio.timeout(0):
        await store.committed()


async def test_whoever_waits_learns_that_it_was_undone(store: Store) -> None:
    store.set_meta("k", "v")
    waiting = asyncio.create_task(store.committed())
    await asyncio.sleep(0)
    store.rollback()
    with pytest.raises(RolledBack):
        await waiting
    assert _committed(store) == []


async def test_one_cancelled_request_leaves_its_neighbour_waiting(store: Store) -> None:
    store.set_meta("k", "v")
    gone, neighbour = (asyncio.create_task(store.committed()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await neighbour
    assert _committed(store) == [("k", "v")]


async def test_what_was_not_undone_is_committed_as_it_was_written(store: Store) -> None:
    store.set_meta("before", "v")
    store.write("INSERT INTO revoked_keys VALUES ('k')")
    waiting = asyncio.create_task(store.committed())
    await asyncio.sleep(0)
    store.start_apart()
    store.set_meta("before", "changed")
    store.write("DELETE FROM revoked_keys")
    store.undo_apart()
    store.set_meta("after", "v")
    await waiting
    assert sorted(_committed(store)) == [("after", "v"), ("before", "v")]
    assert store.rows("SELECT key FROM revoked_keys") == [("k",)]


async def test_what_sqlite_undid_by_itself_is_never_told_as_done(store: Store) -> None:
    store.set_meta("k", "v")
    waiting = asyncio.create_task(store.committed())
    await asyncio.sleep(0)
    store.row("SELECT 1")
    store._db.execute("ROLLBACK")
    store.set_meta("another", "v")
    with pytest.raises(RolledBack):
        await waiting
    store.commit()
    assert _committed(store) == [("another", "v")]


def test_a_file_of_an_earlier_version_gets_its_new_columns(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    old = sqlite3.connect(path)
    old.execute("CREATE TABLE payment_methods (id TEXT PRIMARY KEY, card TEXT NOT NULL) WITHOUT ROWID")
    old.execute("INSERT INTO payment_methods VALUES ('pm_1', 'pm_card_visa')")
    old.commit()
    old.close()
    for _ in range(2):
        store = Store(path)
        assert store.rows("SELECT * FROM payment_methods") == [("pm_1", "pm_card_visa", None, 0)]
        store.close()


def _committed(store: Store) -> list[tuple[str, str]]:
    """What another process would see."""
    reader = sqlite3.connect(store.path)
    try:
        return reader.execute("SELECT * FROM meta").fetchall()
    finally:
        reader.close()
