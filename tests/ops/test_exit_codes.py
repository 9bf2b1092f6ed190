"""However a command ends, its exit code means one thing, and it says why in words: 1 is only ever a finding."""

import contextlib
import errno
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.foundation import exit_codes, guard
from service.foundation.errors import BadRequest, Misconfigured, Unavailable
from service.foundation.text.names import checked
from service.ops import table
from service.ops.cli import cli, run
from service.ops.kinds import KINDS
from tests.cards import shows_the_card

SAID = {exit_codes.OK, exit_codes.USAGE, exit_codes.AWAY}
ODD = [
    "", " ", "-", "--", "-1", "0", "1", "nan", "inf", "-inf", "1e400", "9" * 5_000, "0x10", "１２", "x" * 100_000,
    "0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30", "10000-01-01",
    "2026-11-24T00:00:00+99:99", "line\nfeed", "tab\t", "\x1b[31mred", "\u200b", "\u202egnp.exe", "\ufeff", "\ud800",
    "\udcff", "é", "日本",
    "💳", "4242 4242 4242 4242", "%00", "../../etc/passwd", "/dev/full", "'; DROP TABLE orders; --",
    "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "{}", "[" * 1_000,
]  # fmt: skip
SERVERS = {"up", *KINDS, "sandbox", "demo"}  # with the right arguments these would run for long


def leaves(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the tree, with the words that lead to it; groups, too."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, (*path, name))


COMMANDS = dict(leaves())
DOING = [path for path, found in COMMANDS.items() if not isinstance(found, click.Group) or found.invoke_without_command]
RIGHT = {"uuid": "0190a000-0000-7000-8000-000000000000", "fingerprint": "0" * 16}


@pytest.fixture(autouse=True)
def nothing_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No database, no Redis, no running parts, nobody who answers a question; a folder of its own to write into."""
    for name in list(os.environ):
        if name.startswith(("EO_", "STRIPE_", "DATABASE_", "REDIS_", "PG")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EO_DATA_DIR", str(tmp_path / ".eo"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    guard.show_tracebacks(on=False)


def end(*words: str) -> tuple[int, str, str]:
    """Code, stdout and stderr of a command, in this process."""
    sys.modules.pop("sandbox.__main__", None)  # it runs as a program, of which another test may have imported a part
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        guard.run(lambda: run(words))
    assert isinstance(ended.value.code, int)
    return ended.value.code, out.getvalue(), err.getvalue()


def assert_said(found: tuple[int, str, str], words: tuple[str, ...]) -> None:
    code, _, err = found
    shown = [word[:60] for word in words]
    assert code in SAID, (shown, code, err[-2_000:])
    assert "Traceback" not in err, shown
    assert code == exit_codes.OK or err.strip(), shown


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    code, out, err = end(*path, "--help")
    assert (code, err) == (exit_codes.OK, "")
    assert "sage:" in out


@pytest.mark.parametrize("path", [path for path in COMMANDS if path], ids=" ".join)
def test_odd_arguments_are_a_usage_error_in_words(path: tuple[str, ...]) -> None:
    for odd in ODD:
        if path[0] not in SERVERS:
            assert_said(end(*path, odd), (*path, odd))
        assert_said(end(*path, f"--{odd}", "surplus"), (*path, f"--{odd}"))
        for parameter in COMMANDS[path].params:
            if isinstance(parameter, click.Option) and not (parameter.is_flag or path[0] in SERVERS):
                words = (*path, parameter.opts[0], odd)
                assert_said(end(*words), words)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(sorted(set(COMMANDS) - {(name,) for name in SERVERS} - {()})), data=st.data())
def test_any_arguments_end_in_a_code_that_means_something(path: tuple[str, ...], data: st.DataObject) -> None:
    names = [name for parameter in COMMANDS[path].params for name in parameter.opts if name.startswith("-")]
    word = st.sampled_from([*names, "--debug", "--json", "--yes"]) | st.sampled_from(ODD) | st.text(max_size=30)
    words = (*path, *data.draw(st.lists(word, max_size=5)))
    assert_said(end(*words), words)


class _Weird(BaseException):
    """An error that is not even an Exception."""


def _raise(error: BaseException) -> Callable[[], NoReturn]:
    def command() -> NoReturn:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("boom"), 70), (KeyError("x"), 70), (MemoryError(), 70), (RecursionError(), 70), (_Weird(), 70),
        (AssertionError(), 70), (ZeroDivisionError("x"), 70),
        (ExceptionGroup("two", [ValueError("x"), KeyError()]), 70),
        (OSError("what"), 70), (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), 70), (ImportError("service"), 70),
        (ModuleNotFoundError("no", name="service.gone"), 70),
        (ModuleNotFoundError("no", name="click"), 2), (UnicodeEncodeError("ascii", "é", 0, 1, "no"), 2),
        (Misconfigured("a setting"), 2), (PermissionError(errno.EACCES, "Permission denied", "/etc/x"), 2),
        (SystemExit("words"), 2), (SystemExit(None), 0), (SystemExit(1), 1), (SystemExit(4), 4), (click.Abort(), 2),
        (click.ClickException("x"), 2), (click.FileError("x"), 2), (click.UsageError("x"), 2),
        (Unavailable("PostgreSQL"), 3), (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), 3), (TimeoutError(), 3),
        (ExceptionGroup("one", [Unavailable("away")]), 3), (BrokenPipeError(errno.EPIPE, "a socket's"), 3),
        (OSError(errno.ENOSPC, "No space left on device"), 4), (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_every_error_has_its_code_and_its_words(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        guard.run(_raise(error))
    err = capsys.readouterr().err
    assert (ended.value.code, "Traceback" in err) == (code, False), err
    assert isinstance(error, SystemExit) or err.startswith("eo: ")
    assert ("bug" in err and "--debug" in err) == (code == exit_codes.BUG)


@pytest.mark.parametrize("path", DOING, ids=" ".join)
def test_an_error_that_nobody_foresaw_is_70_in_every_command(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unforeseen(**_: object) -> NoReturn:
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr(COMMANDS[path], "callback", unforeseen)
    given = [word for each in COMMANDS[path].params if each.required for word in _right(each)]
    code, out, err = end(*path, *given)
    assert (code, out) == (exit_codes.BUG, "")
    assert "LookupError" in err
    assert "nobody foresaw this" in err
    assert "Traceback" not in err
    assert "Traceback" in end("--debug", *path, *given)[2]


def _right(parameter: click.Parameter) -> list[str]:
    """A value that `parameter` takes, with its name."""
    kind = parameter.type
    value = str(kind.choices[0]) if isinstance(kind, click.Choice) else RIGHT.get(kind.name, "words")
    return [parameter.opts[0], value] if isinstance(parameter, click.Option) else [value]


@pytest.mark.parametrize(
    "words", [("healthy",), ("orders", "list", "--status", "gone"), ("gone",), ("settings", "--gone")]
)
def test_a_usage_error_is_whole_sentences_in_one_line(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        guard.run(lambda: run(words))
    assert re.fullmatch(r"eo: [^\t\n]+[.?!] See `eo[a-z ]* --help`\.\n", capsys.readouterr().err)


def test_the_page_lists_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/exit-codes.md").read_text()
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert listed == {value for name, value in vars(exit_codes).items() if name.isupper()}


def test_what_a_terminal_would_obey_is_spelt_out() -> None:
    assert table.lines([{"account": "a\x1b[2Jb\u202ec"}], 80)[1] == "a\\x1b[2Jb\\u202ec"


def test_what_a_card_or_a_database_says_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    class OfDatabase(Exception):
        sqlstate = "22P02"

    for error in (ValueError("4242 4242 4242 4242"), OfDatabase("invalid input: secret")):
        with pytest.raises(SystemExit):
            guard.run(_raise(error))
    err = capsys.readouterr().err
    assert not shows_the_card(err)
    assert "secret" not in err


@pytest.mark.parametrize("option", ["--day", "--since", "--until"])
@pytest.mark.parametrize(
    "value", ["9999-12-31", "0001-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
def test_a_date_at_the_end_of_time_is_a_usage_error_in_one_line(option: str, value: str) -> None:
    code, out, err = end("reconcile", option, value)
    assert (code, out, err.count("\n")) == (exit_codes.USAGE, "", 1), err


def test_odd_arguments_that_reach_the_database_are_answered_in_words(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    for odd in ["x", "", "\u202e", "é" * 100, "💳", "'; DROP TABLE orders; --", "%00", "x" * 5_000]:
        for words in (("keys", "create", "--account", odd), ("keys", "revoke", odd)):
            assert_said(end(*words), words)
    for moment in ["0001-01-01", "9999-12-31T23:59:59.999999", "0001-01-01T00:00:00-14:00", "2026-W48-2"]:
        assert end("ledger", "balances", "--as-of", moment)[0] == exit_codes.OK, moment
    nobody = "0190a000-0000-7000-8000-000000000000"
    for words in (("outbox", "park", nobody), ("orders", "fail", nobody)):
        assert end(*words, "--reason", "é" * 500)[0] == exit_codes.USAGE
        assert "card number" in end(*words, "--reason", "4242/4242/4242/4242")[2]
    assert end("outbox", "retry", nobody)[0] == exit_codes.USAGE
    assert end("ledger", "verify")[0] == exit_codes.OK


@pytest.mark.parametrize(
    "name",
    ["", " ", "a\nb", "a\x00b", "a\x1b[2J", "a\u200bb", "a\u202eb", "a\u2028b", "\ufeffshop",
     "\u3164", "shop ", " shop", "a\tb", "a\xa0b", "x" * 101, "\U000e0001a", "a\u00adb", "4242 4242 4242 4242",
     "４２４２４２４２４２４２４２４２"],
    ids=ascii,
)  # fmt: skip
def test_a_name_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        checked(name, what="The account's name")
    assert refused.value.detail.startswith(("The account's name must", "A field contains", "A string contains"))
    code, _, err = end("keys", "create", "--account", name)
    assert (code, err.count("\n")) == (exit_codes.USAGE, 1), err


def test_a_name_is_the_same_however_it_was_composed() -> None:
    assert checked("Mu\u0308ller & Söhne, 3. OG", what="x") == checked("Müller & Söhne, 3. OG", what="x")


# --- what only a process of its own can show


def forked(words: tuple[str, ...], prepare: Callable[[], object]) -> tuple[int, str]:
    """Exit code and stderr of a command in a copy of this process whose streams `prepare` has changed."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.dup2(writing, 2)
            prepare()
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1)
            guard.run(lambda: run(words))
        except SystemExit as ended:
            os._exit(int(str(ended.code)))
        except BaseException:  # noqa: BLE001  a copy of pytest must not go on
            os._exit(99)
    os.close(writing)
    with os.fdopen(reading) as stream:
        err = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), err


