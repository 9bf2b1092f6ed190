"""Every point where a death hurts differently, with every effect in hand, in real processes: the one that got there
dies by SIGKILL, is started again, and everything that was accepted is on the books, once.

The effects: `charge`, `again` (a further attempt), `pay` (the cancellation before it), `capture`, `cancel`, `refund`.
"""

import random
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pytest

from service.foundation.crash import CrashPoint
from tests.acceptance.fleet import Fleet
from tests.chaos.customer import Customer
from tests.chaos.invariants import assert_hold, is_quiet, what_is_left
from tests.chaos.lives import Folder
from tests.chaos.producer import Producer
from tests.chaos.stories import CAPTURED, LET_GO, PAID_AGAIN, PLAIN, REFUNDED, Story, numbers_of
from tests.conftest import NOBODY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ORDERS = 30
SEED = 20_261_124
DIES_WITHIN_S = 150.0  # on a machine that does a dozen other things
QUIET_WITHIN_S = 150.0
WAVES_MAX = 3
ADOPTING = [point for point in CrashPoint if point.startswith("recovery.")]


EFFECTS = ("charge", "again", "pay", "capture", "cancel", "refund")
OPERATIONS = ("charge", "pay", "capture", "cancel", "refund")
# A process has all that is due in hand at these points; at the others one effect, or few.
ALL_IN_HAND = {point for point in CrashPoint if point.startswith("relay.") or point.endswith("_open")}
STORIES = (PLAIN, CAPTURED, LET_GO, REFUNDED, PAID_AGAIN)
OF_EACH = 4  # orders of each story in a wave
WAVES = 11  # for which orders are placed beforehand: one a point, and some to spare
UUID_LENGTH = 36
# Every row that the outbox ever had; a row goes when its effect is on the books.
REMEMBER_PROMISES = (
    "CREATE TABLE promised (id uuid, kind text, payload jsonb)",
    """CREATE FUNCTION note_promise() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
       'BEGIN INSERT INTO public.promised VALUES (NEW.id, NEW.kind, NEW.payload); RETURN NULL; END'""",
    "CREATE TRIGGER note_promise AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION note_promise()",
)
EFFECT_OF = """
SELECT DISTINCT CASE WHEN p.kind = 'charge' AND CAST(p.payload ->> 'attempt' AS int) > 1 THEN 'again'
                     WHEN c.wanted_by = 'pay' THEN 'pay' ELSE p.kind END AS effect
  FROM promised p LEFT JOIN changes c ON c.id = CAST(p.payload ->> 'effect' AS uuid)
 WHERE p.id = ANY(CAST($1 AS uuid[]))"""
OWED_NOW = "SELECT kind, count(*) FROM outbox WHERE deliver_after < now() + interval '30 s' GROUP BY kind"
# What is owed comes due, and what is only asked for now and then does not.
DUE = """
UPDATE outbox x SET deliver_after = CASE WHEN x.kind = 'charge' AND o.status = 'authorized'
    THEN now() + interval '1 hour' ELSE now() END
  FROM orders o WHERE o.id = x.order_id"""
OWED = {"charge": 2 * OF_EACH, "capture": OF_EACH, "cancel": 2 * OF_EACH, "refund": 3 * OF_EACH}
AGAIN = "SELECT count(*) FROM charges WHERE attempt > 1 AND status = 'sending' AND history::text LIKE '%429%'"
LEASED = "SELECT count(*) FROM charges WHERE lease_until > now()"
NO_CHARGES = {"fault": "rate_limited", "method": "POST", "path": "payment_intents$"}


class Stock:
    """Orders that are held, paid or declined, so that something can be asked of them."""

    def __init__(self, fleet: Fleet, producers: list[Producer]) -> None:
        self._fleet = fleet
        self._numbers = {story: numbers_of(story) for story in STORIES}
        self._resting: dict[Story, list[int]] = {story: [] for story in STORIES}
        self.customer = Customer([fleet.url()], fleet.api_key, SEED, 0, at_once=64, acts=0)
        producers.append(self.customer)
        self._place(WAVES)

    def take(self, *stories: Story) -> list[int]:
        """The numbers of some orders of these stories. Those of PLAIN are still to be placed."""
        found = []
        for story in stories:
            if story is not PLAIN and len(self._resting[story]) < OF_EACH:
                self._place(1)
            found += self._next(story, OF_EACH) if story is PLAIN else self._resting[story][:OF_EACH]
            del self._resting[story][:OF_EACH]
        return found

    def _place(self, waves: int) -> None:
        placed = [(story, self._next(story, OF_EACH * waves)) for story in (*STORIES[1:], PAID_AGAIN)]
        conclude(self._fleet, [self.customer.place([number for _, numbers in placed for number in numbers])])
        for story, numbers in placed:
            self._resting[story] += numbers

    def _next(self, story: Story, count: int) -> list[int]:
        return list(islice(self._numbers[story], count))


