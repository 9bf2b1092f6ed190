"""The example configuration in deploy/ is one that nginx takes, and that an order passes."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from service import front
from service.child import Child
from service.embedded import free_port
from service.settings import Settings
from service.waiting import WAIT_MAX_S
from tests.door.conftest import ORDER, serve

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "deploy" / "nginx.conf"
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


def test_its_time_outs_fit_the_apis() -> None:
    text = CONF.read_text()
    assert f"keepalive_timeout {front.IDLE_S - 15}s;" in text
    assert f"client_header_timeout {front.HEAD_S:.0f}s;" in text
    assert f"proxy_read_timeout {WAIT_MAX_S + 10:.0f}s;" in text
