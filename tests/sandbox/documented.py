"""What Stripe documents, read from the installed SDK: routes, parameters with their types, expandable properties.

The sandbox must not import `stripe`, so it holds this as data. Write that file anew after an upgrade of the SDK:

    python -m tests.sandbox.documented
"""

import importlib
import inspect
import json
import pkgutil
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import stripe
from stripe import params
from stripe._request_options import RequestOptions
from stripe.params.v2 import core
from typing_extensions import is_typeddict

import sandbox.documented

# The routes of the sandbox and the SDK's types of their parameters.
TYPES: dict[str, Any] = {
    "GET account": params.AccountRetrieveCurrentParams,
    "GET balance": params.BalanceRetrieveParams,
    "POST payment_intents": params.PaymentIntentCreateParams,
    "GET payment_intents": params.PaymentIntentListParams,
    "GET payment_intents/:id": params.PaymentIntentRetrieveParams,
    "POST payment_intents/:id/confirm": params.PaymentIntentConfirmParams,
    "POST payment_intents/:id/cancel": params.PaymentIntentCancelParams,
    "POST payment_intents/:id/capture": params.PaymentIntentCaptureParams,
    "GET charges": params.ChargeListParams,
    "GET charges/:id": params.ChargeRetrieveParams,
    "POST refunds": params.RefundCreateParams,
    "GET refunds": params.RefundListParams,
    "GET refunds/:id": params.RefundRetrieveParams,
    "POST refunds/:id": params.RefundUpdateParams,
    "POST refunds/:id/cancel": params.RefundCancelParams,
    "GET disputes": params.DisputeListParams,
    "GET disputes/:id": params.DisputeRetrieveParams,
    "POST disputes/:id": params.DisputeUpdateParams,
    "POST disputes/:id/close": params.DisputeCloseParams,
    "GET radar/early_fraud_warnings": params.radar.EarlyFraudWarningListParams,
    "GET radar/early_fraud_warnings/:id": params.radar.EarlyFraudWarningRetrieveParams,
    "POST payouts": params.PayoutCreateParams,
    "GET payouts": params.PayoutListParams,
    "GET payouts/:id": params.PayoutRetrieveParams,
    "POST payouts/:id": params.PayoutUpdateParams,
    "POST payouts/:id/cancel": params.PayoutCancelParams,
    "GET balance_transactions": params.BalanceTransactionListParams,
    "GET balance_transactions/:id": params.BalanceTransactionRetrieveParams,
    "GET events": params.EventListParams,
    "GET events/:id": params.EventRetrieveParams,
    "POST webhook_endpoints": params.WebhookEndpointCreateParams,
    "GET webhook_endpoints": params.WebhookEndpointListParams,
    "GET webhook_endpoints/:id": params.WebhookEndpointRetrieveParams,
    "POST webhook_endpoints/:id": params.WebhookEndpointUpdateParams,
    "DELETE webhook_endpoints/:id": params.WebhookEndpointDeleteParams,
    "POST v2/core/event_destinations": core.EventDestinationCreateParams,
    "GET v2/core/event_destinations": core.EventDestinationListParams,
    "GET v2/core/event_destinations/:id": core.EventDestinationRetrieveParams,
    "POST v2/core/event_destinations/:id": core.EventDestinationUpdateParams,
    "POST v2/core/event_destinations/:id/enable": core.EventDestinationEnableParams,
    "POST v2/core/event_destinations/:id/disable": core.EventDestinationDisableParams,
    "DELETE v2/core/event_destinations/:id": core.EventDestinationDeleteParams,
    "GET v2/core/events": core.EventListParams,
    "GET v2/core/events/:id": core.EventRetrieveParams,
}
# Lists of the second API name the address of their next page, so the SDK has no type for what is in it.
PAGED = ("GET v2/core/event_destinations", "GET v2/core/events")
OBJECTS: dict[str, Any] = {
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "dispute": stripe.Dispute,
    "radar.early_fraud_warning": stripe.radar.EarlyFraudWarning,
    "payout": stripe.Payout,
    "balance_transaction": stripe.BalanceTransaction,
    "event": stripe.Event,
    "webhook_endpoint": stripe.WebhookEndpoint,
    "account": stripe.Account,
    "balance": stripe.Balance,
}
_PATH = re.compile(r'\(\s*"(get|post|delete)",\s*"(/v[12]/[^"]*)"')
_THIN = re.compile(r'LOOKUP_TYPE = "(v1\.[^"]*)"')
_OPTIONS = frozenset(RequestOptions.__annotations__)


