"""Disputes of both sides: the SQL judges each as a second implementation does; silence proves nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count, product
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service import disputes
from service.disputes import Seen
from service.foundation.settings import Settings
from service.reconcile import Span
from service.reconcile.healing import Healer
from service.reconcile.run import reconcile
from service.states import DISPUTE_STATUSES
from service.stripe_gateway.disputes import Dispute
from tests.disputes.arguing import dispute, movement
from tests.operators import OPERATOR
from tests.reconcile import world
from tests.reconcile.conftest import NOW, RULES, Ask
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import write
from tests.reconcile.world import HOUR, Story
from tests.web.afterwards import rows

GRACE = timedelta(seconds=600)
OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)
_numbers = count(1)


class Pair(NamedTuple):
    """A dispute of both sides. `followed`: when ours was last changed; `is_ours`: its payment is known here."""

    ours: Dispute | None
    theirs: Dispute | None
    followed: datetime
    is_ours: bool


def judge(pair: Pair, cut_off: datetime) -> str | None:
    """The class of a pair, in plain Python, from docs/reference/discrepancies.md and not from the statement."""
    ours, theirs = pair.ours, pair.theirs
    if theirs is None:
        return "dispute_status_mismatch" if ours is not None else None
    moments = [theirs.created, *(moved.created for moved in theirs.balance_transactions)]
    if ours is None:
        return _young("dispute_missing_locally", moments, cut_off) if pair.is_ours else None
    if (ours.status, ours.amount, ours.currency) == (theirs.status, theirs.amount, theirs.currency):
        return None
    return _young("dispute_status_mismatch", [*moments, pair.followed.timestamp()], cut_off)


def _young(name: str, moments: Sequence[float], cut_off: datetime) -> str:
    return "in_flight" if max(moments) > cut_off.timestamp() else name


async def paid(engine: AsyncEngine, account: UUID) -> tuple[Story, str]:
    """A story with one order that is paid on both sides, and its PaymentIntent."""
    story = world.paid(account, NOW - 5 * HOUR)
    await write(engine, [story])
    return story, story.intent.id


async def put(engine: AsyncEngine, stripe: FakeStripe, *pairs: Pair) -> None:
    """Both sides on record: ours by hand, whatever could have made it so."""
    for pair in pairs:
        if pair.ours is not None:
            await disputes.settle(engine, [Seen.now(pair.ours)])
            await rows(engine, "UPDATE disputes SET updated_at = :at WHERE id = :id",
                       at=pair.followed, id=pair.ours.id)  # fmt: skip
        if pair.theirs is not None:
            stripe.disputes[pair.theirs.id] = pair.theirs


def made(intent: str | None, status: str, at: datetime = OLD, **changes: Any) -> Dispute:
    return dispute(intent, status, created=int(at.timestamp()), **changes)


async def test_the_sql_judges_every_pair_as_the_second_implementation_does(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    """Every state against every state and against none, young and old, with another sum, of ours and of strangers."""
    story, intent = await paid(engine, account)
    pairs, sides = list[Pair](), [None, *DISPUTE_STATUSES]
    for ours, theirs, at, followed in product(sides, sides, (OLD, YOUNG), (OLD, YOUNG)):
        n = next(_numbers)
        of: dict[str, Any] = {"id": f"dp_pair_{n}", "created": int(at.timestamp())}
        shown = None if theirs is None else dispute(intent if ours or n % 3 else "pi_of_another", theirs, **of)
        if shown is not None and n % 7 == 0:
            shown = msgspec.structs.replace(shown, amount=1998)
        if shown is not None and n % 5 == 0:
            shown = msgspec.structs.replace(shown, balance_transactions=[movement(-1, created=int(YOUNG.timestamp()))])
        mine = None if ours is None else dispute(intent, ours, **of)
        pairs.append(Pair(mine, shown, followed, is_ours=bool(ours or n % 3)))
    await put(engine, stripe := FakeStripe(story.intents), *pairs)
    found = (await ask(stripe, Span(NOW - 48 * HOUR, NOW + HOUR))).found
    names = [(side.id, name) for pair in pairs if (side := pair.ours or pair.theirs)
             and (name := judge(pair, NOW - GRACE)) is not None]  # fmt: skip
    assert {d.dispute: d.name for d in found if d.dispute} == dict(names)
    assert {name for _, name in names} == {"dispute_missing_locally", "dispute_status_mismatch", "in_flight"}


async def test_a_discrepancy_tells_the_dispute_what_is_at_stake_and_what_to_do(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story, intent = await paid(engine, account)
    stripe = FakeStripe(story.intents)
    shown = made(intent, "lost", amount=700)
    await put(engine, stripe, Pair(None, shown, OLD, is_ours=True))
    found = (await ask(stripe)).only("dispute_missing_locally")
    assert (found.dispute, found.payment_intent, found.amount, found.currency) == (shown.id, intent, 700, "usd")
    assert (found.order_id, found.ours) == (story.order.id, None)
    assert f"dispute {shown.id}" in found.next_step


async def test_an_old_dispute_that_moved_on_is_found_by_a_run_without_a_window(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story, intent = await paid(engine, account)
    stripe, at = FakeStripe(story.intents), NOW - timedelta(days=60)
    one = made(intent, "needs_response", at)
    await put(engine, stripe, Pair(one, msgspec.structs.replace(one, status="lost"), at, is_ours=True))
    assert (await ask(stripe)).only("dispute_status_mismatch").dispute == one.id
    assert (await ask(stripe, Span(NOW - 48 * HOUR, NOW))).verdict == "clean"
    assert one.id not in stripe.retrieved, "by lists"


async def test_what_is_open_is_examined_again_at_any_age_and_resolved(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story, intent = await paid(engine, account)
    stripe, at = FakeStripe(story.intents), NOW - 40 * HOUR
    shown = made(intent, "won", at)
    await put(engine, stripe, Pair(None, shown, OLD, is_ours=True))
    first = (await ask(stripe)).only("dispute_missing_locally")
    later = NOW + timedelta(days=60)
    again = (await ask(stripe, now=later)).only("dispute_missing_locally")
    assert (again.fingerprint, again.first_seen) == (first.fingerprint, NOW)
    await put(engine, stripe, Pair(shown, shown, at, is_ours=True))
    assert (await ask(stripe, now=later)).verdict == "clean"


async def test_a_listing_that_hides_one_is_not_believed(engine: AsyncEngine, ask: Ask, account: UUID) -> None:
    story, intent = await paid(engine, account)
    stripe, one = FakeStripe(story.intents), made(intent, "won")
    await put(engine, stripe, Pair(one, one, OLD, is_ours=True))
    stripe.hidden_disputes.add(one.id)
    outcome = await ask(stripe)
    assert (outcome.verdict, outcome.names) == ("incomplete", ["source_incomplete"])


async def test_a_word_that_we_do_not_know_is_listed_until_a_version_knows_it(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story, intent = await paid(engine, account)
    stripe, one = FakeStripe(story.intents), made(intent, "arbitration")
    await put(engine, stripe, Pair(one, one, OLD, is_ours=True))
    found = (await ask(stripe)).only("dispute_status_mismatch")
    assert found.stripe is not None
    assert found.ours is not None
    assert (found.ours["status"], found.stripe["status"]) == ("needs_response", "arbitration")


def disputed(story: Story) -> None:
    """Stripe calls the charge of the story's one payment disputed."""
    (intent,) = story.intents
    charge = msgspec.structs.replace(intent.latest_charge, disputed=True)  # type: ignore[type-var]
    story.intents[0] = msgspec.structs.replace(intent, latest_charge=charge)


