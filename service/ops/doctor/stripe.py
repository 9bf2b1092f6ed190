"""Stripe: the key, what it may do, its clock, and where Stripe sends its events."""

from urllib.parse import urlsplit

from service.foundation.addresses.stripe import webhook_secrets
from service.foundation.errors import Unavailable
from service.foundation.postgres.driver import in_words
from service.foundation.settings import Settings
from service.ops.doctor.check import Check, clock, judged
from service.ops.webhooks import EVENTS_PATH
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.events import EVENT_TYPES, WebhookEndpoint
from service.stripe_gateway.objects import IncompleteListing

_EVERYTHING = "*"
_STEP_S = 1.0  # of the clock in a Date header


async def checks(settings: Settings) -> list[Check]:
    """All of them; of a Stripe that does not answer only that."""
    webhooks = _webhooks(settings)
    async with StripeGateway(settings) as gateway:
        try:
            await gateway.account_id()
        except Unavailable as error:
            return [Check("stripe", ok=False, said=in_words(error), next_step=_KEY), webhooks]
        lacks = "; ".join(await gateway.lacking_permissions())
        return [
            Check("stripe", ok=True, said="knows this key"),
            judged("stripe permissions", "the key may do all that is needed", lacks, _PERMISSIONS),
            await clock("stripe", gateway.clock, _STEP_S),
            webhooks,
            *([await _endpoint(gateway)] if settings.stripe_webhook_secret else []),
        ]


def _webhooks(settings: Settings) -> Check:
    """Nothing is wrong without them: what no event tells is found by the sweeps."""
    number = len(webhook_secrets(settings.stripe_webhook_secret))
    off = f"are off, as STRIPE_WEBHOOK_SECRET is not set; Stripe's lists are read every {settings.sweep_s:g} s"
    return Check("webhooks", ok=True, said=f"are on, with {number} secret{'s' * (number > 1)}" if number else off)


async def _endpoint(gateway: StripeGateway) -> Check:
    try:
        known = [one async for one in gateway.list_webhook_endpoints()]
        known += [one.as_endpoint() for one in await gateway.event_destinations()]
    except IncompleteListing as error:
        return Check("webhook endpoint", ok=True, said=f"not known: {error}")
    return judge([one for one in known if urlsplit(one.url).path == EVENTS_PATH])


def judge(found: list[WebhookEndpoint]) -> Check:
    """Whether one of these is sent all that is needed; the best of them counts. Pure."""
    faults = sorted(((_fault(one), one) for one in found), key=lambda pair: len(pair[0]))
    if not faults:
        return Check("webhook endpoint", ok=False, said=f"Stripe has none at {EVENTS_PATH}", next_step=_REGISTER)
    fault, best = faults[0]
    version = f"version {best.api_version}" if best.api_version else "the account's version"
    return judged("webhook endpoint", f"{best.url} is sent all that is needed, in {version}", fault, _CHANGE)


def _fault(endpoint: WebhookEndpoint) -> str:
    if endpoint.status != "enabled":
        return f"{endpoint.url} is {endpoint.status} at Stripe"
    missing = set() if _EVERYTHING in endpoint.enabled_events else set(EVENT_TYPES) - set(endpoint.enabled_events)
    return f"{endpoint.url} is not sent {', '.join(sorted(missing))}" if missing else ""


_KEY = "Is STRIPE_API_KEY right, and its address?"
_PERMISSIONS = "Add them to the key in Stripe's dashboard (Developers, API keys)."
_REGISTER = "Add it in Stripe's dashboard (Developers, Webhooks), or unset STRIPE_WEBHOOK_SECRET."
_CHANGE = "Change it in Stripe's dashboard (Developers, Webhooks); `docs/howto/webhooks.md` lists the events."
