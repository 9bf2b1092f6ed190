"""What the database enforces by itself, whatever the code above it does.

The ledger balances per entry and currency, is never changed, and the application's role could not change it either.
All checks are per statement: a batch of entries costs one check, and a batch of one costs the same.

Safe beside running processes: there are none before the second revision.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The checks look up a handful of ids per statement. Without statistics the planner could scan whole tables for that,
# and would keep the plan, so index look-ups are the only way it gets.
_BY_INDEX = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"

_FUNCTIONS = f"""
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only: % of % is refused, book a correcting entry instead', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION postings_must_balance() RETURNS trigger LANGUAGE plpgsql {_BY_INDEX} AS $$
DECLARE
  wrong record;
BEGIN
  SELECT entry_id, currency, sum(amount_minor) AS amount INTO wrong
    FROM fresh GROUP BY entry_id, currency HAVING sum(amount_minor) <> 0 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % does not balance: % % left over', wrong.entry_id, wrong.amount, wrong.currency
      USING ERRCODE = 'check_violation', CONSTRAINT = 'postings_balance';
  END IF;
  -- A posting belongs to an entry of this very transaction (nothing is added to an old one), and goes to a ledger
  -- account of the same owner and currency. Chart accounts are never removed, so no lock on them is needed.
  SELECT p.entry_id INTO wrong
    FROM fresh p
    LEFT JOIN journal_entries e
      ON e.id = p.entry_id AND e.xid = pg_current_xact_id() AND e.occurred_at = p.occurred_at
    LEFT JOIN ledger_accounts a
      ON a.id = p.ledger_account_id AND a.currency = p.currency AND a.account_id = e.account_id
   WHERE e.id IS NULL OR a.id IS NULL LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry %: a posting has no entry of this transaction, or no ledger account of its owner and currency',
      wrong.entry_id USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'postings_belong';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION entries_must_have_postings() RETURNS trigger LANGUAGE plpgsql {_BY_INDEX} AS $$
DECLARE
  wrong record;
BEGIN
  -- Entry and postings are written by one statement; its triggers run after both.
  SELECT id, reference INTO wrong FROM fresh e
   WHERE (SELECT count(*) FROM postings p WHERE p.entry_id = e.id) < 2 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % (%) has fewer than two postings', wrong.id, wrong.reference
      USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_have_postings';
  END IF;
  RETURN NULL;
END $$;
"""

_BALANCE_TRIGGERS = """
CREATE TRIGGER postings_balance AFTER INSERT ON postings
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION postings_must_balance();
CREATE TRIGGER entries_have_postings AFTER INSERT ON journal_entries
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION entries_must_have_postings();
ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_balance;
ALTER TABLE journal_entries ENABLE ALWAYS TRIGGER entries_have_postings;
"""

# ENABLE ALWAYS: session_replication_role = replica would skip ordinary triggers.
_APPEND_ONLY = """
CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table}
  FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_change;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate;
"""

_APPEND_ONLY_TABLES = ("ledger_accounts", "journal_entries", "postings")

# Where the migrating user may not create roles (managed databases), the triggers alone hold, and `eo migrate` says so.
_ROLE = """
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'eo_app') THEN
    CREATE ROLE eo_app NOLOGIN;
  END IF;
  EXECUTE format('GRANT eo_app TO %I', current_user);
EXCEPTION
  WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    RAISE NOTICE 'role eo_app could not be created or granted: %', SQLERRM;
END $$;
"""

_GRANTS = """
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'eo_app') THEN
    GRANT USAGE ON SCHEMA public TO eo_app;
    GRANT SELECT, INSERT ON accounts, api_keys, instance, orders, outbox, charges, ledger_accounts, journal_entries,
      postings, ledger_rollups, ledger_horizon, reconciliation_runs, discrepancies TO eo_app;
    GRANT SELECT ON alembic_version TO eo_app;
    GRANT UPDATE ON api_keys, instance, orders, outbox, charges, ledger_rollups, ledger_horizon,
      reconciliation_runs, discrepancies TO eo_app;
    GRANT DELETE ON outbox TO eo_app;
  END IF;
END $$;
"""

# Random bytes without an extension: two version 4 UUIDs.
_FIRST_ROWS = """
INSERT INTO accounts (id, name, is_default) VALUES (gen_random_uuid(), 'default', true) ON CONFLICT DO NOTHING;
INSERT INTO instance (id, hmac_key)
  VALUES (1, decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'))
  ON CONFLICT DO NOTHING;
INSERT INTO ledger_horizon (id, xid) VALUES (1, '0') ON CONFLICT DO NOTHING;
"""


def upgrade() -> None:
    """Functions, triggers, the application's role, and the three rows every installation has."""
    _each(_FUNCTIONS, separator="END $$;")
    _each(_BALANCE_TRIGGERS)
    for table in _APPEND_ONLY_TABLES:
        _each(_APPEND_ONLY.format(table=table))
    op.execute(_ROLE)
    op.execute(_GRANTS)
    _each(_FIRST_ROWS)


def downgrade() -> None:
    """Remove the guards. The rows stay, for keys and orders belong to them; the role, for others may use it."""
    for table in _APPEND_ONLY_TABLES:
        op.execute(f"DROP TRIGGER {table}_no_change ON {table}")
        op.execute(f"DROP TRIGGER {table}_no_truncate ON {table}")
    op.execute("DROP TRIGGER postings_balance ON postings")
    op.execute("DROP TRIGGER entries_have_postings ON journal_entries")
    for function in ("ledger_refuse_change", "postings_must_balance", "entries_must_have_postings"):
        op.execute(f"DROP FUNCTION {function}()")


def _each(sql: str, separator: str = ";") -> None:
    """The driver prepares statements, and prepares them one at a time."""
    for statement in sql.split(separator):
        if statement.strip():
            op.execute(statement + separator)
