"""Whatever comes to an end, or waits for somebody, is told: by whichever way it came there."""

import ast
import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import changes, notices, orders
from service.charges.ending import fail_by_hand
from service.foundation.postgres.db import bare_engine, create_engine
from service.foundation.postgres.sql import begin
from service.foundation.settings import Settings
from service.notices.endpoints import WebhookEndpointRequest, create
from service.notices.model import Fact, webhook_id
from service.orders.operations import Wish
from service.states import ORDER_TOLD, REFUND_FINAL
from tests.charges.wishes import api
from tests.charges.world import Books, Promise
from tests.model.order_machine import OrderMachine
from tests.model.test_order_machine import HISTORIES
from tests.notices.listening import Producer
from tests.operators import OPERATOR

ROOT = Path(__file__).parents[2]

# What moved, as the tables saw it, and whether a notice of it was there when its transaction was committed.
GUARD = (
    "CREATE TABLE seen_moves (object text, status text)",
    "GRANT ALL ON seen_moves TO PUBLIC",
    """
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status <> OLD.status AND NEW.status = ANY (TG_ARGV[0]::text[]) THEN
    INSERT INTO seen_moves VALUES (NEW.id::text, NEW.status);
    IF NOT EXISTS (SELECT FROM notices n WHERE n.body::jsonb -> 'data' ->> 'id' = NEW.id::text
                      AND n.body::jsonb -> 'data' ->> 'status' = NEW.status) THEN
      RAISE EXCEPTION '% % came to % and nobody is told', TG_TABLE_NAME, NEW.id, NEW.status;
    END IF;
  END IF;
  RETURN NULL;
END $$
""",
)
TRIGGER = """
CREATE CONSTRAINT TRIGGER told AFTER UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION see('{{{words}}}')
"""


async def guard(settings: Settings) -> None:
    """From now on no transaction is committed that moves an order or a refund without telling of it."""
    owner = bare_engine(settings.database_url)
    async with owner.begin() as connection:
        for statement in GUARD:
            await connection.exec_driver_sql(statement)
        await connection.execute(text(TRIGGER.format(table="orders", words=",".join(ORDER_TOLD))))
        await connection.execute(text(TRIGGER.format(table="refunds", words=",".join(REFUND_FINAL))))
    await owner.dispose()
    engine = create_engine(settings, name="listener")
    account = await Books(engine, settings).default_account()
    request = WebhookEndpointRequest("https://shop.example/", list(notices.NOTICE_TYPES))
    await create(engine, account, "endpoint", request)
    await engine.dispose()


async def cancel(books: Books, order: Promise) -> None:
    """End an order that was not opened."""
    wish = Wish("cancel", order.account_id, order.order_id, f"cancel-{order.key}", changes.CancelRequest())
    await changes.cancel(api(books.engine), wish)


@pytest.mark.slow
def test_every_transition_of_an_order_is_told(machine: type[OrderMachine]) -> None:
    """The histories in which every transition happens that can."""
    for history in HISTORIES:
        order = machine()
        order.place(manual=history.startswith("manual"))
        for step in history.removeprefix("manual, ").split(", "):
            if history == "cancel":  # which the machine does by hand
                order.do(cancel(machine.books, order.promise))
            else:
                order.step(step)
        order.teardown()
    moved = machine.runner.run(machine.books.all("SELECT DISTINCT status FROM seen_moves"))
    assert {row["status"] for row in moved} == ORDER_TOLD
    rows = machine.runner.run(machine.books.all("SELECT type, count(*) AS n FROM notices GROUP BY type"))
    assert {row["type"] for row in rows} == {f"order.{status}" for status in ORDER_TOLD}


@pytest.fixture
def machine(database_settings: Settings) -> Iterator[type[OrderMachine]]:
    """The machine, on a database where nothing moves untold."""
    OrderMachine.seen = Counter()
    with asyncio.Runner() as runner:
        runner.run(guard(database_settings))
        engine = create_engine(database_settings, name="machine")
        OrderMachine.runner, OrderMachine.books = runner, Books(engine, database_settings)
        yield OrderMachine
        runner.run(engine.dispose())


