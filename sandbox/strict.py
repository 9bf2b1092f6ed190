"""Rules that Stripe probably has, but that rest on memory or on a quote: each is off until somebody asks for it.

`python -m sandbox --strict payment_method_reuse,manual_confirmation` (or `--strict all`), or `POST /_sandbox/strict`.
"""

RULES = {
    "payment_method_reuse": "a payment method that paid once pays again only for the customer it was saved for",
    "off_session_needs_setup": "`pm_card_authenticationRequiredOnSetup` declines off-session until it was set up",
    "manual_confirmation": "after 3-D Secure a `confirmation_method=manual` PaymentIntent must be confirmed once more",
    "restricted_keys": "`rk_test_…` keys may do what `sk_test_…` keys may",
    "publishable_keys": "`pk_test_…` keys retrieve and confirm the PaymentIntent whose `client_secret` they name",
    "converted_minimum": "at least 50 US cents after conversion in currencies without a published minimum",
    "allowed_types_need_return_url": "`allowed_payment_method_types` without `return_url` cannot be confirmed",
    "empty_key": "an empty `Idempotency-Key` is refused instead of ignored",
    "in_flight_compares": "a key in flight with other parameters is 400, not 409",
    "missing_object_saved": "the 404 for a PaymentIntent in the path of a POST is saved under the key",
}
ALL = "all"


def rules(names: str) -> frozenset[str]:
    """The rules that a comma-separated text names. Raises ValueError for a name that is none."""
    wanted = frozenset(filter(None, names.split(",")))
    if ALL in wanted:
        return frozenset(RULES)
    unknown = sorted(wanted - RULES.keys())
    if unknown:
        raise ValueError(f"no such rule: {', '.join(unknown)}; there are {', '.join(RULES)}")
    return wanted
