"""What was answered is remembered, however the process ends; and how it starts and stops."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stripe import APIConnectionError

from service.ops.child import HttpPart
from tests.sandbox.client import Api, Target, order
from tests.sandbox.process import KEY, SandboxProcess

pytestmark = pytest.mark.slow

STREAMS = 16


async def test_every_answer_survives_a_kill_in_full_flight(own_sandbox: SandboxProcess, own_api: Api) -> None:
    answered: dict[str, str] = {}

    async def pay(stream: int) -> None:
        for number in range(1_000_000):
            key = f"{stream}-{number}"
            answered[key] = (await own_api.pay(key=key, metadata=order(key))).id

    streams = [asyncio.create_task(pay(stream)) for stream in range(STREAMS)]
    while len(answered) < 10 * STREAMS:
        await asyncio.sleep(0.001)
    own_sandbox.kill()
    assert all(isinstance(e, APIConnectionError) for e in await asyncio.gather(*streams, return_exceptions=True))
    own_sandbox.start()

    charged = {o["order"]: o for o in own_sandbox.control("GET", "truth?per=order")["orders"]}
    assert {key: charged[key]["payment_intents"] for key in answered} == {k: [v] for k, v in answered.items()}
    assert {entry["charges"] for entry in charged.values()} == {1}
    async with Api(Target(own_sandbox.base, KEY)) as api:
        for key, intent_id in list(answered.items())[-STREAMS:]:
            assert (await api.pay(key=key, metadata=order(key))).id == intent_id


async def test_an_executed_request_survives_a_crash_before_its_answer(
    own_sandbox: SandboxProcess, own_api: Api
) -> None:
    own_sandbox.faults({"fault": "crash_after_execution", "method": "POST"})
    with pytest.raises(APIConnectionError):
        await own_api.pay(key="k", metadata=order("o1"))
    assert own_sandbox.wait() == -signal.SIGKILL

    own_sandbox.start()
    assert own_sandbox.truth("o1")["charges"] == 1
    replay = await own_api.pay(key="k", metadata=order("o1"))
    assert replay.last_response.headers["idempotent-replayed"] == "true"
    assert own_sandbox.truth("o1")["charges"] == 1


async def test_account_clock_and_revoked_keys_survive(own_sandbox: SandboxProcess, own_api: Api) -> None:
    before = await own_api.v1.accounts.retrieve_current_async()
    offset = own_sandbox.control("POST", "clock", {"advance_s": 5000})["offset_s"]
    own_sandbox.control("POST", "keys/revoke", {"key": "sk_test_gone"})
    own_sandbox.kill()
    own_sandbox.start()

    assert (await own_api.v1.accounts.retrieve_current_async()).id == before.id
    assert own_sandbox.control("POST", "clock", {"advance_s": 0})["offset_s"] == offset
    async with Api(Target(own_sandbox.base, "sk_test_gone")) as gone:
        with pytest.raises(Exception, match="Expired API Key"):
            await gone.pay()


async def test_a_late_fee_is_still_due_after_a_kill(own_sandbox: SandboxProcess, own_api: Api) -> None:
    own_sandbox.control("POST", "fees", {"delay_s": 100})
    await own_api.pay()
    own_sandbox.kill()
    own_sandbox.start()
    own_sandbox.control("POST", "clock", {"advance_s": 200})
    assert len((await own_api.v1.balance_transactions.list_async()).data) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(own_sandbox: SandboxProcess, number: signal.Signals) -> None:
    own_sandbox.send(number)
    assert own_sandbox.wait() == 0


def test_two_data_files_are_two_accounts(own_sandbox: SandboxProcess, sandbox: SandboxProcess) -> None:
    accounts = {process.control("GET", "health")["account"] for process in (own_sandbox, sandbox)}
    assert len(accounts) == 2


def test_a_busy_port_is_named_in_one_line(sandbox: SandboxProcess, tmp_path: Path) -> None:
    code, said = _run("--port", str(sandbox.port), "--data", str(tmp_path / "other"))
    assert (code, said.count("\n")) == (2, 1)
    assert f"'127.0.0.1', port {sandbox.port}" in said


def test_an_unusable_data_file_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "books").write_text("these are no books, but long enough to look at" * 100)
    code, said = _run("--port", "0", "--data", str(tmp_path / "books"))
    assert (code, said.count("\n")) == (2, 1)
    assert str(tmp_path / "books") in said


def test_books_in_use_are_left_alone(own_sandbox: SandboxProcess) -> None:
    code, said = _run("--port", "0", "--data", str(own_sandbox.data))
    assert (code, said.count("\n")) == (2, 1)
    assert "another sandbox uses it" in said


async def test_half_a_request_is_no_request(own_sandbox: SandboxProcess) -> None:
    form = b"amount=1999&currency=usd&confirm=true&payment_method=pm_card_visa&payment_method_types[]=card"
    head = f"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", own_sandbox.port)
    writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % (len(form) + 30) + form)
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async with Api(Target(own_sandbox.base, KEY)) as api:
        await api.v1.balance.retrieve_async()
    assert own_sandbox.control("GET", "truth")["charges_succeeded"] == 0


def test_options_may_come_from_the_environment(tmp_path: Path) -> None:
    code, said = _run("--port", "0", EO_SANDBOX_DATA=str(tmp_path / "no" / "folder"))
    assert code == 2
    assert "no/folder" in said


def _run(*arguments: str, **environ: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "sandbox", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, env=os.environ | environ, check=False)
    return done.returncode, done.stderr


def test_a_log_on_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "books.log").symlink_to("/dev/full")
    process = SandboxProcess(tmp_path / "books.sqlite3", part=HttpPart).start()  # a Python that opened its own streams
    assert process.control("GET", "health")["status"] == "ok"
    process.send(signal.SIGTERM)
    assert process.wait() == 0
