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


def _committed(store: Store) -> list[tuple[str, str]]:
    """What another process would see."""
    reader = sqlite3.connect(store.path)
    try:
        return reader.execute("SELECT * FROM meta").fetchall()
    finally:
        reader.close()
