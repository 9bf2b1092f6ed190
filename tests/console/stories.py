"""Well-known stories of orders, as their timelines have them; `python -m tests.console.stories` draws them anew."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from service.console.story import Subject, draw, scenes_of, summary, text_of

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]
OF_THE_DOCS = ROOT / "docs/howto/a-killed-worker.svg"
SHEET = ROOT / "service/console/static/sequence.css"
STYLE = '<?xml-stylesheet type="text/css" href="../../../service/console/static/sequence.css"?>\n'
BEGAN = datetime(2026, 11, 28, 20, 16, 35, 120_000, tzinfo=UTC)
ORDER = "01a21ea7-0000-7a13-8cf2-5d0b8dfb4d00"
ABOUT = Subject(ORDER, "cart-17", "19.99 usd", "usd")
CHARGE = {"charge": "01a21ea7-1111-7a13-8cf2-5d0b8dfb4d01", "attempt": 1}
AGAIN = {"charge": "01a21ea7-2222-7a13-8cf2-5d0b8dfb4d02", "attempt": 2}
CANCEL = {"change": "01a21ea7-3333-7a13-8cf2-5d0b8dfb4d03", "kind": "cancel", "wanted_by": "pay"}
REFUND = {"refund": "01a21ea7-4444-7a13-8cf2-5d0b8dfb4d04"}
INTENT, STRIPE_CHARGE = "pi_3FYqn0SzA2d8d94310", "ch_3FYqn0SzA2d8d9431baccb174"

Events = list[dict[str, Any]]


def at(seconds: float, event: str, **about: Any) -> dict[str, Any]:
    """An event of a timeline, so long after the order was accepted."""
    return {"at": BEGAN + timedelta(seconds=seconds), "event": event, **about}


def sent(seconds: float, of: Mapping[str, Any], call: str = "send", worker: str = "4242") -> dict[str, Any]:
    """A worker calls Stripe for the charge."""
    return at(seconds, "charge.called", **of, call=call, worker=worker)


def paid(seconds: float, of: Mapping[str, Any], request: str = "req_FYqn1STJaf9106", **answer: Any) -> Events:
    """Stripe's success, and what is booked of it."""
    ids = {"payment_intent": INTENT, "stripe_charge": STRIPE_CHARGE}
    said = {"answer": "200 succeeded", "request_id": request, "ms": 184}
    return [
        at(seconds, "charge.answered", **of, **said, **answer, **ids),
        at(seconds, "ledger.booked", kind="charge", reference=f"charge:{STRIPE_CHARGE}", occurred_at=BEGAN),
        at(seconds, "order.paid"),
    ]


def plain() -> Events:
    """An order that is paid by the first call."""
    return [
        at(0, "order.accepted"),
        at(0.021, "charge.opened", **CHARGE),
        sent(0.021, CHARGE),
        *paid(0.214, CHARGE),
        at(0.9, "stripe.told", type="payment_intent.succeeded", stripe_event="evt_1", source="webhook", received=1),
        at(1.1, "notice.sent", type="order.paid", tries=1, webhook_id="msg_1", endpoint="e", notice="n"),
        at(20.4, "ledger.booked", kind="fee", reference="fee:txn_3FYqn0SzA2d8d94", occurred_at=BEGAN),
    ]


def repeated() -> Events:
    """Its producer repeats the POST, and the broker delivers twice."""
    first, *rest = plain()
    return [
        first,
        at(0.006, "duplicate.absorbed", guard="idempotency_key", process="api 4200"),
        *rest[:2],
        at(0.05, "duplicate.absorbed", guard="delivery", process="worker 4243"),
        *rest[2:],
    ]


def killed() -> Events:
    """Its worker dies between Stripe's charge and the settling."""
    return [
        at(0, "order.accepted"),
        at(0.021, "charge.opened", **CHARGE),
        sent(0.021, CHARGE),
        sent(8.1, CHARGE, worker="4250"),
        *paid(8.284, CHARGE, replayed=True),
    ]


def declined() -> Events:
    """Declined, and paid with another card."""
    return [
        at(0, "order.accepted"),
        at(0.021, "charge.opened", **CHARGE),
        sent(0.021, CHARGE),
        at(0.3, "charge.answered", **CHARGE, answer="402 card_declined", request_id="req_1", payment_intent="pi_1"),
        at(60, "operation.asked", operation="pay"),
        at(60, "change.promised", **CANCEL),
        at(60.1, "change.called", **CANCEL, call="send", worker="4242"),
        at(60.3, "change.answered", **CANCEL, answer="200 canceled", request_id="req_2"),
        at(60.3, "change.ended", **CANCEL, status="done"),
        at(60.4, "charge.opened", **AGAIN),
        sent(60.4, AGAIN),
        *paid(60.6, AGAIN, "req_3"),
    ]


