"""What the log may say: every event once, with its level, what it means, and what an operator does.

A name is `subject.happened`, so that it can be searched for; what is said besides is a field of the line.
docs/reference/log-events.md shows this table, written from it.
"""

from enum import StrEnum
from typing import NamedTuple


class Event(StrEnum):
    """The `event` of a line of the log."""

    API_KEY_REVOKED = "api_key.revoked"
    ATTEMPT_SETTLED = "attempt.settled"
    AUTH_WRONG_KEY = "auth.wrong_key"
    BALANCE_CLEARED = "balance.cleared"
    BALANCE_CONTRADICTED = "balance.contradicted"
    BALANCE_OPENED = "balance.opened"
    BALANCE_SUSPENSE = "balance.suspense"
    BALANCE_UNREADABLE = "balance.unreadable"
    BREAKER_CLOSED = "breaker.closed"
    BREAKER_OPEN = "breaker.open"
    BREAKER_STAYS_OPEN = "breaker.stays_open"
    CHARGE_FENCED = "charge.fenced"
    CHARGE_LEASE_NOT_RENEWED = "charge.lease_not_renewed"
    CHARGE_LOOKUP_INCOMPLETE = "charge.lookup_incomplete"
    CONSOLE_ACT_FAILED = "console.act_failed"
    CONSOLE_UNREADABLE = "console.unreadable"
    DISPUTE_UNKNOWN_STATUS = "dispute.unknown_status"
    DISPUTE_UNREADABLE = "dispute.unreadable"
    DOOR_BATCH_SPLIT = "door.batch_split"
    DOOR_POSTGRES_AWAY = "door.postgres_away"
    DOOR_POSTGRES_BACK = "door.postgres_back"
    INBOX_UNSETTLED = "inbox.unsettled"
    LEDGER_MOMENT_UNKNOWN = "ledger.moment_unknown"
    LEDGER_MOMENT_UNKNOWN_YET = "ledger.moment_unknown_yet"
    LEDGER_NOT_REDATED = "ledger.not_redated"
    LEDGER_REDATED = "ledger.redated"
    METRICS_FAILED = "metrics.failed"
    NOTICES_FAILED = "notices.failed"
    NOTICES_GIVEN_UP = "notices.given_up"
    NOTICE_ENDPOINT_GONE = "notice.endpoint_gone"
    ORDER_FAILED_BY_OPERATOR = "order.failed_by_operator"
    PAYOUT_CONTENTS_INCOMPLETE = "payout.contents_incomplete"
    PAYOUT_LEFT_OUT = "payout.left_out"
    POSTGRES_AWAY = "postgres.away"
    POSTGRES_BACK = "postgres.back"
    POSTGRES_DURABILITY_UNKNOWN = "postgres.durability_unknown"
    POSTGRES_DURABLE_AGAIN = "postgres.durable_again"
    POSTGRES_NOT_DURABLE = "postgres.not_durable"
    READINESS_LOST = "readiness.lost"
    READY = "ready"
    RECOVERY_FAILED = "recovery.failed"
    RECOVERY_IDENTITY_INCOMPLETE = "recovery.identity_incomplete"
    RECOVERY_INCOMPLETE = "recovery.incomplete"
    RECOVERY_LOSS_FOUND = "recovery.loss_found"
    RECOVERY_VERIFIED = "recovery.verified"
    REDIS_AWAY = "redis.away"
    REDIS_BACK = "redis.back"
    REFUND_FAILED_BY_OPERATOR = "refund.failed_by_operator"
    RELAY_TASK_FAILED = "relay.task_failed"
    REQUEST = "request"
    REQUEST_FAILED = "request.failed"
    REQUEST_REFUSED = "request.refused"
    SETTLEMENT_PARKED = "settlement.parked"
    STOP_CUT_SHORT = "stop.cut_short"
    STRIPE_ANOTHER_ACCOUNT = "stripe.another_account"
    STRIPE_ANSWERS_AGAIN = "stripe.answers_again"
    STRIPE_ASKED_AGAIN = "stripe.asked_again"
    STRIPE_IDENTIFICATION_FAILED = "stripe.identification_failed"
    STRIPE_OBJECT_GONE = "stripe.object_gone"
    STRIPE_UNANSWERED = "stripe.unanswered"
    SWEEP_ADOPTED = "sweep.adopted"
    SWEEP_INCOMPLETE = "sweep.incomplete"
    TALLIES_FAILED = "tallies.failed"
    WAITING_POLL_FAILED = "waiting.poll_failed"
    WORKER_STOPS_UNCOUNTED = "worker.stops_uncounted"


