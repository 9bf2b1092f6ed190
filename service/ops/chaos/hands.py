"""What a fault may do to the parts of `eo up`, and how it waits."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Protocol

from service.chaos import Fault, Press, Step, Witness
from service.chaos.witness import Rule
from service.ops.child import Child
from service.ops.installation import Installation

Deed = Generator[None, None, None]  # yields where it waits for the next look of the supervisor
Waiting = Generator[None, None, bool]

BACK_S = 60.0  # a part that was killed is ready again within so many seconds, also on a busy machine


class Failed(Exception):
    """The fault could not be injected; the words say why."""


class Parts(Protocol):
    """The supervisor, as far as a fault handles it."""

    def hold(self, name: str) -> None:
        """Do not start this part again when it ends."""

    def release(self, name: str) -> None:
        """Start it again."""

    def add(self, part: Child) -> None:
        """Start one more part."""

    def drop(self, name: str) -> None:
        """Kill a part that was added."""


class Hands:
    """One for all faults of an `eo up`."""

    def __init__(self, installation: Installation, parts: Parts, witness: Witness) -> None:
        self.installation = installation
        self.parts = parts
        self.witness = witness
        self.settings = installation.settings()
        self.injected: Counter[str] = Counter()
        self.copy_at: float | None = None

    def part(self, name: str) -> Child:
        """The part of this name."""
        return self.installation.parts[name]

    def send(self, name: str, number: signal.Signals) -> int:
        """Send a signal to a part; returns its pid. Raises Failed where it does not run."""
        part = self.part(name)
        if part.pid is None or not part.is_running:
            raise Failed(f"{name} does not run now.")
        os.kill(part.pid, number)
        return part.pid


class Work:
    """One fault at work: what was asked for, what it says of itself, and its hands."""

    def __init__(self, hands: Hands, press: Press, fault: Fault) -> None:
        self.hands = hands
        self.press = press
        self.fault = fault

    def say(self, words: str) -> None:
        """Add a step."""
        self.fault.steps.append(Step(time.time(), words))

    def inject(self, what: str, times: int = 1) -> None:
        """Count something that was injected."""
        self.hands.injected[what] += times

    def kill(self, name: str) -> Deed:
        """Kill a part by SIGKILL, and wait until the supervisor has it back."""
        pid = self.hands.send(name, signal.SIGKILL)
        self.inject(f"{name} killed")
        self.say(f"The {name} (pid {pid}) was killed by SIGKILL.")
        yield from self.back(name, pid)

    def back(self, name: str, pid: int) -> Deed:
        """Wait until a part runs again, with another pid. Raises Failed where it does not come back."""
        part = self.hands.part(name)
        if not (yield from until(lambda: part.pid != pid and part.is_ready(), within_s=BACK_S)):
            raise Failed(f"{name} was not back after {BACK_S:.0f} s: {part.last_words()}")
        self.say(f"Another {name} was started (pid {part.pid}).")

    def end(self, name: str, *, within_s: float = 15.0) -> Deed:
        """Stop a held part politely, and kill it where it still runs after `within_s` seconds."""
        part = self.hands.part(name)
        if part.is_running and part.process is not None:
            part.process.send_signal(part.stop_signal)
        if not (yield from until(lambda: not part.is_running, within_s=within_s)):
            part.kill()

    @contextmanager
    def plan(self, *rules: Rule) -> Generator["Plan", None, None]:
        """A fault plan at the sandbox, for as long as the body takes."""
        plan = Plan(self.hands.witness, f"chaos_{self.fault.number}", rules)
        self.hands.witness.plant(plan.name, rules)
        try:
            yield plan
        finally:
            try:
                self.hands.witness.uproot(plan.name)
            except OSError as error:
                self.say(f"The sandbox could not be asked to stop: {error}.")


class Plan:
    """A fault plan in force."""

    def __init__(self, witness: Witness, name: str, rules: Sequence[Rule]) -> None:
        self.name = name
        self._witness = witness
        self._count = len(rules)

    def fired(self, rule: int = 0) -> int:
        """How often a rule has struck; 0 while the sandbox does not answer."""
        return self._struck(rule, "fired")

    def matched(self, rule: int) -> int:
        """How many requests or events a rule was about."""
        return self._struck(rule, "matched")

    def _struck(self, rule: int, what: str) -> int:
        try:
            return self._witness.struck(self.name)[rule][what]
        except OSError:
            return 0


def until(condition: Callable[[], bool], *, within_s: float) -> Waiting:
    """Wait until `condition` holds; returns whether it held within so many seconds."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        yield
    return True


def lasting(seconds: float) -> Deed:
    """Wait so many seconds."""
    yield from until(lambda: False, within_s=seconds)
