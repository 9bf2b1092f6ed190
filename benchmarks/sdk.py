"""The Stripe SDK alone: `python -m benchmarks.sdk` charges as fast as one process with 64 calls in flight can.

The SDK at its best: the aiohttp client, on uvloop, answers left undecoded. What the worker reaches with a database
around each call is compared with this.
"""

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import stripe
import uvloop

from service.foundation.settings import Settings

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams

IN_FLIGHT = 64
stripe.enable_telemetry = False


class Question(msgspec.Struct):
    """How many seconds to call, and the prefix of the idempotency keys."""

    seconds: float
    prefix: str


class Answered(msgspec.Struct):
    """How many calls succeeded, and the CPU of this process."""

    calls: int
    seconds: float
    cpu_s: float


async def run(question: Question) -> Answered:
    """Call until the time is over."""
    settings = Settings.from_env()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        client = stripe.StripeClient(
            settings.stripe_api_key,
            base_addresses={"api": settings.stripe_api_base},
            max_network_retries=0,
            http_client=stripe.AIOHTTPClient(session=session),
        )
        began, cpu = time.perf_counter(), time.process_time()
        until = began + question.seconds
        callers = (_caller(client, f"{question.prefix}-{n}", until) for n in range(IN_FLIGHT))
        calls = sum(await asyncio.gather(*callers))
        return Answered(calls, time.perf_counter() - began, time.process_time() - cpu)


async def _caller(client: stripe.StripeClient, prefix: str, until: float) -> int:
    done = 0
    while time.perf_counter() < until:
        order = f"{prefix}-{done}"
        params: PaymentIntentCreateParams = {
            "amount": 1999,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"cart": "17", "eo_account": prefix, "eo_order": order, "eo_attempt": "1"},
        }
        await client.raw_request_async("post", "/v1/payment_intents", idempotency_key=order, **params)
        done += 1
    return done


def main() -> None:
    """One Question on stdin, one Answered on stdout."""
    question = msgspec.json.decode(sys.stdin.readline(), type=Question)
    print(msgspec.json.encode(uvloop.run(run(question))).decode())


if __name__ == "__main__":
    main()
