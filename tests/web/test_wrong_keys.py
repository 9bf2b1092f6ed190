"""Whoever guesses API keys is counted, logged and throttled; a right key from the same address is served."""

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts import create_key, wrong_keys
from service.accounts.wrong_keys import BURST, LookUps, WrongKeys, address_of
from service.foundation.addresses.networks import check_networks
from service.foundation.errors import Misconfigured
from service.foundation.postgres.sql import Connection, Statement
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.web.client_address import client_of
from tests.operators import OPERATOR
from tests.web.conftest import Api, assert_problem, serve


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_a_burst_of_wrong_keys_is_401_and_then_429_with_the_time_to_come_back(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrong_keys, "PER_SECOND", 0.001)  # none comes back meanwhile, however slow the machine is
    asked = [api.http.get("/v1/orders", headers=bearer(f"eo_test_guess_{n:040}")) for n in range(BURST + 30)]
    answers = Counter(answer.status_code for answer in await asyncio.gather(*asked))
    assert answers == {401: BURST, 429: 30}
    refused = await api.http.get("/v1/orders", headers=bearer("eo_test_guess_" + "x" * 40))
    assert_problem(refused, 429, "rate-limited")
    assert int(refused.headers["retry-after"]) >= 1
    said = [r for r in caplog.records if r.getMessage() == "auth.wrong_key" and r.levelno == logging.WARNING]
    assert len(said) == 1, "one line, however many guesses"


async def test_a_right_key_is_served_from_the_address_of_the_guesses(api: Api, engine: AsyncEngine) -> None:
    guesses = [api.http.get("/v1/orders", headers=bearer(f"eo_test_guess_{n:040}")) for n in range(BURST + 50)]
    _, never_seen = await create_key(engine, "shop", who=OPERATOR)
    await asyncio.gather(*guesses)
    for _ in range(3):
        assert (await api.http.get("/v1/orders")).status_code == 200
        assert (await api.http.get("/v1/orders", headers=bearer(never_seen))).status_code == 200
        await asyncio.sleep(0.4)  # beyond the second for which a key is remembered


