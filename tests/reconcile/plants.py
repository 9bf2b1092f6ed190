"""What a test plants in a random day: a story, payments of nobody, and the class that must be found.

A class with "!" is a fact at any age; any other is in flight within the grace.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from service.stripe_gateway.objects import Charge, Intent
from tests.reconcile.refund_stories import fails, give_back, made_refund, marks_of, unsent
from tests.reconcile.world import Story, captured, declined, held, intent, names, paid, success, unknown, waiting

Plant = Callable[[UUID, datetime, int], tuple[Story | None, list[Intent], str | None]]


def _story(story: Story, name: str | None) -> tuple[Story | None, list[Intent], str | None]:
    return story, [], name


def goes_back(story: Story, **how: Any) -> None:
    """The last payment was refunded or disputed at Stripe."""
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, **how))


def _refunded(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    goes_back(story, amount_refunded=amount // 2)
    return _story(story, "money_returned!")


def _disputed(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    goes_back(story, disputed=True)
    return _story(story, "money_returned!")


def _duplicate_refunded(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    success(story, at, duplicate=True)
    goes_back(story, refunded=True)
    return _story(story, "money_returned!")


def good(account: UUID, at: datetime, amount: int) -> Story:
    return paid(account, at, amount, "usd", fee=amount // 30)


def _clean(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    return _story(good(account, at, amount), None)


def _declined(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    return _story(declined(account, at, amount), None)


def _declined_then_paid(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = declined(account, at, amount)
    success(story, at)
    return _story(story, None)


def _planted(_account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    return None, [intent(at, amount)], "missing_locally"


def _unbooked(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    story.entries.clear()
    return _story(story, "missing_locally")


def _gone(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    story.intents.clear()
    return _story(story, "missing_at_stripe!")


def _duplicate(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    success(story, at, duplicate=True)
    return _story(story, "duplicate_charge!")


def _paid_again_past_us(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    story.intents.append(intent(at, amount, metadata=names(story.order)))
    return _story(story, "duplicate_charge!")


def _other_currency(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    story.at_stripe(currency="eur", amount=amount + 1)
    return _story(story, "currency_mismatch!")


def _other_amount(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    story.at_stripe(amount_received=amount - 1)
    return _story(story, "amount_mismatch!")


def _failed_here(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = declined(account, at, amount)
    story.intents[0] = replace(intent(at, amount, metadata=names(story.order)), id=story.intent.id)
    return _story(story, "status_mismatch")


def _not_taken_there(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    story.at_stripe(status="canceled", amount_received=0, latest_charge=None)
    return _story(story, "status_mismatch")


def _lost_reply(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = unknown(account, at, amount)
    story.intents.append(intent(at, amount, metadata=names(story.order)))
    return _story(story, "status_mismatch")


def _never_sent(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    return _story(waiting(account, at, amount), "stale_pending")


def _never_answered(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    return _story(unknown(account, at, amount), "stale_pending")


def _parked(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = unknown(account, at, amount)
    story.parked = "poison"
    return _story(story, "stale_pending!")


def _no_fee(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    story.entries.pop()
    story.charge.txn = None
    return _story(story, "fee_missing")


def _no_fee_there(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = _no_fee(account, at, amount)[0]
    assert story is not None
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, balance_transaction=None))
    return _story(story, "fee_missing")


def _other_fee(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    story.fee_at_stripe(fee=amount // 30 + 1)
    return _story(story, "fee_mismatch!")


def _booked_wrong(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    story.order.amount = story.charge.amount = amount + 1
    story.at_stripe(amount=amount + 1, amount_received=amount + 1)
    return _story(story, "ledger_imbalance!")


def _captured_in_part(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    return _story(captured(account, at, amount, taken=amount // 2), None)


def _held_and_gone(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = held(account, at, amount)
    story.at_stripe(status="canceled")
    return _story(story, "authorization_expired")


def given_back(account: UUID, at: datetime, amount: int) -> Story:
    story = good(account, at, amount)
    give_back(story, at, amount // 2)
    return story


def _known_refund(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    return _story(given_back(account, at, amount), None)


def _refund_past_us(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    made_refund(story, at, amount // 2)
    return _story(story, "refund_missing_locally")


def _refund_unbooked(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = given_back(account, at, amount)
    story.entries.pop()
    return _story(story, "refund_missing_locally")


def _refund_gone(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = given_back(account, at, amount)
    story.refunded.clear()
    goes_back(story, amount_refunded=0)
    return _story(story, "refund_missing_at_stripe!")


def _refund_of_more(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = given_back(account, at, amount)
    story.refund_at_stripe(amount=amount // 2 + 1)
    return _story(story, "refund_amount_mismatch!")


def _refund_not_heard_of(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    row = unsent(story, at, amount // 2, status="processing")
    made_refund(story, at, amount // 2, metadata=marks_of(story.order, row.id))
    return _story(story, "refund_status_mismatch")


def _refund_not_sent(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    unsent(story, at, amount // 2)
    return _story(story, "stale_pending")


def _refund_pending(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    give_back(story, at, amount // 2, status="pending")
    return _story(story, "in_flight!")


def _refund_failed(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    give_back(story, at, amount // 2, status="failed")
    return _story(story, "owed!")


def _refund_failed_later(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    """Made before the window, failed in it."""
    story = good(account, at - timedelta(days=5), amount)
    give_back(story, at - timedelta(days=4), amount // 2)
    fails(story, at)
    return _story(story, "refund_status_mismatch")


def _refund_booked_wrong(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = given_back(account, at, amount)
    story.refund.drawn = 1
    return _story(story, "ledger_imbalance!")


def duplicate_given_back(account: UUID, at: datetime, amount: int) -> Story:
    story = good(account, at, amount)
    success(story, at, duplicate=True, fee=0)
    give_back(story, at, amount)
    return story


def _duplicate_undone(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    return _story(duplicate_given_back(account, at, amount), None)


def _duplicate_half_undone(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    story = good(account, at, amount)
    success(story, at, duplicate=True)
    give_back(story, at, amount // 2)
    return _story(story, "duplicate_charge!")


def _duplicate_not_undone(account: UUID, at: datetime, amount: int) -> tuple[Story | None, list[Intent], str | None]:
    """Its refund failed, and Stripe's payment may still show it as given back."""
    story = good(account, at, amount)
    success(story, at, duplicate=True)
    give_back(story, at, amount, status="failed")
    goes_back(story, amount_refunded=amount, refunded=True)
    return _story(story, "duplicate_charge!")


def _duplicates_refund_unbooked(
    account: UUID, at: datetime, amount: int
) -> tuple[Story | None, list[Intent], str | None]:
    story = duplicate_given_back(account, at, amount)
    story.entries.pop()
    return _story(story, "refund_missing_locally")


PLANTS: list[Plant] = [
    _clean, _declined, _declined_then_paid, _planted, _unbooked, _gone, _duplicate, _paid_again_past_us,
    _other_currency, _other_amount, _failed_here, _not_taken_there, _lost_reply, _never_sent, _never_answered, _parked,
    _no_fee, _no_fee_there, _other_fee, _booked_wrong, _refunded, _disputed, _duplicate_refunded,
    _captured_in_part, _held_and_gone, _known_refund, _refund_past_us, _refund_unbooked, _refund_gone, _refund_of_more,
    _refund_not_heard_of, _refund_not_sent, _refund_pending, _refund_failed, _refund_failed_later,
    _refund_booked_wrong, _duplicate_undone, _duplicate_half_undone, _duplicate_not_undone, _duplicates_refund_unbooked,
]  # fmt: skip
