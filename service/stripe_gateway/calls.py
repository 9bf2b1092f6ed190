"""The calls that change something: how a request goes to Stripe, and what counts as its answer.

Every POST carries our key; the SDK's own retries are off, because a hidden retry makes a re-send look like a first
send. Whatever a call raises becomes an `Answer` without a status: an unknown outcome, judged elsewhere.
The SDK's raw requests are used: typed decoding of the few fields we read costs a third of building its objects.
"""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
import stripe

from service.foundation import metrics, tracing
from service.foundation.addresses.stripe import STRIPE_API
from service.foundation.crash import CALLING, CrashPoint, armed, crash_point
from service.foundation.deadlines import watched_socket
from service.foundation.settings import Settings
from service.stripe_gateway import headers as stripe_headers
from service.stripe_gateway import paths
from service.stripe_gateway.objects import Answer, ErrorBody, Intent, Refund
from service.stripe_gateway.pacing import WORKERS, Pace, Patience
from service.stripe_gateway.standstill import ANSWERS
from service.stripe_gateway.traced import traced

# The connection could not be made, so no byte of the request left. Everything else may have been executed.
_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

stripe.enable_telemetry = False  # it would write a file into the home folder of whoever runs us


class Calls:
    """A connection to Stripe for one process, as a context manager, and the calls that change something."""

    def __init__(self, settings: Settings, patience: Patience = WORKERS) -> None:
        self._settings = settings
        self._patience = patience
        self._pace = Pace(settings.redis_url, settings.stripe_rps)
        self._session: aiohttp.ClientSession | None = None
        self._client: stripe.StripeClient | None = None

    async def __aenter__(self) -> Self:
        settings = self._settings
        timeout = aiohttp.ClientTimeout(total=settings.stripe_timeout_s, sock_connect=settings.stripe_connect_timeout_s)
        # As many connections as calls: waiting for one would count as a timeout before anything was sent.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=watched_socket),
            timeout=timeout,
            trace_configs=_crash_traces(),
        )
        self._client = stripe.StripeClient(
            settings.stripe_api_key,
            base_addresses={"api": settings.stripe_api_base or STRIPE_API},
            http_client=stripe.AIOHTTPClient(timeout=timeout, session=self._session),
            max_network_retries=0,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pace.__aexit__(kind, error, trace)
        if self._session is not None:
            await self._session.close()

    async def create_payment_intent(self, request: Mapping[str, Any], *, key: str, version: str) -> Answer:
        """POST the stored `request` under `key`, pinned to the API `version` it was first made for. Never raises.

        It waits for no turn: the workers take the turns of charges by the batch.
        """
        return await self._call("post", paths.PAYMENT_INTENTS, request, idempotency_key=key, stripe_version=version)

    async def post(self, path: str, request: Mapping[str, Any], *, key: str, version: str) -> Answer:
        """The same for what is asked of a payment that exists, at one of `paths`, when its turn comes."""
        await self._pace.turn(paths.endpoint("post", path))
        return await self._call("post", path, request, idempotency_key=key, stripe_version=version)

    async def _call(self, method: str, path: str, params: Mapping[str, object], **options: Any) -> Answer:
        try:
            response = await self._raw(method, path, params, **options)
        except stripe.StripeError as error:
            return _from_error(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the aiohttp client leaks its own errors from the body
            return Answer(http_status=None, note=type(error).__name__)
        return _from_response(response.body, response.code, response.headers)

    async def _raw(self, method: str, path: str, params: Mapping[str, object], **options: Any) -> Any:
        if self._client is None:
            raise RuntimeError("the gateway is used as a context manager")
        operation, began = paths.endpoint(method, path), time.perf_counter()
        try:
            call = self._client.raw_request_async if tracing.spans is None else partial(traced, self._client)
            response = await call(method, path, **options, **params)
        except Exception as error:
            status = error.http_status if isinstance(error, stripe.StripeError) else None
            metrics.stripe_call(operation, status, time.perf_counter() - began)
            _note(method, _why_no_answer(error))
            raise
        metrics.stripe_call(operation, response.code, time.perf_counter() - began)
        _note(method, None if response.headers.get("request-id") else f"{response.code} not Stripe's")
        return response


def _crash_traces() -> list[aiohttp.TraceConfig]:
    """Where a test wants the process dead between Stripe's execution and our reading of it; else nothing."""
    if not armed(CrashPoint.WORKER_REPLY_UNREAD):
        return []

    async def on_headers(_session: object, _context: object, params: aiohttp.TraceRequestEndParams) -> None:
        if params.method == "POST":
            crash_point(CrashPoint.WORKER_REPLY_UNREAD, [CALLING.get()])

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_headers)
    return [trace]


class _ErrorEnvelope(msgspec.Struct):
    error: ErrorBody


def _note(method: str, why_no_answer: str | None) -> None:
    if why_no_answer is None:
        ANSWERS.heard(method)
    else:
        ANSWERS.missed(method, why_no_answer)


def _why_no_answer(error: Exception) -> str | None:
    """Why a call that failed settles nothing; None where Stripe has spoken."""
    if not isinstance(error, stripe.StripeError) or isinstance(error, stripe.APIConnectionError):
        return type(error.__cause__ or error).__name__
    answer = _from_error(error)
    if answer.http_status is None or answer.http_status == 429 or answer.http_status >= 500:
        return answer.word
    return None


def _from_response(body: str, status: int, headers: Mapping[str, str]) -> Answer:
    """A 2xx. Only a PaymentIntent or a refund with a Request-Id is an answer (R15)."""
    request_id = headers.get("request-id")
    try:
        shown = msgspec.json.decode(body, type=Intent | Refund)
    except msgspec.DecodeError:
        return Answer(http_status=None, note=f"{status} unreadable", request_id=request_id)
    if request_id is None or status != 200:
        return Answer(http_status=None, note=f"{status} not Stripe's")
    return Answer(
        http_status=status,
        intent=shown if isinstance(shown, Intent) else None,
        refund=shown if isinstance(shown, Refund) else None,
        request_id=request_id,
        replayed=stripe_headers.replayed(headers),
        date=stripe_headers.date(headers),
    )


def _from_error(error: stripe.StripeError) -> Answer:
    """An error of the SDK: Stripe's own word where it is one, else an unknown outcome."""
    if isinstance(error, stripe.APIConnectionError):
        cause = error.__cause__
        return Answer(http_status=None, nothing_sent=isinstance(cause, _NOT_CONNECTED), note=type(cause).__name__)
    headers: Mapping[str, str] = error.headers or {}
    request_id = headers.get("request-id")
    try:
        body = msgspec.json.decode(error.http_body or "", type=_ErrorEnvelope).error
    except msgspec.DecodeError:
        body = None
    if body is None or request_id is None or error.http_status is None:
        return Answer(http_status=None, note=f"{error.http_status} not Stripe's", request_id=request_id)
    return Answer(
        http_status=error.http_status,
        intent=body.payment_intent,
        error=body,
        request_id=request_id,
        replayed=stripe_headers.replayed(headers),
        retry_after_s=stripe_headers.retry_after_s(headers),
        date=stripe_headers.date(headers),
    )
