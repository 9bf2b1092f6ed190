"""`eo up`: one command, everything runs, an order can be paid, and nothing is left behind however it ends."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from service.ops.child import http_get, wait_until
from service.ops.embedded import free_port
from service.ops.kinds import PARTS
from service.ops.status import status
from tests import forks
from tests.charges.refusing import RefusingStripe, everything
from tests.sandbox.process import KEY, SandboxProcess

pytestmark = pytest.mark.slow


class Installation:
    """A data folder and the `eo up` on it."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / ".eo"
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None
        self.started: list[subprocess.Popen[str]] = []
        self.stderr: int | IO[str] = subprocess.PIPE
        self.said = folder / "stderr"
        self.shown = ""

    def up(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Start `eo up`; stdout is a pipe."""
        clean = {"PATH": os.environ["PATH"], "EO_DATA_DIR": str(self.data_dir), "EO_PORT": str(self.port), **environ}
        command = [sys.executable, "-m", "service", "up", *words]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.stderr, text=True, env=clean, cwd="/"
        )
        self.started.append(self.process)
        return self.process

    def up_and_ready(self, *words: str, **environ: str) -> str:
        """Start it and return the block it printed."""
        process = self.up(*words, **environ)
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("ready ") or words:
                return "".join(lines)
        pytest.fail(f"eo up ended: {process.communicate()[1]}")

    def pids(self) -> list[int]:
        """Everything that runs on its behalf, children of children too."""
        assert self.process
        found, parents = [], [self.process.pid]
        while parents:
            parents = [child for parent in parents for child in children(parent)]
            found += parents
        return found

    def end(self, number: signal.Signals) -> int:
        """Signal `eo up` and return its exit status once nothing runs any more."""
        assert self.process
        pids = self.pids()
        assert len(pids) >= len(PARTS)
        self.process.send_signal(number)
        exit_status = self.process.wait(10)
        patience_s = 10 if number == signal.SIGKILL else 0.5
        assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), within_s=patience_s)
        return exit_status

    def says(self, *words: str) -> str:
        """Output of another `eo` command."""
        environ = {"PATH": os.environ["PATH"], "EO_DATA_DIR": str(self.data_dir)}
        command = [sys.executable, "-m", "service", *words]
        return forks.run(command, env=environ, cwd=Path("/"), check=True).stdout

    def call(self, path: str, body: dict[str, Any] | None = None, key: str = "") -> tuple[int, dict[str, Any]]:
        """Ask the API as the default account."""
        environment = json.loads((self.data_dir / "run.json").read_text())["environment"]
        headers = {"Authorization": f"Bearer {environment['EO_API_KEY']}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        request = Request(f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers)
        if key:
            request.add_header("Idempotency-Key", key)
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def hears_of(self, event_type: str, times: int) -> None:
        """Wait until the sandbox has told so often, and all of it is settled."""

        def have_come() -> bool:
            listed = json.loads(self.says("events", "list", "--json"))
            states = [event["state"] for event in listed if event["type"] == event_type]
            return states == ["settled"] * times

        assert wait_until(have_come, within_s=20)

    def pays_an_order(self, key: str) -> bool:
        """Whether an order placed now is charged."""
        order = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}
        answer, placed = self.call("/v1/orders", order, key)
        deadline = time.monotonic() + 30
        while answer == 503 and time.monotonic() < deadline:  # not confirmed: the same key again
            time.sleep(0.2)
            answer, placed = self.call("/v1/orders", order, key)
        assert answer == 201, placed
        return wait_until(lambda: self.call(f"/v1/orders/{placed['id']}")[1]["status"] == "paid", within_s=20)


def command_line(pid: int) -> bytes:
    """Nothing where it has ended, as sessions of PostgreSQL do."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def children(parent: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{parent}/task").iterdir())
        return [int(pid) for thread in threads for pid in (thread / "children").read_text().split()]
    except OSError:
        return []


@pytest.fixture
def installation() -> Iterator[Installation]:
    """Where a user might be: below a folder that only its owner may enter."""
    with installed() as one:
        yield one


