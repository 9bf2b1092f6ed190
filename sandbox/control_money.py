"""The control API's part about money that moves by others' will; `control.py` lists it and answers it."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from sandbox import disputing, fraud_warnings, schedule, settlement
from sandbox.api import Api
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
        (r"settlement()", _settle),
    )
}
