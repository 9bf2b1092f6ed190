"""Charges, changes and answers made by hand, for tests of what is pure."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from service.changes import OpenChange
from service.charges.model import OpenCharge
from service.effects.model import Outcome, Rules
from service.foundation.settings import Settings
from service.stripe_gateway.marks import Marks
from service.stripe_gateway.objects import Answer, ErrorBody, Intent, LastPaymentError

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
ACCOUNT = UUID("0192e4a0-0000-7000-8000-00000000000a")
ORDER = UUID("0192e4a0-0000-7000-8000-000000000001")
INSTANCE = UUID("0192e4a0-0000-7000-8000-0000000000e0")
MARKS = Marks(
    account_id=ACCOUNT, order_id=ORDER, attempt=1, key="cart:17", fingerprint=b"\x01" + bytes(32), instance=INSTANCE
)
OURS = MARKS.metadata({})
RULES = Rules.of(Settings())
HOUR = timedelta(hours=1)


def charge(**changes: Any) -> OpenCharge:
    """A charge about to be sent for the first time, unless told otherwise."""
    fields: dict[str, Any] = {
        "id": UUID("0192e4a0-0000-7000-8000-0000000000c1"),
        "outbox_id": UUID("0192e4a0-0000-7000-8000-0000000000b1"),
        "account_id": ACCOUNT,
        "order_id": ORDER,
        "attempt": 1,
        "idempotency_key": "cart:17",
        "amount": 1999,
        "currency": "usd",
        "customer": None,
        "request": {"amount": 1999, "currency": "usd"},
        "stripe_version": "v",
        "status": "sending",
        "call": "send",
        "first_send": True,
        "token": UUID("0192e4a0-0000-7000-8000-0000000000a1"),
        "marks": MARKS,
        "life": 1,
        "born_at": NOW - HOUR,
        "opened_at": NOW,
    }
    return OpenCharge(**fields | changes)


def resent(**changes: Any) -> OpenCharge:
    """The same charge, sent before with an answer that nobody saw."""
    sent = NOW - timedelta(minutes=1)
    defaults = {
        "status": "unknown",
        "first_send": False,
        "unclear_answers": 1,
        "first_sent_at": sent,
        "last_sent_at": sent,
    }
    return charge(**defaults | changes)


def change(kind: str = "cancel", *, of: OpenCharge | None = None, **changes: Any) -> OpenChange:
    """A change of a known payment about to be sent for the first time, unless told otherwise."""
    fields: dict[str, Any] = {
        "id": UUID("0192e4a0-0000-7000-8000-0000000000d1"),
        "outbox_id": UUID("0192e4a0-0000-7000-8000-0000000000b2"),
        "account_id": ACCOUNT,
        "order_id": ORDER,
        "kind": kind,
        "charge": of or resent(status="requires_action", payment_intent_id="pi_1", call="retrieve"),
        "amount": 1999 if kind == "capture" else None,
        "wanted_by": "producer",
        "idempotency_key": "eo1:key",
        "request": {},
        "stripe_version": "v",
        "status": "sending",
        "call": "send",
        "first_send": True,
        "token": UUID("0192e4a0-0000-7000-8000-0000000000a2"),
        "life": 1,
        "born_at": NOW,
        "opened_at": NOW,
    }
    return OpenChange(**fields | changes)


def intent(status: str = "succeeded", **changes: Any) -> Intent:
    """The PaymentIntent of `charge`."""
    fields: dict[str, Any] = {
        "id": "pi_1",
        "created": int(NOW.timestamp()),
        "amount": 1999,
        "currency": "usd",
        "status": status,
        "metadata": OURS,
    }
    if status == "succeeded":
        fields |= {"latest_charge": "ch_1", "amount_received": 1999}
    return Intent(**fields | changes)


def ok(status: str = "succeeded", **changes: Any) -> Answer:
    """200 with the PaymentIntent."""
    return Answer(http_status=200, intent=intent(status, **changes), request_id="req_1")


def error(http_status: int, kind: str = "api_error", **fields: Any) -> Answer:
    """An error in Stripe's own words."""
    of_answer = {k: fields.pop(k) for k in ("replayed", "retry_after_s") if k in fields}
    return Answer(http_status=http_status, error=ErrorBody(type=kind, **fields), request_id="req_1", **of_answer)


def decline(*, replayed: bool = False) -> Answer:
    """402, with the PaymentIntent that is dead now."""
    dead = intent("requires_payment_method", last_payment_error=LastPaymentError(code="card_declined"))
    body = ErrorBody(type="card_error", code="card_declined", decline_code="generic_decline", payment_intent=dead)
    return Answer(http_status=402, error=body, intent=dead, request_id="req_1", replayed=replayed)


def nothing(note: str = "TimeoutError", *, sent: bool = True) -> Answer:
    """No answer that can be trusted; `sent=False`: there was not even a connection."""
    return Answer(http_status=None, note=note, nothing_sent=not sent)


def proof_of(charge: OpenCharge, **changes: Any) -> Intent:
    """The PaymentIntent of a success, with ids of this charge's own."""
    own = {"id": f"pi_{charge.id.hex}", "latest_charge": f"ch_{charge.id.hex}", "metadata": charge.marks.metadata({})}
    return intent(**own | changes)


def paid(charge: OpenCharge, **changes: Any) -> Outcome:
    """What that proof makes of the charge."""
    return Outcome(status="succeeded", order_status="paid", intent=proof_of(charge, **changes))