async def test_what_cannot_be_a_key_and_what_was_just_wrong_cost_no_statement(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    real = Connection.rows

    async def noted(self: Connection, statement: Statement[Any], *values: Any) -> list[Any]:
        statements.append(statement.sql)
        return await real(self, statement, *values)

    async with serve(settings) as api:
        monkeypatch.setattr(Connection, "rows", noted)
        for odd in ("short", "x" * 5_000):
            assert (await api.http.get("/v1/orders", headers=bearer(odd))).status_code == 401
        assert [sql for sql in statements if "api_keys" in sql] == []
        again = (api.http.get("/v1/orders", headers=bearer("eo_test_guess_" + "x" * 40)) for _ in range(40))
        assert {answer.status_code for answer in await asyncio.gather(*again)} == {401}
        assert 0 < len([s for s in statements if "api_keys" in s]) < 20


async def test_one_statement_at_a_time_answers_many_and_a_failure_fails_only_its_own() -> None:
    batches: list[list[bytes]] = []
    running = 0

    async def find(keys: list[bytes]) -> dict[bytes, str]:
        nonlocal running
        running += 1
        assert running == 1
        batches.append(keys)
        await asyncio.sleep(0)
        running -= 1
        if len(batches) == 1:
            raise OSError
        return {key: key.decode() for key in keys if key != b"wrong"}

    lookups = LookUps(find)
    with pytest.raises(OSError):  # noqa: PT011  any will do
        await lookups.get(b"first")
    found = await asyncio.gather(*(lookups.get(key) for key in (b"a", b"b", b"wrong", b"a")))
    assert found == ["a", "b", None, "a"]
    assert batches[1:] == [[b"a", b"b", b"wrong"]]


async def test_an_address_comes_back_after_the_time_it_was_told() -> None:
    now = 0.0
    wrong = WrongKeys(clock=lambda: now)
    waits = [await wrong.note("10.0.0.1") for _ in range(BURST + 1)]
    assert waits == [0] * BURST + [1]
    assert await wrong.note("10.0.0.2") == 0, "another address"
    now += 1.0
    assert await wrong.note("10.0.0.1") == 0
    assert await wrong.note("10.0.0.1") == 1


async def test_the_burst_is_one_for_all_processes_and_each_counts_alone_without_redis(settings: Settings) -> None:
    redis = async_client(settings.redis_url, connections=2)
    first, second = WrongKeys(redis, clock=lambda: 0.0), WrongKeys(redis, clock=lambda: 0.0)
    waits = [await one.note("10.0.0.1") for one, _ in product((first, second), range(BURST))]
    assert waits.count(0) < BURST * 3 // 2, "together they have seen the burst; some of it came back meanwhile"
    assert await second.note("10.0.0.2") == 0
    await redis.aclose()
    nobody = async_client("redis://127.0.0.1:9/0", connections=1)
    alone = WrongKeys(nobody, clock=lambda: 0.0)
    assert [await alone.note("10.0.0.1") for _ in range(BURST + 1)] == [0] * BURST + [1]
    await nobody.aclose()


PROXY, OTHER_PROXY, CLIENT = "10.0.0.7", "10.1.2.3", "203.0.113.9"
TRUSTED = check_networks("10.0.0.7, 10.1.0.0/16, fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        (CLIENT, ["198.51.100.1"], CLIENT),  # nobody's word but a proxy's
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"198.51.100.1, {CLIENT}"], CLIENT),  # the client's own word stands before the proxy's
        (PROXY, ["198.51.100.1", CLIENT], CLIENT),  # in two headers
        (PROXY, [f"10.1.9.9, {CLIENT}, {OTHER_PROXY}"], CLIENT),  # also where it names a proxy of ours
        (PROXY, [f"{CLIENT}:4711"], CLIENT),
        (PROXY, ["[2001:db8::1]:443"], "2001:db8::1"),
        (PROXY, ["2001:db8::1"], "2001:db8::1"),
        (f"::ffff:{PROXY}", [CLIENT], CLIENT),
        ("fd00::1", [f"::ffff:{CLIENT}"], CLIENT),
        (PROXY, [], PROXY),
        (PROXY, [""], PROXY),
        (PROXY, ["unknown"], PROXY),
        (PROXY, [f"{CLIENT}, unknown"], PROXY),
        (PROXY, [f"{CLIENT}, unknown, {OTHER_PROXY}"], OTHER_PROXY),
        (PROXY, [OTHER_PROXY], OTHER_PROXY),
        (None, [CLIENT], None),
    ],
)
def test_a_client_is_whom_trusted_proxies_name_and_nobody_else(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    headers = [(b"x-real-ip", b"192.0.2.1"), *((b"x-forwarded-for", one.encode()) for one in forwarded)]
    assert client_of(peer, headers, TRUSTED) == client
    assert client_of(peer, headers, ()) == peer, "without a setting nobody is believed"


@pytest.mark.parametrize("spelt", ["10.0.0.7", "::ffff:10.0.0.7", "::ffff:10.0.0.0/120", "::ffff:0:0/96", "10.0.0.0/8"])
@pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}"])
def test_a_proxy_is_trusted_however_its_address_is_spelt(spelt: str, peer: str) -> None:
    assert client_of(peer, [(b"x-forwarded-for", CLIENT.encode())], check_networks(spelt)) == CLIENT


async def test_a_client_behind_a_trusted_proxy_is_throttled_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrong_keys, "PER_SECOND", 0.001)
    async with serve(replace(settings, trusted_proxies="127.0.0.1")) as api:

        async def guess(n: int, client: str) -> int:
            headers = bearer(f"eo_test_guess_{n:040}") | {"X-Forwarded-For": f"198.51.100.{n}, {client}"}
            return (await api.http.get("/v1/orders", headers=headers)).status_code

        answers = Counter(await asyncio.gather(*(guess(n, CLIENT) for n in range(BURST + 5))))
        assert answers == {401: BURST, 429: 5}, "whatever it says of itself"
        assert await guess(1, "203.0.113.10") == 401


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "proxy", "10.0.0.0/33", "10.0.0.1;10.0.0.2"])
def test_proxies_that_are_no_networks_are_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(Misconfigured, match="EO_TRUSTED_PROXIES"):
        check_networks(wrong)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2::3", "2001:db8:1:2::/64"),
        (None, "local"),
        ("/run/api.sock", "local"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::1", "::/64"),
    ],
)
def test_a_machine_has_one_address_that_counts(host: str | None, name: str) -> None:
    assert address_of(host) == name
