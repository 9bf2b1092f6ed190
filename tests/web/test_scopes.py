"""Each route asks for one scope: a key without it is 403 with the scope's name, a key with only it is served."""

import asyncio
import re
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts import KeyTerms, Scope, create_key
from service.foundation.settings import Settings
from service.web.operation import Group
from service.web.routes import OPERATIONS
from tests.operators import OPERATOR
from tests.web.conftest import Api, assert_problem, serve

KEYED = [operation for operation in OPERATIONS if operation.is_keyed]


async def key_for(engine: AsyncEngine, *scopes: Scope, **terms: Any) -> dict[str, str]:
    _, key = await create_key(engine, "shop", who=OPERATOR, terms=KeyTerms(scopes, **terms))
    return {"Authorization": f"Bearer {key}", "Idempotency-Key": "k"}


async def test_each_route_is_opened_by_its_scope_and_by_no_other(api: Api, engine: AsyncEngine) -> None:
    others = {scope: [one for one in Scope if one not in (scope, Scope.ADMIN)] for scope in Scope}
    only = {scope: await key_for(engine, scope) for scope in Scope}
    without = {scope: await key_for(engine, *others[scope]) for scope in Scope}
    described = (await api.http.get("/openapi.json")).json()["paths"]
    for operation in KEYED:
        assert operation.scope is not None
        path = re.sub(r"\{\w+\}", str(UUID(int=0)), operation.path)
        asked = described[operation.path][operation.method.lower()]
        assert asked["security"] == [{"apiKey": [operation.scope]}], path
        for method in {operation.method, "HEAD" if operation.method == "GET" else operation.method}:
            refused = await api.http.request(method, path, json={}, headers=without[operation.scope])
            assert refused.status_code == 403, (method, path)
            assert f'error="insufficient_scope", scope="{operation.scope}"' in refused.headers["www-authenticate"]
            if method != "HEAD":
                assert operation.scope in assert_problem(refused, 403, "insufficient-scope")["detail"]
            for right in (only[operation.scope], only[Scope.ADMIN]):
                answer = await api.http.request(method, path, json={}, headers=right)
                assert answer.status_code not in (401, 403), (method, path)


def test_a_keyed_route_without_a_scope_is_no_route() -> None:
    for path, scope in (("/v1/new", None), ("/health/new", Scope.ADMIN)):
        with pytest.raises(ValueError, match="scope"):
            Group("new").operation("GET", path, {}, scope=scope)(lambda request: request)  # type: ignore[arg-type, return-value]


async def test_a_key_has_a_limit_of_its_own_over_all_processes(settings: Settings, engine: AsyncEngine) -> None:
    headers = await key_for(engine, Scope.ORDERS_READ, rps=1)
    async with serve(settings) as one, serve(settings) as two:
        answers = [await (one, two)[n % 2].http.get("/v1/orders", headers=headers) for n in range(2)]
        statuses = [answer.status_code for answer in answers]
        async with asyncio.timeout(20):
            while statuses[-1] != 429:
                answer = await (one, two)[len(statuses) % 2].http.get("/v1/orders", headers=headers)
                statuses.append(answer.status_code)
        assert statuses[0] == 200
        assert (await one.http.get("/v1/orders")).status_code == 200, "another key has no limit here"
