"""Every point where a death hurts differently, in real processes: the one that got there dies by SIGKILL, is started
again, and everything that was accepted is on the books, once.
"""

import random
import signal
import time
from pathlib import Path

import pytest

from service.foundation.crash import CrashPoint
from tests.acceptance.fleet import Fleet
from tests.chaos.invariants import assert_hold, is_quiet
from tests.chaos.lives import Folder
from tests.chaos.producer import Producer
from tests.conftest import NOBODY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ORDERS = 30
SEED = 20_261_124
DIES_WITHIN_S = 60.0
QUIET_WITHIN_S = 60.0
NTH_MAX = 3  # the point is passed unharmed at most twice
ADOPTING = [point for point in CrashPoint if point.startswith("recovery.")]


def produce(fleet: Fleet, producers: list[Producer]) -> Producer:
    producer = Producer([fleet.url()], fleet.api_key, SEED, ORDERS, first=ORDERS * len(producers))
    producers.append(producer)
    return producer.start()


def rearm(fleet: Fleet, name: str, crash_at: str, **environ: str) -> None:
    """Start the process `name` anew, told (or, with an empty text, no longer told) where to die."""
    if fleet.part(name).is_running:
        fleet.kill(name)
    fleet.add(name, EO_CRASH_AT=crash_at, **environ)
    fleet.bring_up(name)


def produce_until_dead(fleet: Fleet, producers: list[Producer], name: str, point: CrashPoint) -> None:
    """A relay may claim all orders in one go, and passes the point once then; more orders follow until it dies."""
    for _ in range(NTH_MAX):
        produce(fleet, producers)
        fleet.until(
            lambda: not fleet.part(name).is_running or (producers[-1].is_done and is_quiet(fleet)),
            within_s=DIES_WITHIN_S,
            what=f"{name} dies at {point}, or everything is on the books",
        )
        if not fleet.part(name).is_running:
            return
    raise AssertionError(f"{name} passed {point} unharmed")


def conclude(fleet: Fleet, producers: list[Producer]) -> None:
    fleet.until(lambda: producers[-1].is_done, within_s=QUIET_WITHIN_S, what="every order is accepted")
    fleet.until(lambda: is_quiet(fleet), within_s=QUIET_WITHIN_S, what="everything is on the books")
    verdict = assert_hold(fleet, producers)
    assert verdict.orders == ORDERS * len(producers)
    assert verdict.parked == 0


@pytest.mark.parametrize("point", [point for point in CrashPoint if point not in ADOPTING])
def test_a_death_at(point: CrashPoint, fleet: Fleet, producers: list[Producer]) -> None:
    nth = random.Random(f"{SEED}:{point}").randint(1, NTH_MAX)
    print(f"seed {SEED}: {point} at the {nth}. time")
    name = f"{point.partition('.')[0]}-1"
    rearm(fleet, name, f"{point}:{nth}")
    produce_until_dead(fleet, producers, name, point)
    assert fleet.part(name).exit_status == -signal.SIGKILL
    assert fleet.dead() == [name]
    rearm(fleet, name, "")
    conclude(fleet, producers)


def adopted(fleet: Fleet) -> int:
    return int(fleet.rows("SELECT count(*) FROM charges WHERE history::text LIKE '%adopted%'")[0][0])


@pytest.mark.parametrize("point", ADOPTING)
@pytest.mark.parametrize("name", ["relay-1", "worker-1"])
def test_a_death_in_the_middle_of_adoption(
    name: str, point: CrashPoint, fleet: Fleet, producers: list[Producer], servers_folder: Path
) -> None:
    nth = random.Random(f"{SEED}:{point}:{name}").randint(2, ORDERS // 2)
    print(f"seed {SEED}: {point} at the {nth}. time, in {name}")
    since = time.monotonic()
    memory = Folder(fleet.postgres, servers_folder / f"before-{point}-{name}")
    producer = produce(fleet, producers)
    conclude(fleet, producers)
    fleet.kill("relay-1", "worker-1")
    memory.put_in_force()
    memory.discard()
    before = adopted(fleet)
    lost = producer.forgotten(since, time.monotonic())
    assert len(lost) == ORDERS
    rearm(fleet, name, f"{point}:{nth}")
    if name == "worker-1":  # it lists when it is to send something: its relay hands that out, and can ask nobody itself
        rearm(fleet, "relay-1", "", STRIPE_API_BASE=NOBODY)
        producer.repeat(lost[:1])
    fleet.until(lambda: not fleet.part(name).is_running, within_s=DIES_WITHIN_S, what=f"{name} dies at {point}")
    assert fleet.part(name).exit_status == -signal.SIGKILL
    assert nth - 1 <= adopted(fleet) - before <= nth, "it died in the middle"
    rearm(fleet, "relay-1", "")
    rearm(fleet, "worker-1", "")
    again = producer.repeat(lost)
    fleet.until(lambda: again.is_done, within_s=QUIET_WITHIN_S, what="every lost key is accepted")
    conclude(fleet, producers)


def test_a_stripe_that_dies_between_the_charge_and_its_answer(fleet: Fleet, producers: list[Producer]) -> None:
    nth = random.Random(SEED).randint(1, ORDERS // 2)
    print(f"seed {SEED}: the {nth}. charge")
    fleet.control("POST", "faults", {"rules": [{"fault": "crash_after_execution", "method": "POST", "nth": [nth]}]})
    produce(fleet, producers)
    fleet.until(lambda: fleet.dead() == ["sandbox"], within_s=DIES_WITHIN_S, what="the sandbox dies")
    assert fleet.part("sandbox").exit_status == -signal.SIGKILL
    fleet.restart("sandbox")
    conclude(fleet, producers)
