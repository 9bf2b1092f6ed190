"""What a fault does to a request, once the plan has picked it (see `faults.py` for the three stages)."""

import asyncio
import enum
import os
import signal
from collections.abc import Callable

import msgspec

from sandbox import errors
from sandbox.errors import ApiError
from sandbox.faults import Rule
from sandbox.objects import encode
from sandbox.wire import Answer, Wire

# A proxy in front of Stripe answers HTML, without a Request-Id.
_PROXY_PAGE = Answer(
    502,
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>",
    [(b"content-type", b"text/html"), (b"server", b"proxy")],
)


class Verdict(enum.Enum):
    """What remains to be done with the request where the fault sent no answer itself."""

    GO_ON = enum.auto()
    CUT = enum.auto()


_REFUSALS: dict[str, Callable[[Rule], ApiError]] = {
    "rate_limited": lambda rule: errors.lock_timeout() if rule.code == "lock_timeout" else errors.too_many_requests(),
    "lock_timeout": lambda _: errors.lock_timeout(),
    "conflict_409": lambda _: errors.key_in_use("…"),
    "failed_dependency_424": lambda _: errors.failed_dependency(),
    "unauthorized_401": lambda _: errors.unauthenticated("Invalid API Key provided."),
    "forbidden_403": lambda rule: errors.forbidden(rule.permission),
    "incomplete_list": lambda _: errors.server_error(),
    "error_500_before": lambda _: errors.server_error(),
}


async def at_the_edge(rule: Rule) -> ApiError | Answer | Verdict:
    """Send an error, a proxy's page or a cut without executing; a stall lets the request go on afterwards."""
    if rule.fault in _REFUSALS:
        return refusal(rule)
    if rule.fault == "html_502":
        return _PROXY_PAGE
    if rule.fault in ("stall", "slow_list"):
        await asyncio.sleep(rule.stall_s)
    if rule.fault == "slow_list" or (rule.fault == "stall" and rule.then == "answer"):
        return Verdict.GO_ON
    return Verdict.CUT


def refusal(rule: Rule) -> ApiError:
    """The error of the rule's fault; it tells clients to repeat, or not to, where the rule says so."""
    error = _REFUSALS[rule.fault](rule)
    if rule.should_retry is not None:
        error.should_retry = rule.should_retry
    return error


def with_retry_after(answer: Answer, rule: Rule) -> Answer:
    """Add `Retry-After` where the rule asks for it."""
    if rule.retry_after is None:
        return answer
    return answer._replace(headers=[*answer.headers, (b"retry-after", b"%d" % rule.retry_after)])


async def in_reply(rule: Rule, answer: Answer, wire: Wire) -> bool:
    """Spoil the answer of a request that is executed and committed. True when an answer was sent, whole or not."""
    match rule.fault:
        case "crash_after_execution":
            os.kill(os.getpid(), signal.SIGKILL)
        case "executed_reply_lost":
            await wire.cut()
            return False
        case "cut_body":
            await wire.answer_half(answer)
        case "stall":
            await asyncio.sleep(rule.stall_s)
            if rule.then == "cut":
                await wire.cut()
                return False
            await wire.answer(answer)
        case "html_502_executed":
            await wire.answer(_PROXY_PAGE)
        case "wrong_amount":
            await wire.answer(answer._replace(body=_other_amount(answer.body)))
        case "no_request_id":
            kept = [header for header in answer.headers if header[0] != b"request-id"]
            await wire.answer(answer._replace(headers=kept))
    return True


def _other_amount(body: bytes) -> bytes:
    """The same object with its amount one minor unit larger."""
    tree = msgspec.json.decode(body)
    if "amount" in tree:
        tree["amount"] += 1
    return encode(tree)
