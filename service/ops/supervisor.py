"""Start parts in order, start those again that end, and stop all in order.

One loop in one thread sleeps in sigtimedwait, which returns when a child ends, on Ctrl-C, when somebody connects to a
socket that `beside` listens on, and when the time is over.
Signals are blocked from the first start to the last stop; children are started with none blocked.
"""

import contextlib
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.foundation import exit_codes
from service.foundation.errors import Defect, EffectivelyOnceError, Misconfigured, Unavailable
from service.ops.child import Child, wait_until

TICK_S = 0.25  # seconds between two looks at the logs and the parts
READY_S = 60.0  # after so many seconds without being ready, a part ends the start
LATE_S = 10.0  # so many seconds the others wait for a part that may be late, because its dependency is away
STOP_S = 9.0  # seconds for all parts to stop; `eo up` promises to stop within 10
BACKOFF_S, BACKOFF_MAX_S = 0.2, 10.0
STEADY_S = 10.0  # a part that ran for so many seconds starts again after the shortest delay
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_SIGNALS = _STOP_SIGNALS | {signal.SIGCHLD, signal.SIGIO}
_WARNING = re.compile(r"\b(WARNING|ERROR|CRITICAL|FATAL|PANIC)\b")
_WARNING_LEVELS = {"warning", "error", "critical"}

# The error to raise for a part that ended at its start, by its exit code.
_KINDS: dict[int | None, type[EffectivelyOnceError]] = {exit_codes.USAGE: Misconfigured, exit_codes.BUG: Defect}


class StopRequested(BaseException):
    """SIGINT, SIGTERM or SIGHUP has arrived."""


@dataclass(slots=True)
class _Watch:
    """What the loop remembers of one part: times on the monotonic clock, counts of its ends and restarts."""

    part: Child
    started_at: float = 0.0
    deaths: int = 0
    due_at: float | None = None
    is_held: bool = False  # ends on purpose, and stays down until it is released
    returning: bool = False
    restarts: int = 0


