"""`eo orders`: where a human must decide."""

from typing import Any

import click

from service.terminal import ask


@click.group()
def orders() -> None:
    """Orders, where a human must decide."""


@orders.command("fail")
@click.argument("order_id", type=click.UUID)
@click.option("--reason", required=True, help="Shown to the producer.")
def orders_fail(order_id: Any, reason: str) -> None:
    """End a parked order as failed. Nothing of it is sent any more."""
    from service.charges.ending import fail_by_hand  # noqa: PLC0415

    ask(lambda engine: fail_by_hand(engine, order_id, reason))
    click.echo(f"eo: order {order_id} is failed.", err=True)
