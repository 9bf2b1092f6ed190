"""What Stripe tells: events, disputes, payouts, each movement of its balance. New tables, and columns that may be null.

A process of the version before knows none of them, and nothing it does depends on them. It books a charge that Stripe
settles in another currency in the charge's own, as it always did: reconciliation names that, and healing books it anew.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

def upgrade() -> None:
    op.add_column("journal_entries", sa.Column("customer_minor", sa.BigInteger(), nullable=True, comment="what the customer paid or got, where Stripe settled otherwise"))
    op.add_column("journal_entries", sa.Column("customer_currency", sa.Text(), nullable=True))
    op.add_column("charges", sa.Column("settled_minor", sa.BigInteger(), nullable=True, comment="what it got in that currency, and is booked; null: not booked so yet"))
    op.alter_column("charges", "settlement_currency", comment="in which Stripe's balance got it, where that is not the charge's")
    op.add_column("refunds", sa.Column("promised_settled_minor", sa.BigInteger(), nullable=True, comment="what is promised anew, at the charge's rate"))
    op.add_column("refunds", sa.Column("drawn_settled_minor", sa.BigInteger(), nullable=True, comment="what was owed before, at the charge's rate"))
    _stripe_events()
    _sweeps()
    _balance_transactions()
    _settlement_currencies()
    _disputes()
    _fraud_warnings()
    _payouts()


def downgrade() -> None:
    """What Stripe told is forgotten; its lists tell it again."""
    op.drop_table("payouts")
    op.drop_table("fraud_warnings")
    op.drop_table("disputes")
    op.drop_table("settlement_currencies")
    op.drop_table("balance_transactions")
    op.drop_table("sweeps")
    op.drop_table("stripe_events")
    op.drop_column("refunds", "drawn_settled_minor")
    op.drop_column("refunds", "promised_settled_minor")
    op.alter_column("charges", "settlement_currency", comment="where it is not the charge's: its booking is not made yet")
    op.drop_column("charges", "settled_minor")
    op.drop_column("journal_entries", "customer_currency")
    op.drop_column("journal_entries", "customer_minor")


def _stripe_events() -> None:
    op.create_table('stripe_events',
    sa.Column('id', sa.Text(collation='C'), nullable=False, comment="Stripe's id of the event; a repeat finds it here"),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('object_id', sa.Text(collation='C'), nullable=True, comment='the object that it makes dirty; null: it names none'),
    sa.Column('thin', sa.Boolean(), nullable=False, comment='it carries no object, only its id'),
    sa.Column('source', sa.Text(), nullable=False, comment='webhook: delivered; sync: fetched'),
    sa.Column('kept', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='allow-listed fields (R30)'),
    sa.Column('stripe_created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('received', sa.Integer(), server_default='1', nullable=False, comment='how often it was delivered'),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('look_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('looks', sa.SmallInteger(), server_default='0', nullable=False, comment='looks that did not settle it'),
    sa.Column('note', sa.Text(), nullable=True, comment='why it is not settled, or what it changed nothing for'),
    sa.CheckConstraint("source IN ('webhook', 'sync')", name=op.f('stripe_events_source_known_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('stripe_events_pkey')),
    comment="The inbox: each event of Stripe's once. A hint that its object is to be read (R38), never a fact."
    )
    op.create_index('stripe_events_by_object', 'stripe_events', ['object_id'], unique=False)
    op.create_index('stripe_events_by_time', 'stripe_events', ['received_at'], unique=False, postgresql_using='brin')
    op.create_index('stripe_events_dirty', 'stripe_events', ['look_at'], unique=False, postgresql_where=sa.text('settled_at IS NULL'))


def _sweeps() -> None:
    op.create_table('sweeps',
    sa.Column('kind', sa.Text(), nullable=False, comment="the list of Stripe's that is swept"),
    sa.Column('swept_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('swept_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('note', sa.Text(), nullable=True, comment='why the last sweep was not complete'),
    sa.PrimaryKeyConstraint('kind', name=op.f('sweeps_pkey')),
    comment="How far each of Stripe's lists is read, by Stripe's clock; the next sweep begins a little before."
    )


def _balance_transactions() -> None:
    op.create_table('balance_transactions',
    sa.Column('id', sa.Text(collation='C'), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('category', sa.Text(), nullable=False, comment="Stripe's reporting_category"),
    sa.Column('source', sa.Text(collation='C'), nullable=True, comment='the charge, refund, dispute or payout that moved the money'),
    sa.Column('amount_minor', sa.BigInteger(), nullable=False),
    sa.Column('fee_minor', sa.BigInteger(), nullable=False),
    sa.Column('net_minor', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False, comment="of Stripe's balance, not the customer's"),
    sa.Column('stripe_created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('available_on', sa.DateTime(timezone=True), nullable=True),
    sa.Column('status', sa.Text(), server_default='waiting', nullable=False),
    sa.Column('why', sa.Text(), nullable=True, comment='why it waits, or stands in suspense'),
    sa.Column('account_id', sa.UUID(), nullable=True),
    sa.Column('order_id', sa.UUID(), nullable=True),
    sa.Column('payout_id', sa.Text(collation='C'), nullable=True, comment='the payout that it is part of'),
    sa.Column('seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("status IN ('waiting', 'booked', 'suspense')", name=op.f('balance_transactions_status_known_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('balance_transactions_pkey')),
    comment="Each movement of Stripe's balance once: booked, or in suspense, so that both balances are equal."
    )
    op.create_index('balance_transactions_by_payout', 'balance_transactions', ['payout_id', 'stripe_created', 'id'], unique=False, postgresql_where=sa.text('payout_id IS NOT NULL'))
    op.create_index('balance_transactions_by_source', 'balance_transactions', ['source'], unique=False)
    op.create_index('balance_transactions_by_time', 'balance_transactions', ['stripe_created'], unique=False, postgresql_using='brin')
    op.create_index('balance_transactions_open', 'balance_transactions', ['seen_at'], unique=False, postgresql_where=sa.text("status IN ('waiting', 'suspense')"))


def _settlement_currencies() -> None:
    op.create_table('settlement_currencies',
    sa.Column('currency', sa.Text(), nullable=False, comment='in which customers pay'),
    sa.Column('settles_in', sa.Text(), nullable=False, comment="in which Stripe's balance gets it"),
    sa.Column('seen_in', sa.Text(collation='C'), nullable=False, comment='the newest balance transaction that shows it'),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False, comment='when that one was made'),
    sa.PrimaryKeyConstraint('currency', name=op.f('settlement_currencies_pkey')),
    comment='What balance transactions have shown: where it is another currency, a charge is booked by its own alone.'
    )


def _disputes() -> None:
    op.create_table('disputes',
    sa.Column('id', sa.Text(collation='C'), nullable=False, comment="Stripe's id"),
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('order_id', sa.UUID(), nullable=False),
    sa.Column('charge_id', sa.UUID(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('amount_minor', sa.BigInteger(), nullable=False, comment="in the customer's currency"),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('is_charge_refundable', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('evidence_due_by', sa.DateTime(timezone=True), nullable=True),
    sa.Column('history', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False, comment='one small entry per state'),
    sa.Column('stripe_created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("status IN ('warning_needs_response', 'warning_under_review', 'warning_closed', 'needs_response', 'under_review', 'won', 'lost', 'prevented', 'appeal_needs_response', 'appeal_under_review')", name=op.f('disputes_status_known_check')),
    sa.CheckConstraint('amount_minor >= 0', name=op.f('disputes_amount_not_negative_check')),
    sa.ForeignKeyConstraint(['charge_id'], ['charges.id'], name=op.f('disputes_charge_id_fkey')),
    sa.ForeignKeyConstraint(['order_id'], ['orders.id'], name=op.f('disputes_order_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('disputes_pkey')),
    comment='A payment that its customer disputes at the bank, as Stripe shows it.'
    )
    op.create_index('disputes_by_account', 'disputes', ['account_id', 'stripe_created', 'id'], unique=False)
    op.create_index('disputes_by_charge', 'disputes', ['charge_id'], unique=False)
    op.create_index('disputes_by_order', 'disputes', ['order_id'], unique=False)
    op.create_index('disputes_by_time', 'disputes', ['stripe_created'], unique=False, postgresql_using='brin')


def _fraud_warnings() -> None:
    op.create_table('fraud_warnings',
    sa.Column('id', sa.Text(collation='C'), nullable=False, comment="Stripe's id"),
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('order_id', sa.UUID(), nullable=False),
    sa.Column('charge_id', sa.UUID(), nullable=False),
    sa.Column('fraud_type', sa.Text(), nullable=False),
    sa.Column('actionable', sa.Boolean(), nullable=False, comment='a full refund now would still prevent a dispute'),
    sa.Column('stripe_created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['charge_id'], ['charges.id'], name=op.f('fraud_warnings_charge_id_fkey')),
    sa.ForeignKeyConstraint(['order_id'], ['orders.id'], name=op.f('fraud_warnings_order_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('fraud_warnings_pkey')),
    comment="What a card's bank believes to be fraud, before anybody disputes it."
    )
    op.create_index('fraud_warnings_by_order', 'fraud_warnings', ['order_id'], unique=False)
    op.create_index('fraud_warnings_by_time', 'fraud_warnings', ['stripe_created'], unique=False, postgresql_using='brin')


def _payouts() -> None:
    op.create_table('payouts',
    sa.Column('id', sa.Text(collation='C'), nullable=False, comment="Stripe's id"),
    sa.Column('account_id', sa.UUID(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('amount_minor', sa.BigInteger(), nullable=False, comment='negative where Stripe takes money from the bank'),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('arrival_date', sa.Date(), nullable=False),
    sa.Column('automatic', sa.Boolean(), nullable=False, comment='only of these does Stripe say what is in them'),
    sa.Column('method', sa.Text(), nullable=False),
    sa.Column('trace_id', sa.Text(), nullable=True, comment='by which the bank finds it'),
    sa.Column('reconciliation_status', sa.Text(), nullable=True, comment='completed: its balance transactions can be listed'),
    sa.Column('failure', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('balance_transaction_id', sa.Text(collation='C'), nullable=True),
    sa.Column('failure_transaction_id', sa.Text(collation='C'), nullable=True, comment='that brought the money back'),
    sa.Column('listed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('history', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False, comment='one small entry per state'),
    sa.Column('stripe_created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("status IN ('pending', 'in_transit', 'paid', 'failed', 'canceled')", name=op.f('payouts_status_known_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('payouts_pkey')),
    comment="Money that leaves Stripe's balance for the bank, of the whole installation: the default account's."
    )
    op.create_index('payouts_by_account', 'payouts', ['account_id', 'stripe_created', 'id'], unique=False)
    op.create_index('payouts_by_time', 'payouts', ['stripe_created'], unique=False, postgresql_using='brin')
    op.create_index('payouts_unlisted', 'payouts', ['id'], unique=False, postgresql_where=sa.text('listed_at IS NULL AND automatic'))
