"""Every table, constraint and index, each with its reason. The migrations build this; `alembic check` compares the two.

installation  accounts and their keys, the instance, the lives of its database, duties
accepting     orders, operations on them, and the outbox
charging      attempts to charge
changing      captures, cancellations and refunds
booking       the ledger: accounts, entries and postings
telling       what Stripe tells: events, disputes, payouts, movements of its balance
noticing      what we tell producers: their endpoints, and the notices that are owed to them
reconciling   runs, discrepancies and acknowledgements
watching      the audit of operators, the console's links and sessions, tallies
columns       what the tables share

Where a row belongs to an account, every unique key starts with `account_id` (a later sharding by account stays open).
Money is `amount_minor` (integer minor units) with `currency`; time is `timestamptz`; the clock is the database's.
`orders` has no foreign key to `accounts`: each insert would lock the one account row that all orders share, and
accounts are never deleted. `outbox` has none to `orders`: both rows are written by one statement or not at all.
"""

from service.foundation.postgres.schema.accepting import CAPTURES, OPERATIONS, operations, order_aliases, orders, outbox
from service.foundation.postgres.schema.booking import (
    LEDGER_TYPES,
    journal_entries,
    ledger_accounts,
    ledger_horizon,
    ledger_rollups,
    postings,
)
from service.foundation.postgres.schema.changing import WANTED_BY, changes, refunds
from service.foundation.postgres.schema.charging import charges, undated_charges
from service.foundation.postgres.schema.columns import metadata
from service.foundation.postgres.schema.installation import accounts, api_keys, duties, instance, lives
from service.foundation.postgres.schema.noticing import endpoint_rolls, notices, webhook_endpoints
from service.foundation.postgres.schema.reconciling import (
    acknowledgements,
    discrepancies,
    reconciliation_findings,
    reconciliation_runs,
)
from service.foundation.postgres.schema.telling import (
    EVENT_SOURCES,
    balance_transactions,
    disputes,
    fraud_warnings,
    payouts,
    settlement_currencies,
    stripe_events,
    sweeps,
)
from service.foundation.postgres.schema.watching import (
    AUDIT_VIA,
    CONSOLE_ROLES,
    absorptions,
    audit,
    console_links,
    console_sessions,
    tallies,
    tally_writers,
)

__all__ = [
    "AUDIT_VIA",
    "CAPTURES",
    "CONSOLE_ROLES",
    "EVENT_SOURCES",
    "LEDGER_TYPES",
    "OPERATIONS",
    "WANTED_BY",
    "absorptions",
    "accounts",
    "acknowledgements",
    "api_keys",
    "audit",
    "balance_transactions",
    "changes",
    "charges",
    "console_links",
    "console_sessions",
    "discrepancies",
    "disputes",
    "duties",
    "endpoint_rolls",
    "fraud_warnings",
    "instance",
    "journal_entries",
    "ledger_accounts",
    "ledger_horizon",
    "ledger_rollups",
    "lives",
    "metadata",
    "notices",
    "operations",
    "order_aliases",
    "orders",
    "outbox",
    "payouts",
    "postings",
    "reconciliation_findings",
    "reconciliation_runs",
    "refunds",
    "settlement_currencies",
    "stripe_events",
    "sweeps",
    "tallies",
    "tally_writers",
    "undated_charges",
    "webhook_endpoints",
]
