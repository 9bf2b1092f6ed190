"""The processes act as a role of this database, no longer as one that all installations of a cluster share.

What runs on the version before acts as `eo_app`, which may do nothing here any more: its statements fail until it is
replaced. A role cannot be made where the migrating user may not; then triggers alone protect the ledger, as before.

Afterwards `eo migrate` itself keeps the rights, so that a restored or renamed database is given its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NAME = """(SELECT 'eo_app_' || left(encode(sha256(convert_to(datname || '/' || oid, 'UTF8')), 'hex'), 8)
  FROM pg_database WHERE datname = current_database())"""

_MOVE = """
DO $$
DECLARE
  former text := {former};
  later text := {later};
  one record;
BEGIN
  BEGIN
    IF to_regrole(later) IS NULL THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', later);
    END IF;
    EXECUTE format('GRANT %I TO %I', later, current_user);
  EXCEPTION
    WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
      RAISE NOTICE 'role % could not be created or granted: %', later, SQLERRM;
  END;
  IF to_regrole(former) IS NULL THEN
    RETURN;
  END IF;
  FOR one IN
    SELECT c.oid::regclass AS name, string_agg(a.privilege_type, ', ') AS rights
      FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
     WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = to_regrole(former)
     GROUP BY c.oid
  LOOP
    IF to_regrole(later) IS NOT NULL THEN
      EXECUTE format('GRANT %s ON %s TO %I', one.rights, one.name, later);
    END IF;
    EXECUTE format('REVOKE ALL ON %s FROM %I', one.name, former);
  END LOOP;
  IF to_regrole(later) IS NOT NULL THEN
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', later);
  END IF;
  IF has_schema_privilege(current_user, 'public', 'USAGE WITH GRANT OPTION') THEN
    EXECUTE format('REVOKE ALL ON SCHEMA public FROM %I', former);
  END IF;
END $$;
"""


def upgrade() -> None:
    """The role of this database gets what `eo_app` had here, and `eo_app` loses it."""
    op.add_column(
        "instance",
        sa.Column("app_role", sa.Text(), nullable=True,
                  comment="for whom rights were given here; null: the role could not be made"),
    )
    op.execute(_MOVE.format(former="'eo_app'", later=_NAME))


def downgrade() -> None:
    """Back to the role that is shared. Roles of databases stay, without rights here."""
    op.drop_column("instance", "app_role")
    op.execute(_MOVE.format(former=_NAME, later="'eo_app'"))
