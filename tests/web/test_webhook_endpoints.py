"""Where a producer is told what happens: made once per key, its secret shown once, and nobody else's."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import accounts
from service.foundation.settings import Settings
from service.notices import NOTICE_TYPES
from service.notices.endpoints import ENDPOINTS_MAX, ROLLS_MAX
from tests.operators import OPERATOR
from tests.web.conftest import Api, assert_problem, count, serve

URL = "https://93.184.215.14/notices"
PATH = "/v1/webhook_endpoints"


async def make(api: Api, key: str, url: str = URL, events: Any = ("order.paid",)) -> httpx.Response:
    body = {"url": url, "events": list(events)}
    return await api.http.post(PATH, json=body, headers={"Idempotency-Key": key})


async def roll(api: Api, endpoint_id: str, key: str) -> httpx.Response:
    return await api.http.post(f"{PATH}/{endpoint_id}/roll", headers={"Idempotency-Key": key})


async def test_an_endpoint_is_made_once_and_its_secret_is_shown_once(api: Api, engine: AsyncEngine) -> None:
    made = await make(api, "one", events=NOTICE_TYPES)
    assert made.status_code == 201
    endpoint = made.json()
    assert endpoint["secret"].startswith("whsec_")
    assert (endpoint["url"], endpoint["events"], endpoint["status"]) == (URL, list(NOTICE_TYPES), "enabled")
    assert made.headers["location"] == f"{PATH}/{endpoint['id']}"
    again = await make(api, "one", events=NOTICE_TYPES)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.json() == endpoint | {"secret": None}
    assert (await api.http.get(f"{PATH}/{endpoint['id']}")).json() == endpoint | {"secret": None}
    assert await count(engine, "webhook_endpoints") == 1
    assert_problem(await make(api, "one", URL + "/other"), 422, "idempotency-key-reused")


async def test_fifty_at_once_with_one_key_are_one_endpoint_and_one_secret(api: Api, engine: AsyncEngine) -> None:
    made = await asyncio.gather(*(make(api, "one") for _ in range(50)))
    assert {response.status_code for response in made} == {201}
    assert len({response.json()["id"] for response in made}) == await count(engine, "webhook_endpoints") == 1
    assert sum(response.json()["secret"] is not None for response in made) == 1


@pytest.mark.parametrize(
    "url",
    ["http://93.184.215.14/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://10.0.0.1/",
     "https://169.254.169.254/latest/meta-data", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
     "https://0x7f.1/", "https://2130706433/", "https://me:secret@93.184.215.14/", "https://93.184.215.14:22/"],
)  # fmt: skip
async def test_an_url_into_a_network_of_our_own_is_refused(api: Api, engine: AsyncEngine, url: str) -> None:
    refused = assert_problem(await make(api, "one", url), 400, "url-refused")
    assert url not in refused["detail"]
    assert await count(engine, "webhook_endpoints") == 0


async def test_an_operator_may_allow_http_and_private_addresses(settings: Settings) -> None:
    async with serve(replace(settings, notice_http=True, notice_private=True)) as api:
        for n, url in enumerate(("http://127.0.0.1:8080/", "http://localhost:8080/x", "https://shop/notices")):
            assert (await make(api, f"key-{n}", url)).status_code == 201
        assert_problem(await make(api, "odd", "http://0x7f.1/"), 400, "url-refused")


@pytest.mark.parametrize(
    "body",
    [{}, {"url": URL}, {"url": URL, "events": []}, {"url": URL, "events": ["order.shipped"]},
     {"url": URL, "events": ["order.paid"] * 2}, {"url": URL, "events": "order.paid"},
     {"url": 1, "events": ["order.paid"]},
     {"url": URL, "events": ["order.paid"], "secret": "whsec_x"}, {"url": URL, "events": None}],
)  # fmt: skip
async def test_a_body_that_is_not_an_endpoint_is_refused(api: Api, body: dict[str, Any]) -> None:
    refused = await api.http.post(PATH, json=body, headers={"Idempotency-Key": "one"})
    assert_problem(refused, 400, "body-invalid")


async def test_no_key_is_no_endpoint(api: Api) -> None:
    refused = await api.http.post(PATH, json={"url": URL, "events": ["order.paid"]})
    assert_problem(refused, 400, "idempotency-key-missing")


async def test_a_deleted_endpoint_is_gone_and_so_is_an_unknown_one(api: Api) -> None:
    endpoint_id = (await make(api, "one")).json()["id"]
    deleted = await api.http.delete(f"{PATH}/{endpoint_id}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for one in (endpoint_id, str(uuid4())):
        assert_problem(await api.http.get(f"{PATH}/{one}"), 404)
        assert_problem(await api.http.delete(f"{PATH}/{one}"), 404)
        assert_problem(await roll(api, one, f"roll-{one}"), 404)
    assert (await api.http.get(PATH)).json() == {"data": [], "next_cursor": None}
    assert (await make(api, "one")).json()["id"] == endpoint_id, "its key stays used"


async def test_endpoints_are_listed_in_pages_newest_first(api: Api) -> None:
    ids = [(await make(api, f"key-{n}")).json()["id"] for n in range(3)]
    first = (await api.http.get(PATH, params={"limit": 2})).json()
    second = (await api.http.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in (*first["data"], *second["data"])] == ids[::-1]
    assert {one["secret"] for one in first["data"]} == {None}
    assert second["next_cursor"] is None


async def test_a_roll_makes_a_new_secret_once_per_key(api: Api) -> None:
    endpoint = (await make(api, "one")).json()
    other = (await make(api, "other")).json()
    rolled = await roll(api, endpoint["id"], "roll-1")
    assert rolled.status_code == 200
    assert rolled.json()["secret"] not in (None, endpoint["secret"])
    again = await roll(api, endpoint["id"], "roll-1")
    assert (again.json()["secret"], again.headers["idempotent-replayed"]) == (None, "true")
    assert_problem(await roll(api, other["id"], "roll-1"), 422, "idempotency-key-reused")
    secrets = {(await roll(api, endpoint["id"], f"roll-{n}")).json()["secret"] for n in range(2, ROLLS_MAX + 1)}
    assert len({*secrets, rolled.json()["secret"], endpoint["secret"]}) == ROLLS_MAX + 1
    assert_problem(await roll(api, endpoint["id"], "once-more"), 409, "conflict")


async def test_an_account_has_only_so_many_endpoints(api: Api) -> None:
    ids = [(await make(api, f"key-{n}")).json()["id"] for n in range(ENDPOINTS_MAX)]
    assert_problem(await make(api, "one-more"), 409, "conflict")
    await api.http.delete(f"{PATH}/{ids[0]}")
    assert (await make(api, "one-more")).status_code == 201


async def test_at_once_no_more_are_made_than_one_by_one(api: Api, engine: AsyncEngine) -> None:
    made = await asyncio.gather(*(make(api, f"key-{n}") for n in range(ENDPOINTS_MAX * 2)))
    statuses = [response.status_code for response in made]
    assert (statuses.count(201), statuses.count(409)) == (ENDPOINTS_MAX, ENDPOINTS_MAX)
    assert await count(engine, "webhook_endpoints") == ENDPOINTS_MAX


async def test_an_url_may_have_2048_characters_and_no_more(api: Api) -> None:
    longest = f"{URL}?{'a' * 2048}"[:2048]
    made = await make(api, "longest", longest)
    assert (made.status_code, made.json()["url"]) == (201, longest)
    assert_problem(await make(api, "longer", longest + "a"), 400, "body-invalid")


async def test_another_account_sees_nothing_of_it(api: Api, engine: AsyncEngine) -> None:
    endpoint = (await make(api, "one")).json()
    _, key = await accounts.create_key(engine, "another", who=OPERATOR)
    strange = {"Authorization": f"Bearer {key}"}
    where = f"{PATH}/{endpoint['id']}"
    assert_problem(await api.http.get(where, headers=strange), 404)
    assert_problem(await api.http.delete(where, headers=strange), 404)
    assert_problem(await api.http.post(f"{where}/roll", headers=strange | {"Idempotency-Key": "r"}), 404)
    assert (await api.http.get(PATH, headers=strange)).json()["data"] == []
    assert (await api.http.get(where)).status_code == 200
