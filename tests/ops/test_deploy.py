"""What is in deploy/ works: nginx takes its configuration and an order passes it, and the logins of compose hold."""

import asyncio
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import yaml
from sqlalchemy import text

from service.foundation.postgres import migrate
from service.foundation.postgres.db import create_engine
from service.foundation.settings import Settings
from service.ops.child import Child
from service.ops.embedded import Postgres, free_port
from service.web import front
from service.web.waiting import WAIT_MAX_S
from tests.web.conftest import ORDER, serve

pytestmark = pytest.mark.slow

LOGINS = Path(__file__).parents[2] / "deploy" / "postgres" / "10-logins.sh"
CONF = Path(__file__).parents[2] / "deploy" / "nginx.conf"
WRONG = "Bearer eo_test_wrong"
needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") and shutil.which("openssl")), reason="nginx or openssl is not installed"
)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost, with its key in the same file."""
    file = tmp_path / "cert.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-keyout", str(file), "-out", str(tmp_path / "only"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    with file.open("a") as both:
        both.write((tmp_path / "only").read_text())
    return file


def adapted(folder: Path, certificate: Path, *, api: int, port: int) -> Path:
    """The example with this test's addresses; nothing else of it is changed."""
    text = CONF.read_text()
    for example, ours in (
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{api};"), ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/orders.example.com.pem", str(certificate)), ("/etc/ssl/orders.example.com.key", str(certificate)),
    ):  # fmt: skip
        assert example in text
        text = text.replace(example, ours)
    conf = folder / "nginx.conf"
    conf.write_text(f"daemon off; pid {folder}/nginx.pid; error_log stderr;\n{text}")
    return conf


def assert_valid(conf: Path) -> None:
    checked = subprocess.run(["nginx", "-t", "-c", str(conf)], capture_output=True, text=True, check=False)  # noqa: S607
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr


@asynccontextmanager
async def nginx(conf: Path) -> AsyncIterator[None]:
    child = Child("nginx", ["nginx", "-c", str(conf), "-p", str(conf.parent)], log=conf.parent / "nginx.log")
    child.start()
    try:
        yield
    finally:
        await asyncio.to_thread(child.stop)


def test_the_logins_of_compose_are_no_superusers_and_take_over_what_was_there(servers_folder: Path) -> None:
    """Its script, run twice, on a database that version 0.1 migrated as the superuser."""
    with Postgres(servers_folder / "compose") as server:
        migrate.upgrade(server.url, "0004")
        environ = {
            "PATH": f"{server.programs}:{os.environ['PATH']}", "PGHOST": str(server.sockets),
            "PGPASSWORD": server.password, "EO_OWNER_PASSWORD": "o'w$ner", "EO_PROCESSES_PASSWORD": 'p"r %oc',
        }  # fmt: skip
        subprocess.run(["sh", str(LOGINS)], env=environ, check=True)  # noqa: S607
        with pytest.raises(subprocess.CalledProcessError):  # the superuser has no password any more
            subprocess.run(["sh", str(LOGINS)], env=environ, check=True, capture_output=True)  # noqa: S607
        owner, processes = (
            server.owner_url.replace("eo@", f"{login}:{quote(environ[f'{variable}_PASSWORD'])}@", 1)
            for login, variable in (("eo_owner", "EO_OWNER"), ("eo_processes", "EO_PROCESSES"))
        )
        migrate.upgrade(owner, grant_to="eo_processes")
        asyncio.run(assert_starts(processes))


async def assert_starts(url: str) -> None:
    engine = create_engine(Settings(database_url=url), name="test", pool=1)
    try:
        await migrate.check(engine)
        async with engine.connect() as connection:
            question = "SELECT rolsuper FROM pg_roles WHERE rolname = session_user"
            assert (await connection.execute(text(question))).scalar_one() is False
    finally:
        await engine.dispose()


def test_compose_migrates_as_the_owner_and_runs_as_a_login_without_power() -> None:
    services = yaml.safe_load((CONF.parents[1] / "compose.yaml").read_text())["services"]
    assert services["migrate"]["command"] == ["migrate", "--grant-to", "eo_processes"]
    assert services["migrate"]["environment"]["DATABASE_URL"].startswith("postgresql://eo_owner@")
    for name in ("api", "relay", "worker"):
        assert services[name]["environment"]["DATABASE_URL"].startswith("postgresql://eo_processes@")
    assert f"./deploy/{LOGINS.parent.name}:/docker-entrypoint-initdb.d:ro" in services["postgres"]["volumes"]


@needs_nginx
async def test_an_order_passes_the_example_proxy(settings: Settings, certificate: Path, tmp_path: Path) -> None:
    port = free_port()
    context = ssl.create_default_context(cafile=certificate)
    async with serve(settings) as api:
        assert api.http.base_url.port
        conf = adapted(tmp_path, certificate, api=api.http.base_url.port, port=port)
        assert_valid(conf)
        headers = {"Authorization": api.http.headers["authorization"], "X-Request-Id": "chosen-by-the-client"}
        transport = httpx.AsyncHTTPTransport(verify=context, retries=5)
        async with nginx(conf), httpx.AsyncClient(transport=transport, headers=headers, timeout=20) as client:
            url = f"https://localhost:{port}/v1/orders"
            for _ in range(2):
                answer = await client.post(url, json=ORDER, headers={"Idempotency-Key": "k"})
                assert answer.status_code == 201
                assert answer.headers["x-request-id"] != "chosen-by-the-client"
            large = await client.post(url + "/batch", content=b"x" * 3_000_000, headers={"Idempotency-Key": "k"})
            assert large.status_code == 413


@needs_nginx
async def test_behind_the_example_proxy_nobody_chooses_the_address_that_wrong_keys_count_under(
    settings: Settings, certificate: Path, tmp_path: Path
) -> None:
    port = free_port()
    async with serve(replace(settings, trusted_proxies="127.0.0.1")) as api:
        assert api.http.base_url.port
        conf = adapted(tmp_path, certificate, api=api.http.base_url.port, port=port)
        transport = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=certificate), retries=5)
        async with nginx(conf), httpx.AsyncClient(transport=transport, timeout=20) as client:
            statuses: list[int] = []
            while 429 not in statuses and len(statuses) < 500:  # a burst is answered 401, and one a second behind it
                number = len(statuses)
                forged = {"X-Forwarded-For": f"203.0.{number // 250}.{number % 250}", "Authorization": WRONG}
                statuses.append((await client.get(f"https://localhost:{port}/v1/orders", headers=forged)).status_code)
    assert set(statuses) == {401, 429}


def test_its_time_outs_fit_the_apis() -> None:
    text = CONF.read_text()
    assert f"keepalive_timeout {front.IDLE_S - 15}s;" in text
    assert f"client_header_timeout {front.HEAD_S:.0f}s;" in text
    assert f"proxy_read_timeout {WAIT_MAX_S + 10:.0f}s;" in text