def everything() -> dict[str, Any]:
    """The whole of the data file."""
    return {
        "version": stripe.api_version,
        "routes": routes(),
        "parameters": {endpoint: fields(given) | paging(endpoint) for endpoint, given in TYPES.items()},
        "snapshot_events": snapshot_events(),
        "thin_events": thin_events(),
        "expandable": {name: sorted(_expandable(given)) for name, given in OBJECTS.items()},
    }


def paging(endpoint: str) -> dict[str, Any]:
    """The parameter that names a page of the second API."""
    return {"page": {"kind": "text"}} if endpoint in PAGED else {}


def snapshot_events() -> list[str]:
    """Every type of event that a webhook endpoint may ask for by its name."""
    asked = fields(params.WebhookEndpointCreateParams)["enabled_events"]["item"]["words"]
    return [kind for kind in asked if kind != "*"]


def thin_events() -> list[str]:
    """Every type of thin event about an object of the first API."""
    files = sorted(Path(stripe.__path__[0], "events").glob("_v1_*_event.py"))
    return sorted({kind for file in files for kind in _THIN.findall(file.read_text())})


def routes() -> list[str]:
    """Every route that a service class of the SDK calls, such as `GET /v1/charges/:id`."""
    found = set()
    for module in pkgutil.walk_packages(stripe.__path__, "stripe."):
        if module.name.endswith("_service"):
            source = inspect.getsource(importlib.import_module(module.name))
            found |= {f"{method.upper()} {re.sub(r'{[^}]*}', ':id', path)}" for method, path in _PATH.findall(source)}
    return sorted(found)


def fields(given: Any) -> dict[str, Any]:
    """The parameters of one request, or of one hash inside it, by name."""
    # Of the request options, which are no parameters, the SDK imports these types for type checkers only.
    hints = get_type_hints(given, localns={"StripeContext": object, "Mapping": Mapping}, include_extras=True)
    names = [name for name in hints if name not in _OPTIONS]
    return {name: _parameter(hints[name]) for name in sorted(names)}


def _parameter(hint: Any) -> dict[str, Any]:
    optional = get_origin(hint) is NotRequired
    while get_origin(hint) in (NotRequired, Required):
        (hint,) = get_args(hint)
    described = _kind(list(_members(hint)))
    return described if optional else described | {"required": True}


def _kind(members: list[Any]) -> dict[str, Any]:
    words = [word for member in members if get_origin(member) is Literal for word in get_args(member)]
    unset = {"unset": True} if "" in words else {}
    words = [word for word in words if word]
    hashes = [member for member in members if is_typeddict(member)]
    lists = [member for member in members if get_origin(member) is list]
    if hashes:
        also = {"integer": True} if int in members else {}
        return {"kind": "hash", "fields": fields(hashes[0])} | also | unset
    if lists:
        return {"kind": "list", "item": _kind(list(_members(get_args(lists[0])[0])))} | unset
    if any(get_origin(member) is dict for member in members):
        return {"kind": "map"} | unset
    if words:
        return {"kind": "word", "words": sorted(words + (["false", "true"] if bool in members else []))} | unset
    if bool in members:
        return {"kind": "word", "words": ["false", "true"]} | unset
    return {"kind": "integer" if int in members else "text"} | unset


def _members(hint: Any) -> Iterator[Any]:
    """The members of a union; a type alone is a union of one."""
    if get_origin(hint) in (Union, types.UnionType):
        for member in get_args(hint):
            yield from _members(member)
    else:
        yield hint


def _expandable(given: Any) -> Iterator[str]:
    """The properties of an object, or of a hash inside it, that may be an id or the object itself, or a list."""
    for name, written in given.__annotations__.items():
        if "Union[str, ForwardRef(" in str(written) or str(written).startswith("typing.Optional[stripe._list_object."):
            yield name
    for name, inner in getattr(given, "_inner_class_types", {}).items():
        yield from (f"{name}.{deeper}" for deeper in _expandable(inner))


if __name__ == "__main__":
    sandbox.documented.FILE.write_text(json.dumps(everything(), indent=1) + "\n")
