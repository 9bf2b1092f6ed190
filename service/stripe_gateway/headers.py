"""What the headers of Stripe's answers say. Pure."""

import email.utils
import re
from collections.abc import Mapping

_RETRY_AFTER_MAX_S = 3_600.0  # a header must not be able to put an order off for years
_DIGITS = re.compile(r"[0-9]{1,18}")


def replayed(headers: Mapping[str, str]) -> bool:
    """Whether the body is the saved one of an earlier request."""
    return headers.get("idempotent-replayed") == "true"


def date(headers: Mapping[str, str]) -> float | None:
    """Stripe's clock in Unix seconds."""
    text = headers.get("date")
    if not text:
        return None
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, within reason; its other form, a date, is not one that Stripe sends."""
    text = headers.get("retry-after")
    return min(float(text), _RETRY_AFTER_MAX_S) if text is not None and _DIGITS.fullmatch(text) else None
