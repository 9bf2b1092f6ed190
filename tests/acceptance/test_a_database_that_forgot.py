"""Orders that were placed, charged, and forgotten by the database: charged once all the same, and on the books again.

The database goes back to an older copy of its folder, to a dump, or to a standby that was behind. The producers repeat
their keys at once, or after Stripe has forgotten them, too. Nothing is done by hand.
"""

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from tests.acceptance.fleet import ORDER, Fleet, NewFleet, http
from tests.chaos.invariants import is_quiet
from tests.chaos.lives import Dump, Folder, Memory, Standby
from tests.chaos.weather import a_day_passes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a busy machine is no reason to fail

WITHIN_S = 60
SETTLED_WITHIN_S = 90
HASTE = {"EO_RETRY_BASE_S": "0.2", "EO_RETRY_MAX_S": "2", "EO_BREAKER_S": "0.5", "EO_FEE_SWEEP_S": "0.5"}
LISTED = {"method": "GET", "path": "^/v1/payment_intents$"}
LISTINGS_MAX = 5
Told = dict[str, str]  # key → order id


@pytest.fixture(scope="module")
def fleet(new_fleet: NewFleet) -> Fleet:
    """One of each, and a second worker; in a hurry, as far as that changes nothing that is promised here."""
    fleet = new_fleet(**HASTE, EO_SWEEP_S="1")
    return fleet.start_all(worker=2)


@pytest.fixture
def keep(fleet: Fleet, servers_folder: Path) -> Iterator[Callable[[Callable[..., Memory]], Memory]]:
    """Keeps what the database knows now."""
    folder, kept = servers_folder / f"kept-{uuid4()}", list[Memory]()

    def make(kind: Callable[..., Memory]) -> Memory:
        kept.append(kind(fleet.postgres, folder))
        return kept[-1]

    yield make
    for memory in kept:
        memory.discard()
    shutil.rmtree(folder, ignore_errors=True)
    fleet.control("DELETE", "faults")
    restart(fleet, [name for name in fleet.dead() if name != "postgres"])


def keys(n: int) -> list[str]:
    test = uuid4()
    return [f"{test}-{number}" for number in range(n)]


def place(fleet: Fleet, wanted: Sequence[str]) -> Told:
    """Each until it is accepted, as a producer does. Amounts differ, so that a mix-up cannot hide."""
    told: Told = {}

    def accepted(key: str) -> bool:
        answer = fleet.post("/v1/orders", order(key), key=key)
        assert answer.status in (201, 503), answer
        told.update({key: answer.body["id"]} if answer.status == 201 else {})
        return answer.status == 201

    for key in wanted:
        fleet.until(partial(accepted, key), within_s=WITHIN_S, what=f"{key} is accepted")
    return told


def order(key: str) -> dict[str, Any]:
    return {**ORDER, "amount": 1_000 + int(key.rpartition("-")[2])}


def paid(fleet: Fleet, wanted: Sequence[str]) -> int:
    statement = "SELECT count(*) FROM orders WHERE status = 'paid' AND idempotency_key = ANY($1)"
    return int(fleet.rows(statement, list(wanted))[0][0])


def await_paid(fleet: Fleet, wanted: Sequence[str]) -> None:
    took_s = fleet.until(
        lambda: paid(fleet, wanted) == len(wanted), within_s=SETTLED_WITHIN_S, every_s=0.1, what="all are paid"
    )
    print(f"{len(wanted)} paid after {took_s:.1f} s")


def charges(fleet: Fleet) -> int:
    return int(fleet.truth()["charges_succeeded"])


def stop(fleet: Fleet, *kinds: str) -> list[str]:
    """Kill all of these kinds; their names."""
    names = [name for name in ("relay-1", "worker-1", "worker-2") if name.rpartition("-")[0] in kinds]
    fleet.kill(*names)
    return names


def restart(fleet: Fleet, names: Sequence[str]) -> None:
    fleet.restart(*names)


def a_day_later(fleet: Fleet) -> None:
    names = stop(fleet, "relay", "worker")
    a_day_passes(fleet)
    restart(fleet, names)


