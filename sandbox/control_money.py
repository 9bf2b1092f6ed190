"""The control API's part about money that moves by others' will; `control.py` lists it and answers it."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from sandbox import balance, disputing, expand, fraud_warnings, payouting, schedule, settlement
from sandbox.api import Api
from sandbox.balance import Movement
from sandbox.currencies import SUPPORTED
from sandbox.objects import Json
from sandbox.state import BY_ITSELF

Handler = Callable[[Api, str, bytes], Json]


class DisputeBegun(msgspec.Struct, forbid_unknown_fields=True):
    """How the owner of the card begins; `apart`: the fee is a balance transaction of its own."""

    status: disputing.Opened = "needs_response"
    reason: disputing.Reason = "fraudulent"
    amount: int | None = None
    fee: int = disputing.FEE
    apart: bool = False


class DisputeMoved(msgspec.Struct, forbid_unknown_fields=True):
    """Where the dispute goes, what a win gives back of its fee, and how what it takes is booked."""

    status: disputing.Status
    fee_returned: int = 0
    fee: int = disputing.FEE
    apart: bool = False


class Warned(msgspec.Struct, forbid_unknown_fields=True):
    """What the bank believes."""

    fraud_type: fraud_warnings.FraudType = "made_with_stolen_card"


class Settles(msgspec.Struct, forbid_unknown_fields=True):
    """In what the payments of a currency settle, at which rate; null: in their own."""

    currency: str
    settles_in: str | None
    rate: str | None = None


class PayoutMoved(msgspec.Struct, forbid_unknown_fields=True):
    """Where the payout goes; why, where it fails; what the bank says of it, where it is paid."""

    status: payouting.Status
    failure_code: payouting.FailureCode = "could_not_process"
    trace: payouting.TraceStatus = "supported"


class Traced(msgspec.Struct, forbid_unknown_fields=True):
    """Whether the bank says under which number it has the payout."""

    status: payouting.TraceStatus = "supported"


class Moved(msgspec.Struct, forbid_unknown_fields=True):
    """A balance transaction of any type, which Stripe may not even have yet; without a category it has Stripe's."""

    type: str
    amount: int
    currency: str
    reporting_category: str | None = None
    fee: int = 0
    description: str | None = None
    source: str | None = None
    balance_type: balance.Balance = "payments"
    available_in_s: int = 0


def handle(api: Api, method: str, name: str, body: bytes) -> Json | None:
    """What this part answers; None where it has no such route."""
    if method == "POST":
        for route, handler in _ROUTES.items():
            found = route.fullmatch(name)
            if found:
                return handler(api, found[1], body)
    return None


def _open_dispute(api: Api, charge_id: str, body: bytes) -> Json:
    wanted = msgspec.json.decode(body, type=DisputeBegun)
    if wanted.amount is not None and wanted.amount < 1:
        raise ValueError("a dispute is about an amount above 0")
    opening = disputing.Opening(wanted.status, wanted.reason, wanted.amount, wanted.fee, wanted.apart)
    return _shown(disputing.begin(api.sandbox, charge_id, opening, BY_ITSELF, api.sandbox.clock.now()))


def _move_dispute(api: Api, dispute_id: str, body: bytes) -> Json:
    wanted, dispute = msgspec.json.decode(body, type=DisputeMoved), disputing.load(api.sandbox, dispute_id)
    opening = disputing.Opening(fee=wanted.fee, apart=wanted.apart)
    at, back = api.sandbox.clock.now(), wanted.fee_returned
    moved = disputing.become(api.sandbox, dispute, wanted.status, BY_ITSELF, at, opening=opening, fee_returned=back)
    return _shown(moved)


def _flush_disputes(api: Api, _id: str, _body: bytes) -> Json:
    return {"done": sum(schedule.do_now(api.sandbox, api.tasks, task) for task in ("follow", "decide"))}


def _warn(api: Api, charge_id: str, body: bytes) -> Json:
    wanted = msgspec.json.decode(body, type=Warned)
    return _shown(fraud_warnings.warn(api.sandbox, charge_id, wanted.fraud_type, BY_ITSELF, api.sandbox.clock.now()))


def _pay_out(api: Api, _id: str, _body: bytes) -> Json:
    schedule.do_due(api.sandbox, api.tasks)  # fees that are known by now are in the balance
    return {"payouts": [_shown(payout) for payout in payouting.pay_out(api.sandbox, api.sandbox.clock.now())]}


def _move_payout(api: Api, payout_id: str, body: bytes) -> Json:
    wanted, payout = msgspec.json.decode(body, type=PayoutMoved), payouting.load(api.sandbox, payout_id)
    step = payouting.Step(wanted.status, wanted.failure_code, wanted.trace)
    return _shown(payouting.become(api.sandbox, payout, step, BY_ITSELF, api.sandbox.clock.now()))


def _reconcile(api: Api, payout_id: str, _body: bytes) -> Json:
    payout = payouting.load(api.sandbox, payout_id)
    return _shown(payouting.reconcile(api.sandbox, payout, api.sandbox.clock.now()))


def _trace(api: Api, payout_id: str, body: bytes) -> Json:
    wanted, payout = msgspec.json.decode(body, type=Traced), payouting.load(api.sandbox, payout_id)
    return _shown(payouting.trace(api.sandbox, payout, wanted.status, api.sandbox.clock.now()))


def _flush_payouts(api: Api, _id: str, _body: bytes) -> Json:
    return {"done": schedule.do_now(api.sandbox, api.tasks, "payout")}


def _move(api: Api, _id: str, body: bytes) -> Json:
    """Any movement; one that begins later than now is pending until then."""
    wanted, at = msgspec.json.decode(body, type=Moved), api.sandbox.clock.now()
    if wanted.currency not in SUPPORTED or not wanted.type or wanted.available_in_s < 0:
        raise ValueError("a movement has a type, a currency of Stripe's, and is available now or later")
    if wanted.source is not None and not expand.is_known(api.sandbox, wanted.source):
        raise ValueError(f"the sandbox has no object {wanted.source}")
    category = wanted.reporting_category or balance.CATEGORIES.get(wanted.type, wanted.type)
    settled = settlement.Settled(wanted.currency)
    movement = Movement(
        wanted.type,
        category,
        wanted.amount,
        settled,
        wanted.source,
        wanted.description,
        wanted.fee,
        of=wanted.balance_type,
    )
    return _shown(balance.move(api.sandbox.store, movement, at, available_on=at + wanted.available_in_s))


def _settle(api: Api, _id: str, body: bytes) -> Json:
    wanted = msgspec.json.decode(body, type=Settles)
    settlement.settle(api.sandbox.store, wanted.currency, wanted.settles_in, wanted.rate)
    return _shown(wanted)


def _shown(thing: Any) -> Json:
    shown: Json = msgspec.to_builtins(thing)
    return shown


_ROUTES: dict[re.Pattern[str], Handler] = {
    re.compile(route): handler
    for route, handler in (
        (r"charges/(\w+)/dispute", _open_dispute),
        (r"charges/(\w+)/fraud_warning", _warn),
        (r"disputes/(\w+)/end", _move_dispute),
        (r"disputes/flush()", _flush_disputes),
        (r"payouts()", _pay_out),
        (r"payouts/(\w+)/end", _move_payout),
        (r"payouts/(\w+)/reconcile", _reconcile),
        (r"payouts/(\w+)/trace", _trace),
        (r"payouts/flush()", _flush_payouts),
        (r"balance_transactions()", _move),
        (r"settlement()", _settle),
    )
}
