"""Payouts of both sides: the SQL judges each as a second implementation does, and nothing is concluded from silence."""

from datetime import datetime, timedelta
from itertools import count, product
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from service import payouts
from service.foundation.postgres.sql import begin
from service.ledger import JournalEntry, Money, payout_arrived_entry, payout_returned_entry, post
from service.reconcile import Span
from service.states import PAYOUT_STATUSES
from service.stripe_gateway.payouts import Payout
from tests.payouts.bodies import DAY, payout
from tests.payouts.conftest import stored
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import default_account
from tests.reconcile.world import HOUR
from tests.web.afterwards import rows

GRACE = timedelta(seconds=600)
OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)


class Pair(NamedTuple):
    """A payout of both sides. `followed`: when ours was last changed; `booked`: what of it is on the books."""

    ours: Payout | None
    theirs: Payout | None
    followed: datetime
    booked: tuple[str, ...]


def judge(pair: Pair, cut_off: datetime) -> str | None:
    """The class of a pair, in plain Python, from docs/reference/discrepancies.md and not from the statement."""
    ours, theirs = pair.ours, pair.theirs
    if ours is None or theirs is None:
        missing = None if ours is None else "payout_status_mismatch"
        return missing if theirs is None else _young("payout_missing_locally", [theirs.created], cut_off)
    moments = [theirs.created, pair.followed.timestamp()]
    back = theirs.failure_balance_transaction
    if back is not None and not isinstance(back, str):
        moments.append(back.created)
    if (ours.status, ours.amount, ours.currency) != (theirs.status, theirs.amount, theirs.currency):
        if ours.status in ("pending", "in_transit") and theirs.status not in ("failed", "canceled"):
            moments.append(theirs.arrival_date)
        return _young("payout_status_mismatch", moments, cut_off)
    is_at_the_bank, is_back = "arrived" in pair.booked, "returned" in pair.booked
    lacks = not is_at_the_bank if ours.status == "paid" else is_at_the_bank and not is_back and back is not None
    return _young("payout_missing_locally", moments, cut_off) if lacks else None


def _young(name: str, moments: list[float], cut_off: datetime) -> str:
    return "in_flight" if max(moments) > cut_off.timestamp() else name


async def put(engine: AsyncEngine, *pairs: Pair) -> FakeStripe:
    """Both sides on record: ours by hand, whatever could have made it so."""
    account = await default_account(engine)
    for pair in pairs:
        if pair.ours is None:
            continue
        await payouts.settle(engine, [_as(pair.ours, "pending")])
        await rows(
            engine, "UPDATE payouts SET status = :status, updated_at = :at WHERE id = :id",
            status=pair.ours.status, at=pair.followed, id=pair.ours.id,
        )  # fmt: skip
        makes = {"arrived": payout_arrived_entry, "returned": payout_returned_entry}
        paid = Money(pair.ours.amount, pair.ours.currency)
        entries: list[JournalEntry] = [
            makes[name](account_id=account, payout_id=pair.ours.id, paid=paid, occurred_at=OLD) for name in pair.booked
        ]
        async with begin(engine) as tx:
            await post(tx, entries)
    stripe = FakeStripe([])
    stripe.payouts = {pair.theirs.id: pair.theirs for pair in pairs if pair.theirs is not None}
    return stripe


def _as(shown: Payout, status: str) -> Payout:
    return payout(
        status, id=shown.id, created=shown.created, arrival_date=shown.arrival_date, amount=shown.amount
    )  # fmt: skip


async def test_the_sql_judges_every_pair_as_the_second_implementation_does(engine: AsyncEngine, ask: Ask) -> None:
    """Every status against every status and against none, young and old, booked and not, with another sum."""
    numbers, pairs = count(), list[Pair]()
    sides = [None, *PAYOUT_STATUSES]
    for ours, theirs, made, followed, booked in product(
        sides, sides, (OLD, YOUNG), (OLD, YOUNG), ((), ("arrived",), ("arrived", "returned"))
    ):
        of: dict[str, Any] = {"id": f"po_{next(numbers)}", "created": int(made.timestamp())}
        of["arrival_date"] = of["created"] + (0 if followed is OLD else 30)
        mine = payout(ours, **of) if ours else None
        other = {"amount": 1412} if next(numbers) % 7 == 0 else {}
        back = {"created": int(made.timestamp()) - 5 * DAY}  # so that what brought the money back is of that moment
        shown = payout(theirs, **of, **other) if theirs else None
        if theirs in ("failed", "canceled"):
            failure = payout(theirs, **{**of, **other, **back}).failure_balance_transaction
            shown = payout(theirs, **of, **other, failure_balance_transaction=_body(failure))
        pairs.append(Pair(mine, shown, followed, booked))
    stripe = await put(engine, *pairs)
    found = (await ask(stripe, Span(NOW - 48 * HOUR, NOW + HOUR))).found
    by_oracle = {_id(pair): name for pair in pairs if _id(pair) and (name := judge(pair, NOW - GRACE)) is not None}
    assert {d.payout: d.name for d in found} == by_oracle
    assert {*by_oracle.values()} == {"payout_missing_locally", "payout_status_mismatch", "in_flight"}