async def test_a_disputed_charge_is_explained_by_its_dispute_of_either_side(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story, intent = await paid(engine, account)
    disputed(story)
    stripe, shown = FakeStripe(story.intents), made(intent, "won")
    assert (await ask(stripe)).names == ["money_returned"]
    stripe.disputes[shown.id] = shown
    assert (await ask(stripe)).names == ["dispute_missing_locally"]
    await put(engine, stripe, Pair(shown, shown, OLD, is_ours=True))
    assert (await ask(stripe)).verdict == "clean"
    stripe.disputes_away = True
    assert (await ask(stripe)).names == ["source_incomplete"]


async def test_where_disputes_could_not_be_read_a_disputed_charge_says_nothing(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story, _ = await paid(engine, account)
    disputed(story)
    stripe = FakeStripe(story.intents)
    stripe.disputes_away = True
    assert (await ask(stripe)).names == ["source_incomplete"]


async def test_healing_stores_and_follows_what_stripe_shows(
    engine: AsyncEngine, account: UUID, settings: Settings
) -> None:
    story, intent = await paid(engine, account)
    stripe = FakeStripe(story.intents)
    missing, moved = made(intent, "lost"), made(intent, "needs_response")
    unknown = made(intent, "arbitration")
    await put(engine, stripe, Pair(None, missing, OLD, is_ours=True), Pair(None, unknown, OLD, is_ours=True))
    await put(engine, stripe, Pair(moved, msgspec.structs.replace(moved, status="won"), OLD, is_ours=True))
    for dry_run, states in ((True, {moved.id: "needs_response"}), (False, {moved.id: "won", missing.id: "lost"})):
        said = list[str]()
        async with reconcile(engine, stripe, Span(), grace_s=600, rules=RULES, now=NOW) as report:
            healer = Healer(engine, stripe, settings, said.append)  # type: ignore[arg-type]
            await (healer.preview(report) if dry_run else healer.heal(report, who=OPERATOR))
        assert {row["id"]: row["status"] for row in await rows(engine, "SELECT * FROM disputes")} == states
        assert any(f"dispute {unknown.id} of" in words and "none that this version knows" in words for words in said)
        assert said[-1].endswith(
            "2 put right, 1 left for a human" if not dry_run else "2 could be put right, 1 left for a human"
        )
