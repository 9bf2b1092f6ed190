"""A line of the log has known fields and nothing that must not be written, whoever logs it."""

import json
import logging
import os
import pty
import subprocess
import sys
from typing import Any

import pytest
import structlog

from service.foundation import log
from service.foundation.events import Event
from service.foundation.text.screening import has_card_number
from service.foundation.text.secrets import HIDDEN, scrubbed

SECRETS = (
    "sk_test_51Hx0abcdefghijkl",
    "sk_live_51Hx0abcdefghijkl",
    "rk_live_51Hx0abcdefghijkl",
    "sk_org_live_51Hx0abcdefghijkl",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "pi_3Hx0abc_secret_dEf123",
    "seti_1Hx0abc_secret_dEf123",
    "eo_test_publicid_0123456789abcdef",
    "eo_live_publicid_0123456789abcdef",
    "Bearer abcdefghijklmnop",
    "authorization: basic c2tfdGVzdDphYmM=",
    "t=1492774577,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
)
CARDS = (
    "4242424242424242",
    "card 4242 4242 4242 4242 declined",
    "3782-822463-10005",
    "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
    "%34242424242424242",
)
HARMLESS = (
    "019ac7a3-1111-7222-8333-944455556666",
    "pi_3SabcDEF0123456789",
    "req_AbCdEf12345",
    "evt_1Nabc",
    "Basic settings are missing",
    "postgres:5432 cannot be reached",
    "eo_app_0a1b2c3d has no right",
    "2026-11-28T05:45:13.123+00:00",
    "",
)


def written(record: logging.LogRecord) -> dict[str, Any]:
    """The line of this record."""
    line: dict[str, Any] = json.loads(log._Lines("worker").format(record))
    return line


def ours(**fields: Any) -> logging.LogRecord:
    record = logging.LogRecord("eo", logging.INFO, "", 0, Event.READY, None, None)
    record.fields = fields
    return record


@pytest.mark.parametrize("secret", [*SECRETS, *CARDS])
def test_no_secret_or_card_number_gets_into_a_line_whoever_logs_it(secret: str) -> None:
    library = logging.LogRecord("aiohttp", logging.ERROR, "", 0, "cannot send %s", (f"x: {secret}",), None)
    for line in (written(library), written(ours(reason=f"it was {secret}!")), written(ours(at=["a", secret]))):
        assert HIDDEN in json.dumps(line) or "_***" in line["event"], "the masking of addresses knows some keys, too"
        assert secret.rsplit(maxsplit=1)[-1] not in json.dumps(line, ensure_ascii=False)


def test_a_card_number_that_is_a_number_is_hidden_and_another_is_not() -> None:
    assert written(ours(count=4242424242424242))["count"] == HIDDEN
    assert written(ours(count=10**15))["count"] == 10**15


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert scrubbed(text) == text


@pytest.mark.parametrize("text", [*SECRETS, *CARDS, *HARMLESS, "&#52;242424242424242", "4&sup2;42424242424242"])
def test_the_first_look_misses_no_card_number(text: str) -> None:
    assert (scrubbed(text) == HIDDEN) >= (has_card_number(text) and text not in HARMLESS)


def test_of_an_error_its_kind_is_written_and_nothing_of_its_text() -> None:
    error = ValueError("a@example.com ordered 3 of 17")
    failed = logging.LogRecord("eo", logging.ERROR, "", 0, Event.READY, None, (ValueError, error, None))
    for line in (log.of_error(error), written(failed)):
        assert str(line["error"]).endswith("ValueError")
        assert "example" not in json.dumps(line)


def test_a_field_that_nobody_knows_is_left_out_and_named() -> None:
    line = written(ours(count=1, amount=1999, email="a@example.com"))
    assert line["count"] == 1
    assert line["dropped"] == ["amount", "email"]
    assert not {"amount", "email"} & line.keys()
    assert "example" not in json.dumps(line)


def test_the_processors_are_structlogs(capsys: pytest.CaptureFixture[str]) -> None:
    """structlog itself runs them, and makes the same line of them as we do."""
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[log.allowed, log.harmless, log.as_json])
    logger.info("ready", count=1, reason="sk_test_51Hx0abcdefghijkl", amount=5)
    line = json.loads(capsys.readouterr().out)
    mine = written(ours(count=1, reason="sk_test_51Hx0abcdefghijkl", amount=5))
    assert line == {name: mine[name] for name in ("event", "count", "reason", "dropped")}


PROGRAM = """
import asyncio, msgspec
from service.foundation import log
from service.foundation.events import Event
from service.foundation.lines import LineWriter, now
class Line(msgspec.Struct, omit_defaults=True):
    ts: str
    event: str
    ms: float
    key: str | None = None
async def main():
    log.configure("worker")
    log.event(Event.CHARGE_FENCED, count=3)
    LineWriter().add(Line(now(), "attempt.settled", 1.5))
    await asyncio.sleep(0)
asyncio.run(main())
import sys
print("structlog" in sys.modules)
"""


def test_on_a_terminal_the_lines_are_for_people_and_elsewhere_json_without_the_import() -> None:
    ours_, terminal = pty.openpty()
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=terminal, check=True, timeout=60, text=True
    )
    shown = os.read(ours_, 100_000).decode()
    for end in (ours_, terminal):
        os.close(end)
    assert run.stdout == "True\n"
    assert "charge.fenced" in shown
    assert "attempt.settled" in shown
    assert "\x1b[" in shown, "in colours"
    assert "{" not in shown
    piped = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, timeout=60, text=True)
    assert piped.stdout == "False\n"
    one, other = (json.loads(line) for line in piped.stderr.splitlines())
    assert (one["event"], one["count"], one["process"]) == ("charge.fenced", 3, "worker")
    assert (other["event"], other["ms"]) == ("attempt.settled", 1.5)
    assert "key" not in other
