"""Runs one contender through the storm: orders, then refunds, while workers die and the servers lose power."""

import signal
import time
from collections.abc import Callable, Iterator

from demo.contenders import LEASE_S, WORKERS, Contender
from demo.feeder import Feeder
from demo.plan import MOMENTS, TROUBLE_WORDS, Plan
from demo.screen import Screen
from service.foundation.errors import Unavailable
from service.ops.child import Child

_TICK_S = 0.05
_LOOK_S = 0.5
_REVIVE_S = 0.4  # seconds until a dead process is started again, as by a supervisor
_DARK_S = 0.7  # seconds that the broker is away
_DRAIN_S = 60.0
_QUIET_S = 0.5  # seconds without a change after which the run counts as quiet
_LATENCY = {"p50_ms": 60, "p99_ms": 250}
_SLOW = {"p50_ms": 700, "p99_ms": 800}
_AWAKE_S = 1.5
_TAKEN_OVER_S = 1.5  # seconds after the lease in which the other worker finishes a paused worker's charges


class Storm:
    """Use once: `rage`."""

    def __init__(self, contender: Contender, plan: Plan, screen: Screen) -> None:
        self._contender = contender
        self._world = contender.world
        self._plan = plan
        self._screen = screen
        self._dying = plan.dying()
        self._moments: dict[str, str] = {}  # what a part's next death will be called
        self._revive_at: dict[str, float] = {}
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._seen: set[str] = set()
        self._looked_at = 0.0

    def rage(self) -> None:
        """Run from the first order until no refund is on its way. Raises Unavailable where that takes too long."""
        contender, plan = self._contender, self._plan
        self._start()
        feeder = contender.feeder(
            first=0,
            count=plan.orders,
            over_s=plan.storm_s,
            requests_twice=plan.requests_twice,
            messages_twice=plan.messages_twice,
        )
        self._feed(feeder, self._steps())
        self._drain("orders are placed")
        self._give_back()
        contender.close_score()
        self._screen.show()

    def _give_back(self) -> None:
        """Refund some of the orders under the same troubles."""
        self._dying = self._plan.dying_of_refunds()
        feeder = self._contender.refunder()
        self._say(f"{feeder.count} refunds in {self._plan.refunds_s:.0f} s, each of a part of a paid order")
        self._feed(feeder, self._refund_steps())
        self._drain("refunds are asked for")
        self._spare_workers()

    def _feed(self, feeder: Feeder, steps: Iterator[tuple[float, Callable[[], None]]]) -> None:
        """Until everything is accepted, and every step was made."""
        feeder.start()
        due = next(steps, None)
        while not feeder.is_done or due or self._later:
            if due and not self._later and len(feeder.accepted) >= due[0] * feeder.count:
                due[1]()
                due = next(steps, None)
            self._tick()

    def _spare_workers(self) -> None:
        """Start those anew that would still die, now that nothing is on its way."""
        for name in list(self._moments):
            del self._moments[name]
            self._world.kill(name)
            self._revive(name)

    def _start(self) -> None:
        self._world.control("POST", "latency", _LATENCY)
        for name in WORKERS:
            self._revive(name)
        self._contender.start_others(self._plan.messages_twice)
        self._world.await_ready(*WORKERS)
        self._world.control("POST", "faults", self._plan.troubles())
        self._say(f"{self._plan.orders} orders in {self._plan.storm_s:.0f} s, two workers")

    def _steps(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """The faults that are no crash points, each with the share of placed orders at which it happens."""
        yield 0.15, self._power_cut
        for share, name in zip((0.4, 0.5), self._contender.others, strict=False):
            yield share, lambda name=name: self._kill(name, "in the middle of its work")  # type: ignore[misc]
        yield 0.6, self._slow_down
        yield 0.85, self._kill_postgres

    def _refund_steps(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """The same for the refunds. A worker that is killed is started again to die at the next drawn moment."""
        for share, name in zip((0.1, 0.3), WORKERS, strict=True):
            yield share, lambda name=name: self._kill(name, "in the middle of its refunds")  # type: ignore[misc]
        for name in self._contender.others[:1]:
            yield 0.6, lambda name=name: self._kill(name, "in the middle of its work")  # type: ignore[misc]
        yield 0.8, self._kill_postgres

    # --- what happens

    def _slow_down(self) -> None:
        """Make Stripe slow, so that a worker has many open charges when it is paused."""
        self._world.control("POST", "latency", _SLOW)
        self._later.append((time.monotonic() + _SLOW["p50_ms"] / 2000, self._sleep))

    def _sleep(self) -> None:
        """Pause a worker for longer than its lease, as a suspended machine would be, and resume it."""
        name = next((name for name in WORKERS if self._world.parts[name].is_running), WORKERS[0])
        self._world.send(name, signal.SIGSTOP)
        self._world.control("POST", "latency", _LATENCY)
        self._say(f"{_spoken(name)} stands still (SIGSTOP) with charges in its hands")
        self._later.append((time.monotonic() + LEASE_S + _TAKEN_OVER_S, lambda: self._wake(name)))

    def _wake(self, name: str) -> None:
        self._world.send(name, signal.SIGCONT)
        self._say(f"{_spoken(name)} wakes up and goes on as if nothing had happened")
        self._later.append((time.monotonic() + _AWAKE_S, self._screen.show))  # nothing else until it has tried

    def _power_cut(self) -> None:
        """Kill both workers and, while messages queue up, the broker."""
        for name in WORKERS:
            self._kill(name, "in a power cut")
            self._revive_at[name] = time.monotonic() + 2 * _DARK_S
        self._later.append((time.monotonic() + _DARK_S, self._kill_broker))

    def _kill_broker(self) -> None:
        self._restart(self._world.stage.redis, "killed Valkey: every message that was queued is gone")

    def _kill_postgres(self) -> None:
        self._restart(self._world.stage.postgres, "killed PostgreSQL in the middle of its transactions")

    def _restart(self, server: Child, words: str) -> None:
        server.kill()
        self._contender.score.killed += 1
        self._say(words)
        server.start()

    def _kill(self, name: str, moment: str) -> None:
        if self._world.parts[name].is_running:
            self._moments[name] = moment
            self._world.kill(name)

    # --- watching

    def _tick(self) -> None:
        now = time.monotonic()
        for name in (*WORKERS, *self._contender.others):
            if not self._world.parts[name].is_running:
                self._note_death(name, now)
        for at, act in [late for late in self._later if late[0] <= now]:
            self._later.remove((at, act))
            act()
        if now - self._looked_at > _LOOK_S:
            self._look()
        time.sleep(_TICK_S)

    def _note_death(self, name: str, now: float) -> None:
        moment = self._moments.pop(name, None)
        if moment is not None:
            self._contender.score.killed += 1
            self._say(f"killed {_spoken(name)} {moment}")
        if now >= self._revive_at.setdefault(name, now + _REVIVE_S):
            del self._revive_at[name]
            self._revive(name)

    def _revive(self, name: str) -> None:
        if name not in WORKERS:
            self._contender.restart(name)
            return
        point, nth = next(self._dying, (None, 0))
        if point is None:
            self._contender.start_worker(name)
            return
        self._moments[name] = MOMENTS[point]
        self._contender.start_worker(name, f"{point}:{nth}")

    def _look(self) -> None:
        self._contender.look()
        for rule in self._world.control("GET", "faults")["rules"]:
            fault = rule["rule"]["fault"]
            if rule["fired"] and fault not in self._seen:
                self._seen.add(fault)
                self._say(f"Stripe {TROUBLE_WORDS[fault]} (the first of many)")
        self._screen.show()
        self._looked_at = time.monotonic()

    def _drain(self, words: str) -> None:
        self._dying = iter(())
        self._say(f"all {words}; waiting until nothing is on its way any more")
        deadline = time.monotonic() + _DRAIN_S
        quiet_since = None
        while quiet_since is None or time.monotonic() - quiet_since < _QUIET_S:
            self._tick()
            quiet = self._contender.is_quiet() and not self._revive_at
            quiet_since = (quiet_since or time.monotonic()) if quiet else None
            if time.monotonic() > deadline:
                raise Unavailable(f"{self._contender.title} was not quiet {_DRAIN_S:.0f} s after all {words}")

    def _say(self, words: str) -> None:
        self._screen.say(words)


def _spoken(name: str) -> str:
    """The name for a sentence: `worker-2` becomes “worker 2”, `api` becomes “the API”."""
    return {"api": "the API", "relay": "the relay"}.get(name, name.replace("-", " "))
