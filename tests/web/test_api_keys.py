"""A key opens its own account, as long as it is not revoked; everything else is one and the same 401."""

import asyncio
import re
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts import create_key, install_key, list_keys, revoke_key
from service.foundation.errors import Misconfigured, NotFound
from service.foundation.settings import Settings
from service.ops import announcement, up
from service.web import create_app
from tests.operators import OPERATOR
from tests.web.conftest import ORDER, Api, assert_problem, serve


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic eDp5"},
     bearer("eo_test_wrong_wrong"), bearer("' OR 1=1 --"), {"Authorization": "eo_test_" + "0" * 24}],
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["/v1/orders", "/v1/orders/00000000-0000-0000-0000-000000000000", "/v1/ledger/balances"]
)
async def test_without_a_valid_key_everything_is_401(api: Api, headers: dict[str, str], path: str) -> None:
    api.http.headers.pop("Authorization")
    answer = await api.http.get(path, headers=headers)
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_eo_up_shows_no_key_that_opens_nothing_and_says_what_makes_one(
    api: Api, engine: AsyncEngine, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.data_dir.mkdir()
    named = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "EO_API_KEY": settings.api_key,
             "STRIPE_API_KEY": settings.stripe_api_key, "STRIPE_API_BASE": settings.stripe_api_base,
             "EO_PORT": str(api.http.base_url.port)}  # fmt: skip
    stack = up.plan(settings.data_dir, named)

    async def shown(*, as_json: bool) -> str:
        has_key = await asyncio.to_thread(announcement.key_opens, stack)
        announcement.show(stack, took_s=1.0, as_json=as_json, has_key=has_key)
        return capsys.readouterr().out

    assert settings.api_key in await shown(as_json=False)
    await revoke_key(engine, (await list_keys(engine))[0].id, who=OPERATOR)
    while await asyncio.to_thread(announcement.key_opens, stack):
        await asyncio.sleep(0.02)
    for as_json in (True, False):
        said = await shown(as_json=as_json)
        assert settings.api_key not in said
        assert "`eo keys create --account default`" in said


SIGNED = {"/v1/stripe/events": 404}  # what bears a signature in place of a key, and is off without a secret


async def test_no_route_below_v1_is_open(settings: Settings, api: Api) -> None:
    """Also none that somebody adds later, and none that merely ends like an open one."""
    api.http.headers.pop("Authorization")
    routes = [route for route in create_app(settings).routes if route.path.startswith("/v1")]
    assert routes
    for route in routes:
        path = re.sub(r"\{\w+_id\}", str(UUID(int=0)), route.path_format)
        for method in route.methods - {"OPTIONS"}:
            answer = await api.http.request(method, path, json={})
            assert answer.status_code == SIGNED.get(path, 401), (method, path)
    assert_problem(await api.http.get("/v1/orders/health/live"), 404)


async def test_unknown_and_revoked_keys_get_the_same_answer(api: Api, engine: AsyncEngine) -> None:
    public_id, key = await create_key(engine, "shop", who=OPERATOR)
    await revoke_key(engine, public_id, who=OPERATOR)
    unknown = (await api.http.get("/v1/orders", headers=bearer("eo_test_abcdefghijkl_" + "x" * 40))).json()
    revoked = (await api.http.get("/v1/orders", headers=bearer(key))).json()
    assert {**unknown, "request_id": ""} == {**revoked, "request_id": ""}


async def test_a_revocation_is_effective_within_a_second(api: Api, engine: AsyncEngine) -> None:
    public_id, key = await create_key(engine, "shop", who=OPERATOR)
    assert (await api.http.get("/v1/orders", headers=bearer(key))).status_code == 200
    await revoke_key(engine, public_id, who=OPERATOR)
    await asyncio.sleep(1.05)
    assert_problem(await api.http.get("/v1/orders", headers=bearer(key)), 401)


async def test_accounts_see_nothing_of_each_other(api: Api, engine: AsyncEngine) -> None:
    _, key = await create_key(engine, "shop", who=OPERATOR)
    mine = (await api.order("k1")).json()
    for path in (
        f"/v1/orders/{mine['id']}",
        f"/v1/orders/{mine['id']}/timeline",
        f"/v1/ledger/entries?order_id={mine['id']}",
    ):
        assert (await api.http.get(path)).status_code == 200
        assert_problem(await api.http.get(path, headers=bearer(key)), 404, "not-found")
    assert (await api.http.get("/v1/orders", headers=bearer(key))).json()["data"] == []
    theirs = await api.http.post("/v1/orders", json=ORDER, headers={**bearer(key), "Idempotency-Key": "k1"})
    assert theirs.status_code == 201
    assert theirs.json()["id"] != mine["id"]
    assert "idempotent-replayed" not in theirs.headers


async def test_made_keys_have_the_promised_form_and_are_stored_only_as_hmac(engine: AsyncEngine) -> None:
    public_id, key = await create_key(engine, "shop", who=OPERATOR)
    prefix, mode, public, secret = key.split("_")
    assert (prefix, mode, public) == ("eo", "test", public_id)
    assert len(secret) >= 32
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM api_keys"))).one()
    assert secret not in str(row)
    assert (await create_key(engine, "shop", who=OPERATOR))[1] != key
    listed = await list_keys(engine)
    assert [k.account for k in listed] == ["shop", "shop"]
    assert not any(secret in str(k) for k in listed)


async def test_the_key_of_the_environment_opens_the_default_account_and_installs_once(
    settings: Settings, engine: AsyncEngine
) -> None:
    for _ in range(2):
        async with serve(settings) as api:
            assert (await api.http.get("/v1/orders")).status_code == 200
    (listed,) = await list_keys(engine)
    assert listed.account == "default"


async def test_a_revoked_key_of_the_environment_stays_revoked(settings: Settings, engine: AsyncEngine) -> None:
    await install_key(engine, settings.api_key)
    (listed,) = await list_keys(engine)
    await revoke_key(engine, listed.id, who=OPERATOR)
    async with serve(settings) as api:
        assert_problem(await api.http.get("/v1/orders"), 401)


@pytest.mark.parametrize("key", ["short", "x" * 19, "with space in the middle", "é" * 20, "tab\t" * 10])
async def test_a_key_of_the_environment_that_is_no_key_is_refused(engine: AsyncEngine, key: str) -> None:
    with pytest.raises(Misconfigured, match="EO_API_KEY"):
        await install_key(engine, key)


async def test_revoking_twice_is_fine_and_revoking_nothing_is_told(engine: AsyncEngine) -> None:
    public_id, _ = await create_key(engine, "shop", who=OPERATOR)
    await revoke_key(engine, public_id, who=OPERATOR)
    await revoke_key(engine, public_id, who=OPERATOR)
    with pytest.raises(NotFound):
        await revoke_key(engine, "nothing", who=OPERATOR)