@dataclass
class Supervisor:
    """Runs `stages`: the parts of a stage start together, each stage after the one before it is ready.

    `stop_order` names the parts in the order of stopping. A context manager: leaving it stops all parts.
    """

    stages: Sequence[Sequence[Child]]
    stop_order: Sequence[str]
    on_restart: Callable[[Mapping[str, int]], None] | None = None  # called with the number of restarts per part
    beside: Callable[[], None] | None = None  # called at each look at the parts
    _watched: dict[str, _Watch] = field(default_factory=dict)

    def __enter__(self) -> Self:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all parts. Raises Misconfigured or Unavailable naming the part that failed, or StopRequested."""
        for stage in self.stages:
            for part in stage:
                self._watched[part.name] = _Watch(part)
                self._spawn(self._watched[part.name])
            for part in stage:
                self._await_ready(part)
                part.written.skip()

    def watch(self) -> None:
        """Start parts again that end, and show warnings from their logs, until StopRequested is raised."""
        while True:
            for watch in self._watched.values():
                self._look_after(watch)
            if self.beside is not None:
                self.beside()
            pause(TICK_S)

    def hold(self, name: str) -> None:
        """Do not start this part again when it ends, until it is released."""
        self._watched[name].is_held = True

    def release(self, name: str) -> None:
        """Start a held part now if it has ended, and look after it again."""
        watch = self._watched[name]
        if watch.is_held:
            watch.is_held, watch.due_at = False, time.monotonic()

    def add(self, part: Child) -> None:
        """Start one more part and look after it. It is stopped with the others if `stop_order` names its kind."""
        self._watched[part.name] = _Watch(part)
        self._spawn(self._watched[part.name])

    def drop(self, name: str) -> None:
        """Kill a part that was added, and forget it."""
        self._watched.pop(name).part.kill()

    def stop(self) -> None:
        """Stop all parts in order; a second stop signal kills those that still run. Can be called twice."""
        order = list(self.stop_order)
        running = [watch.part for watch in sorted(self._watched.values(), key=lambda w: order.index(kind_of(w.part)))]
        deadline = time.monotonic() + STOP_S
        try:
            for i, part in enumerate(running):
                reserved = sum(later.reserve_s for later in running[i + 1 :])
                part.stop(within_s=max(deadline - time.monotonic() - reserved, part.reserve_s), pause=pause)
        except StopRequested:
            say("eo", "killed")
            for part in running:
                part.kill()

    def _spawn(self, watch: _Watch) -> None:
        watch.started_at = time.monotonic()
        watch.due_at = None
        watch.part.spawn()

    def _await_ready(self, part: Child) -> None:
        patience = LATE_S if part.may_be_late else READY_S
        wait_until(lambda: part.is_ready() or not part.is_running, within_s=patience, pause=pause)
        if part.is_ready():
            return
        reason = f"{part.last_words()} (log: {part.log})"
        if not part.is_running:
            raise _KINDS.get(part.exit_status, Unavailable)(f"{part.name} stopped at start: {reason}")
        if not part.may_be_late:
            raise Unavailable(f"{part.name} was not ready after {patience:.0f} s: {reason}")
        say(part.name, f"not ready after {patience:.0f} s, going on without it: {reason}")

    def _look_after(self, watch: _Watch) -> None:
        part, now = watch.part, time.monotonic()
        for line in filter(is_warning, part.written.new_lines()):
            say(part.name, line)
        part.written.rotate()
        if part.is_done or watch.is_held:
            return
        if watch.due_at is not None:
            if now >= watch.due_at:
                self._bring_back(watch)
        elif not part.is_running:
            self._note_death(watch, now, _obituary(part))
        elif watch.returning and part.is_ready():
            watch.returning = False
            say(part.name, f"is back (pid {part.pid})")

    def _bring_back(self, watch: _Watch) -> None:
        watch.returning = True
        try:
            self._spawn(watch)
        except (EffectivelyOnceError, OSError) as error:
            self._note_death(watch, time.monotonic(), f"cannot start: {error}")

    def _note_death(self, watch: _Watch, now: float, what: str) -> None:
        watch.restarts += 1
        if self.on_restart is not None:
            self.on_restart({name: watched.restarts for name, watched in self._watched.items() if watched.restarts})
        watch.deaths = 0 if now - watch.started_at > STEADY_S else watch.deaths + 1
        delay = min(BACKOFF_S * 2 ** min(watch.deaths, 10), BACKOFF_MAX_S)
        watch.due_at = now + delay
        say(watch.part.name, f"{what}; starting again in {delay:.1f} s (log: {watch.part.log})")


def pause(seconds: float) -> None:
    """Sleep until a child ends, somebody knocks (SIGIO), or the time is over. All those signals must be blocked.

    Raises StopRequested on a stop signal.
    """
    received = signal.sigtimedwait(_SIGNALS, seconds)
    if received is not None and received.si_signo in _STOP_SIGNALS:
        raise StopRequested


def _obituary(part: Child) -> str:
    """How a part died, and its last line where that line may say why: a routine line of a killed part does not."""
    died, line = f"died ({part.exit_reason()})", part.last_words()
    return died if line == part.exit_reason() or _is_routine(line) else f"{died}: {line}"


def kind_of(part: Child) -> str:
    """The kind of a part: `worker-2` is a worker."""
    return part.name.partition("-")[0]


def say(name: str, message: str) -> None:
    """Write a line to stderr that begins with the name of the part it is about."""
    with contextlib.suppress(OSError):  # stderr may be a closed pipe; the parts run on
        print(f"{name}: {message}", file=sys.stderr, flush=True)


def _is_routine(line: str) -> bool:
    """Whether a line is one of our JSON log's below WARNING."""
    return line.startswith("{") and not is_warning(line)


def is_warning(line: str) -> bool:
    """Whether a line of a log, JSON or text, says WARNING or worse."""
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            return str(json.loads(line).get("level", "")).lower() in _WARNING_LEVELS
    return _WARNING.search(line) is not None
