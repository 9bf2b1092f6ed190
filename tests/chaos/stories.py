"""What producers ask for, by the number of the order: its body, and what they do with it after it was accepted.

Amounts differ, so that a mix-up cannot hide. A story is told act by act: when the order has come to one of the states
of an act, its steps are asked for at the same moment. What is not possible then is refused (409), which ends nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from service.foundation.money import CURRENCIES

Operation = Literal["capture", "cancel", "pay", "refund", "past us"]

CODES = ("usd", "eur", "jpy", "kwd")
CARD, DECLINED = "pm_card_visa", "pm_card_chargeDeclined"
# Never a good one: the order stays failed, or asks its customer.
BAD = frozenset({DECLINED, "pm_card_chargeDeclinedInsufficientFunds"})
ASKS = "pm_card_threeDSecure2Required"
FAILS_LATER, ENDS_LATER, ASKS_WHERE = "pm_card_refundFail", "pm_card_pendingRefund", "pm_sandbox_refundAsks"
AT_ONCE, WARNED = "pm_card_bypassPending", "pm_card_createIssuerFraudRecord"
ANY = frozenset({"pending", "processing", "requires_action", "authorized", "paid", "failed", "canceled"})
STORY = "story-"  # how the keys begin


@dataclass(frozen=True, slots=True)
class Step:
    """One request about an order.

    tail: what tells its key from the order's own. share: of the order's amount. card: of a further attempt.
    """

    operation: Operation
    tail: str = ""
    share: float | None = None
    card: str = ""

    def body(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent about this order."""
        if self.card:
            return {"payment_method": self.card}
        if self.share is None:
            return {}
        step = CURRENCIES[order["currency"]].step
        return {"amount": int(order["amount"] * self.share) // step * step}


@dataclass(frozen=True, slots=True)
class Act:
    """Steps at the same moment, once the order is in one of the states `when`."""

    when: frozenset[str]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """ends: in which state its order may be once nothing is on its way, wherever the story broke off."""

    name: str
    ends: frozenset[str]
    acts: tuple[Act, ...] = ()
    card: str = CARD
    capture: str = "automatic"


def act(when: str, *steps: Step) -> Act:
    """An act."""
    return Act(frozenset(when.split()), steps)


PLAIN = Story("plain", frozenset({"paid"}))
CAPTURED = Story(
    "captured in part, given back",
    frozenset({"authorized", "paid"}),
    (
        act("authorized", Step("capture", share=0.7)),
        act("paid", Step("refund"), Step("refund", ":more", share=0.1)),
    ),
    capture="manual",
)
LET_GO = Story("let go", frozenset({"authorized", "canceled"}), (act("authorized", Step("cancel")),), capture="manual")
REFUNDED = Story(
    "refunded twice alike, then the rest",
    frozenset({"paid"}),
    (
        act("paid", Step("refund", ":1", share=0.3), Step("refund", ":2", share=0.3)),
        act("paid", Step("refund", ":3")),
        act("paid", Step("refund", ":4", share=0.1)),
    ),
)
PAID_AGAIN = Story(
    "paid again, refunded",
    frozenset({"failed", "paid"}),
    (act("failed", Step("pay", card=CARD)), act("paid", Step("refund", share=0.5))),
    card=DECLINED,
)
STORIES = (
    PLAIN,
    CAPTURED,
    REFUNDED,
    PAID_AGAIN,
    Story("declined", frozenset({"failed"}), card=DECLINED),
    LET_GO,
    PLAIN,
    Story("captured", frozenset({"authorized", "paid"}), (act("authorized", Step("capture")),), capture="manual"),
    Story(
        "refunded too much at once",
        frozenset({"paid"}),
        (act("paid", Step("refund", ":1", share=0.6), Step("refund", ":2", share=0.6), Step("refund", ":3")),),
    ),
    Story("kept", frozenset({"authorized"}), capture="manual"),
    PLAIN,
    Story(
        "captured or let go",
        frozenset({"authorized", "paid", "canceled"}),
        (act("authorized", Step("capture"), Step("cancel")),),
        capture="manual",
    ),
    Story("refunded slowly", frozenset({"paid"}), (act("paid", Step("refund", share=0.5)),), card=ENDS_LATER),
    Story("canceled at once", frozenset({"paid", "canceled"}), (Act(ANY, (Step("cancel"),)),)),
    PLAIN,
    Story(
        "declined twice, then held and captured",
        frozenset({"failed", "authorized", "paid"}),
        (
            act("failed", Step("pay", ":1", card="pm_card_chargeDeclinedInsufficientFunds")),
            act("failed", Step("pay", ":2", card=CARD)),
            act("authorized", Step("capture", share=0.9)),
        ),
        card=DECLINED,
        capture="manual",
    ),
    Story(
        "given back, and it comes back",
        frozenset({"paid"}),
        (act("paid", Step("refund", ":1", share=0.4)), act("paid", Step("refund", ":2", share=0.2))),
        card=FAILS_LATER,
    ),
    Story("not finished", frozenset({"requires_action", "canceled"}), card=ASKS),
    Story(
        "refunded past us",
        frozenset({"paid"}),
        (
            act("paid", Step("past us", ":0", share=0.3)),
            act("paid", Step("refund", share=0.8)),
        ),
    ),
    Story(
        "not finished, and canceled",
        frozenset({"requires_action", "canceled"}),
        (act("requires_action", Step("cancel")),),
        card=ASKS,
    ),
    Story("asked where to", frozenset({"paid"}), (act("paid", Step("refund", share=0.5)),), card=ASKS_WHERE),
    Story("disputed", frozenset({"paid"}), (act("paid", Step("refund", share=0.5)),), card="pm_card_createDispute"),
    Story("paid out at once", frozenset({"paid"}), card=AT_ONCE),
    Story(
        "asked about by its bank",
        frozenset({"paid"}),
        (act("paid", Step("refund", share=0.4)),),
        card="pm_card_createDisputeInquiry",
    ),
    Story("suspected, given back", frozenset({"paid"}), (act("paid", Step("refund")),), card=WARNED),
    Story("paid out at once, given back", frozenset({"paid"}), (act("paid", Step("refund")),), card=AT_ONCE),
)


def money(number: int) -> dict[str, Any]:
    """Amount and currency of the order with this number."""
    return {"amount": 1_000 + 10 * number, "currency": CODES[number % len(CODES)]}


def wanted(number: int) -> dict[str, Any]:
    """The order with this number where no story is told; one in twelve is declined."""
    return {**money(number), "payment_method": DECLINED if number % 12 == 7 else CARD}


def story_of(number: int) -> Story:
    """The story of the order with this number."""
    return STORIES[number % len(STORIES)]


def numbers_of(story: Story) -> Iterator[int]:
    """The numbers of the orders that have this story."""
    place, number = STORIES.index(story), 0
    while True:
        yield number * len(STORIES) + place
        number += 1


def opening(number: int) -> dict[str, Any]:
    """The order with which the story of this number begins."""
    story = story_of(number)
    more = {"capture": story.capture} if story.capture == "manual" else {}
    return {**money(number), "payment_method": story.card, **more}


def number_of(key: str) -> int:
    """The number in the key of an order or of something asked about it."""
    return int(key.partition("-")[2].partition(":")[0])


def has_story(key: str) -> bool:
    """Whether the order of this key has a story."""
    return key.startswith(STORY)
