"""A key's whole life: its form, its end, its last use, and the key that takes its place."""

import asyncio
import binascii
import gzip
import json
import struct
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts import (
    ApiKeys,
    Caller,
    KeyTerms,
    Scope,
    WrongKey,
    create_key,
    ending_keys,
    keys,
    list_keys,
    revoke_key,
    roll_key,
)
from service.foundation.errors import Conflict, Misconfigured, NotFound
from service.foundation.postgres.sql import Connection, Statement
from service.foundation.settings import Settings, check_api_key
from service.foundation.text import key_form
from service.ops.cli import cli
from tests.operators import OPERATOR
from tests.web.afterwards import one, rows

DAY = timedelta(days=1)
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def bitwise(text: bytes) -> int:
    """CRC-32 as ISO 3309 writes it, a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in text:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def value(checksum: str) -> int:
    found = 0
    for digit in checksum:
        found = found * 62 + DIGITS.index(digit)
    return found


def test_the_checksum_is_crc_32_in_base_62_whoever_computes_it() -> None:
    assert value(key_form.checksum(b"123456789")) == 0xCBF43926, "the published check value"
    for text in (b"", b"\0", b"eo_test_", *(key_form.make(is_live=False)[1].encode() for _ in range(20))):
        found = key_form.checksum(text)
        (trailer,) = struct.unpack("<I", gzip.compress(text)[-8:-4])
        assert (len(found), value(found)) == (6, bitwise(text)), text
        assert bitwise(text) == binascii.crc32(text) == trailer


def test_every_slip_of_a_finger_is_a_typo_and_no_right_key_is() -> None:
    for is_live in (False, True):
        public_id, key = key_form.make(is_live=is_live)
        assert key.startswith(f"eo_{'live' if is_live else 'test'}_{public_id}_")
        assert not key_form.is_mistyped(key.encode())
        for place in range(len("eo_test_"), len(key)):
            for other in "Aa0":
                slip = key[:place] + other + key[place + 1 :]
                assert key_form.is_mistyped(slip.encode()) == (slip != key and key[place] != "_"), slip
            swapped = key[: place - 1] + key[place] + key[place - 1] + key[place + 1 :]
            assert key_form.is_mistyped(swapped.encode()) == (swapped != key and "_" not in key[place - 1 : place + 1])
    before = (b"eo_test_" + b"0" * 24, b"eo_test_abcdefghijkl_" + b"x" * 40, b"any text of twenty ch", b"\xff" * 67)
    assert not any(map(key_form.is_mistyped, before)), "made before, or the environment's"


def test_a_key_of_the_environment_with_a_typo_is_refused_at_the_start() -> None:
    _, key = key_form.make(is_live=False)
    check_api_key(key)
    with pytest.raises(Misconfigured, match="EO_API_KEY has a typo"):
        check_api_key(key[:-1] + ("a" if key[-1] != "a" else "b"))


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that is run."""
    found: list[str] = []
    real = Connection.rows

    async def noted(self: Connection, statement: Statement[Any], *values: Any) -> list[Any]:
        found.append(statement.sql)
        return await real(self, statement, *values)

    monkeypatch.setattr(Connection, "rows", noted)
    return found


async def caller(known: ApiKeys, key: str) -> Caller | None:
    """Whom the key opens the door for."""
    try:
        return await known.caller([(b"authorization", b"Bearer " + key.encode())])
    except WrongKey:
        return None


async def test_a_key_made_before_opens_and_a_typo_costs_no_statement(
    engine: AsyncEngine, statements: list[str]
) -> None:
    public_id, key = await create_key(engine, "shop", who=OPERATOR)
    old = "eo_test_abcdefghijkl_" + "x" * 40
    hmac_key = await one(engine, "SELECT hmac_key FROM instance")
    await rows(
        engine,
        "INSERT INTO api_keys (id, account_id, hmac, last4) SELECT 'old', account_id, :hmac, 'xxxx' FROM api_keys",
        hmac=keys.hmac_of(hmac_key, old.encode()),
    )
    known = ApiKeys(engine)
    for right, name in ((key, public_id), (old, "old")):
        found = await caller(known, right)
        assert found is not None
        assert (found.key_id, "orders:write" in found.scopes, "admin" in found.scopes) == (name, True, True)
    statements.clear()
    assert await caller(known, key[:-1] + ("a" if key[-1] != "a" else "b")) is None
    assert statements == []


