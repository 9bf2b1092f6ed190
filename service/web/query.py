"""The parameters of query strings: how each is described, and how it is read.

An unknown, repeated or malformed parameter is refused, as an unknown, repeated or malformed field of a body is.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn, Self
from urllib.parse import parse_qsl
from uuid import UUID

from service.foundation.errors import BadRequest
from service.foundation.instants import instant
from service.orders.keys import parse_key
from service.states import ORDER_STATUSES
from service.web.operation import AnyRequest, Parameter, ref

LIMIT_DEFAULT, LIMIT_MAX = 20, 100  # objects of a page

STATUS = Parameter("status", ref("OrderStatus"))
REFUND_STATUS = Parameter("status", ref("RefundStatus"))
DISPUTE_STATUS = Parameter("status", ref("DisputeStatus"))
PAYOUT_STATUS = Parameter("status", ref("PayoutStatus"))
IDEMPOTENCY_KEY = Parameter("idempotency_key", {"type": "string"}, text="spelt as in the header")
LIMIT = Parameter("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT})
CURSOR = Parameter("cursor", {"type": "string"}, text="`next_cursor` of the page before")
AS_OF = Parameter(
    "as_of", {"type": "string", "format": "date-time"}, text="what occurred strictly before; with its offset"
)
ORDER_ID = Parameter("order_id", {"type": "string", "format": "uuid"}, required=True)
OF_ORDER = Parameter("order_id", {"type": "string", "format": "uuid"}, text="only what is of this order")

_STRIPE_ID = re.compile(r"[A-Za-z0-9_]{1,255}")
_ID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Query:
    """The parameters of one request. Each getter raises BadRequest for a value it cannot take."""

    @classmethod
    def of(cls, request: AnyRequest, *allowed: Parameter) -> Self:
        """The parameters of this request. Raises BadRequest where it has another one."""
        return cls(request.scope["query_string"], allowed=[parameter.name for parameter in allowed])

    def __init__(self, query_string: bytes, *, allowed: Sequence[str]) -> None:
        try:
            pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
        except ValueError:
            raise BadRequest("The query string cannot be read.", code="query-invalid") from None
        self._values = dict(pairs)
        if len(self._values) != len(pairs) or not self._values.keys() <= set(allowed):
            raise BadRequest(f"The query parameters are {', '.join(allowed)}, each at most once.", code="query-invalid")

    def limit(self) -> int:
        """The number of objects of a page: 1 to 100, by default 20."""
        value = self._values.get("limit", str(LIMIT_DEFAULT))
        if not (value.isascii() and value.isdigit() and len(value) <= 3 and 1 <= int(value) <= LIMIT_MAX):
            _refuse("limit", f"an integer from 1 to {LIMIT_MAX}")
        return int(value)

    def cursor(self) -> UUID | None:
        """The id of the last object of the page before."""
        if (value := self._values.get("cursor")) is None:
            return None
        try:
            found = UUID(bytes=urlsafe_b64decode(value + "=="))
        except ValueError:
            _refuse("cursor", "the next_cursor of an earlier page")
        if self.next_cursor(str(found)) != value:  # the decoder skips characters that are not base64
            _refuse("cursor", "the next_cursor of an earlier page")
        return found

    @staticmethod
    def next_cursor(last_id: str) -> str:
        """The cursor behind the last object of a page. It is opaque to callers, so that its form may change."""
        return urlsafe_b64encode(UUID(last_id).bytes).decode().rstrip("=")

    def stripe_cursor(self) -> str | None:
        """The same where a page is of objects with ids of Stripe's."""
        if (value := self._values.get("cursor")) is None:
            return None
        try:
            found = urlsafe_b64decode(value + "==").decode("ascii")
        except ValueError:
            _refuse("cursor", "the next_cursor of an earlier page")
        if not _STRIPE_ID.fullmatch(found) or self.next_stripe_cursor(found) != value:
            _refuse("cursor", "the next_cursor of an earlier page")
        return found

    @staticmethod
    def next_stripe_cursor(last_id: str) -> str:
        """The cursor behind an object with an id of Stripe's."""
        return urlsafe_b64encode(last_id.encode()).decode().rstrip("=")

    def status(self, statuses: Sequence[str] = ORDER_STATUSES) -> str | None:
        """One of these statuses; those of orders, where nothing else is said."""
        value = self._values.get("status")
        if value is not None and value not in statuses:
            _refuse("status", "one of " + ", ".join(statuses))
        return value

    def key(self) -> str | None:
        """An idempotency key, spelt as in the header."""
        value = self._values.get("idempotency_key")
        return None if value is None else parse_key(value)

    def as_of(self) -> datetime | None:
        """An instant with its offset from UTC (RFC 3339)."""
        if (value := self._values.get("as_of")) is None:
            return None
        try:
            return instant(value, zone_required=True)
        except ValueError:
            _refuse("as_of", "an RFC 3339 instant with its offset, such as 2026-11-24T00:00:00Z")

    def of_order(self) -> UUID | None:
        """The id of an order, where one is given."""
        return self.order_id() if "order_id" in self._values else None

    def order_id(self) -> UUID:
        """The id of an order; required."""
        value = self._values.get("order_id", "")
        if not _ID.fullmatch(value):
            _refuse("order_id", "the id of an order")
        return UUID(value)


def _refuse(name: str, wanted: str) -> NoReturn:
    raise BadRequest(f"{name} must be {wanted}.", code="query-invalid")