class Help(NamedTuple):
    """The level of an event, the loudest where it varies; what it means; what an operator does, or empty."""

    level: str
    means: str
    do: str = ""


HELP: dict[Event, Help] = {
    Event.API_KEY_REVOKED: Help(
        "warning",
        "the API key of the environment was revoked; it is refused",
        "remove `EO_API_KEY`, or set another",
    ),
    Event.ATTEMPT_SETTLED: Help("info", "a worker tried to carry an effect out; `outcome` says what came of it"),
    Event.AUTH_WRONG_KEY: Help(
        "warning",
        "wrong API keys came from `address`, `count` of them since the line before",
        "where a deployment with an old key does not explain it: block the address",
    ),
    Event.BALANCE_CLEARED: Help("info", "`count` movements that stood in suspense are explained and booked"),
    Event.BALANCE_CONTRADICTED: Help(
        "error",
        "the books have another sum or content than `count` movements of Stripe's balance; `movement` is the first",
        "compare it with Stripe; nothing was booked twice",
    ),
    Event.BALANCE_OPENED: Help(
        "info",
        "what was in Stripe's balance before this installation is booked, once: `amounts`, in minor units",
    ),
    Event.BALANCE_SUSPENSE: Help(
        "error",
        "`count` movements of Stripe's balance cannot be explained, and stand in suspense; `why` is the first's",
        "`eo ledger suspense` lists them with their ages; each is booked by itself once what it is of is known",
    ),
    Event.BALANCE_UNREADABLE: Help(
        "error",
        "Stripe shows a movement of its balance that no books can hold; `reason` says what of it",
        "look at the balance transaction at Stripe; its neighbours are booked",
    ),
    Event.BREAKER_CLOSED: Help("info", "Stripe takes what is sent again"),
    Event.BREAKER_OPEN: Help(
        "error",
        "nothing is sent to Stripe; `reason` says why, also where a worker starts with it open",
        "[the breaker](../howto/stripe-refuses-us.md)",
    ),
    Event.BREAKER_STAYS_OPEN: Help("warning", "one send was tried, and Stripe refused it as before"),
    Event.CHARGE_FENCED: Help(
        "warning",
        "answers about charges, captures, cancellations or refunds came after their lease had ended; another worker "
        "has these, or has settled them",
        "many: raise `EO_CHARGE_LEASE_S`",
    ),
    Event.CHARGE_LEASE_NOT_RENEWED: Help(
        "warning", "leases of charges or refunds were not renewed in a look-up; it is tried again"
    ),
    Event.CHARGE_LOOKUP_INCOMPLETE: Help(
        "warning",
        "Stripe's list of payments or refunds could not be read to its end; it is read again",
    ),
    Event.CONSOLE_ACT_FAILED: Help(
        "warning",
        "what a page of the console began in the background ended without a result; `task` names it",
        "read `why`; `eo reconcile` and `eo ledger verify` do the same without a bound",
    ),
    Event.CONSOLE_UNREADABLE: Help("warning", "what a page of the console shows could not be read; it is read again"),
    Event.DISPUTE_UNKNOWN_STATUS: Help(
        "error",
        "Stripe shows a dispute in a `status` that this version does not know; it keeps its last one, and a new one "
        "counts as `needs_response`",
        "upgrade; look at the dispute at Stripe, `eo reconcile` lists it until then",
    ),
    Event.DISPUTE_UNREADABLE: Help(
        "error",
        "Stripe shows a dispute or an early fraud warning that cannot be stored; `reason` says what of it",
        "look at it at Stripe; its neighbours are stored",
    ),
    Event.DOOR_BATCH_SPLIT: Help("warning", "one order held up the others of its batch; it is looked for"),
    Event.DOOR_POSTGRES_AWAY: Help(
        "error",
        "orders are answered 503",
        "bring PostgreSQL back; `why` names the kind of failure",
    ),
    Event.DOOR_POSTGRES_BACK: Help("info", "orders are stored again"),
    Event.INBOX_UNSETTLED: Help(
        "warning",
        "for a day an event of Stripe's could not be settled; it is looked at every hour",
        "`eo events show` tells `why`; [webhooks](../howto/webhooks.md)",
    ),
    Event.LEDGER_MOMENT_UNKNOWN: Help("warning", "Stripe shows no charge for a booking of before 0006; it stays"),
    Event.LEDGER_MOMENT_UNKNOWN_YET: Help("warning", "Stripe did not say when a charge was made; it is asked again"),
    Event.LEDGER_NOT_REDATED: Help(
        "error",
        "the books refused to correct a booking of before 0006",
        "`eo ledger verify` names the rows; it is tried again every 6 h",
    ),
    Event.LEDGER_REDATED: Help("info", "a booking of before 0006 was reversed and booked at the charge's moment"),
    Event.METRICS_FAILED: Help(
        "error", "a bug: the gauges of the database could not be read", "report it with its lines"
    ),
    Event.NOTICES_FAILED: Help("error", "a round of notices met an error; it is tried again in 2 s", "report it"),
    Event.NOTICES_GIVEN_UP: Help(
        "warning",
        "`count` notices were not taken for three days, or their endpoint is gone or deleted",
        "`eo notices list --status parked` shows them, `eo notices resend` sends them again",
    ),
    Event.NOTICE_ENDPOINT_GONE: Help("warning", "`endpoint` answered 410: it is sent nothing any more"),
    Event.ORDER_FAILED_BY_OPERATOR: Help("warning", "`eo orders fail` ended an order"),
    Event.PAYOUT_CONTENTS_INCOMPLETE: Help(
        "warning", "Stripe's list of what is in a payout could not be read to its end; it is read on"
    ),
    Event.PAYOUT_LEFT_OUT: Help(
        "error",
        "Stripe shows a payout that cannot be stored or booked; `reason` says what of it",
        "look at the `payout` at Stripe; its neighbours are followed, and it is read again",
    ),
    Event.POSTGRES_AWAY: Help(
        "warning",
        "a relay or worker cannot use PostgreSQL; it waits",
        "longer than a restart takes: bring it back; `why` names the kind of failure",
    ),
    Event.POSTGRES_BACK: Help("info", "PostgreSQL can be used again, after `away_s` seconds"),
    Event.POSTGRES_DURABILITY_UNKNOWN: Help("warning", "PostgreSQL did not say whether it keeps what it commits"),
    Event.POSTGRES_DURABLE_AGAIN: Help("info", "PostgreSQL keeps what it commits again"),
    Event.POSTGRES_NOT_DURABLE: Help(
        "error",
        "PostgreSQL no longer keeps what it commits",
        "set what `reason` names back to on",
    ),
    Event.READINESS_LOST: Help(
        "warning",
        "`/health/ready` is 503 because of PostgreSQL; `why` has what a stranger is not told",
        "see `why`; `eo doctor` looks further",
    ),
    Event.READY: Help("info", "a relay or worker has started"),
    Event.RECOVERY_FAILED: Help(
        "error",
        "what the database may have forgotten could not be looked for",
        "see `why`; it is tried again, nothing is sent meanwhile",
    ),
    Event.RECOVERY_IDENTITY_INCOMPLETE: Help(
        "warning",
        "the role may not read what tells a restored database from the one before",
        "grant it what `refused` names",
    ),
    Event.RECOVERY_INCOMPLETE: Help(
        "error",
        "Stripe's list could not be read to its end",
        "it is tried again, nothing is sent meanwhile",
    ),
    Event.RECOVERY_LOSS_FOUND: Help(
        "error",
        "the database had forgotten payments or refunds, and has them again",
        "read its numbers; see [restore](../howto/restore-a-backup.md)",
    ),
    Event.RECOVERY_VERIFIED: Help("info", "Stripe was asked what this database may have forgotten"),
    Event.REDIS_AWAY: Help(
        "warning",
        "Redis cannot be used by `needed_by`; orders are accepted, and wait",
        "longer than a restart takes: bring it back; `why` names the kind of failure",
    ),
    Event.REDIS_BACK: Help("info", "Redis can be used again, after `away_s` seconds"),
    Event.REFUND_FAILED_BY_OPERATOR: Help("warning", "`eo refunds fail` ended a refund"),
    Event.RELAY_TASK_FAILED: Help(
        "error",
        "a bug in the `task` it names",
        "report it with its lines; the task is tried again",
    ),
    Event.REQUEST: Help("info", "an HTTP request was answered"),
    Event.REQUEST_FAILED: Help("error", "a bug: an answer 500", "report it with its `request_id`"),
    Event.REQUEST_REFUSED: Help("warning", "a connection was refused before its request was whole"),
    Event.SETTLEMENT_PARKED: Help(
        "error", "the books refused what Stripe answered", "[decide](../howto/parked-rows.md)"
    ),
    Event.STOP_CUT_SHORT: Help("warning", "a process did not end in time and ended itself; nothing is lost"),
    Event.STRIPE_ANOTHER_ACCOUNT: Help(
        "critical",
        "STRIPE_API_KEY is another account's; the process ends",
        "set the key of the account that the database belongs to",
    ),
    Event.STRIPE_ANSWERS_AGAIN: Help("info", "Stripe settles calls again"),
    Event.STRIPE_ASKED_AGAIN: Help("info", "a page of Stripe's list could not be read; it is asked for again"),
    Event.STRIPE_IDENTIFICATION_FAILED: Help(
        "error",
        "a bug while asking Stripe who it is",
        "report it; nothing is sent meanwhile",
    ),
    Event.STRIPE_OBJECT_GONE: Help("warning", "Stripe no longer has a payment or refund that its list must show"),
    Event.STRIPE_UNANSWERED: Help(
        "error",
        "Stripe settles no call of a worker; `method` and `why` say which and how",
        "look at the network and at Stripe's status page; orders go on by themselves",
    ),
    Event.SWEEP_ADOPTED: Help(
        "warning",
        "Stripe shows the payment or refund `stripe_object`, which this database did not know; it is on the books",
        "a refund of Stripe's dashboard is daily work; a payment was forgotten: `eo recover` tells more",
    ),
    Event.SWEEP_INCOMPLETE: Help(
        "warning",
        "Stripe's list of the `kind` it names could not be read to its end; it is read again from the same second",
        "the same `reason` for an hour: look at Stripe's status page and at the rights of the key",
    ),
    Event.TALLIES_FAILED: Help(
        "error",
        "duplicates that a process had absorbed could not be added to the fleet's counts, and are not counted",
        "report it; nothing else is lost",
    ),
    Event.WAITING_POLL_FAILED: Help("warning", "requests that wait for their order could not look; they look again"),
    Event.WORKER_STOPS_UNCOUNTED: Help("warning", "whether a worker was ended on purpose could not be noted"),
}
