"""Clients that public generators make of our description place an order and read it back; they were not told of us."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from service.foundation.settings import Settings
from tests.web.conftest import Api

pytestmark = pytest.mark.slow

PRODUCERS = Path(__file__).parent / "clients"
NODE = Path(__file__).parents[1] / "conformance/node/node_modules"
RUN_S = 100
COMPILER = {"strict": True, "target": "es2022", "module": "nodenext", "skipLibCheck": True}
REUSED = "urn:effectively-once:problem:idempotency-key-reused"


def run(*command: str | Path, folder: Path, **environ: str) -> str:
    """What a program prints; it must end well and warn of nothing."""
    told = {"PATH": os.environ["PATH"], "HOME": str(folder), **environ}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=told, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "arning" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


async def described(api: Api, folder: Path) -> Path:
    """The document, as the API serves it, in a file."""
    file = folder / "openapi.json"
    file.write_bytes((await api.http.get("/openapi.json")).content)
    return file


def address(api: Api, settings: Settings) -> dict[str, str]:
    return {"API": str(api.http.base_url).rstrip("/"), "KEY": str(settings.api_key)}


async def assert_ordered(api: Api, told: dict[str, Any]) -> None:
    order = (await api.http.get(f"/v1/orders/{told['id']}")).json()
    assert (order["amount"], order["currency"], order["metadata"]) == (1999, "usd", {})
    assert told["listed"] == [order["id"]]
    assert told["refused"] == REUSED


async def test_a_python_client_that_was_generated_places_an_order(api: Api, settings: Settings, tmp_path: Path) -> None:
    if find_spec("openapi_python_client") is None:
        pytest.skip("openapi-python-client is not installed: `make` installs it with the other tools of development")
    document = await described(api, tmp_path)
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    generator = Path(sys.executable).parent / "openapi-python-client"
    made = tmp_path / "effectively_once_client"
    command: list[str | Path] = [generator, "generate", "--path", document, "--meta", "none", "--output-path", made]
    await asyncio.to_thread(run, *command, "--config", tmp_path / "config.yml", "--fail-on-warning", folder=tmp_path)
    producer = shutil.copy(PRODUCERS / "order.py", tmp_path)
    said = await asyncio.to_thread(run, sys.executable, producer, folder=tmp_path, **address(api, settings))
    await assert_ordered(api, json.loads(said))


async def test_a_typescript_client_that_was_generated_places_an_order(
    api: Api, settings: Settings, tmp_path: Path
) -> None:
    node = shutil.which("node")
    if node is None or not (NODE / "openapi-typescript").is_dir():
        pytest.skip("Node or openapi-typescript is not installed: npm was absent or failed at `make`")
    document = await described(api, tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(PRODUCERS / "order.ts", tmp_path)
    tools = NODE / ".bin"
    await asyncio.to_thread(run, tools / "openapi-typescript", document, "-o", "api.d.ts", folder=tmp_path)
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": COMPILER, "files": ["order.ts"]}))
    await asyncio.to_thread(run, tools / "tsc", folder=tmp_path)
    said = await asyncio.to_thread(run, node, "order.js", folder=tmp_path, **address(api, settings))
    await assert_ordered(api, json.loads(said))
