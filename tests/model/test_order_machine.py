"""The life of an order on the real statements: whatever Hypothesis chooses to go wrong, its promises hold."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from service.foundation.postgres.db import create_engine
from service.foundation.settings import Settings
from tests.charges.world import Books
from tests.model.order_machine import OrderMachine, wanted


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whatever_happens_to_an_order_its_promises_hold(machine: type[OrderMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(__import__("os").environ.get("EX", "80")),
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    print(sorted(machine.seen.items()))


# Histories in which every transition happens that can happen today. `!`: the worker dies with the answer in its hand.
# `manual`: the money is only held at first.
HISTORIES = (
    "cancel",
    "work:succeeded",
    "work:declined, payment:requires_payment_method>succeeded, told",
    "work:requires_action, payment:requires_action>succeeded, work",
    "work:requires_action, payment:requires_action>processing, work",
    "work:requires_action, payment:requires_action>canceled, work",
    "work:requires_action, payment:requires_action>requires_payment_method, work",
    "work:processing, payment:processing>succeeded, work",
    "work:processing, payment:processing>requires_action, work",
    "work:processing, payment:processing>canceled, work",
    "work:processing, payment:processing>requires_payment_method, work",
    "work:succeeded/lost reply, work",
    "work:declined/lost reply, work",
    "work:requires_action/lost reply, work",
    "work:processing/lost reply, work",
    "work:requires_action/lost reply, payment:requires_action>canceled, days:20.5, work",
    "work:requires_action!, payment:requires_action>canceled, days:20.5, work",
    "days:25, work:succeeded/500 not saved, work, work",
    "work:succeeded/500 saved, work, days:25, work",
    "work:succeeded/429, days:25, work, work",
    # Nobody finished it: canceled a day later, with its reply or without, unless it succeeds just then.
    "work:requires_action, days:25, work, work",
    "work:requires_action, days:25, work, work:succeeded/lost reply, work",
    "work:requires_action, days:25, work, payment:requires_action>succeeded, work, work",
    # Held, and taken in whole or in part, let go, lost, or ended by Stripe.
    "manual, work:succeeded, capture, work",
    "manual, work:succeeded, capture:1200, work:succeeded/500 saved, work, work",
    "manual, work:succeeded, capture, work:succeeded/lost reply, days:25, work",
    "manual, work:succeeded, capture, payment:requires_capture>canceled, work, work",
    "manual, work:succeeded, cancel, work:succeeded!, work",
    "manual, work:succeeded, cancel, payment:requires_capture>succeeded, work, work",
    "manual, work:succeeded, payment:requires_capture>canceled, work",
    "manual, work:succeeded, payment:requires_capture>requires_payment_method, work",
    "manual, work:requires_action, payment:requires_action>requires_capture, work",
    "manual, work:processing, payment:processing>requires_capture, work",
    "manual, work:succeeded/lost reply, work",
    # Paid again: once the payment before is canceled, unless it succeeds just then; under the same key, if nothing ran.
    "work:declined, pay, work, work",
    "work:declined, pay, payment:requires_payment_method>succeeded, work",
    "work:declined, pay, work:succeeded/500 saved, work, work, work",
    "work:succeeded/lost request, work:succeeded/500 not saved, days:25, work, pay, work",
)


@pytest.mark.slow
def test_every_transition_that_can_happen_today_does(machine: type[OrderMachine]) -> None:
    for history in HISTORIES:
        order = machine()
        order.place(manual=history.startswith("manual"))
        for step in history.removeprefix("manual, ").split(", "):
            order.step(step)
            order.promises_hold()
        order.teardown()
    missing = wanted() - set(machine.seen)
    assert not missing, sorted(missing)
    surprising = set(machine.seen) - wanted()
    assert not surprising, f"now it can happen: {sorted(surprising)}"


@pytest.fixture
def machine(database_settings: Settings) -> Iterator[type[OrderMachine]]:
    """The machine, with a database under it."""
    OrderMachine.seen = Counter()
    with asyncio.Runner() as runner:
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