@pytest.fixture
def database_settings(request: pytest.FixtureRequest) -> Settings:
    """`settings` by another name: Hypothesis has one, too."""
    found = request.getfixturevalue("settings")
    assert isinstance(found, Settings)
    return found


_ORDERS = re.compile(r"UPDATE (?:orders|refunds)\b(?:(?!\bWHERE\b|\bUPDATE\b).)*?\bstatus = (.{1,60})", re.DOTALL)
_UNTOLD = re.compile(r"'(?:pending|processing)'")


def movers() -> Iterator[tuple[Path, str]]:
    """The files whose statements move an order or a refund to where somebody wants to hear of it."""
    for path in sorted((ROOT / "service").rglob("*.py")):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for assigned in _ORDERS.findall(node.value):
                    if not _UNTOLD.match(assigned):
                        yield path.relative_to(ROOT), source


def test_no_file_moves_an_order_or_a_refund_and_tells_nobody() -> None:
    found = dict(movers())
    assert len(found) >= 7
    silent = {str(path) for path, source in found.items() if "tell_of_" not in source}
    # It moves an order that was pending or failed to processing, of which nobody is told.
    assert silent == {"service/recovery/order_rows.py"}


async def test_an_order_that_a_human_ends_is_told(settings: Settings, engine: AsyncEngine) -> None:
    await guard(settings)
    books = Books(engine, settings)
    order = await books.order()
    await books.run("UPDATE outbox SET parked_at = now() WHERE id = :id", id=order.outbox_id)
    await fail_by_hand(engine, order.order_id, "it was never sent", who=OPERATOR)
    (row,) = await books.all("SELECT type, body FROM notices")
    body = msgspec.json.decode(row["body"])
    assert (row["type"], body["data"]["failure"]["message"]) == ("order.failed", "it was never sent")


async def test_an_order_canceled_at_once_is_told_as_the_api_shows_it(settings: Settings, engine: AsyncEngine) -> None:
    await guard(settings)
    books = Books(engine, settings)
    order = await books.order(metadata={"cart": "17"}, description="two of them")
    await cancel(books, order)
    (row,) = await books.all("SELECT type, object_id, body FROM notices")
    shown = await orders.get(engine, order.account_id, order.order_id)
    body = msgspec.json.decode(row["body"])
    assert (row["type"], row["object_id"]) == ("order.canceled", str(order.order_id))
    assert body["data"] == msgspec.json.decode(msgspec.json.encode(shown))


async def test_nothing_is_told_of_what_is_rolled_back(producer: Producer) -> None:
    await producer.listens("https://shop.example/")
    (order,) = await producer.books.orders(1)
    shown = await orders.get(producer.books.engine, order.account_id, order.order_id)

    async def tell_and_fail() -> None:
        async with begin(producer.books.engine) as tx:
            await notices.tell(tx, [Fact(order.account_id, "order.paid", shown.id, "", order.order_id, shown)])
            raise LookupError

    with pytest.raises(LookupError):
        await tell_and_fail()
    assert await producer.notices() == []


async def test_only_who_listens_to_it_is_told_and_never_another_account(producer: Producer) -> None:
    failed = await producer.listens("https://failed.example/", "order.failed")
    both = await producer.listens("https://both.example/", "order.failed", "order.paid")
    await producer.listens("https://other.example/", account_id=await producer.books.other_account())
    await producer.tell()
    (row,) = await producer.notices()
    assert str(row["endpoint_id"]) == both.id != failed.id


def test_an_id_is_made_of_account_type_object_and_fact_and_of_nothing_else() -> None:
    fact = Fact(UUID(int=7), "order.failed", "order", "1:card_declined", None, WebhookEndpointRequest("", []))
    ids = {
        webhook_id(one)
        for one in (
            fact,
            replace(fact, account_id=UUID(int=8)),
            replace(fact, type="order.paid"),
            replace(fact, object_id="orde", fact="r1:card_declined"),
            replace(fact, fact="2:card_declined"),
        )
    }
    assert len(ids) == 5
    assert webhook_id(replace(fact, order_id=UUID(int=9), data=WebhookEndpointRequest("x", []))) in ids
    # Written down: it must not change between versions, nor after a database has forgotten it.
    assert webhook_id(fact) == "msg_6niz427mmllxhyxxbhsmc3bdryft7i52"
