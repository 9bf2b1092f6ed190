"""The receivers that the README shows are run as they stand there, and take nothing that is not ours."""

import asyncio
import os
import re
import shutil
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from standardwebhooks import Webhook

from service.notices.signing import secret_of, signed
from service.ops.embedded import free_port
from tests.notices.listening import Producer

README = (Path(__file__).parents[2] / "README.md").read_text()
KEY, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2VjcmV0IG9mIHNvbWVib2R5IGVsc2U="
BODY = '{"type":"order.paid","timestamp":"2026-11-28T02:00:00Z","data":{"id":"ö-7"}}'
LANGUAGES = ["python", pytest.param("js", marks=pytest.mark.skipif(not shutil.which("node"), reason="node is absent"))]


@dataclass
class Example:
    """A receiver of the README, running."""

    process: Process
    url: str

    async def post(self, headers: dict[str, str], body: str = BODY) -> int:
        async with httpx.AsyncClient() as client:
            return (await client.post(self.url, content=body.encode(), headers=headers)).status_code

    async def said(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 10)).decode().strip()


@asynccontextmanager
async def running(language: str, folder: Path, secret: str) -> AsyncIterator[Example]:
    """The README's one receiver in this language, as its reader would run it."""
    (source,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    program = folder / {"python": "receiver.py", "js": "receiver.mjs"}[language]
    program.write_text(source)
    port = free_port()
    environ = os.environ | {"WEBHOOK_SECRET": secret, "PORT": str(port)}
    command = sys.executable if language == "python" else "node"
    process = await asyncio.create_subprocess_exec(command, program, stdout=PIPE, stderr=PIPE, env=environ)
    try:
        while True:
            assert process.returncode is None, "it ended"
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            await asyncio.sleep(0.02)
        yield Example(process, f"http://127.0.0.1:{port}/")
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_example_takes_what_is_ours_once_and_nothing_else(language: str, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ours = signed("msg_1", now, BODY, [KEY])
    async with running(language, tmp_path, KEY) as example:
        assert await example.post(ours) == 204
        assert await example.said() == "order.paid ö-7"
        assert await example.post(ours) == 204, "again, and it is done once"
        assert await example.post(signed("msg_2", now, BODY, [OTHER, KEY])) == 204, "after a roll"
        assert await example.said() == "order.paid ö-7"
        refused = {
            "a changed body": (ours, BODY.replace("7", "8")),
            "another id": (ours | {"webhook-id": "msg_2"}, BODY),
            "another time": (ours | {"webhook-timestamp": str(int(now.timestamp()) + 1)}, BODY),
            "an old one": (signed("msg_3", now - timedelta(minutes=6), BODY, [KEY]), BODY),
            "one of the future": (signed("msg_3", now + timedelta(minutes=6), BODY, [KEY]), BODY),
            "another secret": (signed("msg_3", now, BODY, [OTHER]), BODY),
            "another version": (ours | {"webhook-signature": ours["webhook-signature"].replace("v1,", "v1a,")}, BODY),
            "no version": (ours | {"webhook-signature": ours["webhook-signature"].removeprefix("v1,")}, BODY),
            "an empty signature": (ours | {"webhook-signature": "v1,"}, BODY),
            "a time that is none": (ours | {"webhook-timestamp": "soon"}, BODY),
            "no signature": ({k: v for k, v in ours.items() if k != "webhook-signature"}, BODY),
            "no time": ({k: v for k, v in ours.items() if k != "webhook-timestamp"}, BODY),
        }
        for what, (headers, body) in refused.items():
            assert await example.post(headers, body) == 400, what
        assert await example.post(signed("msg_9", now, BODY, [KEY])) == 204
        assert await example.said() == "order.paid ö-7", "nothing was said of those"


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_example_takes_what_this_service_sends(language: str, tmp_path: Path, producer: Producer) -> None:
    port = free_port()
    endpoint = await producer.listens(f"http://127.0.0.1:{port}/")
    assert endpoint.secret is not None
    async with running(language, tmp_path, endpoint.secret) as example:
        at = example.url.removesuffix("/")
        await producer.books.run("UPDATE webhook_endpoints SET url = :url", url=f"{at}/notices")
        (order,) = await producer.tell()
        assert await producer.hands().once() == 1
        assert await example.said() == f"order.paid {order.id}"
    assert (await producer.notices())[0]["status"] == "delivered"


def test_the_published_vector_is_signed_as_the_specification_says() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}', [KEY])
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_is_made_of_the_installation_the_endpoint_and_the_rolls() -> None:
    one = secret_of(b"installation", UUID(int=1), 0)
    others = {
        secret_of(b"another one!", UUID(int=1), 0),
        secret_of(b"installation", UUID(int=2), 0),
        secret_of(b"installation", UUID(int=1), 1),
    }
    assert len({one, *others}) == 4
    assert one == "whsec_rJ35TWQ1BbwvjZ1VT16rHMK0/vND9vLrAt0K+trW7Io=", "it must stay what it is: its producer has it"
    assert len(Webhook(one)._whsecret) == 32
