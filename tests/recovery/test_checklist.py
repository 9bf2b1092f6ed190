"""The checklist of docs/howto/restore-a-backup.md for a restored database, run on one that has forgotten an order."""

import re
import shlex
from pathlib import Path

import pytest

from tests.charges.world import World
from tests.recovery.forgetting import forgotten, fresh_key
from tests.recovery.test_command import eo

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs/howto/restore-a-backup.md"
_BLOCK = re.compile(r"<!-- checklist: .*? -->\n```\n(.*?)```", re.DOTALL)


def commands() -> list[list[str]]:
    """The commands of the page: what stands before the two spaces of each line."""
    (block,) = _BLOCK.findall(PAGE.read_text())
    return [shlex.split(line.split("  ")[0])[1:] for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_each_command_of_the_checklist_for_a_restore_does_what_the_page_says(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    world.stripe.control("POST", "fees/flush", {})
    said = {}
    for command in commands():
        code, out, err = await eo(world.settings, *command, EO_RECONCILE_GRACE_S="0")
        said[" ".join(command[:3])] = (code, out)
        if command[0] != "reconcile":  # which also sees what other tests have left at this Stripe
            assert code == 0, (command, out, err)
    assert "would be adopted   1" in said["recover --dry-run"][1]
    assert "adopted   1" in said["recover"][1]
    assert (await world.one("SELECT status FROM orders WHERE id = :id", id=lost.marks.order_id))["status"] == "paid"
    assert list(said)[-1].startswith("reconcile --since")
