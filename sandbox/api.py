"""The path of one API request, in Stripe's order:

    edge faults → authentication → rate limit → idempotency → parameters → execution → commit → answer

Each stage before *execution* may refuse the request, and then nothing is saved. The effects of an execution and the
answer saved under its key are one database transaction; the answer is sent after its commit.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from sandbox import balance, captures, disputing, documented, intents, misbehave, payouting, refunding, schedule
from sandbox.announcing import Announcer
from sandbox.delivering import Deliverer
from sandbox.errors import ApiError, lock_timeout, server_error, too_many_requests
from sandbox.faults import Plans, Rule, Stage
from sandbox.idempotency import Keys
from sandbox.ids import new_id
from sandbox.request import VERSIONS, Request, authenticate, call_of, check_headers
from sandbox.routes import ROUTES
from sandbox.state import API_VERSION, Call, Execution, Sandbox
from sandbox.store import RolledBack
from sandbox.wire import Answer, Headers, Wire

TICK_S = 0.05
# So long an answer waits for the events that a fault sends ahead of it.
AHEAD_S_MAX = 5.0
# Status codes of refusals that come after the idempotency stage; 401 and 429 come before it.
NAMED_AS_ORIGINAL = (400, 404)
NOT_FOUND = 404
_log = logging.getLogger("sandbox")


class Api:
    """Answers `/v1/…` and `/v2/…`; owns the idempotency keys, the fault plans and the deliveries."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.keys = Keys(sandbox)
        self.plans = Plans()
        self.deliverer = Deliverer(sandbox)
        self._announcer = Announcer(sandbox, self.plans, self.deliverer.wake)
        self._locked: set[str] = set()  # objects that a POST is about to change
        self.tasks: dict[str, schedule.Task] = {
            "fee": balance.book_fee,
            "finish": intents.finish_slow,
            "expire": captures.expire,
            "refund": refunding.end_by_itself,
            "follow": disputing.follow,
            "decide": disputing.decide,
            "payout": payouting.go_on,
            "roll_forward": _roll_forward,
        }

    async def serve(self, request: Request, wire: Wire) -> None:
        """Answer one request, or break its connection where the plan says so."""
        request_id = new_id("req_", 14)
        try:
            call = call_of(request, request_id, ROUTES)
            if self.plans and await self._struck_at_the_edge(call, request, wire):
                return
            answer = await self._answer(call, request)
            self.sandbox.store.count(f"requests:{answer.status}")
            await self.sandbox.store.committed()
            ahead = self._announcer.ahead_of(request_id)
            if ahead:
                await self.deliverer.tried(ahead, AHEAD_S_MAX)
        except ApiError as error:
            await self._refuse(wire, error, request, request_id)
        except RolledBack:
            # Nothing was executed and nothing is saved, so the client may repeat the request.
            await self._refuse(wire, server_error(should_retry=True), request, request_id)
        except Exception:  # noqa: BLE001  a bug of ours, outside what `_execute` undoes
            _log.exception("%s %s", request.method, request.path)
            await self._refuse(wire, server_error(), request, request_id)
        else:
            await self._reply(call, answer, wire)

    async def tick(self) -> None:
        """Every 50 ms, do the scheduled work that is due and store the counters. Never returns."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                schedule.do_due(self.sandbox, self.tasks, most=schedule.SLICE)
                self.sandbox.store.commit()
            except Exception:  # noqa: BLE001  a failing task must not end the ticking
                _log.exception("scheduled work")
                self.sandbox.store.rollback()

    async def _answer(self, call: Call, request: Request) -> Answer:
        key = authenticate(request.authorization, self.sandbox.revoked_keys, self.sandbox.strict)
        check_headers(request, self.sandbox.account_id, self.sandbox.strict)
        if not self.sandbox.rate_limit.take(call.endpoint):
            raise too_many_requests()
        if key.startswith("pk_"):
            call = intents.with_its_secret(self.sandbox, call)
        if call.method == "GET":
            return await self._read(call, request)
        saved = self.keys.find(call)
        if saved is not None:
            self.sandbox.store.count("replays")
            headers = self._headers(request, call.request_id, should_retry=False, original=saved.request_id)
            return Answer(saved.status, saved.body, [*headers, (b"idempotent-replayed", b"true")])
        execution = self._prepare(call)
        with self.keys.in_flight(call):
            if not call.object_id:
                await self._pause()
                return self._execute(call, execution, request)
            with self._lock(call.object_id):
                await self._pause()
                return self._execute(call, execution, request)

    def _prepare(self, call: Call) -> Execution:
        """Check the parameters. A refusal is not saved; a failure by a bug of the sandbox is saved as a 500."""
        if call.failed:
            return _raising(ValueError("undecodable parameters"))
        try:
            documented.check(call.endpoint, call.params)
            return ROUTES[call.endpoint](self.sandbox, call)
        except ApiError as error:
            if error.status == NOT_FOUND and "missing_object_saved" in self.sandbox.strict:
                return _raising(error)
            raise
        except Exception as error:  # noqa: BLE001  whatever it is
            return _raising(error)

    @contextmanager
    def _lock(self, object_id: str) -> Iterator[None]:
        """Lock the object during a POST. A second POST about it gets Stripe's 429 `lock_timeout`."""
        if object_id in self._locked:
            raise lock_timeout()
        self._locked.add(object_id)
        try:
            yield
        finally:
            self._locked.discard(object_id)

    async def _read(self, call: Call, request: Request) -> Answer:
        await self._pause()
        schedule.do_due(self.sandbox, self.tasks)
        documented.check(call.endpoint, call.params)
        body = ROUTES[call.endpoint](self.sandbox, call)()
        return Answer(200, body, self._headers(request, call.request_id))

    def _execute(self, call: Call, execution: Execution, request: Request) -> Answer:
        """Run a new POST and save its answer. No await in here: one turn, one transaction.

        Many requests share that transaction, so what fails by a bug of ours is undone apart from its neighbours.
        """
        self.sandbox.store.start_apart()
        try:
            status, body, retry = 200, self._run(call, execution), None
        except Exception as error:  # noqa: BLE001  a refusal, or whatever it is
            refused = error if isinstance(error, ApiError) else self._undo(call, error)
            status, body, retry = refused.status, refused.body(call.request_id), refused.should_retry
        self.keys.save(call, status, body)
        # A repeat would replay the saved answer, so Stripe tells clients not to repeat it.
        retry = False if call.key is not None else retry
        return Answer(status, body, self._headers(request, call.request_id, retry, original=call.request_id))

    def _undo(self, call: Call, error: Exception) -> ApiError:
        """Undo what this request wrote, after a bug of the sandbox, and save a 500 under its key."""
        _log.error("%s %s", call.method, call.path, exc_info=error)
        self.sandbox.store.undo_apart()
        return server_error()

    def _run(self, call: Call, execution: Execution) -> bytes:
        """Execute. Under an execution fault the answer is a 500, and the work is done, not done, or done later."""
        rule = self._pick("execution", call)
        if rule is None:
            return execution()
        if rule.fault == "executed_500":
            try:
                execution()
            except ApiError:
                _log.debug("declined under executed_500")
        elif rule.fault == "error_500_roll_forward":
            due = self.sandbox.clock.exact() + rule.delay_s
            schedule.later(self.sandbox, due, "roll_forward", call.request_id, msgspec.json.encode(call))
        raise server_error()

    async def _struck_at_the_edge(self, call: Call, request: Request, wire: Wire) -> bool:
        """Let an edge fault strike. True when that was all."""
        rule = self._pick("edge", call)
        outcome = misbehave.Verdict.GO_ON if rule is None else await misbehave.at_the_edge(rule)
        if outcome is misbehave.Verdict.GO_ON or rule is None:
            return False
        if isinstance(outcome, ApiError):
            answer = self._refusal(outcome, request, call.request_id)
            await wire.answer(misbehave.with_retry_after(answer, rule))
        elif isinstance(outcome, Answer):
            self.sandbox.store.count(f"requests:{outcome.status}")
            await wire.answer(outcome)
        else:
            self.sandbox.store.count("cut")
            await wire.cut()
        return True

    async def _reply(self, call: Call, answer: Answer, wire: Wire) -> None:
        rule = self._pick("reply", call)
        if rule is None:
            await wire.answer(answer)
        elif rule.fault == "failed_dependency_424":
            body = misbehave.refusal(rule).body(call.request_id)
            await wire.answer(answer._replace(status=424, body=body))
        elif not await misbehave.in_reply(rule, answer, wire):
            self.sandbox.store.count("cut")

    async def _refuse(self, wire: Wire, error: ApiError, request: Request, request_id: str) -> None:
        await wire.answer(self._refusal(error, request, request_id))

    def _refusal(self, error: ApiError, request: Request, request_id: str) -> Answer:
        self.sandbox.store.count(f"requests:{error.status}")
        original = request_id if request.method == "POST" and error.status in NAMED_AS_ORIGINAL else None
        headers = self._headers(request, request_id, error.should_retry, original=original) + error.headers
        return Answer(error.status, error.body(request_id), headers)

    def _headers(
        self,
        request: Request,
        request_id: str,
        should_retry: bool | None = None,
        *,
        original: str | None = None,
    ) -> Headers:
        """Every answer's headers; `original` is the request that first came with the key."""
        headers = [
            (b"date", self.sandbox.clock.date_header()),
            (b"content-type", b"application/json"),
            (b"request-id", request_id.encode()),
            (b"stripe-version", (request.version if request.version in VERSIONS else API_VERSION).encode()),
        ]
        if request.idempotency_key:
            headers.append((b"idempotency-key", request.idempotency_key.encode("latin-1")))
            if original is not None:
                headers.append((b"original-request", original.encode()))
        if should_retry is not None:
            headers.append((b"stripe-should-retry", b"true" if should_retry else b"false"))
        return headers

    def _pick(self, stage: Stage, call: Call) -> Rule | None:
        return self.plans.pick(stage, call, self._order(call)) if self.plans else None

    def _order(self, call: Call) -> str | None:
        """The order that the request is about: named by its metadata, or by that of the intent it is about."""
        metadata = call.params.get("metadata")
        if isinstance(metadata, dict) and "eo_order" in metadata:
            return str(metadata["eo_order"])
        about = call.object_id or call.params.get("payment_intent") or call.params.get("charge")
        return intents.order_of(self.sandbox, about) if isinstance(about, str) else None

    async def _pause(self) -> None:
        seconds = self.sandbox.latency.sample_s()
        if seconds:
            await asyncio.sleep(seconds)


def _roll_forward(sandbox: Sandbox, _subject: str, payload: bytes, _at: int) -> None:
    """Scheduled task: execute now what a saved 500 had left undone. The key keeps its 500."""
    call = msgspec.json.decode(payload, type=Call)
    try:
        ROUTES[call.endpoint](sandbox, call)()
    except ApiError as error:
        _log.debug("rolled forward into %s", error)


def _raising(error: Exception) -> Execution:
    """An execution that raises an earlier error, so that the failure is saved under the key."""

    def fail() -> bytes:
        raise error

    return fail
