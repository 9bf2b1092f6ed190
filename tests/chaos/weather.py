"""What a storm is made of: the wires' troubles, the sandbox's faults, what becomes of events, and days that pass."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from service.ops.chaos.day import DAY_S, older
from tests.acceptance.fleet import Fleet
from tests.chaos.lives import sessions
from tests.chaos.proxy import Weather

ROUGH = Weather(delay=0.01, cut=0.002, reply_lost=0.004, half_open=0.0003)
# A reply is lost where it hurts: between Stripe's work and ours, and between our commit and its word.
PROBABILITY: dict[str, float] = {
    "rate_limited": 0.02,
    "lock_timeout": 0.01,
    "conflict_409": 0.02,
    "unauthorized_401": 0.003,
    "failed_dependency_424": 0.005,
    "drop_before": 0.01,
    "html_502": 0.005,
    "incomplete_list": 0.01,
    "slow_list": 0.01,
    "executed_500": 0.01,
    "error_500_roll_forward": 0.004,
    "executed_reply_lost": 0.02,
    "cut_body": 0.015,
    "html_502_executed": 0.01,
    "wrong_amount": 0.005,
    "no_request_id": 0.005,
    "crash_after_execution": 0.0005,
}
STALL_S = 2.0  # longer than a call may take, shorter than a storm
_WHERE = "payment_intents|refunds|balance|disputes|payouts|early_fraud_warnings"
_MORE: list[dict[str, Any]] = [
    {"fault": "error_500_before", "saved": False, "probability": 0.015},
    {"fault": "error_500_before", "saved": True, "probability": 0.003},
    {"fault": "stall", "executed": False, "stall_s": STALL_S, "probability": 0.003},
    {"fault": "stall", "executed": True, "stall_s": STALL_S, "probability": 0.005},
]

# What becomes of Stripe's events: by the seed, all storm long and in the calm after it. What is dropped is never sent.
_MIXED: Mapping[str, float] = {
    "event_duplicate": 0.1,
    "event_double": 0.1,
    "event_reorder": 0.1,
    "event_delay": 0.05,
    "event_drop": 0.15,
    "event_missign": 0.05,
    "event_before_answer": 0.03,
}
EVENTS: Mapping[str, Sequence[dict[str, Any]]] = {
    "all dropped": [{"fault": "event_drop"}],
    "all doubled": [{"fault": "event_double"}],
    "mixed": [{"fault": fault, "probability": p} for fault, p in _MIXED.items()],
}
_HOW_OFTEN = (1, 1, 2)

AGED_WITHIN_S = 60.0  # longer than a session of ours may keep a lock of a statement that never came whole


def events_of(seed: int) -> str:
    """What becomes of the events of the storm with this seed."""
    return random.Random(f"events:{seed}").choices(list(EVENTS), _HOW_OFTEN)[0]


def fault_plan(seed: int, events: str) -> dict[str, Any]:
    """Stripe at its worst. No fault strikes the call that asks who it is: it charges nobody."""
    rules = [{"fault": fault, "probability": p} for fault, p in PROBABILITY.items()] + _MORE
    return calm_plan(seed, events, [{"path": _WHERE, **rule} for rule in rules])


def calm_plan(seed: int, events: str, rules: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Stripe as it should be, but for its events."""
    return {"seed": seed, "rules": [*rules, *EVENTS[events]]}


def a_day_passes(fleet: Fleet) -> None:
    """Everything stored, here and at Stripe, becomes a day older in one step; both clocks stay (R28).

    Refunds keep Stripe's moments: the books name them, and are not rewritten.

    No worker may be running: one that has just looked at its clock would send what is a day old. Nor may a relay, which
    asks for lists: what lay within its window would lie before it.
    """
    asyncio.run(_age(fleet))


async def _age(fleet: Fleet) -> None:
    connection = await asyncpg.connect(fleet.postgres.url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute(older(1), timeout=AGED_WITHIN_S)
            fleet.control("POST", "age", {"seconds": DAY_S, "refunds": False})
    except TimeoutError as error:
        error.add_note(f"a day could not pass, because of these sessions:\n{sessions(fleet.postgres)}")
        raise
    finally:
        await connection.close(timeout=10)