async def test_unknown_revoked_and_ended_keys_take_the_same_way(engine: AsyncEngine, statements: list[str]) -> None:
    ways = []
    for end in (None, "revoked_at = now()", "expires_at = now()"):
        public_id, key = await create_key(engine, "shop", who=OPERATOR)
        if end is None:
            _, key = key_form.make(is_live=False)
        else:
            await rows(engine, f"UPDATE api_keys SET {end} WHERE id = :id", id=public_id)
        statements.clear()
        assert await caller(ApiKeys(engine), key) is None
        ways.append(list(statements))
    assert ways[0] == ways[1] == ways[2]


async def test_a_key_is_remembered_no_longer_than_it_is_good(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "CACHE_S", 600.0)
    terms = KeyTerms(valid_for=timedelta(seconds=1))
    _, key = await create_key(engine, "shop", who=OPERATOR, terms=terms)
    known = ApiKeys(engine)
    assert await caller(known, key) is not None
    async with asyncio.timeout(20):
        while await caller(known, key) is not None:
            await asyncio.sleep(0.05)


async def test_the_last_use_is_kept_by_every_process_and_costs_a_request_nothing(
    engine: AsyncEngine, statements: list[str]
) -> None:
    made = [await create_key(engine, "shop", who=OPERATOR) for _ in range(3)]
    processes = [ApiKeys(engine), ApiKeys(engine)]
    statements.clear()
    for known in processes:
        for _, key in made[:2]:
            for _ in range(5):
                await caller(known, key)
    assert not any("last_used_at" in sql for sql in statements)
    statements.clear()
    await asyncio.gather(*(known.last_used.write() for known in processes))
    assert len(statements) == 2, "one statement per process, whatever many keys"
    await asyncio.gather(*(known.last_used.write() for known in processes))
    assert len(statements) == 2, "and none where nothing was used"
    assert {row.id for row in await list_keys(engine) if row.last_used_at} == {name for name, _ in made[:2]}

    later = "UPDATE api_keys SET last_used_at = now() + interval '1 hour' WHERE id = :id RETURNING last_used_at"
    then = await one(engine, later, id=made[0][0])
    processes[0].last_used.note(made[0][0])
    stop = asyncio.Event()
    keeping = asyncio.create_task(processes[0].last_used.keep(stop))
    processes[0].last_used.note("nobody")
    stop.set()
    await keeping
    assert await one(engine, "SELECT last_used_at FROM api_keys WHERE id = :id", id=made[0][0]) == then, "never back"


