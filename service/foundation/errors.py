"""Everything that can go wrong in words a caller can act on.

    EffectivelyOnceError
    ├── Misconfigured            a setting or an environment this process must not run with   (exit 2)
    ├── Unavailable              a dependency is away; try again                              (exit 3, HTTP 503)
    ├── Defect                   a process of ours ended by an error that nobody foresaw      (exit 70)
    └── Problem                  an answer of the HTTP API (RFC 9457)
        ├── BadRequest           400
        ├── Unauthorized         401
        ├── NotFound             404
        ├── UnprocessableKey     422  the key was used with another body
        ├── TooManyRequests      429
        └── NotConfirmed         503  repeat with the same key

A message never echoes a value the caller sent (it may be a card number): it names the field.
"""

from typing import ClassVar

TYPE_BASE = "urn:effectively-once:problem:"  # a name, not an address: nothing needs to answer there


class EffectivelyOnceError(Exception):
    """Base of every error raised on purpose."""


class Misconfigured(EffectivelyOnceError):
    """A setting this process must not run with. The message says which, why, and what to do."""


class Unavailable(EffectivelyOnceError):
    """PostgreSQL, Redis or Stripe could not be reached. The message names it and the next command."""


class Defect(EffectivelyOnceError):
    """Another process of ours ended by an error that nobody foresaw. The message has its last words."""


class Problem(EffectivelyOnceError):
    """An HTTP error answer. `detail` is for a human; `code` (the end of the `type` URI) is stable for programs."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    code: ClassVar[str] = "internal-error"

    def __init__(self, detail: str, *, code: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problem_code = code or self.code
        self.retry_after_s = retry_after_s

    @property
    def type_uri(self) -> str:
        """The stable `type` of RFC 9457."""
        return TYPE_BASE + self.problem_code


class BadRequest(Problem):
    """The request cannot be understood; sending it again unchanged cannot help."""

    status, title, code = 400, "Bad request", "bad-request"


class Unauthorized(Problem):
    """No API key, or one that is unknown or revoked (the answer is the same for each)."""

    status, title, code = 401, "Unauthorized", "unauthorized"


class NotFound(Problem):
    """No such object in the caller's account (another account's object included)."""

    status, title, code = 404, "Not found", "not-found"


class UnprocessableKey(Problem):
    """The idempotency key was used before with another body."""

    status, title, code = 422, "Idempotency key reused", "idempotency-key-reused"


class TooManyRequests(Problem):
    """Over the rate limit; `retry_after_s` says when to come back."""

    status, title, code = 429, "Too many requests", "rate-limited"


class NotConfirmed(Problem):
    """The order may or may not be stored. Repeating with the same key finds out and is always safe (R6)."""

    status, title, code = 503, "Not confirmed", "not-confirmed"
