"""What it takes to notice that this database has forgotten something, and to bring it back from Stripe (R31).

Workers of the version before must not run beside this one: they would send without asking whether the database still
remembers. So their statements fail from here on: an open must say under which life it is made, and a column has its
clearer name. Their messages come back through the outbox; stop them before or after, nothing is lost either way.

A request that is retried by its producer may be answered by an API of either version.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What differs between two lives of a database: the cluster, its timeline (a standby was promoted), its start (a folder
# was put back), the database and the storage of two tables (a dump was restored into a running server). Each part by a
# statement of its own, so that a hosting that refuses one still gives the others. STABLE: else a look into `lives` would
# ask for it once per row there.
_IDENTITY = """
CREATE FUNCTION database_identity() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  cluster text := '-';
  timeline text := '-';
BEGIN
  IF has_function_privilege('pg_control_system()', 'EXECUTE') THEN
    SELECT system_identifier INTO cluster FROM pg_control_system();
  END IF;
  IF has_function_privilege('pg_current_wal_lsn()', 'EXECUTE')
     AND has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE') THEN
    timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
  END IF;
  RETURN concat_ws('/', cluster, timeline, extract(epoch FROM pg_postmaster_start_time()),
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    pg_relation_filenode(to_regclass('public.orders')), pg_relation_filenode(to_regclass('public.charges')));
END $$
"""

_GRANTS = """
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'eo_app') THEN
    GRANT SELECT, INSERT, UPDATE ON lives, order_aliases TO eo_app;
  END IF;
END $$;
"""


def upgrade() -> None:
    """The lives of this database, its name at Stripe, and what adoption needs."""
    op.create_table(
        "lives",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False, comment="database_identity() in that life"),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "bound", sa.DateTime(timezone=True), nullable=False,
            comment="what Stripe did before is known here; frozen when the life is first seen",
        ),
        sa.Column(
            "margin", postgresql.INTERVAL(), nullable=False,
            comment="longest lease ever + call timeout + clock skew: how long a worker of an earlier life may still send",
        ),
        sa.Column(
            "verified_until", sa.DateTime(timezone=True), server_default=sa.text("'-infinity'"), nullable=False,
            comment="sending is allowed until then; infinity: closed by a second listing",
        ),
        sa.Column(
            "heartbeat_at", sa.DateTime(timezone=True), nullable=True,
            comment="a moment up to which this verified life surely remembers",
        ),
        sa.Column("verifier", sa.UUID(), nullable=True, comment="who lists now"),
        sa.Column("verifier_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("found", postgresql.JSONB(), nullable=True, comment="what the listings brought back"),
        sa.PrimaryKeyConstraint("id", name=op.f("lives_pkey")),
        sa.UniqueConstraint("identity", name=op.f("lives_identity_key")),
        comment="One row per life of this database: from a start, promotion or restore of it to the next.",
    )
    op.create_table(
        "order_aliases",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("order_aliases_order_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("order_aliases_pkey")),
        comment="Ids under which forgotten orders were known before their producer repeated them under the same key.",
    )
    op.add_column(
        "instance",
        sa.Column(
            "uuid", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False,
            comment="eo_instance in the metadata of what this installation makes at Stripe",
        ),
    )
    # A backup from before this revision that is restored and migrated again must have the same name at Stripe as what
    # was lost: so it is made of what the backup has, and no two installations share.
    op.execute("UPDATE instance SET uuid = a.id FROM accounts a WHERE a.is_default")
    op.alter_column("orders", "payment_method", nullable=True)
    op.alter_column("charges", "unclear", new_column_name="unclear_answers")
    # 0: opened before lives were counted. No default afterwards, so that no open can leave it out.
    op.add_column(
        "charges",
        sa.Column("life", sa.Integer(), server_default=sa.text("0"), nullable=False,
                  comment="the verified life of the database under which it was last opened"),
    )
    op.alter_column("charges", "life", server_default=None)
    op.add_column(
        "charges",
        sa.Column("key_conflict", sa.Boolean(), server_default=sa.false(), nullable=False,
                  comment="Stripe has this key for another request: never posted again (R32)"),
    )
    op.create_index("charges_by_stripe_time", "charges", ["stripe_created"], postgresql_using="brin")
    op.execute(_IDENTITY)
    op.execute(_GRANTS)


def downgrade() -> None:
    """As 0003 left it. Orders brought back without a payment method get an empty one."""
    op.execute("DROP FUNCTION database_identity()")
    op.drop_index("charges_by_stripe_time", "charges")
    op.drop_column("charges", "key_conflict")
    op.drop_column("charges", "life")
    op.alter_column("charges", "unclear_answers", new_column_name="unclear")
    op.execute("UPDATE orders SET payment_method = '' WHERE payment_method IS NULL")
    op.alter_column("orders", "payment_method", nullable=False)
    op.drop_column("instance", "uuid")
    op.drop_table("order_aliases")
    op.drop_table("lives")
