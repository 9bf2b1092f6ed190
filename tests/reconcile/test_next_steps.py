"""Every step that a report names is taken here, as it is printed; then the discrepancy is gone or acknowledged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.ops.cli import cli
from service.reconcile.classes import CLASSES, IN_FLIGHT, OWED, SOURCE_INCOMPLETE
from service.stripe_gateway import client as stripe_gateway
from tests.reconcile.desk import CASES, COMMANDS, Case, Desk, Stripe
from tests.reconcile.records import write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shell(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The environment in which the commands are run."""
    for variable, value in {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "STRIPE_API_KEY": settings.stripe_api_key,
        "STRIPE_API_BASE": settings.stripe_api_base,
        "EO_DATA_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(variable, value)
    return settings


def test_every_class_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(CLASSES) - {IN_FLIGHT, SOURCE_INCOMPLETE, OWED}


@pytest.mark.slow  # whole commands, several per case
@pytest.mark.parametrize(("name", "plant"), CASES, ids=[plant.__name__.strip("_") for _, plant in CASES])
async def test_after_the_printed_steps_it_is_gone_or_acknowledged(
    engine: AsyncEngine,
    account: UUID,
    shell: Settings,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    plant: Callable[[UUID], Case],
) -> None:
    case = plant(account)
    written = await write(engine, [case.story])
    stripe = Stripe(list(written.intents.values()), list(written.refunds.values()))
    monkeypatch.setattr(stripe_gateway, "StripeGateway", lambda *_: stripe)
    desk = Desk(engine, shell, stripe, case)
    await desk.put_the_rest()
    code, found = await desk.report()
    assert (code, [d["class"] for d in found]) == (1, [name])
    for _ in range(2):  # what one step turned it into has a step of its own
        await _take(desk, found)
        code, found = await desk.report()
        if code == 0:
            break
    assert code == 0, found
    assert all(d["acknowledged"] for d in found)
    assert not (case.heals and found)


async def _take(desk: Desk, found: list[dict[str, Any]]) -> None:
    for discrepancy in found:
        for line in COMMANDS.findall(discrepancy["next_step"]):
            if line != desk.case.not_taken:
                done = await desk.eo(line)
                assert done.exit_code in _expected(line), (line, done.output)
        if desk.case.by_hand is not None:
            await desk.case.by_hand(desk)


def _expected(line: str) -> tuple[int, ...]:
    if line == "eo status":
        return (3,)  # no `eo up` runs here
    if line.startswith("eo reconcile ack"):
        return (0, 2)  # 2: the step before has put it right, and there is nothing left to accept
    return (0, 1)


# --- steps that are printed elsewhere


def _printed() -> dict[str, str]:
    """Every command between backticks in what the code says; tests/meta looks through the pages."""
    found: dict[str, str] = {}
    for path in [*ROOT.glob("service/**/*.py"), *ROOT.glob("workers/**/*.py")]:
        for line in COMMANDS.findall(path.read_text()):
            found.setdefault(line, str(path.relative_to(ROOT)))
    return found


def test_every_command_that_the_code_names_exists_with_its_options() -> None:
    assert [f"{path}: {line}: {why}" for line, path in _printed().items() if (why := _unknown(line))] == []


def _unknown(line: str) -> str | None:
    """What no command of ours has, of a line that may leave arguments out; None: all of it exists."""
    words = [word for word in line.replace("[", "").replace("]", "").split()[1:] if word not in ("…", "...")]
    command: click.Command = cli
    context = click.Context(cli)
    while words and not words[0].startswith("-") and isinstance(command, click.Group):
        below = command.get_command(context, words[0])
        if below is None:
            is_filled_in = words[0].startswith(("{", "<")) or (command is not cli and not words[0].islower())
            return None if is_filled_in else f"no command {words[0]}"
        command = below
        words.pop(0)
    if command.context_settings.get("ignore_unknown_options"):
        return None  # it passes them on
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h"}
    missing = [word for word in words if word.startswith("-") and word.split("=")[0] not in known]
    return f"no option {missing[0]}" if missing else None


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert _unknown("eo orders refund ID") == "no command refund"
    assert _unknown("eo reconcile --mend") == "no option --mend"
    assert _unknown("eo reconcile ack FINGERPRINT --reason TEXT") is None