def refunded() -> Events:
    """A part of it is given back; the first answer to that is lost."""
    return [
        *plain()[:6],
        at(4000, "operation.asked", operation="refund"),
        at(4000, "refund.promised", **REFUND, amount=500),
        at(4000.1, "refund.called", **REFUND, call="send", worker="4242"),
        at(4010.1, "refund.answered", **REFUND, answer="TimeoutError", request_id=None),
        at(4012, "refund.called", **REFUND, call="send", worker="4242"),
        at(4012.2, "refund.answered", **REFUND, answer="200 succeeded", replayed=True, request_id="req_8"),
        at(4012.2, "refund.ended", **REFUND, status="succeeded", stripe_refund="re_1", balance_transaction="txn_9"),
        at(4012.2, "ledger.booked", kind="refund_pending", reference="refund_pending:re_1", occurred_at=BEGAN),
        at(4012.2, "ledger.booked", kind="refund", reference="refund:re_1", occurred_at=BEGAN),
    ]


def disputed() -> Events:
    """Its customer's bank disputes it, and the producer wins."""
    about = {"dispute": "du_1", "amount": 1999, "reason": "fraudulent"}
    warning = {"fraud_warning": "issfr_1", "fraud_type": "made_with_stolen_card", "actionable": True}
    return [
        *plain()[:6],
        at(900_000, "fraud_warning.told", **warning),
        at(990_000, "dispute.told", **about, status="needs_response"),
        at(990_001, "stripe.told", type="charge.dispute.created", stripe_event="evt_7", source="webhook", received=3),
        at(990_002, "ledger.booked", kind="dispute_withdrawn", reference="dispute_withdrawn:txn_1", occurred_at=BEGAN),
        at(1_990_000, "dispute.told", **about, status="won"),
        at(1_990_002, "ledger.booked", kind="dispute_reinstated", reference="dispute_reinstated:t", occurred_at=BEGAN),
        at(1_990_009, "notice.parked", type="dispute.won", tries=18, webhook_id="msg_9", answer="503", endpoint="e"),
    ]


def parked() -> Events:
    """Stripe's lists cannot be read for a day; a human takes over."""
    waits = {
        "waits_for": "It is parked for a human: Stripe's lists could not be read for a day.",
        "next_step": "`eo outbox retry` once Stripe lists again.",
    }
    about = {"kind": "charge", "deliveries": 14}
    looks = [
        event
        for number in range(13)
        for event in (
            sent(1 + 7000 * number, CHARGE, "lookup"),
            at(3 + 7000 * number, "charge.answered", **CHARGE, answer="0 found, inconclusive listing", request_id=None),
        )
    ]
    return [
        at(0, "order.accepted"),
        at(0, "outbox.promised", **about),
        at(0.021, "charge.opened", **CHARGE),
        sent(0.021, CHARGE),
        at(0.5, "charge.answered", **CHARGE, answer="500 not Stripe's", request_id=None),
        *looks,
        at(90_000, "outbox.parked", **about, reason="look-ups: none was conclusive for a day", **waits),
        at(90_600, "operator.acted", actor="alice", via="console", action="outbox.retry", reason="Stripe lists again"),
    ]


STORIES = {story.__name__: story for story in (plain, repeated, killed, declined, refunded, disputed, parked)}


def pictured(name: str) -> str:
    """The picture of a story, as a file that a browser shows."""
    scenes = scenes_of(ABOUT, STORIES[name]())
    return STYLE + draw(scenes, title=f"Order {ORDER}", description=summary(scenes)) + "\n"


def of_the_docs() -> str:
    """The picture of the killed worker, with its colours in it: a page of documentation brings no style sheet."""
    head, line, rest = pictured("killed").removeprefix(STYLE).partition("\n")
    return f"{head}\n<style>\n{SHEET.read_text()}</style>{line}{rest}"


def told(name: str) -> str:
    """The text of a story."""
    return text_of(ABOUT, scenes_of(ABOUT, STORIES[name]()))


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for story in STORIES:
        (GOLDEN / f"{story}.svg").write_text(pictured(story))
        (GOLDEN / f"{story}.txt").write_text(told(story))
    OF_THE_DOCS.write_text(of_the_docs())
