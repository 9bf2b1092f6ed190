"""The audit only grows, whoever is at the keyboard."""

import json

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit
from service.audit import Action, Shown
from service.foundation.postgres.sql import begin
from tests.ledger.support import refused, superuser, undone
from tests.operators import OPERATOR

CHANGES = {
    "update": "UPDATE audit SET actor = 'somebody else'",
    "delete": "DELETE FROM audit",
    "truncate": "TRUNCATE audit",
}
BEFORE: Shown = {"n": 1, "kept": "x", "kind": "charge", "error": None}
AFTER: Shown = {"n": None, "kept": "x", "pid": 7}
INSUFFICIENT_PRIVILEGE, RESTRICT = "42501", "23001"


async def _note(engine: AsyncEngine) -> None:
    async with begin(engine) as tx:
        await audit.note(tx, OPERATOR, Action.CHAOS, "worker", reason="why", before=BEFORE, after=AFTER)


async def test_processes_may_only_add_to_it(engine: AsyncEngine) -> None:
    await _note(engine)
    for change in CHANGES.values():
        async with engine.begin() as connection:
            code, _ = await refused(connection, change)
        assert code == INSUFFICIENT_PRIVILEGE, change
    (noted,) = await audit.noted(engine)
    assert (noted.actor, json.loads(noted.before or ""), json.loads(noted.after or "")) == ("ops", BEFORE, AFTER)


async def test_what_an_action_changed_is_told_in_words(engine: AsyncEngine) -> None:
    await _note(engine)
    (noted,) = await audit.noted(engine)
    assert set(audit.changed(noted).split(", ")) == {"n 1 → None", "pid 7", "kind was charge"}


@pytest.mark.parametrize("mode", ["origin", "replica"])
async def test_the_owner_is_stopped_by_triggers(engine: AsyncEngine, database: str, mode: str) -> None:
    await _note(engine)
    for change in CHANGES.values():
        async with superuser(database, f"SET LOCAL session_replication_role = {mode}") as connection:
            code, message = await refused(connection, change)
        assert (code, "append-only" in message) == (RESTRICT, True), change
    assert len(await audit.noted(engine)) == 1


async def test_a_note_of_a_transaction_that_fails_is_not_there(engine: AsyncEngine) -> None:
    async with undone(engine) as tx:
        await audit.note(tx, OPERATOR, Action.CHAOS, "worker")
    assert await audit.noted(engine) == []
