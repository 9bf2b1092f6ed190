"""`eo demo`: what it shows is measured, what it promises is checked, and it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.ops.child import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

COMMAND = [sys.executable, "-P", "-m", "service", "demo", "--quick", "--json"]
LONGEST_S = 200.0  # about a minute on an idle machine


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "TMPDIR": str(folder)}


def test_the_naive_consumer_charges_and_refunds_twice_and_this_service_does_not(servers_folder: Path) -> None:
    done = subprocess.run(
        COMMAND, env=environment(servers_folder), capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    naive, ours = said["storm"]["naive"], said["storm"]["ours"]
    assert said["ok"] is True
    assert (ours["twice"], ours["lost"], ours["unsettled"]) == (0, 0, 0)
    assert (ours["off_books"], ours["ledger_off"]) == (0, 0)
    assert ours["charges"] == ours["orders"] == naive["orders"] == said["plan"]["orders"]
    assert naive["twice"] > 0
    assert naive["off_books"] != 0
    assert (ours["refunded_twice"], ours["over_refunded"]) == (0, 0)
    assert (ours["refunds_lost"], ours["refunds_off_books"]) == (0, 0)
    assert ours["refunds"] == ours["refunds_wanted"] == said["plan"]["refunds"]
    assert naive["refunded_twice"] > 0
    assert naive["over_refunded"] > 0
    assert naive["refunds_off_books"] != 0
    usd = said["reconciliation"]["totals"]["usd"]
    assert usd["stripe"] == usd["ours"] == usd["ledger"]
    for score in (naive, ours):
        assert score["killed"] > 0
        assert score["troubles"] > 0
        assert score["duplicates"] > 0
    assert ours["absorbed"]["door"] > 0
    assert ours["absorbed"]["open"] > 0
    assert ours["absorbed"]["stripe"] > 0
    assert said["reconciliation"]["verdict"] == "clean"
    assert [row["messages_twice"] for row in said["rates"]] == [0, 0.0001, 0.05, 0.15]
    assert all((row["ours"]["twice"], row["ours"]["lost"]) == (0, 0) for row in said["rates"])
    assert said["rates"][0]["naive"]["twice"] == 0
    assert said["rates"][3]["naive"]["twice"] > 0
    assert list(servers_folder.glob("eo-demo-*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_no_process_is_left(servers_folder: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        COMMAND, env=environment(servers_folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr
        assert any("two workers" in line for line in demo.stderr)  # everything of part one runs
        (folder,) = servers_folder.glob("eo-demo-*")
        started = descendants(demo.pid)
        assert len(started) >= 5  # PostgreSQL, Valkey, Stripe, two workers
        demo.send_signal(number)
        demo.stderr.read()
    assert demo.returncode == (-number if number == signal.SIGKILL else 130)
    assert wait_until(lambda: not alive(started), within_s=10), alive(started)
    assert folder.exists() == (number == signal.SIGKILL)  # a killed one cannot tidy up


def descendants(pid: int) -> list[int]:
    try:
        lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:  # it ended meanwhile
        return []
    children = [int(n) for text in lists for n in text.split()]
    return children + [n for child in children for n in descendants(child)]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]
