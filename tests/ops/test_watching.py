"""`eo status --watch` shows what the console's front page shows, outlives an outage, and ends with Ctrl-C."""

import asyncio
import json
import os
import pty
import select
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import money_now, overview
from service.console.verdict import judge
from service.foundation.settings import Settings
from service.ops import watching
from service.ops.watching import Sight, read, text_of, watch
from tests.charges.world import Books

pytestmark = pytest.mark.slow

_PATIENCE_S = 60


@pytest.fixture(autouse=True)
def fleet(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `eo up` runs; the environment names the servers."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)


async def test_it_says_what_the_front_page_says(engine: AsyncEngine, settings: Settings, tmp_path: Path) -> None:
    books = Books(engine, settings)
    await books.orders(3)
    await books.run("UPDATE outbox SET parked_at = now() WHERE id = (SELECT max(id::text)::uuid FROM outbox)")
    await books.run("INSERT INTO tallies (name, label, value) VALUES ('duplicates_absorbed', 'delivery', 1204)")
    sight = await read(engine, tmp_path)
    verdict = judge(await money_now.read(engine, parked=1))
    said = text_of(sight).plain
    assert " ".join(said.split()).count(verdict.headline) == 1
    assert all(line.says in " ".join(said.split()) for line in (*verdict.open, *verdict.known))
    assert "orders: 3 pending\n" in said
    assert "duplicates absorbed: 1,204 delivery\n" in said
    assert "Stripe's newest answers: none yet\n" in said
    assert "breaker: closed" in said
    told = json.loads(json.dumps(sight.as_dict()))
    assert told["verdict"] | {"open": [], "known": []} == {
        "tone": verdict.tone, "headline": verdict.headline, "open": [], "known": [],
    }  # fmt: skip
    assert told["orders"]["pending"] == {"count": 3, "is_more": False}
    assert told["absorbed"] == {one.guard: one.count for one in await overview.absorbed(engine)}
    assert told["status"]["fleet"]["outbox"]["parked"] == 1


async def test_a_block_comes_where_something_changed_and_not_where_time_passed(
    engine: AsyncEngine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    books = Books(engine, settings)
    first = await read(engine, tmp_path)
    await books.orders(1)
    second = await read(engine, tmp_path)
    assert second.front is not None
    assert first.news != second.news
    third = await read(engine, tmp_path)
    assert third.front is not None
    assert (third.front.outbox.oldest_s > second.front.outbox.oldest_s, third.news == second.news) == (True, True)

    async def readings(*_: object) -> AsyncIterator[Sight]:
        for sight in (first, first, second, second):
            yield sight

    monkeypatch.setattr(watching, "readings", readings)
    await watch(engine, tmp_path, as_json=False)
    assert capsys.readouterr().out.count("orders: ") == 2
    await watch(engine, tmp_path, as_json=True)
    assert [json.loads(line)["orders"]["pending"]["count"] for line in capsys.readouterr().out.splitlines()] == [
        *(0, 0, 1, 1)
    ]


async def test_a_database_that_goes_away_is_named_and_watched_on(
    engine: AsyncEngine, settings: Settings, tmp_path: Path, admin: Callable[[str], object]
) -> None:
    assert (await read(engine, tmp_path)).front is not None
    name = urlsplit(settings.database_url).path[1:]
    await asyncio.to_thread(admin, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    await engine.dispose()
    try:
        sight = await read(engine, tmp_path)
    finally:
        await asyncio.to_thread(admin, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    assert sight.front is None
    assert "PostgreSQL cannot be asked" in text_of(sight).plain
    assert sight.as_dict()["verdict"] is None
    assert (await read(engine, tmp_path)).front is not None


def _until(terminal: int, seen: str, words: str) -> str:
    """What the terminal shows until it has shown these words."""
    while words not in seen:
        ready, _, _ = select.select([terminal], [], [], _PATIENCE_S)
        assert ready, seen
        seen += os.read(terminal, 65_536).decode()
    return seen


async def test_a_terminal_is_renewed_in_place_and_ctrl_c_is_a_good_end(engine: AsyncEngine, settings: Settings) -> None:
    assert await asyncio.to_thread(_watched, settings) == (0, b"")


def _watched(settings: Settings) -> tuple[int, bytes]:
    """Watch in a terminal and press Ctrl-C; the exit code, and what was said on stderr."""
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    environ |= {"TERM": "xterm", "EO_DATA_DIR": f"/nowhere/{uuid4()}"}
    terminal, child = pty.openpty()
    process = Popen(
        [sys.executable, "-m", "service", "status", "--watch"],
        env=environ, stdin=child, stdout=child, stderr=PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  it takes no lock
    )  # fmt: skip
    try:
        os.close(child)
        seen = _until(terminal, "", "breaker: closed")
        assert "\x1b[?25l" in seen  # the cursor is hidden
        seen = _until(terminal, "", "breaker: closed")
        assert "\x1b[1A" in seen  # it went up, and wrote over what it had written
        process.send_signal(signal.SIGINT)
        _until(terminal, "", "\x1b[?25h")  # the cursor is back
        _, said = process.communicate(timeout=_PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        os.close(terminal)
    return process.returncode, said


def test_an_answer_of_stripes_is_said_for_a_reader_who_does_not_know_our_code() -> None:
    answers = ("200 succeeded", "402 card_declined", "ClientOSError", "200 object")
    calls = overview.of_histories([[{"at": "2026-11-28T10:00:00Z", "answer": answer}] for answer in answers])
    assert set(calls.told) == {"200 succeeded", "402 card declined", "no answer (ClientOSError)", "seen in a list"}
    assert set(calls.words) == set(answers)  # as `--json` has them
