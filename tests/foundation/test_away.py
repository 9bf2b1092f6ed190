"""A server that is away is said once, then rarely, and once when it is back; in words, and without an error's text."""

import asyncio
import json
import logging
import socket
from typing import Any

import asyncpg
import pytest
import redis
from dramatiq.errors import BrokerConnectionError
from redis.asyncio import Redis
from sqlalchemy.exc import DBAPIError

from service.foundation.addresses.postgres import postgres_address
from service.foundation.away import Away
from service.foundation.events import Event
from service.foundation.log import _Lines, of_error
from service.foundation.postgres.driver import Connector, PostgresAway
from service.foundation.wording import in_words, kind_of
from service.monitoring.heartbeats import Heart
from tests.cards import shows_the_card
from workers.quiet import be_quiet_while_redis_is_away


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [(record.getMessage(), getattr(record, "fields", {})) for record in caplog.records if record.name == "eo"]


def of_dramatiq(error: Exception) -> BrokerConnectionError:
    return BrokerConnectionError(error)  # type: ignore[no-untyped-call]  # Dramatiq has no types here


def test_it_is_said_once_then_rarely_and_once_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="eo")
    now = 0.0
    away = Away(Event.REDIS_AWAY, Event.REDIS_BACK, lambda: now)
    for _ in range(36_000):  # an hour, ten times a second
        away.failed("relay", redis.ConnectionError("secret"))
        now += 0.1
    assert 5 <= len(said(caplog)) <= 9
    away.succeeded("relay")
    away.succeeded("relay")
    names = [name for name, _ in said(caplog)]
    assert names[0] == "redis.away"
    assert names.count("redis.back") == 1
    assert "secret" not in str(said(caplog))


def test_it_is_back_when_nobody_that_failed_fails_any_more(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="eo")
    away = Away(Event.REDIS_AWAY, Event.REDIS_BACK)
    for _ in range(5):  # a full Redis takes a beat and no message
        away.failed("relay", redis.OutOfMemoryError("command not allowed"))
        away.succeeded("heartbeat")
    away.failed("heartbeat", TimeoutError())
    away.succeeded("heartbeat")
    assert [name for name, _ in said(caplog)] == ["redis.away"]
    away.succeeded("relay")
    assert [name for name, _ in said(caplog)] == ["redis.away", "redis.back"]


def test_dramatiq_s_own_lines_become_that_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.quiet.REDIS", Away(Event.REDIS_AWAY, Event.REDIS_BACK))
    be_quiet_while_redis_is_away()
    be_quiet_while_redis_is_away()
    logger = logging.getLogger("dramatiq.worker.ConsumerThread(charge)")
    for _ in range(20):
        logger.critical("Consumer encountered a connection error: %s", of_dramatiq(redis.ConnectionError()))
        try:
            raise redis.ReadOnlyError("You can't write against a read only replica.")
        except redis.RedisError:
            logger.critical("Consumer encountered an unexpected error.", exc_info=True)
    logger.critical("something else")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("dramatiq")] == [
        "something else"
    ]
    assert [name for name, _ in said(caplog)] == ["redis.away"]


async def test_a_process_without_redis_says_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.monitoring.heartbeats.REDIS", Away(Event.REDIS_AWAY, Event.REDIS_BACK))
    stop = asyncio.Event()
    async with Redis.from_url("redis://:hunter2@127.0.0.1:9/0") as nowhere:
        beating = asyncio.create_task(Heart(nowhere, "api").run(stop))
        async with asyncio.timeout(10):
            while not said(caplog):
                await asyncio.sleep(0.01)
        stop.set()
        await beating
    ((name, fields),) = said(caplog)
    assert (name, fields["needed_by"], fields["why"]) == ("redis.away", "heartbeat", "nobody listens at that address")
    assert "hunter2" not in json.dumps(fields)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE"), "read-only"),
        (DBAPIError("SELECT 4242424242424242", None, asyncpg.TooManyConnectionsError("sorry")), "no connection left"),
        (
            of_dramatiq(redis.ConnectionError("Error 111 connecting to h:6379.")),
            "Redis cannot be reached",
        ),
        (redis.exceptions.MovedError("3999 127.0.0.1:7002"), "cluster"),
        (redis.ResponseError("WRONGTYPE Operation against a key"), "something else"),
        (TimeoutError(), "no answer in time"),
        (ConnectionRefusedError(111, "refused"), "nobody listens"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved"),
        (ValueError("4242424242424242"), "an error of the kind ValueError"),
    ],
    ids=lambda value: kind_of(value) if isinstance(value, BaseException) else "",
)
def test_errors_are_told_by_their_kind_in_plain_words(error: BaseException, words: str) -> None:
    assert words in in_words(error)
    assert kind_of(error) != "Error"
    assert not shows_the_card(json.dumps(of_error(error)))


def test_an_error_of_a_library_is_told_in_words_too() -> None:
    record = logging.LogRecord(
        "lib", logging.ERROR, "", 0, "it failed", None, (OSError, ConnectionResetError(104, "x"), None)
    )
    line = json.loads(_Lines("api").format(record))
    assert (line["error"], line["why"]) == ("ConnectionResetError", "the other side cut the connection")


async def test_an_error_of_ours_is_told_with_its_own_words() -> None:
    connect = Connector(postgres_address("postgresql://me:geheim@127.0.0.1:9/none"), statement_s=1, session={})
    with pytest.raises(PostgresAway) as away:
        await connect()
    assert "PostgreSQL cannot be reached: 127.0.0.1:9" in in_words(away.value)
    assert "geheim" not in in_words(away.value)
    assert "in the middle of an answer" in in_words(
        asyncpg.InternalClientError("got result for unknown protocol state")
    )
