"""PostgreSQL clusters with our schema, as copies of one: a fifth of what making and migrating each would cost."""

import subprocess
from pathlib import Path

from service.foundation.postgres.migrate import upgrade
from service.ops.embedded import Postgres

# A copy is an installation of its own, born now.
BORN = "UPDATE instance SET uuid = gen_random_uuid(), created_at = now()"


def give_data(postgres: Postgres, made_once: Path) -> None:
    """Give `postgres`, which was never started, the data of the cluster `made_once`, which is made if missing."""
    first = Postgres(made_once)
    if not first.data.exists():
        with first:
            upgrade(first.owner_url)
    postgres.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(first.data), str(postgres.data)], check=True)  # noqa: S607