@pytest.fixture(scope="module")
def running() -> Iterator[Installation]:
    """One that runs for all tests that leave it as they found it; `said` is what it wrote to stderr."""
    with installed() as one, one.said.open("w") as one.stderr:
        one.shown = one.up_and_ready("--json")
        yield one


@contextmanager
def installed() -> Iterator[Installation]:
    """Where a user might be: a folder whose name has to be quoted everywhere."""
    with tempfile.TemporaryDirectory(prefix="eo, \"odd\" 'and' \\ %41#?\n-") as folder:
        one = Installation(Path(folder))
        yield one
        for process in one.started:
            process.terminate()
            if not (process.stdout and process.stdout.closed):
                process.communicate(timeout=15)


def test_one_command_and_an_order_can_be_paid_and_the_second_start_finds_it(installation: Installation) -> None:
    block = installation.up_and_ready()
    names = re.findall(r"^  (\w+) +\S", block, re.MULTILINE)
    assert names == ["API", "Docs", "Console", "Key", "Postgres", "Redis", "Webhooks", "Stripe", "Logs"]
    assert http_get(f"http://127.0.0.1:{installation.port}/health/ready") is not None
    assert installation.pays_an_order("first")
    installation.hears_of("payment_intent.succeeded", 1)
    endpoint = (installation.data_dir / "webhook.json").read_text()
    assert installation.end(signal.SIGINT) == 0
    assert installation.process
    assert installation.process.communicate()[1] == ""  # a clean first run has nothing to warn of
    assert not (installation.data_dir / "run.json").exists()
    again = installation.up_and_ready()
    assert re.search(r"Key +\S+", again)[0] == re.search(r"Key +\S+", block)[0]  # type: ignore[index]
    assert installation.call("/v1/orders")[1]["data"][0]["idempotency_key"] == "first"
    assert (installation.data_dir / "webhook.json").read_text() == endpoint, "a restart keeps the secret"
    assert installation.pays_an_order("second")
    installation.hears_of("payment_intent.succeeded", 2)
    assert installation.end(signal.SIGTERM) == 0


def test_everything_is_seen_by_name_and_secrets_are_private(running: Installation) -> None:
    installation = running
    assert json.loads(running.shown)["ready"] is True
    found = status(installation.data_dir)
    assert all(found.parts.values()), found
    for part in ("api", "relay", "worker", "sandbox"):
        assert Path(f"/proc/{found.parts[part]}/cmdline").read_bytes().startswith(f"eo {part}\0".encode())
    assert found.addresses["webhooks"] == f"http://127.0.0.1:{installation.port}/v1/stripe/events"
    for name in ("run.json", "secrets.json", "webhook.json"):
        assert stat.S_IMODE((installation.data_dir / name).stat().st_mode) == 0o600
    commands = b"".join(map(command_line, installation.pids()))
    for name in ("secrets.json", "webhook.json"):
        for secret in json.loads((installation.data_dir / name).read_text()).values():
            assert secret.encode() not in commands


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_comes_back_and_orders_are_paid_again(running: Installation, part: str) -> None:
    victim = status(running.data_dir).parts[part]
    assert victim
    os.kill(victim, signal.SIGKILL)

    def is_back() -> bool:
        return status(running.data_dir).parts[part] not in (None, victim)

    assert wait_until(is_back, within_s=30)
    ready = f"http://127.0.0.1:{running.port}/health/ready"
    assert wait_until(lambda: (http_get(ready) or (0, b""))[0] == 200, within_s=30)
    assert running.pays_an_order(f"after-the-kill-of-{part}")
    assert f"{part}: died (killed by SIGKILL)" in running.said.read_text()


def test_kill_9_leaves_no_process_and_the_next_start_works(running: Installation) -> None:
    assert running.pays_an_order("before")
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    running.shown = running.up_and_ready("--json")
    assert running.pays_an_order("after")


