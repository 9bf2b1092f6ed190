"""The control API under `/_sandbox/`: JSON in, JSON out, for who bears its secret (`secret.py`); `health` for all.

GET    health                                      {"status": "ok", "account", "now"}
GET    truth                                       totals: charges, amounts per currency, requests by status, replays
GET    truth?per=order                             {"totals", "orders": [{account, order, charges, amounts, …}]}
GET    truth?order=ID                              one order; `charges: 0` when it was never charged
POST   clock       {"advance_s": n}                move the clock forward: Date, created stamps, age of keys
POST   age         {"seconds": n}                  make every stored key and object older, the clock stays;
                   also "refunds": false           refunds and their balance transactions stay as they are
POST   faults      the plan (see faults.py)        replaces the plan and its counts
GET    faults                                      the plan with matched/fired per rule
DELETE faults                                      no more faults
       faults/NAME                                 the same three for a plan beside it, which others leave alone
POST   latency     {"p50_ms": a, "p99_ms": b}      log-normal answer times; 0 turns them off
POST   rate_limit  {"rps": n | null}               per endpoint; 429 stands before idempotency
POST   keys/revoke {"key": "sk_test_…"}            401 from now on; {"key", "revoked": false} takes it back
POST   payment_intents/ID/complete_action {"succeed": bool}   ends 3-D Secure or `processing`; returns the intent
POST   charges/ID/dispute {"status", "reason", "amount", "fee", "apart"}   its owner disputes it; returns the dispute
POST   disputes/ID/end {"status": …, "fee_returned": n}   takes the dispute to another state; returns it
POST   disputes/flush                              what test cards and evidence let follow a little later happens now
POST   charges/ID/fraud_warning {"fraud_type": …}  the card's bank warns of fraud; returns the warning
POST   payouts     {}                              the day's payouts, one per currency; returns {"payouts": […]}
POST   payouts/ID/end {"status", "failure_code", "trace"}   takes the payout to another state; returns it
POST   payouts/ID/reconcile                        what it took can be listed from now on; returns the payout
POST   payouts/ID/trace {"status": "supported" | "unsupported" | "pending"}   what its bank says; returns the payout
POST   payouts/flush                               what becomes of payouts by themselves happens now
POST   balance_transactions {"type", "amount", "currency", "reporting_category", "fee", "description", "source",
                   "balance_type", "available_in_s"}   any other movement; returns the balance transaction
POST   settlement  {"currency": c, "settles_in": d | null, "rate": "1.0842"}   payments in c are booked in d
POST   refunds/ID/end {"status": "succeeded" | "failed" | "canceled", "failure_reason": …}   returns the refund
POST   refunds/flush                               refunds that end by themselves later (test cards) end now
POST   balance     {"currency": c, "available": n | null}   what is left for refunds; null: always enough
POST   fees        {"delay_s": n}                  how late balance transactions of later charges appear
GET    strict                                      the rules that are off by default, and which of them are on
POST   strict      {"rules": ["payment_method_reuse", …]}   exactly these are on from now; `all` means every rule
POST   fees/flush                                  all late balance transactions appear now
POST   deliveries  {"retry_s": n}                  pause before an event is sent again; it doubles each time
POST   deliveries/flush                            all events that wait are sent now
GET    deliveries                                  how many are waiting, delivered, failed
GET    events/ID/deliveries                        what became of one event
POST   events/ID/resend                            send it again
POST   webhook_endpoints/ID/roll {"overlap_s": n}  a new secret; the one before signs too for so long
POST   event_destinations/ID/roll                  the same
"""

import re
from typing import Any

import msgspec

from sandbox import control_events, control_money, intents, refunding, schedule, strict, truth
from sandbox.api import Api
from sandbox.errors import ApiError
from sandbox.faults import Plan, PlanText
from sandbox.limits import Latency, RateLimit
from sandbox.objects import Json, encode
from sandbox.params import decode
from sandbox.secret import check_may_control
from sandbox.state import BY_ITSELF
from sandbox.wire import Answer, Headers, Wire

