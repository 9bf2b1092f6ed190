"""A child process that is ready when it says so, keeps a log, and never outlives its parent.

Linux ends a child with its parent by PR_SET_PDEATHSIG, also when the parent is killed by SIGKILL. The kernel ties that
to the *thread* that started the child, so children are started from the main thread only.
"""

import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from service.foundation.errors import Unavailable
from service.ops.isolation import User, become_user
from service.ops.part_log import PartLog

Pause = Callable[[float], object]

POLL_S = 0.02  # how often a condition is looked at while a part starts
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


class Child:
    """One process. Subclasses say what to prepare before each start and how to see that it is ready."""

    stop_signal = signal.SIGTERM
    death_signal = signal.SIGKILL  # what it gets when this process dies first; the protocol survives SIGKILL
    reserve_s = 1.0  # the least time it gets to stop, whatever the others took
    may_be_late = False  # whether its neighbours may start while it still waits for something

    def __init__(self, name: str, argv: Sequence[str], *, log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self.written = PartLog(log)
        self.environ = environ
        self.user: User | None = None
        self.folder_of_work: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Before each start: files, and what a killed predecessor left."""

    def is_ready(self) -> bool:
        """Whether it can be used now."""
        return self.is_running

    @property
    def is_running(self) -> bool:
        """Whether the process exists."""
        return self.process is not None and self.process.poll() is None

    @property
    def is_done(self) -> bool:
        """Whether it has nothing more to do, so that its end is no death."""
        return False

    @property
    def exit_status(self) -> int | None:
        """As of subprocess: None while it runs, negative for a signal."""
        return self.process.poll() if self.process else None

    @property
    def pid(self) -> int | None:
        """Its process id, or None before the first start."""
        return self.process.pid if self.process else None

    def spawn(self) -> None:
        """Start the process and return at once. Its output is appended to `log`."""
        self.prepare()
        self.process = self._popen(self.written.open())

    def start(self, *, within_s: float = 30.0, pause: Pause = time.sleep) -> None:
        """Start it and wait until it is ready. Raises Unavailable with its last words."""
        self.spawn()
        self.await_ready(within_s=within_s, pause=pause)

    def await_ready(self, *, within_s: float = 30.0, pause: Pause = time.sleep) -> None:
        """Wait until it is ready, and kill it when it is not. Raises Unavailable with its last words."""
        wait_until(lambda: self.is_ready() or not self.is_running, within_s=within_s, pause=pause)
        if not self.is_running:
            raise Unavailable(f"{self.name} stopped at start: {self.last_words()} (log: {self.log})")
        if not self.is_ready():
            self.kill()
            raise Unavailable(f"{self.name} was not ready in {within_s:.0f} s: {self.last_words()} (log: {self.log})")

    def stop(self, *, within_s: float = 10.0, pause: Pause = time.sleep) -> None:
        """Ask it to end, wait, and kill it when it does not."""
        if self.process is None or not self.is_running:
            return
        self.process.send_signal(self.stop_signal)
        if not wait_until(lambda: not self.is_running, within_s=within_s, pause=pause):
            self.kill()

    def kill(self) -> None:
        """End it without asking."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """Its last line of output, or its exit status where it said nothing."""
        lines = [line for line in self.written.since_start().splitlines() if line.strip()]
        return lines[-1].strip().removeprefix("eo: ") if lines else self.exit_reason()

    def exit_reason(self) -> str:
        """How it ended, in words."""
        status = self.exit_status
        if status is None:
            return "no output"
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def _popen(self, log: int) -> subprocess.Popen[bytes]:
        parent = os.getpid()
        return subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder_of_work,  # entered before the change of user
            env=self.environ,
            # Ctrl-C reaches a whole process group; the order of stopping is ours to choose.
            start_new_session=True,
            # PDEATHSIG is lost by a change of user, so both are done here, in this order. No other thread runs yet.
            preexec_fn=lambda: self._become(parent),  # noqa: PLW1509
        )

    def _become(self, parent: int) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if self.user:
            become_user(self.user)
            _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_LIBC.prctl(_PR_SET_PDEATHSIG, int(self.death_signal), 0, 0, 0))
        if os.getppid() != parent:  # it died before the line above could take effect
            os._exit(1)


class LoopPart(Child):
    """A part of ours without an address. It is ready when it has written a line with the word `ready`."""

    may_be_late = True

    def is_ready(self) -> bool:
        """Whether it said so since its last start."""
        return re.search(r"\bready\b", self.written.since_start()) is not None


class OneShot(Child):
    """A command that others wait for: ready when it has ended well."""

    def is_ready(self) -> bool:
        """Whether it has ended well."""
        return self.is_done

    @property
    def is_done(self) -> bool:
        """Whether it has ended well."""
        return self.exit_status == 0


class HttpPart(Child):
    """A server of ours, ready when `url` answers 200."""

    def __init__(
        self, name: str, argv: Sequence[str], *, log: Path, environ: Mapping[str, str] | None = None, url: str
    ) -> None:
        super().__init__(name, argv, log=log, environ=environ)
        self.url = url

    def is_ready(self) -> bool:
        """Whether `url` answers 200 now."""
        return http_status(self.url) == 200


def http_get(
    url: str, *, timeout_s: float = 1.0, headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, bytes] | None:
    """Status and body of a GET, or None where nobody answers."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def http_status(url: str) -> int | None:
    """Status of a GET, or None where nobody answers."""
    answer = http_get(url)
    return answer[0] if answer else None


def wait_until(condition: Callable[[], bool], *, within_s: float, pause: Pause = time.sleep) -> bool:
    """Look until `condition` holds or the time is over; the answer is whether it held."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        pause(POLL_S)
    return True


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