def test_a_busy_port_is_said_by_name_before_anything_starts(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", installation.port)):
        process = installation.up()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"port {installation.port}" in said
    assert "EO_PORT" in said
    assert not (installation.data_dir / "postgres").exists()


def test_a_second_one_on_the_same_data_is_refused_with_the_pid_of_the_first(running: Installation) -> None:
    first = running.process
    assert first
    stderr, running.stderr = running.stderr, subprocess.PIPE
    second = running.up(EO_PORT=str(free_port()))
    running.process, running.stderr = first, stderr
    _, said = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"pid {first.pid}" in said


def test_a_database_that_is_away_ends_the_start_with_exit_code_3(installation: Installation) -> None:
    process = installation.up(DATABASE_URL="postgresql://u:geheim@127.0.0.1:9/x")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert said.count("cannot be reached") == 1
    assert said.count("eo:") == 1
    assert "geheim" not in said


def test_without_redis_everything_starts_and_orders_are_accepted(installation: Installation) -> None:
    installation.up_and_ready(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    answer = http_get(f"http://127.0.0.1:{installation.port}/health/ready")
    assert answer
    assert json.loads(answer[1])["status"] == "degraded"
    order = {"amount": 500, "currency": "eur", "payment_method": "pm_card_visa"}
    assert installation.call("/v1/orders", order, "no-redis")[0] == 201


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"STRIPE_API_KEY": "sk_live_" + "0" * 24}, "EO_LIVE=1"),
        ({"STRIPE_API_KEY": "sk_live_" + "0" * 24, "EO_LIVE": "1"}, "DATABASE_URL and REDIS_URL"),
        ({"STRIPE_API_BASE": "http://127.0.0.1:9"}, "STRIPE_API_KEY"),
    ],
)
def test_a_stripe_that_was_not_meant_is_refused(
    installation: Installation, environ: dict[str, str], words: str
) -> None:
    process = installation.up(**environ)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert words in said


def test_a_stripe_that_refuses_our_requests_fails_no_order_is_named_everywhere_and_then_all_is_paid_once(
    installation: Installation, tmp_path: Path
) -> None:
    sandbox = SandboxProcess(tmp_path / "stripe.sqlite3").start()
    try:
        with RefusingStripe(sandbox.base, refuses=everything) as stripe:
            knobs = {"EO_BREAKER_S": "0.5", "EO_RETRY_MAX_S": "1"}
            installation.up_and_ready(STRIPE_API_BASE=stripe.base, STRIPE_API_KEY=KEY, **knobs)
            order = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}
            placed = [installation.call("/v1/orders", order, f"refused-{n}")[1]["id"] for n in range(10)]
            refusal = "400 parameter_unknown"
            assert wait_until(lambda: refusal in " ".join(status(installation.data_dir).reasons), within_s=20)
            assert status(installation.data_dir).ready == "degraded"
            ready, said = installation.call("/health/ready")
            assert (ready, said["status"]) == (200, "degraded")
            shown = installation.says("status")
            assert "ready: degraded" in shown
            assert refusal in shown
            for order_id in placed:
                assert wait_until(lambda i=order_id: refusal in reason(installation, i), within_s=20)  # type: ignore[misc]
                assert installation.call(f"/v1/orders/{order_id}")[1]["status"] in ("pending", "processing")
            log = (installation.data_dir / "log" / "worker.log").read_text()
            assert any('"error"' in line and "breaker.open" in line for line in log.splitlines())
            stripe.refuses = None
            paid = {"status": "paid"}
            for order_id in placed:
                assert wait_until(
                    lambda i=order_id: paid.items() <= installation.call(f"/v1/orders/{i}")[1].items(),  # type: ignore[misc]
                    within_s=30,
                )
                assert sandbox.truth(order_id)["charges"] == 1
            assert wait_until(lambda: status(installation.data_dir).ready == "ok", within_s=20)
    finally:
        sandbox.kill()


def reason(installation: Installation, order_id: str) -> str:
    """What the order waits for, by its timeline."""
    events = installation.call(f"/v1/orders/{order_id}/timeline")[1]["data"]
    return str(next((event.get("reason") for event in events if event["event"] == "outbox.due"), ""))
