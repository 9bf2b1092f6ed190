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
            max_examples=80,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    print(sorted(machine.seen.items()))


# Histories in which every transition happens that can happen today. `!`: the worker dies with the answer in its hand.
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
)


@pytest.mark.slow
def test_every_transition_that_can_happen_today_does(machine: type[OrderMachine]) -> None:
    for history in HISTORIES:
        order = machine()
        order.place()
        for step in history.split(", "):
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
