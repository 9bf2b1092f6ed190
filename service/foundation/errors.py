"""Every error that this service raises on purpose, as a tree. The message of each is words that its reader can act on.

    EffectivelyOnceError             base of what is shown to a caller or an operator; a command ends with exit 2
    ├── Misconfigured                a setting or an environment that this process must not run with
    │   └── WrongSchema              the database has no schema, or that of another code (foundation.postgres.migrate)
    ├── Unavailable                  PostgreSQL, Redis or Stripe cannot be reached; a command ends with exit 3
    │   ├── PostgresAway             no connection in time, or one that was lost        (foundation.postgres.driver)
    │   └── Unreplicated             no synchronous standby confirmed a COMMIT          (foundation.postgres.driver)
    ├── Defect                       a process of ours ended by an unforeseen error; a command ends with exit 70
    ├── CutShort                     a reconciliation that could not read everything    (reconcile.run)
    └── Problem                      a request that is not carried out; over HTTP an answer of RFC 9457
        ├── BadRequest               it cannot be understood, or has a value that it cannot have
        ├── Unauthorized             it has no API key, or one that is unknown, revoked or over
        │   └── WrongKey             it has one, and that one opens no account          (accounts.keys)
        ├── Forbidden                its API key has not the scope that it takes
        ├── NotFound                 it names a row that does not exist
        ├── Conflict                 the state of what it names forbids it
        ├── UnprocessableKey         its idempotency key was used with another body
        ├── TooManyRequests          its API key is over the rate limit
        ├── NotConfirmed             its order may or may not be stored; a repeat with the same key finds out
        ├── UnsupportedMediaType     its body is not declared as plain JSON             (web.body)
        ├── NotStripes               it bears no signature of Stripe's, or is no event  (web.inbox)
        ├── StripeSilent             Stripe could not be asked for it                   (web.payment_pages)
        └── Unreachable              PostgreSQL could not be asked for it               (web.problems)

Errors that one module raises and its caller handles, so that nobody else sees them:

    Exception
    ├── BookedDifferently            an entry is in the books with other sums           (effects.settling)
    ├── Failed                       a fault could not be injected                      (ops.chaos.hands)
    ├── IncompleteListing            a page of a listing at Stripe could not be read    (stripe_gateway.objects)
    │   ├── AskAgain                 Stripe could not be read this time                (stripe_gateway.pacing)
    │   └── ContradictoryListing     its pages cannot all be of one list                (stripe_gateway.objects)
    ├── NoEvent                      a signed body that is no event of Stripe's         (inbox.reading)
    ├── NotSigned                    Stripe's header does not prove who sent a body     (stripe_gateway.signature)
    ├── NotTheVerifier               another process lists for this life of the database (recovery.verification)
    ├── RefusedAddress               a receiver's name leads into a network of our own  (notices.posting)
    ├── _Broken                      the brackets of a batch do not make an array       (web.batch)
    └── _Refused                     the connection is refused, so its parser stops     (web.front)
    BaseException
    └── StopRequested                a signal told `eo up` to stop                      (ops.supervisor)

No message repeats a value that a caller sent, because it may be a card number: it names the field. The HTTP status of a
problem stands beside its `code` in `service.web.problem_types`, because nothing below the web knows HTTP.
"""


class EffectivelyOnceError(Exception):
    """Base of every error raised on purpose."""


class Misconfigured(EffectivelyOnceError):
    """A setting that this process must not run with. The message says which, why, and what to do."""


class Unavailable(EffectivelyOnceError):
    """PostgreSQL, Redis or Stripe could not be reached. The message names it and the next command."""


class Defect(EffectivelyOnceError):
    """Another process of ours ended by an unforeseen error. The message has its last words."""


class Problem(EffectivelyOnceError):
    """A request that is not carried out. `detail` is for a human; `code`, the end of its `type`, is stable."""

    code = "internal-error"

    def __init__(self, detail: str, *, code: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code


class BadRequest(Problem):
    """The request cannot be understood; sending it again unchanged cannot help."""

    code = "bad-request"


class Unauthorized(Problem):
    """No API key, or one that is unknown, revoked or has ended (the answer is the same for each)."""

    code = "unauthorized"


class Forbidden(Problem):
    """Its API key has not the scope that this takes. `scope` is that scope."""

    code = "insufficient-scope"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"This takes an API key with the scope {scope}, and this key has not got it. `eo keys create --scope "
            f"{scope}` makes one that has."
        )
        self.scope = scope


class NotFound(Problem):
    """There is no such row, or it belongs to another account."""

    code = "not-found"


class Conflict(Problem):
    """The state of the order forbids it. The message names the state and the next possible step."""

    code = "conflict"


class UnprocessableKey(Problem):
    """The idempotency key was used before with another body."""

    code = "idempotency-key-reused"


class TooManyRequests(Problem):
    """Over the rate limit; the request may be sent again after `retry_after_s` seconds."""

    code = "rate-limited"


class NotConfirmed(Problem):
    """The order may or may not be stored. Repeating with the same key finds out and is always safe (R6)."""

    code = "not-confirmed"
