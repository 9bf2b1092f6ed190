"""A fixed moment, and the one question all these tests ask."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects.model import Rules
from service.foundation.settings import Settings
from service.reconcile import Discrepancy, Span, reconcile
from service.reconcile.compare import Comparison
from tests.charges.conftest import own_stripe, own_world
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import default_account, write
from tests.reconcile.world import Story

__all__ = ["own_stripe", "own_world"]
NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
RULES = Rules.of(Settings())


@dataclass
class Outcome:
    """A report, read to its end."""

    verdict: str
    found: list[Discrepancy]
    comparison: Comparison
    money_at_stake: dict[str, int]

    @property
    def names(self) -> list[str]:
        return [d.name for d in self.found]

    def only(self, name: str) -> Discrepancy:
        """The one discrepancy there is, and it is of this class."""
        assert self.names == [name]
        return self.found[0]


Ask = Callable[..., Awaitable[Outcome]]


@pytest.fixture
async def account(engine: AsyncEngine) -> UUID:
    return await default_account(engine)


@pytest.fixture
def ask(engine: AsyncEngine) -> Ask:
    """Reconcile what Stripe shows with what is on record."""

    async def ask(stripe: FakeStripe, span: Span | None = None, now: datetime = NOW, rules: Rules = RULES) -> Outcome:
        async with reconcile(engine, stripe, span or Span(), grace_s=600, rules=rules, now=now) as report:
            found = [d async for d in report.discrepancies()]
            return Outcome(report.verdict, found, report.comparison, report.money_at_stake)

    return ask


@pytest.fixture
def tell(engine: AsyncEngine, ask: Ask) -> Ask:
    """Put these stories on record, then reconcile them."""

    async def tell(*stories: Story, span: Span | None = None, rules: Rules = RULES) -> Outcome:
        return await ask(await write(engine, list(stories)), span, rules=rules)

    return tell
