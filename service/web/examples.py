"""The examples of the OpenAPI document: the orders of the README, as the API answers them. A test validates each."""

from base64 import b64encode

from service.ledger import charge_reference
from service.ledger.journal import CHARGE
from service.web.operation import Json
from service.web.problem_types import PROBLEM_TYPES

ORDER_REQUEST: Json = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}
_DECLINING: Json = {"amount": 5000, "currency": "eur", "payment_method": "pm_card_chargeDeclined"}

_ID, _DECLINED_ID = "01a20d16-a83d-75cf-be9d-3e527628b417", "01a20d16-a9d6-7732-aab0-163fc25e9e84"
_INTENT, _CHARGE, _ACCOUNT = "pi_3FYgyPPUza435614c2fd97cb", "ch_3FYgyPPUza43560b6e7d21c4", "assets:stripe:balance"
_PLACED_AT, _PAID_AT = "2026-11-24T09:00:00.120512Z", "2026-11-24T09:00:00.131874Z"

PENDING: Json = {
    "id": _ID,
    "status": "pending",
    **ORDER_REQUEST,
    "customer": None,
    "description": None,
    "metadata": {},
    "idempotency_key": "cart-17",
    "capture": "automatic",
    "amount_captured": 0,
    "amount_refunded": 0,
    "amount_disputed": 0,
    "payment_intent": None,
    "failure": None,
    "created_at": _PLACED_AT,
    "updated_at": _PLACED_AT,
}
PAID: Json = {
    **PENDING,
    "status": "paid",
    "amount_captured": 1999,
    "payment_intent": _INTENT,
    "updated_at": _PAID_AT,
}
AUTHORIZED: Json = {**PAID, "status": "authorized", "capture": "manual", "amount_captured": 0}
CAPTURED: Json = {**AUTHORIZED, "status": "paid", "amount_captured": 1500}
CANCELED: Json = {**PENDING, "status": "canceled", "updated_at": _PAID_AT}
FAILED: Json = {
    **PENDING,
    **_DECLINING,
    "id": _DECLINED_ID,
    "status": "failed",
    "idempotency_key": "cart-18",
    "payment_intent": "pi_3FYgxiSLY2b4961e7aab4020",
    "updated_at": _PAID_AT,
    "failure": {"code": "card_declined", "decline_code": "generic_decline", "message": "Your card was declined."},
}
PAID_AGAIN: Json = {**FAILED, "status": "processing", "payment_method": "pm_card_mastercard", "failure": None}
ACTION: Json = {
    "type": "use_stripe_sdk",
    "client_secret": f"{_INTENT}_secret_5b7d1e9a3c2f4a",
    "redirect_url": None,
}
REFUND_REQUEST: Json = {"amount": 500, "reason": "requested_by_customer", "metadata": {"return": "4"}}
REFUND_PENDING: Json = {
    "id": "01a20d17-0f3e-7a52-9c1d-6b1d9a54e7f0",
    "order_id": _ID,
    "status": "pending",
    "currency": "usd",
    **REFUND_REQUEST,
    "idempotency_key": "return-4",
    "stripe_refund": None,
    "failure": None,
    "created_at": _PAID_AT,
    "updated_at": _PAID_AT,
}
REFUND: Json = {**REFUND_PENDING, "status": "succeeded", "stripe_refund": "re_3FYgyPPUza4356c81d0fbb27"}
REFUNDS: Json = {"data": [REFUND], "next_cursor": None}
ENDPOINT_REQUEST: Json = {"url": "https://shop.example/notices", "events": ["order.paid", "order.failed"]}
ENDPOINT: Json = {
    "id": "01a20d18-44c1-7e0b-8f5a-2d9b6c1e7a30",
    **ENDPOINT_REQUEST,
    "status": "enabled",
    "secret": None,
    "created_at": _PLACED_AT,
}
ENDPOINT_MADE: Json = {**ENDPOINT, "secret": f"whsec_{b64encode(b'an example, and no secret of us!').decode()}"}
ENDPOINTS: Json = {"data": [ENDPOINT], "next_cursor": None}
DISPUTE: Json = {
    "id": "dp_3FYgyPPUza4356c0a9d41e77",
    "order_id": _ID,
    "status": "needs_response",
    "reason": "fraudulent",
    "amount": 1999,
    "currency": "usd",
    "payment_intent": _INTENT,
    "evidence_due_by": "2026-12-08T23:59:59Z",
    "is_charge_refundable": False,
    "created_at": "2026-11-29T10:12:44Z",
    "updated_at": "2026-11-29T10:12:51.402117Z",
}
DISPUTE_LOST: Json = {**DISPUTE, "status": "lost", "updated_at": "2027-01-20T08:00:03.118270Z"}
DISPUTES: Json = {"data": [DISPUTE], "next_cursor": None}
_PAYOUT = "po_3FZ0hGPUza4356c1a7702b5e"
PAYOUT: Json = {
    "id": _PAYOUT,
    "status": "paid",
    "amount": 1411,
    "currency": "usd",
    "arrival_date": "2026-11-27",
    "trace_id": "021000021234567",
    "failure": None,
    "created_at": "2026-11-25T00:05:00Z",
}
PAYOUT_FAILED: Json = {
    **PAYOUT,
    "status": "failed",
    "trace_id": None,
    "failure": {"code": "account_closed", "message": "The bank account has been closed."},
}
PAYOUTS: Json = {"data": [PAYOUT], "next_cursor": None}
PAYOUT_ENTRIES: Json = {
    "data": [
        {
            "order_id": _ID,
            "kind": "refund",
            "amount": -500,
            "fee": 0,
            "net": -500,
            "currency": "usd",
            "balance_transaction": "txn_3FYgyPPUza43560f9b1e6d27",
        },
        {
            "order_id": _ID,
            "kind": "charge",
            "amount": 1999,
            "fee": 88,
            "net": 1911,
            "currency": "usd",
            "balance_transaction": "txn_3FYgyPPUza435603c5d8a1f4",
        },
    ],
    "next_cursor": None,
}
BATCH_REQUEST: Json = {
    "orders": [
        {"idempotency_key": "cart-17", **ORDER_REQUEST, "metadata": {"cart": "17"}},
        {"idempotency_key": "cart-18", **ORDER_REQUEST},
    ]
}


