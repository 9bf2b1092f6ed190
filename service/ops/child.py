"""A child process: how it is started, seen to be ready, logged and stopped. It never outlives its parent.

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

POLL_S = 0.02  # seconds between two looks at a condition, while a part starts or stops
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


class Child:
    """One process. Subclasses say what to prepare before each start and how to see that it is ready."""

    stop_signal = signal.SIGTERM
    death_signal = signal.SIGKILL  # the kernel sends it to the child when this process dies first
    reserve_s = 1.0  # the child gets at least so many seconds to stop, however long other parts took
    may_be_late = False  # whether the other parts may start while this one still waits for a dependency

    def __init__(self, name: str, argv: Sequence[str], *, log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self.written = PartLog(log)
        self.environ = environ
        self.before_start: list[Callable[[], None]] = []
        self.user: User | None = None
        self.folder_of_work: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Write the files that the process needs and remove what a killed one left; called before each start."""
        for step in self.before_start:
            step()

    def is_ready(self) -> bool:
        """Whether it can be used now."""
        return self.is_running

    @property
    def is_running(self) -> bool:
        """Whether the process exists."""
        return self.process is not None and self.process.poll() is None

    @property
    def is_done(self) -> bool:
        """Whether it has ended because its work is done, so that it must not be started again."""
        return False

    @property
    def exit_status(self) -> int | None:
        """The exit status; None while it runs, and minus the signal's number where a signal ended it."""
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
        """Start it and wait until it is ready. Raises Unavailable with its last line of output."""
        self.spawn()
        self.await_ready(within_s=within_s, pause=pause)

    def await_ready(self, *, within_s: float = 30.0, pause: Pause = time.sleep) -> None:
        """Wait until it is ready, and kill it after `within_s` seconds. Raises Unavailable with its last line."""
        wait_until(lambda: self.is_ready() or not self.is_running, within_s=within_s, pause=pause)
        if not self.is_running:
            raise Unavailable(f"{self.name} stopped at start: {self.last_words()} (log: {self.log})")
        if not self.is_ready():
            self.kill()
            raise Unavailable(f"{self.name} was not ready in {within_s:.0f} s: {self.last_words()} (log: {self.log})")

    def stop(self, *, within_s: float = 10.0, pause: Pause = time.sleep) -> None:
        """Send the stop signal, and kill the process where it still runs after `within_s` seconds."""
        if self.process is None or not self.is_running:
            return
        self.process.send_signal(self.stop_signal)
        if not wait_until(lambda: not self.is_running, within_s=within_s, pause=pause):
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
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
            cwd=self.folder_of_work,  # the child enters it while it is still the parent's user
            env=self.environ,
            # Ctrl-C reaches the whole process group, and then no part could be stopped before another.
            start_new_session=True,
            # A change of user resets PDEATHSIG, so `_become` does both, in this order. No other thread runs yet.
            preexec_fn=lambda: self._become(parent),  # noqa: PLW1509
        )

    def _become(self, parent: int) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if self.user:
            become_user(self.user)
            _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_LIBC.prctl(_PR_SET_PDEATHSIG, int(self.death_signal), 0, 0, 0))
        if os.getppid() != parent:  # the parent died before the kernel knew of the signal
            os._exit(1)


class LoopPart(Child):
    """A process of ours that listens on no port. It is ready when it has written a line with the word `ready`."""

    may_be_late = True

    def is_ready(self) -> bool:
        """Whether it has written the word `ready` since its last start."""
        return re.search(r"\bready\b", self.written.since_start()) is not None


class OneShot(Child):
    """A command that other parts wait for: it is ready when it has ended with exit status 0."""

    def is_ready(self) -> bool:
        """Whether it has ended with exit status 0."""
        return self.is_done

    @property
    def is_done(self) -> bool:
        """Whether it has ended with exit status 0."""
        return self.exit_status == 0


class HttpPart(Child):
    """A server of ours; it is ready when `url` answers 200."""

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
    """Status and body of the answer to a GET; None where no answer comes within `timeout_s`."""
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
    """Status of the answer to a GET; None where no answer comes within one second."""
    answer = http_get(url)
    return answer[0] if answer else None


def wait_until(condition: Callable[[], bool], *, within_s: float, pause: Pause = time.sleep) -> bool:
    """Wait until `condition` holds, for at most `within_s` seconds; returns whether it held."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        pause(POLL_S)
    return True


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
