"""The socket on which `eo up` is asked for faults, and what is refused before any process is touched."""

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from service.chaos import Ask, Line
from service.foundation.errors import Misconfigured, Unavailable
from service.foundation.settings import Settings
from service.ops.chaos.hotline import Hotline
from service.ops.up import plan
from service.web.console.pages import handlers

NOBODY = 65_534


@pytest.fixture
def knocks() -> Iterator[list[int]]:
    """The SIGIO that came; under the supervisor it is blocked, and wakes it."""
    heard: list[int] = []
    before = signal.signal(signal.SIGIO, lambda number, _frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def hotline(tmp_path: Path, knocks: list[int]) -> Iterator[Hotline]:
    hotline = Hotline(tmp_path)
    yield hotline
    hotline.close()


def asked(hotline: Hotline, line: bytes) -> bytes:
    """What one client hears that says `line`."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(hotline.path))
        client.sendall(line)
        hotline.answer(lambda said: b"heard " + said)
        return client.recv(4096)


def test_only_this_user_may_ask_and_is_answered_at_once(hotline: Hotline, knocks: list[int]) -> None:
    found = hotline.path.stat()
    assert (stat.S_IMODE(found.st_mode), stat.S_ISSOCK(found.st_mode)) == (0o600, True)
    assert asked(hotline, b"me\nand more") == b"heard me\n"
    assert knocks, "the supervisor is woken"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_a_stranger_gets_no_word_even_where_the_socket_is_open(hotline: Hotline, mode: int) -> None:
    hotline.path.chmod(mode)
    heard, says = os.pipe()
    stranger = os.fork()
    if stranger == 0:
        os.chdir(hotline.path.parent)  # it may not enter the folders above
        os.setuid(NOBODY)
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(hotline.path.name)
                client.sendall(b"me\n")
                os.write(says, client.recv(4096) or b"nothing")
        except OSError:
            os.write(says, b"refused")
        os._exit(0)
    hotline.path.parent.chmod(0o755)
    while not os.waitpid(stranger, os.WNOHANG)[0]:
        hotline.answer(lambda said: b"heard " + said)
    assert os.read(heard, 4096) in ({b"refused"} if mode == 0o600 else {b"nothing", b"refused"})
    os.close(heard)
    os.close(says)


@pytest.mark.parametrize("line", [b"", b"\n", b"x" * 10_000, b"\xff\n"])
def test_a_client_that_says_nothing_useful_holds_nobody_up(hotline: Hotline, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(hotline.path))
        client.sendall(line)
        hotline.answer(bytes)
    assert asked(hotline, b"next\n") == b"heard next\n"


def test_a_path_that_is_too_long_for_the_kernel_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    hotline = Hotline(tmp_path / ("long" * 30))
    assert stat.S_IMODE(hotline.path.parent.stat().st_mode) == 0o700
    hotline.close()
    assert not hotline.path.parent.exists()


async def test_an_eo_up_that_is_gone_is_said_to_be_away(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="eo up"):
        await Line(tmp_path / "nobody.sock").look()


@pytest.mark.parametrize(
    "wrong",
    [
        {"switch": "make_coffee"},
        {"switch": "lose_replies", "times": 0},
        {"switch": "double", "seconds": 3600},
        {"switch": "freeze", "order": "../faults"},
        {"switch": "freeze", "more": 1},
    ],
)
def test_what_is_no_switch_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps({"press": wrong}), type=Ask)


def chaos_paths(settings: Settings) -> list[str]:
    return [path for one in handlers(settings) for path in one.paths if path.startswith("/console/chaos")]


def test_the_page_exists_where_eo_up_has_named_its_socket_and_nowhere_else() -> None:
    settings = Settings(stripe_api_base="http://127.0.0.1:12111", console=True)
    assert chaos_paths(settings) == []
    assert len(chaos_paths(replace(settings, chaos_socket="/somewhere/chaos.sock"))) == 3


@pytest.mark.parametrize(
    "stripe",
    [
        {"STRIPE_API_KEY": "sk_live_" + "0" * 24, "EO_LIVE": "1"},
        {"STRIPE_API_KEY": "sk_test_" + "0" * 24},
        {"STRIPE_API_KEY": "sk_test_" + "0" * 24, "STRIPE_API_BASE": "https://api.stripe.com"},
    ],
)
def test_a_process_whose_stripe_is_not_the_sandbox_does_not_start_with_a_socket(
    stripe: dict[str, str], tmp_path: Path
) -> None:
    environ = {**stripe, "EO_DATA_DIR": str(tmp_path), "EO_CHAOS_SOCKET": str(tmp_path / "chaos.sock")}
    with pytest.raises(Misconfigured, match="EO_CHAOS_SOCKET"):
        Settings.from_env(environ)


def test_an_eo_up_on_stripe_itself_has_no_sandbox_and_so_no_chaos(tmp_path: Path) -> None:
    installation = plan(tmp_path, {"STRIPE_API_KEY": "sk_test_" + "0" * 24})
    assert "sandbox" not in installation.parts
    assert "EO_CHAOS_SOCKET" not in {**installation.told, **(installation.parts["api"].environ or {})}


def test_leases_are_short_at_the_sandbox_unless_somebody_names_one(tmp_path: Path) -> None:
    assert plan(tmp_path, {}).settings().outbox_lease_s < 20
    assert plan(tmp_path, {"EO_OUTBOX_LEASE_S": "60"}).settings().charge_lease_s == 45