def events(fleet: Fleet, name: str) -> list[dict[str, Any]]:
    """What the processes said under this name, in sequence."""
    lines = [line for log in fleet.logs.glob("*.log") for line in log.read_text(errors="replace").splitlines()]
    return sorted((json.loads(line) for line in lines if f'"event":"{name}"' in line), key=itemgetter("ts"))


def assert_on_the_books(fleet: Fleet, first: Told, repeated: Told) -> None:
    """Every key is one order, paid, found by each id it ever had, and charged once."""
    for key, first_id in first.items():
        shown = fleet.order(repeated[key])
        assert (shown["id"], shown["status"], shown["amount"]) == (repeated[key], "paid", order(key)["amount"])
        assert fleet.order(first_id) == shown, "the id of before still finds it"
        ids = {first_id, repeated[key]}
        assert sum(fleet.truth(order=order_id)["charges"] for order_id in ids) == 1
    took_s = fleet.until(lambda: is_quiet(fleet), within_s=SETTLED_WITHIN_S, every_s=0.1, what="every fee is booked")
    print(f"fees booked after {took_s:.1f} s")
    assert fleet.outbox() == 0, "nothing is left, nothing parked"
    assert fleet.eo("ledger", "verify").returncode == 0
    since = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    compared = fleet.eo("reconcile", "--json", "--since", since, EO_RECONCILE_GRACE_S="0")
    assert compared.returncode == 0, compared.stdout
    assert fleet.dead() == []


