"""${message}

Safe beside running processes? Say why: new nullable columns and new tables are; anything that rewrites or locks a
large table is not, and goes in steps (expand, backfill, enforce), each its own revision.

Revision: ${up_revision}   Follows: ${down_revision | comma,n}   Made: ${create_date}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
