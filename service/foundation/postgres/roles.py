"""The role as which processes act: of this database alone, and without a way to rewrite the books.

A role belongs to the whole cluster, so its name is made of the database's name and oid: two installations in one
cluster cannot read each other, and what was restored or renamed has no role until `eo migrate` has made it one.
"""

# Of the database this is asked in.
NAME = (
    "(SELECT 'eo_app_' || left(encode(sha256(convert_to(datname || '/' || oid, 'UTF8')), 'hex'), 8)"
    " FROM pg_database WHERE datname = current_database())"
)
# At each connect. Where the role is missing, nothing is set, and triggers alone protect the ledger.
BECOME = (
    f"SELECT set_config('role', rolname, false) FROM pg_roles WHERE rolname = {NAME}"
    " AND pg_has_role(session_user, oid, 'MEMBER')"
)

_RIGHTS = {
    "SELECT": "alembic_version",
    "SELECT, INSERT": (
        "accounts ledger_accounts journal_entries postings acknowledgements operations endpoint_rolls audit"
    ),
    "SELECT, INSERT, DELETE": "reconciliation_findings",
    "SELECT, INSERT, UPDATE": (
        "api_keys instance lives order_aliases orders charges changes refunds ledger_rollups ledger_horizon"
        " reconciliation_runs discrepancies sweeps balance_transactions settlement_currencies disputes"
        " fraud_warnings payouts webhook_endpoints tallies"
    ),
    "SELECT, INSERT, UPDATE, DELETE": (
        "outbox duties undated_charges stripe_events notices console_links console_sessions absorptions tally_writers"
    ),
}
RIGHTS = {table: rights for rights, tables in _RIGHTS.items() for table in tables.split()}

# The migrating user, who owns the tables, becomes a member. Where it may not create roles, it says so.
_MAKE = f"""
DO $$
DECLARE
  mine text := {NAME};
BEGIN
  IF to_regrole(mine) IS NULL THEN
    EXECUTE format('CREATE ROLE %I NOLOGIN', mine);
  END IF;
  EXECUTE format('GRANT %I TO %I', mine, current_user);  -- whoever makes a role may not yet act as it
EXCEPTION
  WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    RAISE NOTICE 'role % could not be created or granted: %', mine, SQLERRM;
END $$
"""

# A copy of a database brings along the rights of the original's role, whoever that is now.
_TAKE = (
    """
DO $$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT DISTINCT c.oid::regclass AS name, r.rolname
      FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S')
       AND r.rolname ~ '^eo_app(_[0-9a-f]{8})?$' AND r.rolname <> """
    + NAME
    + """
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %I', one.name, one.rolname);
  END LOOP;
END $$
"""
)

_GIVE = (
    """
DO $$
DECLARE
  mine text := """
    + NAME
    + """;
  one record;
BEGIN
  IF to_regrole(mine) IS NULL THEN
    RETURN;
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', mine);
  FOR one IN
    SELECT t.name, t.rights FROM (VALUES
"""
    + ",\n".join(f"      ('{table}', '{rights}')" for table, rights in RIGHTS.items())
    + """) AS t(name, rights) WHERE to_regclass('public.' || t.name) IS NOT NULL
  LOOP
    EXECUTE format('REVOKE ALL ON %I FROM %I', one.name, mine);
    EXECUTE format('GRANT %s ON %I TO %I', one.rights, one.name, mine);
  END LOOP;
END $$
"""
)
_REMEMBER = f"UPDATE instance SET app_role = (SELECT rolname FROM pg_roles WHERE rolname = {NAME})"

# What `eo migrate` does behind the last revision, in this order and one transaction. Repeated, it changes nothing.
SETTLE = (_MAKE, _TAKE, _GIVE, _REMEMBER)

# The statement that lets another login act as the role; no row where the role could not be made.
GRANT_TO = f"SELECT format('GRANT %I TO %I', rolname, CAST(:login AS text)) FROM pg_roles WHERE rolname = {NAME}"

# What a process asks at its start: for whom rights were given, whether that is this database, and what we may do.
STATE = f"""
SELECT app_role, {NAME} AS mine, session_user::text AS login,
       has_table_privilege('orders', 'INSERT') AS may_write,
       EXISTS (SELECT FROM pg_roles WHERE rolname = {NAME}) AS has_role,
       EXISTS (SELECT FROM pg_roles WHERE rolname = {NAME} AND pg_has_role(session_user, oid, 'MEMBER')) AS is_member
  FROM instance
"""
