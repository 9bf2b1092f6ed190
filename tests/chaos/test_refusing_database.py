"""A PostgreSQL that is there and takes nothing: read-only (a failover, a full disk's guard), or out of disk.

Nobody is told 201 for what is not stored, nothing is half-done, and when it can write again, everything goes on.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.acceptance.fleet import Fleet
from tests.chaos.invariants import assert_hold, is_quiet
from tests.chaos.producer import Producer

pytestmark = pytest.mark.slow

WITHIN_S = 40.0
ORDERS = 40
SEED = 20_261_124
# The server's own words for a full disk, at the moment a row is to be stored.
_FULL = """
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"""
TABLES = ("orders", "outbox", "charges", "journal_entries")


@contextmanager
def read_only(fleet: Fleet) -> Iterator[None]:
    """As after a failover to a replica; no connection is lost."""
    fleet.rows("ALTER SYSTEM SET default_transaction_read_only = on")
    fleet.rows("SELECT pg_reload_conf()")
    yield
    fleet.rows("ALTER SYSTEM RESET default_transaction_read_only")
    fleet.rows("SELECT pg_reload_conf()")


@contextmanager
def full_disk(fleet: Fleet) -> Iterator[None]:
    """No row can be added or changed; deletes still work, as on a full disk."""
    fleet.rows(_FULL)
    for table in TABLES:
        fleet.rows(
            f"CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION disk_is_full()"
        )
    yield
    for table in TABLES:
        fleet.rows(f"DROP TRIGGER disk_is_full ON {table}")
    fleet.rows("DROP FUNCTION disk_is_full")


@pytest.mark.parametrize("trouble", [read_only, full_disk])
def test_nothing_is_confirmed_that_is_not_stored_and_everything_recovers(
    trouble: Callable[[Fleet], AbstractContextManager[None]], fleet: Fleet, producers: list[Producer]
) -> None:
    producer = Producer(
        [fleet.url()], fleet.api_key, SEED, ORDERS, first=ORDERS * len(producers), at_once=4, pause_s=0.05
    )
    producers.append(producer.start())
    fleet.until(lambda: len(producer.accepted) >= ORDERS // 4, within_s=WITHIN_S, what="some are accepted before")
    with trouble(fleet):
        fleet.until(lambda: producer.counts["status 503"] >= 3, within_s=WITHIN_S, what="the door refuses")
        accepted, stored = len(producer.accepted), orders_stored(fleet)
        fleet.until(lambda: producer.counts["status 503"] >= 10, within_s=WITHIN_S, what="the door goes on refusing")
        assert (len(producer.accepted), orders_stored(fleet)) == (accepted, stored)
        assert fleet.get("/v1/orders?limit=1").status == 200, "reading goes on"
    fleet.until(lambda: producer.is_done, within_s=WITHIN_S, what="the repeats are accepted")
    fleet.until(lambda: is_quiet(fleet), within_s=WITHIN_S, what="everything is on the books")
    verdict = assert_hold(fleet, producers)
    assert (verdict.orders, verdict.parked) == (ORDERS * len(producers), 0)
    assert fleet.dead() == [], "nobody gave up"


def orders_stored(fleet: Fleet) -> int:
    """How many orders there are, with or without their outbox row: both or none is stored."""
    rows = fleet.rows("SELECT (SELECT count(*) FROM orders) AS n, (SELECT count(*) FROM outbox x "
                      "WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = x.order_id)) AS orphans")  # fmt: skip
    assert rows[0]["orphans"] == 0
    count: int = rows[0]["n"]
    return count