@pytest.fixture(scope="module")
def stock(fleet: Fleet, producers: list[Producer]) -> Stock:
    """Before the first death."""
    for statement in REMEMBER_PROMISES:
        fleet.rows(statement)
    return Stock(fleet, producers)


def arm(fleet: Fleet, where: Mapping[str, str], **environ: str) -> None:
    """Start processes anew, each told (or, with an empty text, no longer told) where to die."""
    for name, point in where.items():
        if name in fleet.parts and fleet.part(name).is_running:
            fleet.kill(name)
        fleet.add(name, EO_CRASH_AT=point, **environ).spawn()


def rearm(fleet: Fleet, where: Mapping[str, str], **environ: str) -> None:
    """The same, and wait until they are ready."""
    arm(fleet, where, **environ)
    fleet.await_ready(*where)


@pytest.fixture(autouse=True)
def whole(fleet: Fleet) -> None:
    """Whatever a test before has left: one of each kind runs."""
    rearm(fleet, {name: "" for name in ("relay-1", "worker-1") if not fleet.part(name).is_running})


def conclude(fleet: Fleet, asking: Iterable[Producer]) -> None:
    fleet.until(lambda: all(one.is_done for one in asking), within_s=QUIET_WITHIN_S, what="all has its answer")
    try:
        fleet.until(lambda: is_quiet(fleet), within_s=QUIET_WITHIN_S, what="everything is on the books")
    except AssertionError as error:
        error.add_note(what_is_left(fleet))
        raise


def hold(fleet: Fleet, producers: Sequence[Producer]) -> None:
    verdict = assert_hold(fleet, producers)
    assert verdict.orders == sum(len(producer.accepted) for producer in producers)
    assert verdict.parked == 0


def until_dead(fleet: Fleet, stock: Stock, names: Iterable[str], asking: list[Customer], what: str) -> None:
    """Where somebody passed the point unharmed, because another took all of its effect, more is asked for."""
    for _ in range(WAVES_MAX):
        fleet.until(
            lambda: are_dead(fleet, names) or (asking[-1].is_done and is_quiet(fleet)),
            within_s=DIES_WITHIN_S,
            what=f"{', '.join(names)} die: {what}",
        )
        if are_dead(fleet, names):
            return
        asking.append(stock.customer.go_on(stock.take(*STORIES)))
    raise AssertionError(f"{[name for name in names if fleet.part(name).is_running]} passed unharmed: {what}")


def are_dead(fleet: Fleet, names: Iterable[str]) -> bool:
    return not any(fleet.part(name).is_running for name in names)


def in_hand(fleet: Fleet, name: str, point: CrashPoint) -> set[str]:
    """The effects that a process had in hand when it died."""
    assert fleet.part(name).exit_status == -signal.SIGKILL
    last = fleet.part(name).last_words()
    assert last.startswith(f"dies at {point} with"), last
    words = last.partition(" with")[2].split()  # none where what it was to open was done already
    ids = [word for word in words if len(word) == UUID_LENGTH]
    return {row["effect"] for row in fleet.rows(EFFECT_OF, ids)} if ids else set(words)


@pytest.mark.parametrize("point", [point for point in CrashPoint if point.startswith("api.")])
def test_a_death_of_the_api_at(point: CrashPoint, fleet: Fleet, producers: list[Producer], stock: Stock) -> None:
    """One API process for each operation, which dies with it."""
    apis = {operation: f"api-{number}" for number, operation in enumerate(OPERATIONS, 2)}
    rearm(fleet, {name: f"{point}@{operation}" for operation, name in apis.items()})
    doors = {operation: fleet.url(name) for operation, name in apis.items()}
    asking = stock.customer.go_on(stock.take(*STORIES), doors)
    fleet.until(lambda: are_dead(fleet, apis.values()), within_s=DIES_WITHIN_S, what=f"all die at {point}")
    assert {operation: in_hand(fleet, name, point) for operation, name in apis.items()} == {o: {o} for o in OPERATIONS}
    rearm(fleet, dict.fromkeys(apis.values(), ""))
    conclude(fleet, [asking])
    hold(fleet, producers)
    fleet.kill(*apis.values())


def backlog(fleet: Fleet, stock: Stock) -> list[Customer]:
    """Every effect is owed, and no process is there to carry it out."""
    fleet.control("POST", "faults", {"rules": [NO_CHARGES]})
    again = stock.customer.go_on(stock.take(PAID_AGAIN))
    fleet.until(lambda: fleet.rows(AGAIN)[0][0] == OF_EACH, within_s=QUIET_WITHIN_S, what="all are canceled")
    fleet.kill("relay-1")
    fleet.until(lambda: fleet.rows(LEASED)[0][0] == 0, within_s=QUIET_WITHIN_S, what="nothing is under way")
    fleet.kill("worker-1")
    fleet.control("DELETE", "faults")
    fleet.rows(DUE)
    asking = stock.customer.go_on(stock.take(*STORIES))
    fleet.until(lambda: dict(fleet.rows(OWED_NOW)) == OWED, within_s=QUIET_WITHIN_S, what="all is asked for")
    return [again, asking]