async def test_a_rolled_key_and_its_successor_are_both_served_until_the_overlap_ends(engine: AsyncEngine) -> None:
    terms = KeyTerms([Scope.ORDERS_READ, Scope.OPS_READ], 30 * DAY, rps=7)
    public_id, key = await create_key(engine, "shop", who=OPERATOR, terms=terms)
    new_id, new = await roll_key(engine, public_id, who=OPERATOR, overlap=DAY, is_live=False)
    old, successor = await caller(ApiKeys(engine), key), await caller(ApiKeys(engine), new)
    assert old is not None
    assert successor is not None
    assert (successor.account_id, successor.scopes, successor.rps) == (old.account_id, old.scopes, 7)
    shown = {row.id: row for row in await list_keys(engine)}
    assert (shown[public_id].status, shown[public_id].replaced_by) == ("ends soon", new_id)
    assert shown[new_id].status == "active"
    assert shown[public_id].expires_at is not None
    assert await one(engine, "SELECT expires_at - now() > '29 days' FROM api_keys WHERE id = :id", id=new_id)
    assert await ending_keys(engine) == [], "what was rolled needs nobody"

    with pytest.raises(Conflict, match=new_id):
        await roll_key(engine, public_id, who=OPERATOR, overlap=DAY, is_live=False)
    await revoke_key(engine, new_id, who=OPERATOR)
    again_id, _ = await roll_key(engine, public_id, who=OPERATOR, overlap=timedelta(0), is_live=True)
    assert await caller(ApiKeys(engine), key) is None, "without an overlap it ends at once"
    assert await caller(ApiKeys(engine), new) is None
    assert [row.id for row in await list_keys(engine) if row.status == "active"] == [again_id]
    for gone in (public_id, new_id):
        with pytest.raises(Conflict, match="opens nothing"):
            await roll_key(engine, gone, who=OPERATOR, overlap=DAY, is_live=False)
    with pytest.raises(NotFound):
        await roll_key(engine, "nothing", who=OPERATOR, overlap=DAY, is_live=False)


async def test_an_overlap_never_makes_a_key_live_longer(engine: AsyncEngine) -> None:
    public_id, _ = await create_key(engine, "shop", who=OPERATOR, terms=KeyTerms(valid_for=DAY))
    before = await one(engine, "SELECT expires_at FROM api_keys WHERE id = :id", id=public_id)
    await roll_key(engine, public_id, who=OPERATOR, overlap=30 * DAY, is_live=False)
    assert await one(engine, "SELECT expires_at FROM api_keys WHERE id = :id", id=public_id) == before


async def test_two_rolls_at_once_make_one_key(engine: AsyncEngine) -> None:
    public_id, _ = await create_key(engine, "shop", who=OPERATOR)
    waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
    async with engine.begin() as holder:  # both have begun before one can go on
        await holder.execute(sa.text("SELECT FROM api_keys WHERE id = :id FOR UPDATE"), {"id": public_id})
        rolls = (roll_key(engine, public_id, who=OPERATOR, overlap=DAY, is_live=False) for _ in range(2))
        both = asyncio.gather(*rolls, return_exceptions=True)
        async with asyncio.timeout(20):
            while await one(engine, waiting) < 2:
                await asyncio.sleep(0.01)
    done = await both
    assert [type(one) for one in done if isinstance(one, BaseException)] == [Conflict]
    assert len(await list_keys(engine)) == 2


async def test_the_commands_make_list_warn_and_roll(engine: AsyncEngine, settings: Settings) -> None:
    del engine
    environ = {"DATABASE_URL": settings.database_url, "STRIPE_API_KEY": settings.stripe_api_key}
    run = CliRunner(env=environ).invoke

    async def eo(*words: str) -> Any:
        return await asyncio.to_thread(run, cli, ["keys", *words])

    words = ["create", "--account", "shop", "--expires", "13d", "--rps", "5", "--json"]
    scopes = ["--scope", "orders:read", "--scope", "orders:write", "--scope", "orders:read"]
    public_id = json.loads((await eo(*words, *scopes)).stdout)["id"]
    listed = await eo("list", "--json")
    (row,) = json.loads(listed.stdout)
    assert (row["scopes"], row["rps"], row["status"]) == (["orders:read", "orders:write"], 5, "ends soon")
    assert f"`eo keys roll {public_id}`" in listed.stderr
    assert "never" in (await eo("list")).stdout
    rolled = await eo("roll", public_id, "--overlap", "0s", "--expires", "90d")
    assert key_form.make(is_live=False)[1][:8] == rolled.stdout[:8]
    assert (await eo("list")).stderr == "", "what was rolled needs nobody"
    for wrong in (["--expires", "0d"], ["--expires", "1y"], ["--expires", "4000d"], ["--scope", "all"], ["--rps", "0"]):
        assert (await eo("create", "--account", "shop", *wrong)).exit_code == 2, wrong