PREFIX = "/_sandbox/"
_END = re.compile(r"refunds/(\w+)/end")
_FAULTS = re.compile(r"faults(?:/(\w+))?")
_COMPLETE = re.compile(r"payment_intents/(\w+)/complete_action")
_JSON: Headers = [(b"content-type", b"application/json")]


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """How far the clock moves; never back, because lists are ordered by time."""

    advance_s: int


class Age(msgspec.Struct, forbid_unknown_fields=True):
    """How much older everything becomes; refunds may keep their age, as the books that name their moments do."""

    seconds: int
    refunds: bool = True


class LatencyWanted(msgspec.Struct, forbid_unknown_fields=True):
    """Median and 99th percentile; without the latter every answer takes the median."""

    p50_ms: float
    p99_ms: float = 0


class RateWanted(msgspec.Struct, forbid_unknown_fields=True):
    """Requests per second and endpoint; null lifts the limit."""

    rps: float | None


class Revocation(msgspec.Struct, forbid_unknown_fields=True):
    """Which key, and whether it is out or in again."""

    key: str
    revoked: bool = True


class Completion(msgspec.Struct, forbid_unknown_fields=True):
    """How a pending payment ends."""

    succeed: bool


class RefundEnd(msgspec.Struct, forbid_unknown_fields=True):
    """How a refund ends."""

    status: refunding.Status
    failure_reason: refunding.FailureReason | None = None


class Funds(msgspec.Struct, forbid_unknown_fields=True):
    """What is left for refunds, in a currency of settlement; null: always enough."""

    currency: str
    available: int | None


class FeeDelay(msgspec.Struct, forbid_unknown_fields=True):
    """Seconds from a charge to its balance transaction."""

    delay_s: float


class Strictness(msgspec.Struct, forbid_unknown_fields=True):
    """The rules that are on (see `strict.py`)."""

    rules: list[str]