@pytest.mark.parametrize("point", [point for point in CrashPoint if point.startswith(("relay.", "worker."))])
def test_a_death_at(point: CrashPoint, fleet: Fleet, producers: list[Producer], stock: Stock) -> None:
    """Where a process has few effects in hand, there is a worker for each, which dies with it."""
    asking = backlog(fleet, stock)
    if point in ALL_IN_HAND:
        dying = {f"{point.partition('.')[0]}-1": str(point)}
        expected = {name: set(EFFECTS) for name in dying}
        environ = {}
    else:
        dying = {f"worker-{number}": f"{point}@{effect}" for number, effect in enumerate(EFFECTS, 1)}
        expected = {f"worker-{number}": {effect} for number, effect in enumerate(EFFECTS, 1)}
        environ = {"EO_RELAY_MESSAGE_EVENTS": "1"}
    if "worker-1" in dying:
        rearm(fleet, dying)
    else:
        arm(fleet, dying)
    rearm(fleet, {name: "" for name in ("relay-1", "worker-1") if name not in dying}, **environ)
    seen: dict[str, set[str]] = {name: set() for name in dying}
    for _ in range(WAVES_MAX):  # on a busy machine the first to die may have had a part of them in hand
        until_dead(fleet, stock, dying, asking, f"at {point}")
        seen = {name: seen[name] | in_hand(fleet, name, point) & expected[name] for name in dying}
        if seen == expected:
            break
        rearm(fleet, dying)
    assert seen == expected
    fleet_of_one = {"relay-1": "", "worker-1": ""}
    rearm(fleet, fleet_of_one)
    conclude(fleet, asking)
    hold(fleet, producers)


def adopted(fleet: Fleet) -> int:
    return int(fleet.rows("SELECT count(*) FROM charges WHERE history::text LIKE '%adopted%'")[0][0])


def produce(fleet: Fleet, producers: list[Producer]) -> Producer:
    first = sum(producer.count for producer in producers)
    producer = Producer([fleet.url()], fleet.api_key, SEED, ORDERS, first=first)
    producers.append(producer)
    return producer.start()


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
    rearm(fleet, {name: f"{point}:{nth}"})
    if name == "worker-1":  # it lists when it is to send something: its relay hands that out, and can ask nobody itself
        rearm(fleet, {"relay-1": ""}, STRIPE_API_BASE=NOBODY)
        producer.repeat(lost[:1])
    fleet.until(lambda: not fleet.part(name).is_running, within_s=DIES_WITHIN_S, what=f"{name} dies at {point}")
    assert fleet.part(name).exit_status == -signal.SIGKILL
    # A relay's sweep of payments adopts beside the verification, so one order may have been reached twice.
    assert adopted(fleet) - before <= nth < ORDERS, "it died in the middle"
    rearm(fleet, {"relay-1": "", "worker-1": ""})
    again = producer.repeat(lost)
    fleet.until(lambda: again.is_done, within_s=QUIET_WITHIN_S, what="every lost key is accepted")
    conclude(fleet, producers)
    hold(fleet, producers)


@pytest.mark.parametrize("point", ADOPTING)
def test_a_death_among_forgotten_refunds(
    point: CrashPoint, fleet: Fleet, producers: list[Producer], stock: Stock, servers_folder: Path
) -> None:
    numbers, since = stock.take(REFUNDED), time.monotonic()
    memory = Folder(fleet.postgres, servers_folder / f"refunds-{point}")
    conclude(fleet, [stock.customer.go_on(numbers)])
    fleet.kill("relay-1", "worker-1")
    memory.put_in_force()
    memory.discard()
    lost = stock.customer.forgotten(since, time.monotonic())
    assert sorted(lost) == sorted(numbers)
    rearm(fleet, {"relay-1": f"{point}@refund:2"})
    fleet.until(lambda: are_dead(fleet, ["relay-1"]), within_s=DIES_WITHIN_S, what=f"the relay dies at {point}")
    assert in_hand(fleet, "relay-1", point) == {"refund"}
    rearm(fleet, {"relay-1": "", "worker-1": ""})
    conclude(fleet, [stock.customer.repeat(lost)])
    hold(fleet, producers)


def test_a_stripe_that_dies_between_the_charge_and_its_answer(fleet: Fleet, producers: list[Producer]) -> None:
    nth = random.Random(SEED).randint(1, ORDERS // 2)
    print(f"seed {SEED}: the {nth}. charge")
    fleet.control("POST", "faults", {"rules": [{"fault": "crash_after_execution", "method": "POST", "nth": [nth]}]})
    produce(fleet, producers)
    fleet.until(lambda: not fleet.part("sandbox").is_running, within_s=DIES_WITHIN_S, what="the sandbox dies")
    assert fleet.part("sandbox").exit_status == -signal.SIGKILL
    fleet.restart("sandbox")
    conclude(fleet, producers)
    hold(fleet, producers)
