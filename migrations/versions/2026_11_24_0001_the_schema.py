"""The tables.

Safe beside running processes: there are none before the first revision.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import UserDefinedType


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, written out here: a revision does not change with the code."""

    cache_ok = True

    def get_col_spec(self, **_kw: object) -> str:
        return "xid8"


revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('accounts',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('is_default', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('accounts_pkey')),
    sa.UniqueConstraint('name', name=op.f('accounts_name_key')),
    comment='Who places orders. Accounts see nothing of each other.'
    )
    op.create_index('accounts_one_default', 'accounts', ['is_default'], unique=True, postgresql_where=sa.text('is_default'))
    op.create_table('instance',
    sa.Column('id', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('hmac_key', sa.LargeBinary(), nullable=False, comment='keys the HMAC of api_keys'),
    sa.Column('stripe_account_id', sa.Text(), nullable=True),
    sa.Column('stripe_livemode', sa.Boolean(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('instance_one_row_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('instance_pkey')),
    comment='One row: what this installation is bound to.'
    )
    op.create_table('journal_entries',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('reference', sa.Text(collation='C'), nullable=False, comment="natural key of Stripe's object id, e.g. charge:ch_…"),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False, comment="SHA-256 of the entry's content, compared on a repeat"),
    sa.Column('order_id', sa.UUID(), nullable=True),
    sa.Column('payment_intent_id', sa.Text(), nullable=True),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('xid', Xid8(), server_default=sa.text('pg_current_xact_id()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('journal_entries_pkey')),
    sa.UniqueConstraint('account_id', 'reference', name=op.f('journal_entries_account_id_reference_key')),
    comment='One balanced booking. Append-only: no grant and triggers.'
    )
    op.create_index('journal_entries_by_order', 'journal_entries', ['order_id'], unique=False)
    op.create_table('ledger_accounts',
    sa.Column('id', sa.Integer(), sa.Identity(always=True), nullable=False),
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.CheckConstraint("type IN ('asset', 'liability', 'income', 'expense', 'suspense')", name=op.f('ledger_accounts_type_known_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('ledger_accounts_pkey')),
    sa.UniqueConstraint('account_id', 'code', 'currency', name=op.f('ledger_accounts_account_id_code_currency_key')),
    comment='The chart: one account per code and currency, made when first used, never changed.'
    )
    op.create_table('ledger_horizon',
    sa.Column('id', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('xid', Xid8(), nullable=False, comment='postings with a smaller xid are in ledger_rollups, all others are not'),
    sa.CheckConstraint('id = 1', name=op.f('ledger_horizon_one_row_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('ledger_horizon_pkey')),
    comment='One row: up to which transaction the rollups reach.'
    )
    op.create_table('ledger_rollups',
    sa.Column('ledger_account_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('day', sa.Date(), nullable=False, comment='UTC day of occurred_at'),
    sa.Column('debit_minor', sa.BigInteger(), nullable=False),
    sa.Column('credit_minor', sa.BigInteger(), nullable=False, comment='a positive number'),
    sa.PrimaryKeyConstraint('ledger_account_id', 'day', name=op.f('ledger_rollups_pkey')),
    comment='Sums of postings older than ledger_horizon, so that a balance read stays cheap. Derived; can be rebuilt.'
    )
    op.create_table('orders',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('idempotency_key', sa.Text(collation='C'), nullable=False),
    sa.Column('fingerprint', sa.LargeBinary(), nullable=False, comment='version byte + SHA-256 of the validated request'),
    sa.Column('amount_minor', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('payment_method', sa.Text(), nullable=False),
    sa.Column('customer', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('metadata', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('status', sa.Text(), server_default='pending', nullable=False),
    sa.Column('amount_refunded_minor', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('payment_intent_id', sa.Text(), nullable=True),
    sa.Column('failure', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment='{"code","decline_code","message"} of the last definitive decline'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("status IN ('pending', 'processing', 'paid', 'failed', 'requires_action', 'canceled')", name=op.f('orders_status_known_check')),
    sa.CheckConstraint('amount_minor > 0', name=op.f('orders_amount_positive_check')),
    sa.CheckConstraint('amount_refunded_minor BETWEEN 0 AND amount_minor', name=op.f('orders_refunded_within_amount_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('orders_pkey')),
    sa.UniqueConstraint('account_id', 'idempotency_key', name=op.f('orders_account_id_idempotency_key_key')),
    comment='What a producer asked for, once per (account, idempotency key).',
    postgresql_with={'fillfactor': '80'}
    )
    op.create_index('orders_by_account', 'orders', ['account_id', 'id'], unique=False)
    op.create_index('orders_by_time', 'orders', ['created_at'], unique=False, postgresql_using='brin')
    op.create_table('outbox',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('order_id', sa.UUID(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('payload', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('headers', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('deliver_after', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('published', sa.Integer(), server_default='0', nullable=False, comment='times handed to the broker since the last answer'),
    sa.Column('deliveries', sa.Integer(), server_default='0', nullable=False, comment='opens, not publishes (R10)'),
    sa.Column('opens_unsettled', sa.Integer(), server_default='0', nullable=False, comment="opens since the last settle; a poison's count"),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('parked_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('outbox_pkey')),
    comment='A promise per row. It stays until the effect is booked; publishing only hides it for a while.',
    postgresql_with={'fillfactor': '70', 'autovacuum_vacuum_scale_factor': '0.01', 'autovacuum_vacuum_threshold': '500', 'autovacuum_vacuum_cost_delay': '0'}
    )
    op.create_index('outbox_by_order', 'outbox', ['order_id'], unique=False)
    op.create_index('outbox_due', 'outbox', ['deliver_after'], unique=False, postgresql_where=sa.text('parked_at IS NULL'))
    op.create_index('outbox_parked', 'outbox', ['parked_at'], unique=False, postgresql_where=sa.text('parked_at IS NOT NULL'))
    op.create_table('postings',
    sa.Column('entry_id', sa.UUID(), nullable=False),
    sa.Column('line', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('ledger_account_id', sa.Integer(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('amount_minor', sa.BigInteger(), nullable=False, comment='debit > 0, credit < 0'),
    sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('xid', Xid8(), server_default=sa.text('pg_current_xact_id()'), nullable=False),
    sa.CheckConstraint('amount_minor <> 0', name=op.f('postings_amount_not_zero_check')),
    sa.PrimaryKeyConstraint('entry_id', 'line', name=op.f('postings_pkey')),
    comment='The legs of an entry. Their sum is zero per entry and currency; a trigger holds it.'
    )
    op.create_index('postings_by_time', 'postings', ['occurred_at'], unique=False, postgresql_using='brin')
    op.create_index('postings_by_xid', 'postings', ['xid'], unique=False)
    op.create_table('reconciliation_runs',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('window_start', sa.DateTime(timezone=True), nullable=False),
    sa.Column('window_end', sa.DateTime(timezone=True), nullable=False),
    sa.Column('source', sa.Text(), nullable=False, comment='api, or the name and SHA-256 of a report file'),
    sa.Column('verdict', sa.Text(), nullable=True, comment='null: the run did not finish, and says nothing'),
    sa.Column('totals', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.CheckConstraint("verdict IN ('clean', 'discrepancies', 'incomplete')", name=op.f('reconciliation_runs_verdict_known_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('reconciliation_runs_pkey')),
    comment='Every run of eo reconcile and what it concluded.'
    )
    op.create_table('api_keys',
    sa.Column('id', sa.Text(), nullable=False, comment='public id, safe to print and log'),
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('hmac', sa.LargeBinary(), nullable=False, comment='HMAC-SHA256 of the key; the key itself is shown once'),
    sa.Column('last4', sa.Text(), nullable=False),
    sa.Column('scopes', postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('api_keys_account_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('api_keys_pkey')),
    sa.UniqueConstraint('hmac', name=op.f('api_keys_hmac_key')),
    comment='Bearer keys of the API. Found by their HMAC, so a copied table opens no door.'
    )
    op.create_table('charges',
    sa.Column('id', sa.UUID(), nullable=False),
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('order_id', sa.UUID(), nullable=False),
    sa.Column('attempt', sa.SmallInteger(), nullable=False),
    sa.Column('idempotency_key', sa.Text(collation='C'), nullable=False, comment='the key on the wire to Stripe (R1)'),
    sa.Column('amount_minor', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('next_call', sa.Text(), server_default='send', nullable=False, comment='what the next delivery asks Stripe'),
    sa.Column('request', postgresql.JSON(astext_type=sa.Text()), nullable=False, comment='exact parameters in sending order'),
    sa.Column('stripe_version', sa.Text(), nullable=False, comment='a re-send under another version is another request (R30)'),
    sa.Column('token', sa.UUID(), nullable=True, comment='of the worker that may settle; fresh at every open (R13, R21)'),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('maybe_executed', sa.Boolean(), nullable=False),
    sa.Column('first_sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('unclear', sa.SmallInteger(), server_default='0', nullable=False, comment='unclear answers in a row (R18)'),
    sa.Column('payment_intent_id', sa.Text(), nullable=True),
    sa.Column('stripe_charge_id', sa.Text(), nullable=True),
    sa.Column('stripe_created', sa.DateTime(timezone=True), nullable=True),
    sa.Column('balance_transaction_id', sa.Text(), nullable=True, comment='set when the fee is booked (R24)'),
    sa.Column('failure', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('history', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False, comment='one small entry per call'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("next_call IN ('send', 'lookup', 'retrieve')", name=op.f('charges_next_call_known_check')),
    sa.CheckConstraint("status IN ('sending', 'unknown', 'requires_action', 'processing', 'succeeded', 'declined', 'canceled', 'duplicate')", name=op.f('charges_status_known_check')),
    sa.CheckConstraint('amount_minor > 0', name=op.f('charges_amount_positive_check')),
    sa.ForeignKeyConstraint(['order_id'], ['orders.id'], name=op.f('charges_order_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('charges_pkey')),
    sa.UniqueConstraint('account_id', 'idempotency_key', name=op.f('charges_account_id_idempotency_key_key')),
    sa.UniqueConstraint('account_id', 'order_id', 'attempt', name=op.f('charges_account_id_order_id_attempt_key')),
    sa.UniqueConstraint('account_id', 'payment_intent_id', name=op.f('charges_account_id_payment_intent_id_key')),
    comment='One row per attempt to charge; committed before the call, so a crash cannot forget that one may have run.',
    postgresql_with={'fillfactor': '70'}
    )
    op.create_index('charges_by_time', 'charges', ['created_at'], unique=False, postgresql_using='brin')
    op.create_index('charges_fee_due', 'charges', ['stripe_created'], unique=False, postgresql_where=sa.text("status IN ('succeeded', 'duplicate') AND balance_transaction_id IS NULL"))
    op.create_index('charges_one_success', 'charges', ['account_id', 'order_id'], unique=True, postgresql_where=sa.text("status = 'succeeded'"))
    op.create_table('discrepancies',
    sa.Column('fingerprint', sa.Text(), nullable=False),
    sa.Column('class', sa.Text(), nullable=False),
    sa.Column('order_id', sa.UUID(), nullable=True),
    sa.Column('payment_intent_id', sa.Text(), nullable=True),
    sa.Column('ours', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('stripe', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('amount_minor', sa.BigInteger(), nullable=True),
    sa.Column('currency', sa.Text(), nullable=True),
    sa.Column('first_run_id', sa.UUID(), nullable=False),
    sa.Column('last_run_id', sa.UUID(), nullable=False),
    sa.Column('first_seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['first_run_id'], ['reconciliation_runs.id'], name=op.f('discrepancies_first_run_id_fkey')),
    sa.ForeignKeyConstraint(['last_run_id'], ['reconciliation_runs.id'], name=op.f('discrepancies_last_run_id_fkey')),
    sa.PrimaryKeyConstraint('fingerprint', name=op.f('discrepancies_pkey')),
    comment='Differences found, with their age across runs.'
    )
    op.create_index('discrepancies_by_last_run', 'discrepancies', ['last_run_id'], unique=False)


def downgrade() -> None:
    op.drop_index('discrepancies_by_last_run', table_name='discrepancies')
    op.drop_table('discrepancies')
    op.drop_index('charges_by_time', table_name='charges', postgresql_using='brin')
    op.drop_index('charges_one_success', table_name='charges', postgresql_where=sa.text("status = 'succeeded'"))
    op.drop_index('charges_fee_due', table_name='charges', postgresql_where=sa.text("status IN ('succeeded', 'duplicate') AND balance_transaction_id IS NULL"))
    op.drop_table('charges')
    op.drop_table('api_keys')
    op.drop_table('reconciliation_runs')
    op.drop_index('postings_by_xid', table_name='postings')
    op.drop_index('postings_by_time', table_name='postings', postgresql_using='brin')
    op.drop_table('postings')
    op.drop_index('outbox_parked', table_name='outbox', postgresql_where=sa.text('parked_at IS NOT NULL'))
    op.drop_index('outbox_due', table_name='outbox', postgresql_where=sa.text('parked_at IS NULL'))
    op.drop_index('outbox_by_order', table_name='outbox')
    op.drop_table('outbox')
    op.drop_index('orders_by_time', table_name='orders', postgresql_using='brin')
    op.drop_index('orders_by_account', table_name='orders')
    op.drop_table('orders')
    op.drop_table('ledger_rollups')
    op.drop_table('ledger_horizon')
    op.drop_table('ledger_accounts')
    op.drop_index('journal_entries_by_order', table_name='journal_entries')
    op.drop_table('journal_entries')
    op.drop_table('instance')
    op.drop_index('accounts_one_default', table_name='accounts', postgresql_where=sa.text('is_default'))
    op.drop_table('accounts')