class Control:
    """Answers `/_sandbox/…`."""

    def __init__(self, api: Api, secret: str) -> None:
        self._api = api
        self._secret = secret
        self._sandbox = api.sandbox
        self._routes = {
            "GET health": self._health,
            "POST clock": self._advance,
            "POST age": self._age,
            "POST latency": self._latency,
            "POST rate_limit": self._rate_limit,
            "POST keys/revoke": self._revoke,
            "POST refunds/flush": self._flush_refunds,
            "POST balance": self._fund,
            "POST fees": self._fee_delay,
            "POST fees/flush": self._flush_fees,
            "GET strict": self._strictness,
            "POST strict": self._be_strict,
        }

    async def serve(self, scope: Any, body: bytes, wire: Wire) -> None:
        """Answer one control request."""
        method, name = scope["method"], scope["path"].removeprefix(PREFIX)
        try:
            if (method, name) != ("GET", "health"):
                check_may_control(scope["headers"], self._secret)
            if (method, name) == ("GET", "truth"):
                await self._truth(scope["query_string"], wire)
                return
            answer = Answer(200, encode(self._handle(method, name, body)), _JSON)
        except ApiError as error:
            answer = Answer(error.status, error.body("control"), _JSON)
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError, re.error) as error:
            answer = Answer(400, encode({"error": {"message": str(error)}}), _JSON)
        await self._sandbox.store.committed()
        await wire.answer(answer)

    def _handle(self, method: str, name: str, body: bytes) -> Json:
        pending = _COMPLETE.fullmatch(name)
        if pending and method == "POST":
            wanted = msgspec.json.decode(body, type=Completion)
            intent = intents.complete(self._sandbox, pending[1], succeed=wanted.succeed)
            return msgspec.to_builtins(intent)  # type: ignore[no-any-return]
        refund = _END.fullmatch(name)
        if refund and method == "POST":
            return self._end_refund(refund[1], body)
        moved = control_money.handle(self._api, method, name, body)
        if moved is not None:
            return moved
        told = control_events.handle(self._sandbox, method, name, body)
        if told is not None:
            return told
        planned = _FAULTS.fullmatch(name)
        if planned:
            return self._plan(method, planned[1] or "", body)
        handler = self._routes.get(f"{method} {name}")
        if handler is None:
            raise ApiError(404, "invalid_request_error", f"No such control: {method} {name}")
        return handler(body)

    async def _truth(self, query: bytes, wire: Wire) -> None:
        wanted = decode(query)
        # Payments that roll forward are counted as soon as they are due.
        schedule.do_due(self._sandbox, self._api.tasks)
        await self._sandbox.store.committed()
        if wanted.get("per") == "order":
            await wire.stream(_JSON, truth.per_order(self._sandbox))
            return
        order = wanted.get("order")
        found = truth.totals(self._sandbox) if order is None else truth.one_order(self._sandbox, order)
        await wire.answer(Answer(200, encode(found), _JSON))

    def _health(self, _body: bytes) -> Json:
        return {"status": "ok", "account": self._sandbox.account_id, "now": self._sandbox.clock.now()}

    def _advance(self, body: bytes) -> Json:
        wanted = msgspec.json.decode(body, type=Advance)
        if wanted.advance_s < 0:
            raise ValueError("the clock moves forward only")
        clock = self._sandbox.clock
        clock.offset_s += wanted.advance_s
        self._sandbox.store.set_meta("clock_offset_s", str(clock.offset_s))
        return {"now": clock.now(), "offset_s": clock.offset_s}

    def _age(self, body: bytes) -> Json:
        wanted = msgspec.json.decode(body, type=Age)
        if wanted.seconds < 0:
            raise ValueError("nothing becomes younger")
        self._sandbox.age(wanted.seconds, refunds=wanted.refunds)
        return {"aged_s": wanted.seconds}

    def _plan(self, method: str, name: str, body: bytes) -> Json:
        plans = self._api.plans
        if method == "POST":
            plans.set(name, Plan(msgspec.json.decode(body, type=PlanText)))
        report = plans.report(name)
        if report is None or method not in ("GET", "POST", "DELETE"):
            raise ApiError(404, "invalid_request_error", f"No such control: {method} faults/{name}")
        if method == "DELETE":
            plans.drop(name)
        return report

    def _latency(self, body: bytes) -> Json:
        wanted = msgspec.json.decode(body, type=LatencyWanted)
        self._sandbox.latency = Latency(wanted.p50_ms, wanted.p99_ms)
        return {"p50_ms": wanted.p50_ms, "p99_ms": self._sandbox.latency.p99_ms}

    def _rate_limit(self, body: bytes) -> Json:
        wanted = msgspec.json.decode(body, type=RateWanted)
        self._sandbox.rate_limit = RateLimit(wanted.rps)
        return {"rps": wanted.rps}

    def _revoke(self, body: bytes) -> Json:
        wanted = msgspec.json.decode(body, type=Revocation)
        self._sandbox.revoke(wanted.key, revoked=wanted.revoked)
        return {"revoked": wanted.revoked}

    def _fee_delay(self, body: bytes) -> Json:
        self._sandbox.fee_delay_s = msgspec.json.decode(body, type=FeeDelay).delay_s
        return {"delay_s": self._sandbox.fee_delay_s}

    def _strictness(self, _body: bytes) -> Json:
        return {"rules": {name: name in self._sandbox.strict for name in strict.RULES}}

    def _be_strict(self, body: bytes) -> Json:
        wanted = msgspec.json.decode(body, type=Strictness)
        self._sandbox.strict = strict.rules(",".join(wanted.rules))
        return self._strictness(body)

    def _end_refund(self, refund_id: str, body: bytes) -> Json:
        wanted = msgspec.json.decode(body, type=RefundEnd)
        ending = refunding.Ending(wanted.status, wanted.failure_reason)
        refund = refunding.load(self._sandbox, refund_id)
        ended = refunding.end(self._sandbox, refund, ending, BY_ITSELF, self._sandbox.clock.now())
        return msgspec.to_builtins(ended)  # type: ignore[no-any-return]

    def _flush_refunds(self, _body: bytes) -> Json:
        return {"ended": schedule.do_now(self._sandbox, self._api.tasks, "refund")}

    def _fund(self, body: bytes) -> Json:
        wanted = msgspec.json.decode(body, type=Funds)
        paid = refunding.fund(self._sandbox, wanted.currency, wanted.available)
        return {"currency": wanted.currency, "available": wanted.available, "paid": paid}

    def _flush_fees(self, _body: bytes) -> Json:
        return {"booked": schedule.do_now(self._sandbox, self._api.tasks, "fee")}
