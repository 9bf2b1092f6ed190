"""Health tells what an order needs; the documentation works offline and says what the API does."""

import asyncio
import os
import re
from pathlib import Path

import httpx
import pytest
from litestar.routes import HTTPRoute
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import Misconfigured
from service.foundation.postgres.db import create_engine
from service.foundation.settings import Settings
from service.ops.installation import eo
from service.web import create_app
from service.web.openapi import description
from service.web.routes import OPERATIONS
from tests import forks
from tests.web.conftest import ORDER, Api, count


async def test_an_old_schema_is_refused_at_start(settings: Settings) -> None:
    owner = create_engine(settings, name="owner", as_app=False)
    async with owner.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    await owner.dispose()
    with pytest.raises(BaseExceptionGroup) as refused:
        async with create_app(settings).lifespan():
            pass
    assert refused.group_contains(Misconfigured, match="eo migrate", depth=1)


def test_the_description_and_the_routes_are_the_same(settings: Settings) -> None:
    described = {(o.method, o.path) for o in OPERATIONS}
    routes = {
        (method, re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path))
        for route in create_app(settings).routes
        if isinstance(route, HTTPRoute) and route.path.startswith(("/v1", "/health"))
        for method in route.methods - {"HEAD", "OPTIONS"}
    }
    assert described == routes


def test_the_description_is_closed_and_complete() -> None:
    document = description()
    schemas = document["components"]["schemas"]
    for name in ("OrderRequest", "BatchItem", "BatchRequest"):
        assert schemas[name]["additionalProperties"] is False
    assert "'null'" not in str(schemas["OrderRequest"])
    refs = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert refs <= set(schemas)
    post = document["paths"]["/v1/orders"]["post"]
    assert set(post["responses"]) == set("201 400 401 403 408 413 415 422 429 431 500 503".split())
    assert set(post["responses"]["201"]["headers"]) == {"X-Request-Id", "Location", "Idempotent-Replayed"}


async def test_the_example_of_the_description_is_accepted(api: Api) -> None:
    post = (await api.http.get("/openapi.json")).json()["paths"]["/v1/orders"]["post"]
    example = post["requestBody"]["content"]["application/json"]["example"]
    assert (await api.order("k1", **example)).status_code == 201


async def test_the_documentation_loads_nothing_from_elsewhere(api: Api) -> None:
    home = await api.http.get("/")
    page = await api.http.get(home.headers["location"])
    assert "text/html" in page.headers["content-type"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe-eval" not in page.headers["content-security-policy"]
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 4
    for file in files:
        assert file.startswith("/docs/")
        answer = await api.http.get(file)
        assert answer.status_code == 200, file
        assert len(answer.content) > 50


async def test_the_process_stops_cleanly_on_sigterm_while_somebody_waits(
    settings: Settings, engine: AsyncEngine, tmp_path: Path
) -> None:
    environ = os.environ | {
        "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "EO_API_KEY": settings.api_key,
        "EO_PORT": str(settings.port), "EO_DATA_DIR": str(settings.data_dir),
    }  # fmt: skip
    address = f"http://127.0.0.1:{settings.port}"
    process = forks.Http("api", eo("api"), log=tmp_path / "api.log", environ=environ, url=f"{address}/health/live")
    process.start(within_s=60)
    headers = {"Authorization": f"Bearer {settings.api_key}", "Idempotency-Key": "k1", "Prefer": "wait=30"}
    try:
        async with httpx.AsyncClient(base_url=address, timeout=40) as http:
            waiting = asyncio.create_task(http.post("/v1/orders", json=ORDER, headers=headers))
            async with asyncio.timeout(30):
                while await count(engine, "orders") == 0:
                    await asyncio.sleep(0.01)
            start = asyncio.get_running_loop().time()
            await asyncio.to_thread(process.stop, within_s=30)
            seconds = asyncio.get_running_loop().time() - start
            status = (await waiting).status_code
    finally:
        process.kill()
    assert status == 201
    assert process.exit_status == 0, process.last_words()
    assert seconds < 20, "whoever waits, waits for half a minute"
    assert "Traceback" not in process.log.read_text()