def _body(movement: Any) -> dict[str, Any]:
    return {name: getattr(movement, name) for name in movement.__struct_fields__}


def _id(pair: Pair) -> str:
    side = pair.ours or pair.theirs
    return side.id if side else ""


def made(status: str, at: datetime = OLD, **changes: Any) -> Payout:
    """A payout of that moment, which arrives at once."""
    return payout(status, created=int(at.timestamp()), arrival_date=int(at.timestamp()), **changes)


async def test_one_that_agrees_is_clean(engine: AsyncEngine, ask: Ask) -> None:
    stripe = await put(engine, Pair(made("paid"), made("paid"), OLD, ("arrived",)))
    assert (await ask(stripe)).verdict == "clean"


async def test_a_discrepancy_tells_the_payout_what_is_at_stake_and_what_to_do(engine: AsyncEngine, ask: Ask) -> None:
    stripe = await put(engine, Pair(None, made("paid", amount=-1411), OLD, ()))
    found = (await ask(stripe)).only("payout_missing_locally")
    assert (found.payout, found.amount, found.currency, found.order_id) == ("po_1", 1411, "usd", None)
    assert "payout po_1" in found.next_step
    assert found.ours is None
    assert found.stripe is not None
    assert found.stripe["status"] == "paid"


async def test_one_that_failed_long_after_its_window_is_found(engine: AsyncEngine, ask: Ask) -> None:
    """Only a run without a window looks at what is older, and may still change."""
    at = NOW - timedelta(days=6)
    stripe = await put(engine, Pair(made("paid", at), made("failed", at), at, ("arrived",)))
    assert (await ask(stripe)).only("payout_status_mismatch").payout == "po_1"
    assert (await ask(stripe, Span(NOW - 48 * HOUR, NOW))).verdict == "clean"
    long_ago = NOW - timedelta(days=40)
    stripe = await put(engine, Pair(made("paid", long_ago, id="po_2"), None, long_ago, ("arrived",)))
    stripe.payouts["po_1"] = made("failed", at)
    assert {d.payout for d in (await ask(stripe)).found} == {"po_1"}


async def test_what_is_open_is_examined_again_at_any_age_and_resolved(engine: AsyncEngine, ask: Ask) -> None:
    at = NOW - 40 * HOUR
    stripe = await put(engine, Pair(None, made("paid", at), at, ()))
    first = (await ask(stripe)).only("payout_missing_locally")
    later = NOW + timedelta(days=60)
    again = (await ask(stripe, now=later)).only("payout_missing_locally")
    assert (again.fingerprint, again.first_seen) == (first.fingerprint, NOW)
    await payouts.settle(engine, [*stripe.payouts.values()])
    await rows(engine, "UPDATE payouts SET updated_at = :at", at=at)
    assert (await ask(stripe, now=later)).verdict == "clean"
    assert (await rows(engine, "SELECT resolved_at IS NOT NULL AS gone FROM discrepancies"))[0]["gone"]


async def test_a_listing_that_hides_one_is_not_believed(engine: AsyncEngine, ask: Ask) -> None:
    stripe = await put(engine, Pair(made("paid"), made("paid"), OLD, ("arrived",)))
    stripe.hidden_payouts.add("po_1")
    outcome = await ask(stripe)
    assert (outcome.verdict, outcome.names) == ("incomplete", ["source_incomplete"])


async def test_what_cannot_be_read_is_no_discrepancy(engine: AsyncEngine, ask: Ask) -> None:
    stripe = await put(engine, Pair(made("paid"), None, OLD, ("arrived",)))
    stripe.unreadable.add("po_1")
    assert (await ask(stripe)).names == ["source_incomplete"]
    stripe = FakeStripe([])
    stripe.payouts = {"po_2": made("teleported", id="po_2")}
    outcome = await ask(stripe, Span(NOW - 2 * HOUR, NOW))
    assert outcome.names == []
    outcome = await ask(stripe, Span(NOW - 4 * HOUR, NOW))
    (found,) = (d for d in outcome.found if d.name == "source_incomplete")
    assert "po_2 cannot be compared: its status teleported is none that we know" in str(found.stripe)
    assert (await stored(engine))["status"] == "paid"
