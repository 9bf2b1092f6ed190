"""`eo orders`: look at orders, follow them, and end one where only a human can."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from service.foundation.money import spelled
from service.ops import table
from service.ops.arguments import REASON, one_of, who_option
from service.ops.terminal import ask, json_option, print_json, print_rows
from service.states import ORDER_STATUSES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from service.audit import Who

_KEY_SHOWN = 20  # characters of an idempotency key that a table shows; --json shows the whole key


@click.group()
def orders() -> None:
    """Orders: list them, show one, follow one to its end, or end one by hand."""


@orders.command("list")
@click.option("--status", callback=one_of(ORDER_STATUSES), help="Only those in this state: paid, failed, …")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def orders_list(*, status: str | None, limit: int, as_json: bool) -> None:
    """Show orders of all accounts, newest first."""
    from service.ops.inspection import newest  # noqa: PLC0415

    rows = ask(lambda engine: newest(engine, status=status, limit=limit))
    print_rows(rows if as_json else map(_row, rows), as_json=as_json)
    if not rows:
        state = f" in the state {status}" if status else ""
        click.echo(f"eo: there is no order{state}. `eo status` tells what runs.", err=True)


@orders.command("show")
@click.argument("order", metavar="ID|KEY")
@json_option
def orders_show(*, order: str, as_json: bool) -> None:
    """Show one order, by its id or its idempotency key, and what happened to it."""
    from msgspec import to_builtins  # noqa: PLC0415

    from service.ops.inspection import story  # noqa: PLC0415

    found = ask(lambda engine: story(engine, order))
    if as_json:
        print_json(to_builtins({"account": found.account, "order": found.order, "timeline": found.timeline}))
        return
    shown = {name: value for name, value in to_builtins(found.order).items() if value}
    for name in [name for name in shown if name.startswith("amount")]:
        shown[name] = spelled(shown[name], found.order.currency)
    click.echo("\n".join(table.fields({"account": found.account, **shown}, table.width())))
    click.echo()
    print_rows(map(_event, found.timeline), as_json=False)


@orders.command("watch")
@click.argument("order", metavar="[ID|KEY]", required=False)
@json_option
def orders_watch(*, order: str | None, as_json: bool) -> None:
    """Follow one order until it is paid, failed or canceled; without ID, all new ones until Ctrl-C."""
    from service.ops.inspection import follow, follow_all, retell  # noqa: PLC0415

    def watch(engine: "AsyncEngine") -> Any:
        if order is None:
            return _tell(follow_all(engine, limit=100), _line_of_order, as_json=as_json)
        if as_json:
            return _tell(follow(engine, order), str, as_json=True)
        return _tell(retell(engine, order, table.width()), str, as_json=False)

    ask(watch)


@orders.command("fail")
@click.argument("order_id", type=click.UUID)
@click.option("--reason", required=True, type=REASON, help="Shown to the producer.")
@who_option
def orders_fail(order_id: Any, reason: str, who: "Who") -> None:
    """End a parked order as failed. Nothing of it is sent any more."""
    from service.charges.ending import fail_by_hand  # noqa: PLC0415

    ask(lambda engine: fail_by_hand(engine, order_id, reason, who=who))
    click.echo(f"eo: order {order_id} is failed.", err=True)


async def _tell(found: AsyncIterator[Any], line: Callable[[Any], str], *, as_json: bool) -> None:
    async for one in found:
        if as_json:
            print_json(one)
        else:
            click.echo(line(one))


def _row(order: Mapping[str, Any]) -> dict[str, Any]:
    key = order["idempotency_key"]
    return {
        "order": order["id"],
        "status": order["status"],
        "amount": spelled(order["amount"], order["currency"]),
        "age": table.age(order["created_at"]),
        "key": key if len(key) <= _KEY_SHOWN else key[: _KEY_SHOWN - 1] + "…",
    }


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    more = [f"{name}={value}" for name, value in event.items() if name not in ("at", "event") and value is not None]
    return {"at": event["at"], "event": event["event"], "about": " ".join(more)}


def _line_of_order(order: Mapping[str, Any]) -> str:
    row = _row(order)
    return f"{order['updated_at']:%H:%M:%S}  {row['order']}  {row['status']:<15}  {row['amount']}"