def problem(code: str) -> Json:
    """The answer of the type of problem that ends with `code`."""
    row = PROBLEM_TYPES[code]
    return {
        "type": row.uri,
        "title": row.title,
        "status": row.status,
        "detail": row.meaning,
        "request_id": "req_01a20d16a83d75cfbe9d3e527628b417",
    }


BATCH_ANSWER: Json = {
    "results": [
        {"status": 201, "order": {**PENDING, "metadata": {"cart": "17"}}},
        {"status": 422, "problem": problem("idempotency-key-reused")},
    ]
}
PAGE: Json = {"data": [FAILED, PAID], "next_cursor": "AaINFqg9dc--nT5SdiW0Fw"}
TIMELINE: Json = {
    "data": [
        {"at": _PLACED_AT, "event": "order.accepted"},
        {
            "at": _PLACED_AT,
            "event": "charge.called",
            "charge": "01a20d16-a84a-7a13-8cf2-5d0b8dfb4d01",
            "attempt": 1,
            "call": "send",
        },
        {
            "at": _PAID_AT,
            "event": "charge.answered",
            "charge": "01a20d16-a84a-7a13-8cf2-5d0b8dfb4d01",
            "attempt": 1,
            "answer": "succeeded",
            "request_id": "req_5b7d1e9a3c2f4a",
        },
        {
            "at": _PAID_AT,
            "event": "ledger.booked",
            "kind": CHARGE,
            "reference": charge_reference(_CHARGE),
            "occurred_at": "2026-11-24T09:00:00Z",
        },
        {"at": _PAID_AT, "event": "order.paid"},
    ],
}
BALANCES: Json = {
    "data": [
        {
            "account_id": "01a20d16-0001-7000-8000-000000000001",
            "account_name": "default",
            "account": _ACCOUNT,
            "currency": "usd",
            "type": "asset",
            "debit": 1999,
            "credit": 88,
            "balance": 1911,
        },
    ],
}
ENTRIES: Json = {
    "data": [
        {
            "id": "01a20d16-a851-7b60-9d0e-0f6a4f1f2c11",
            "reference": charge_reference(_CHARGE),
            "kind": CHARGE,
            "order_id": _ID,
            "payment_intent": _INTENT,
            "occurred_at": "2026-11-24T09:00:00Z",
            "created_at": _PAID_AT,
            "postings": [
                {"account": _ACCOUNT, "currency": "usd", "amount": 1999},
                {"account": "revenue:orders", "currency": "usd", "amount": -1999},
            ],
        },
    ],
}
LIVE: Json = {"status": "ok"}
READY: Json = {
    "status": "ok",
    "checks": dict.fromkeys(
        ("postgres", "door", "memory", "redis", "stripe", "relay", "worker", "outbox", "parked", "sweeps"), "ok"
    ),
    "reasons": [],
}
_NO_REDIS = "Nothing can be published through Redis: nobody listens at that address. Orders are accepted, charges wait."
DEGRADED: Json = {"status": "degraded", "checks": {**READY["checks"], "redis": _NO_REDIS}, "reasons": [_NO_REDIS]}
_OLD_SCHEMA = "The database has no schema yet. Run `eo migrate`, then start again."
UNAVAILABLE: Json = {
    "status": "unavailable",
    "checks": {**READY["checks"], "postgres": _OLD_SCHEMA},
    "reasons": [_OLD_SCHEMA],
}

ACKNOWLEDGED: Json = {"received": True}
STRIPE_EVENT: Json = {
    "id": "evt_3FYgyPPUza43560b9d1e7c52",
    "object": "event",
    "type": "payment_intent.succeeded",
    "created": 1795510800,
    "livemode": False,
    "data": {"object": {"id": _INTENT, "object": "payment_intent", "status": "succeeded"}},
}