@pytest.mark.parametrize(("kind", "n"), [(Folder, 100), (Dump, 20)])
def test_what_was_forgotten_is_repeated_at_once_and_a_day_later(
    kind: Callable[..., Memory], n: int, fleet: Fleet, keep: Callable[..., Memory]
) -> None:
    place(fleet, keys(3))
    fleet.settle(within_s=SETTLED_WITHIN_S)
    before = charges(fleet)
    memory = keep(kind)
    if isinstance(memory, Standby):
        memory.fall_behind()
    told = place(fleet, keys(n))
    await_paid(fleet, list(told))
    memory.put_in_force()
    at_once, later = list(told)[: n // 2], list(told)[n // 2 :]
    repeated = place(fleet, at_once)
    await_paid(fleet, at_once)
    a_day_later(fleet)
    repeated |= place(fleet, later)
    await_paid(fleet, list(told))
    assert charges(fleet) - before == n
    assert {key: repeated[key] for key in later} == {key: told[key] for key in later}, "they had been brought back"
    assert_on_the_books(fleet, told, repeated)


@pytest.mark.parametrize(("kind", "n"), [(Folder, 100), (Standby, 20)])
def test_nobody_asked_stripe_for_a_day_and_then_it_did_not_answer(
    kind: Callable[..., Memory], n: int, fleet: Fleet, keep: Callable[..., Memory]
) -> None:
    before = charges(fleet)
    memory = keep(kind)
    if isinstance(memory, Standby):
        memory.fall_behind()
    told = place(fleet, keys(n))
    await_paid(fleet, list(told))
    asleep = stop(fleet, "relay", "worker")
    memory.put_in_force()
    assert paid(fleet, list(told)) == 0, "all were forgotten"
    at_once, later = list(told)[: n // 2], list(told)[n // 2 :]
    repeated = place(fleet, at_once)
    a_day_passes(fleet)
    found, incomplete = len(events(fleet, "recovery.loss_found")), len(events(fleet, "recovery.incomplete"))
    fleet.control("POST", "faults", {"rules": [{"fault": "html_502", **LISTED}]})
    restart(fleet, asleep)
    repeated |= place(fleet, later)
    waiting = "SELECT count(*) FROM outbox WHERE last_error LIKE 'Stripe could not be asked%'"

    def all_wait_and_it_is_said_why() -> bool:
        return len(events(fleet, "recovery.incomplete")) > incomplete and fleet.rows(waiting)[0][0] == n

    fleet.until(
        lambda: charges(fleet) - before > n or all_wait_and_it_is_said_why(),
        within_s=WITHIN_S,
        every_s=0.1,
        what="every order waits, and it is said why",
    )
    assert charges(fleet) - before == n, "nothing was sent before Stripe was asked"
    fleet.control("DELETE", "faults")
    await_paid(fleet, list(told))
    assert charges(fleet) - before == n
    assert_on_the_books(fleet, told, repeated)
    (loss,) = events(fleet, "recovery.loss_found")[found:]
    assert (loss["level"], loss["adopted"], loss["reported"]) == ("error", n, 0)
    assert loss["minor_units"] == [f"{sum(order(key)['amount'] for key in told)} usd"]
    assert loss["since"] <= loss["until"]


def test_a_restart_of_the_database_costs_a_handful_of_list_calls_and_one_of_workers_none(new_fleet: NewFleet) -> None:
    """Without the relay's sweeps of the same list, which come by the clock."""
    fleet = new_fleet(**HASTE, EO_SWEEP_S="3600").start_all(worker=2)
    await_paid(fleet, list(place(fleet, keys(3))))
    fleet.until(lambda: is_verified(fleet), within_s=WITHIN_S, what="this life is verified")
    fleet.control("POST", "faults", {"rules": [{"fault": "html_502", "probability": 0.0, **LISTED}]})
    restart(fleet, stop(fleet, "worker"))
    await_paid(fleet, list(place(fleet, keys(3))))
    assert listings(fleet) == 0
    fleet.send("postgres", signal.SIGQUIT)
    fleet.until(lambda: "postgres" in fleet.dead(), within_s=WITHIN_S, what="it has stopped")
    restart(fleet, ["postgres"])
    verified = len(events(fleet, "recovery.verified"))
    await_paid(fleet, list(place(fleet, keys(3))))
    print(f"{listings(fleet)} list calls, {len(events(fleet, 'recovery.verified')) - verified} listing")
    assert 1 <= listings(fleet) <= LISTINGS_MAX
    assert len(events(fleet, "recovery.verified")) == verified + 1
    fleet.control("DELETE", "faults")


def listings(fleet: Fleet) -> int:
    return int(fleet.control("GET", "faults")["rules"][0]["matched"])


def is_verified(fleet: Fleet) -> bool:
    statement = "SELECT count(*) FROM lives WHERE identity = database_identity() AND verified_until > now()"
    return bool(fleet.rows(statement)[0][0])


def test_payments_of_the_version_before_are_brought_back_by_stripes_event(new_fleet: NewFleet) -> None:
    fleet = new_fleet(EO_FEE_SWEEP_S="0.5")
    account = fleet.rows("SELECT id::text FROM accounts WHERE is_default")[0][0]
    told = {key: str(uuid7()) for key in keys(10)}
    cards = {key: charged_by_the_version_before(fleet, account, told[key], key) for key in told}
    fleet.start_all()
    await_paid(fleet, list(told))
    repeated = {k: fleet.post("/v1/orders", {**order(k), "payment_method": cards[k]}, key=k) for k in told}
    assert {k: (r.status, r.body["id"]) for k, r in repeated.items()} == {k: (201, told[k]) for k in told}
    # Stripe shows the card that its test token stood for: named by the token, the body is another.
    (key, *_) = told
    assert fleet.post("/v1/orders", order(key), key=key).status == 422
    fleet.until(lambda: is_quiet(fleet), within_s=SETTLED_WITHIN_S, every_s=0.1, what="every fee is booked")
    assert charges(fleet) == len(told)
    assert fleet.eo("ledger", "verify").returncode == 0
    assert fleet.eo("reconcile", "--json", EO_RECONCILE_GRACE_S="0").returncode == 0


def charged_by_the_version_before(fleet: Fleet, account: str, order_id: str, key: str) -> str:
    """A payment with the three names that 0.1 put on it, under the default account's key, which is the producer's.

    Returns the payment method that Stripe shows.
    """
    form = (
        f"amount={order(key)['amount']}&currency=usd&payment_method=pm_card_visa&confirm=true"
        "&automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never"
        f"&metadata[eo_account]={account}&metadata[eo_order]={order_id}&metadata[eo_attempt]=1"
    )
    headers = {
        "Authorization": f"Bearer {fleet.environ['STRIPE_API_KEY']}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Idempotency-Key": key,
    }
    answer = http("POST", f"{fleet.stripe}/v1/payment_intents", headers, form)
    assert (answer.status, answer.body["status"]) == (200, "succeeded"), answer
    return str(answer.body["payment_method"])