def full() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def nobody_reads() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)


TELLING = [(*path, "--help") for path in COMMANDS] + [("settings",), ("settings", "--json"), ("--version",)]


@pytest.mark.parametrize("words", TELLING, ids=" ".join)
def test_what_cannot_be_told_is_not_done(words: tuple[str, ...]) -> None:
    assert forked(words, nobody_reads) == (exit_codes.PIPE_CLOSED, "")
    code, err = forked(words, full)
    assert code == exit_codes.INCOMPLETE
    assert "No space left on device" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [("orders", "watch"), ("orders", "watch", "--json")], ids=" ".join)
def test_a_reader_that_goes_away_meanwhile_is_not_taken_for_the_database(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unchecked(_engine: object) -> None: ...

    async def follow_all(_engine: object, *, limit: int) -> AsyncIterator[dict[str, Any]]:
        for nth in range(limit):
            yield {"id": nth, "status": "paid", "amount": 1, "currency": "usd", "idempotency_key": "k",
                   "created_at": datetime.now(UTC), "updated_at": datetime.now(UTC)}  # fmt: skip

    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setattr("service.foundation.postgres.migrate.check", unchecked)
    monkeypatch.setattr("service.ops.inspection.follow_all", follow_all)
    assert forked(words, nobody_reads) == (exit_codes.PIPE_CLOSED, "")
    code, err = forked(words, full)
    assert (code, "No space left on device" in err, "PostgreSQL" in err) == (exit_codes.INCOMPLETE, True, False)


def eo(*words: str | bytes, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command as a shell starts it."""
    command = [sys.executable, "-m", "service", *words]
    return subprocess.run(command, check=False, text=True, timeout=60, cwd=Path(__file__).parents[2], **options)


@pytest.mark.slow
def test_a_shell_sees_the_same(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as nowhere:
        done = eo("settings", stdout=nowhere, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count("\n")) == (exit_codes.INCOMPLETE, 1)
    reading, writing = os.pipe()
    os.close(reading)
    done = eo("settings", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (exit_codes.PIPE_CLOSED, "")
    closed = [sys.executable, "-c", "import os, sys; os.closerange(0, 3); os.execv(sys.executable, sys.argv[1:])"]
    started = subprocess.run([*closed, sys.executable, "-m", "service", "settings"], check=False, timeout=60)
    assert started.returncode == exit_codes.OK


@pytest.mark.slow
@pytest.mark.parametrize("word", [b"M\xc3\xbcller", b"\xff"])
def test_an_ascii_locale_reads_utf_8_and_refuses_what_is_none(word: bytes) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"]}
    done = eo("keys", "create", "--account", word, env=plain, capture_output=True)
    assert done.returncode == exit_codes.USAGE
    assert done.stderr.startswith("eo: DATABASE_URL is not set" if word != b"\xff" else "eo: An argument is not UTF-8")
    assert done.stderr.count("\n") == 1


def in_the_foreground() -> None:
    """A shell starts what runs in its background, perhaps these tests, with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_is_130_and_one_line() -> None:
    program = (
        "import time\nfrom service.foundation.guard import run\nrun(lambda: (print('now', flush=True), time.sleep(60)))"
    )
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=in_the_foreground) as started:  # noqa: PLW1509
        assert started.stdout is not None
        assert started.stdout.readline() == "now\n"
        started.send_signal(signal.SIGINT)
        _, err = started.communicate(timeout=100)
    assert (started.returncode, err) == (exit_codes.INTERRUPTED, "eo: stopped by Ctrl-C.\n")
