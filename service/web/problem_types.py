"""Every `type` that an error answer of the API can have, with its HTTP status, in one table.

Answers, the OpenAPI document and the table of docs/reference/http-api.md are made of it. A test compares it with the
errors that the code raises. Pure.
"""

from dataclasses import dataclass
from typing import Self

from msgspec import Struct

TYPE_BASE = "urn:effectively-once:problem:"  # a name and no address: a client compares it and fetches nothing


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A row: the end of the `type`, the HTTP status, the title, what happened, and what a caller does about it."""

    code: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        """The whole `type`."""
        return TYPE_BASE + self.code


_MEND = "Mend the request; as it is it will always be refused."
_REPEAT = "Repeat the request, with the same key and body where it had a key."

_TABLE = (
    ProblemType("bad-request", 400, "Bad request", "The request cannot be understood.", _MEND),
    ProblemType("body-not-json", 400, "Bad request", "The body is not JSON in UTF-8.", _MEND),
    ProblemType(
        "body-invalid", 400, "Bad request",
        "A field is missing, unknown or of another type, or has a value it cannot have.", _MEND,
    ),
    ProblemType("body-repeats-a-name", 400, "Bad request", "A name appears twice in one JSON object.", _MEND),
    ProblemType("idempotency-key-missing", 400, "Bad request", "There is no Idempotency-Key header.", _MEND),
    ProblemType(
        "idempotency-key-malformed", 400, "Bad request",
        "The key is repeated, empty, too long, or has characters that a key cannot have.", _MEND,
    ),
    ProblemType(
        "idempotency-key-reserved", 400, "Bad request", "The key starts with `eo1:`, which this service uses.", _MEND
    ),
    ProblemType("currency-unknown", 400, "Bad request", "The currency is none that Stripe can charge.", _MEND),
    ProblemType(
        "currency-mismatch", 400, "Bad request", "The currency of a refund is not its order's.",
        "Leave the currency out, or send the order's.",
    ),
    ProblemType("amount-invalid", 400, "Bad request", "The amount is not an integer.", _MEND),
    ProblemType(
        "amount-out-of-range", 400, "Bad request", "The amount is outside what the currency allows.",
        "Charge an amount within the bounds that `detail` names.",
    ),
    ProblemType(
        "amount-not-a-multiple", 400, "Bad request", "The currency only takes amounts in larger steps.",
        "Round the amount to the step that `detail` names.",
    ),
    ProblemType(
        "string-invalid", 400, "Bad request", "A string has a character that cannot be stored.", _MEND
    ),
    ProblemType(
        "card-data-rejected", 400, "Bad request", "A string looks like a card number. Nothing was stored.",
        "Send a PaymentMethod (`pm_…`) instead; prefix a numeric id of your own with a letter.",
    ),
    ProblemType(
        "signature-invalid", 400, "Bad request", "The body is no event that Stripe has signed.",
        "Nobody but Stripe sends here. Is STRIPE_WEBHOOK_SECRET that of the endpoint?",
    ),
    ProblemType(
        "url-refused", 400, "Bad request", "The URL is none that notices are sent to, or leads to a private address.",
        "Use an https URL with a name of the internet; an operator can allow others.",
    ),
    ProblemType("query-invalid", 400, "Bad request", "A query parameter is unknown, repeated or malformed.", _MEND),
    ProblemType(
        "unauthorized", 401, "Unauthorized", "There is no API key, or it is unknown, revoked or has ended.",
        "Send `Authorization: Bearer <API key>`; `eo keys create` makes one.",
    ),
    ProblemType(
        "insufficient-scope", 403, "Insufficient scope", "The API key has not the scope that the route takes.",
        "Use a key with the scope that `detail` names; `eo keys create --scope` makes one.",
    ),
    ProblemType(
        "not-found", 404, "Not found", "There is no such object in this account, or nothing at this address.",
        "Check the id or the address, and whose API key was sent.",
    ),
    ProblemType(
        "method-not-allowed", 405, "Method not allowed", "The address does not take this method.",
        "Use a method of the Allow header.",
    ),
    ProblemType(
        "request-timeout", 408, "Request timeout", "The request took too long to arrive.",
        "Send it again, with the same key and body where it had a key.",
    ),
    ProblemType(
        "conflict", 409, "Conflict", "The present state of the order forbids it. Nothing of the request is remembered.",
        "Do what `detail` names as the next step. The same key may be used again.",
    ),
    ProblemType(
        "content-too-large", 413, "Content too large",
        "The body is over 64 KiB; for a batch over 2 MiB, for an event of Stripe's over 512 KiB.",
        "Send fewer orders in a batch, or less in an order.",
    ),
    ProblemType(
        "unsupported-media-type", 415, "Unsupported media type", "The body is not declared as JSON, or is compressed.",
        "Send `Content-Type: application/json`, and the body as it is.",
    ),
    ProblemType(
        "idempotency-key-reused", 422, "Idempotency key reused",
        "The key was used before with another body, or for another order.",
        "Use a new key for what is new.",
    ),
    ProblemType(
        "rate-limited", 429, "Too many requests", "The API key, or the address of wrong keys, is over its limit.",
        "Wait for the seconds of Retry-After.",
    ),
    ProblemType(
        "headers-too-large", 431, "Header fields too large", "The headers are over 32 KiB, or more than 200.",
        "Send fewer or shorter headers.",
    ),
    ProblemType(
        "internal-error", 500, "Internal error", "Something failed here; the log names it by the request's id.", _REPEAT
    ),
    ProblemType(
        "unavailable", 503, "Unavailable",
        "PostgreSQL could not be asked, or Stripe where it must be, or too many connections are open.", _REPEAT,
    ),
    ProblemType(
        "not-confirmed", 503, "Not confirmed", "What was asked for may or may not be stored.", _REPEAT
    ),
)  # fmt: skip

PROBLEM_TYPES = {row.code: row for row in _TABLE}


class ProblemBody(Struct, frozen=True):
    """RFC 9457. `type` is stable, `detail` is for a human and never repeats what was sent."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str

    @classmethod
    def of(cls, code: str, detail: str, request_id: str) -> Self:
        """The answer of the type that ends with `code`."""
        row = PROBLEM_TYPES[code]
        return cls(row.uri, row.title, row.status, detail, request_id)
