"""Who may do what in the database: a role of each database alone, owners, logins, and what was restored or renamed."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from click.testing import CliRunner

from service.foundation.errors import Misconfigured
from service.foundation.postgres import migrate, roles
from service.foundation.postgres.db import create_engine
from service.foundation.settings import Settings
from service.ops.commands.installation import migrate as eo_migrate
from service.ops.embedded import Postgres, postgres_programs

pytestmark = pytest.mark.slow

T = TypeVar("T")
DENIED = asyncpg.InsufficientPrivilegeError
RIGHTS = """
SELECT c.relname, a.privilege_type FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
 WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = to_regrole($1)
"""
PAGE = Path(__file__).parents[2] / "docs/howto/postgresql.md"
_numbers = count(1)


@dataclass(frozen=True)
class Cluster:
    """A server, and shortcuts: run as the superuser, as somebody, as a process of ours."""

    postgres: Postgres

    def url(self, database: str, login: str = "postgres") -> str:
        url = self.postgres.database_url(database)
        return url if login == "postgres" else url.replace(f"postgres:{self.postgres.password}", f"{login}:{login}")

    def run(self, url: str, *statements: str) -> Any:
        async def run() -> Any:
            connection = await asyncpg.connect(url)
            try:
                return [await connection.fetch(statement) for statement in statements][-1]
            finally:
                await connection.close()

        return asyncio.run(run())

    def admin(self, *statements: str) -> Any:
        return self.run(self.postgres.url, *statements)

    @contextmanager
    def installation(self, *, may_make_roles: bool = True, migrated: bool = False) -> Iterator[str]:
        """A database with an owner of the same name, who logs in with it as the password; its name.

        `migrated`: its tables are copies of those of `first`, as a restore would leave them.
        """
        name = f"shop_{next(_numbers)}"
        options = "LOGIN CREATEROLE" if may_make_roles else "LOGIN"
        of = f"OWNER {name}" + (" TEMPLATE first" if migrated else "")
        self.admin(f"CREATE ROLE {name} {options} PASSWORD '{name}'", f"CREATE DATABASE {name} {of}")
        if migrated:
            self.run(self.url(name), f"REASSIGN OWNED BY first TO {name}")
        yield name
        self.admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def rights(self, database: str, role: str) -> dict[str, set[str]]:
        """What `role` may do to each table of a database."""
        found: dict[str, set[str]] = {}
        for table, right in self.run(self.url(database), RIGHTS.replace("$1", f"'{role}'")):
            found.setdefault(table, set()).add(right)
        return found

    def role(self, database: str) -> str:
        return str(self.run(self.url(database), f"SELECT {roles.NAME}")[0][0])

    def check(self, url: str) -> None:
        """What each process does at its start."""
        asyncio.run(_on_engine(url, migrate.check))


async def _on_engine(url: str, question: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    engine = create_engine(Settings(database_url=url), name="test", pool=1)
    try:
        return await question(engine)
    finally:
        await engine.dispose()


@pytest.fixture(params=[18, 16, 15], scope="module")
def cluster(request: pytest.FixtureRequest, servers_folder: Path) -> Iterator[Cluster]:
    """Every PostgreSQL that can be had here: what an owner may grant differs between 15 and 16."""
    try:
        postgres_programs(request.param)
    except Misconfigured as error:
        pytest.skip(str(error))
    settings = {"shared_buffers": "32MB", "fsync": "on"}
    with Postgres(servers_folder / f"roles{request.param}", version=request.param, settings=settings) as server:
        cluster = Cluster(server)
        cluster.admin("CREATE ROLE first LOGIN CREATEROLE PASSWORD 'first'", "CREATE DATABASE first OWNER first")
        migrate.upgrade(cluster.url("first", "first"))
        yield cluster


def test_two_installations_of_one_cluster_cannot_read_or_write_each_other(cluster: Cluster) -> None:
    with cluster.installation(migrated=True) as mine, cluster.installation(migrated=True) as other:
        for name in (mine, other):
            migrate.upgrade(cluster.url(name, name))
        assert cluster.role(mine) != cluster.role(other)
        for forbidden in (
            "SELECT hmac_key FROM instance", "DELETE FROM outbox", "UPDATE orders SET status = 'paid'",
            f"SET ROLE {cluster.role(other)}",
            *([f"GRANT {cluster.role(other)} TO {mine}"] if cluster.postgres.version > 15 else []),
        ):  # fmt: skip
            with pytest.raises(DENIED):
                cluster.run(cluster.url(other, mine), forbidden)
        with pytest.raises(Misconfigured, match="--grant-to"):
            cluster.check(cluster.url(other, mine))


def test_the_role_may_use_every_table_and_rewrite_no_books(cluster: Cluster) -> None:
    with cluster.installation() as name:
        url = cluster.url(name, name)
        migrate.upgrade(url)
        given = {table: set(rights.split(", ")) for table, rights in roles.RIGHTS.items()}
        found = cluster.rights(name, cluster.role(name))
        assert found == {table: given[table] for table in found}
        tables = {row[0] for row in cluster.run(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        assert set(found) == tables
        for table in ("journal_entries", "postings", "ledger_accounts"):
            assert found[table] == {"SELECT", "INSERT"}
        cluster.check(url)


def test_the_revisions_up_to_0008_give_what_the_code_gives(cluster: Cluster) -> None:
    """Later ones give nothing: `eo migrate` gives the rights behind the last of them."""
    with cluster.installation() as name:
        url = cluster.url(name, name)
        migrate.upgrade(url, "0008")
        by_revisions = cluster.rights(name, cluster.role(name))
        migrate.upgrade(url)
        given = cluster.rights(name, cluster.role(name))
        assert by_revisions == {table: given[table] for table in by_revisions}


def test_the_shared_role_of_0_1_loses_its_rights(cluster: Cluster) -> None:
    with cluster.installation() as name:
        url = cluster.url(name, name)
        migrate.upgrade(url, "0004")
        assert "orders" in cluster.rights(name, "eo_app")
        migrate.upgrade(url)
        assert cluster.rights(name, "eo_app") == {}
        migrate.downgrade(url, "0004")
        assert "orders" in cluster.rights(name, "eo_app")
        assert cluster.rights(name, cluster.role(name)) == {}
        migrate.upgrade(url)
        cluster.check(url)
    cluster.admin("DROP OWNED BY eo_app", "DROP ROLE eo_app")


@pytest.mark.parametrize("how", ["copied", "renamed", "restored without rights"])
def test_a_database_that_is_another_now_is_refused_until_it_is_migrated(cluster: Cluster, how: str) -> None:
    with cluster.installation(migrated=True) as name:
        migrate.upgrade(cluster.url(name, name))
        former = cluster.role(name)
        other = f"{name}_other"
        if how == "renamed":
            cluster.admin(f"ALTER DATABASE {name} RENAME TO {other}")
        else:
            cluster.admin(f"CREATE DATABASE {other} TEMPLATE {name} OWNER {name}")
        if how == "restored without rights":
            cluster.run(cluster.url(other), f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {former}")
        url = cluster.url(other, name)
        with pytest.raises(Misconfigured, match="`eo migrate`"):
            cluster.check(url)
        migrate.upgrade(url)
        cluster.check(url)
        assert cluster.rights(other, former) == {}
        assert "orders" in cluster.rights(other, cluster.role(other))
        cluster.admin(f"DROP DATABASE {other} WITH (FORCE)")


def test_eo_migrate_gives_the_rights_that_a_restore_left_out(cluster: Cluster) -> None:
    """Into the same database, so that the role is there and may do nothing: not even see which revision it is at."""
    with cluster.installation(migrated=True) as name:
        url = cluster.url(name, name)
        migrate.upgrade(url)
        cluster.run(url, f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {cluster.role(name)}")
        done = CliRunner().invoke(eo_migrate, env={"DATABASE_URL": url}, catch_exceptions=False)
        assert done.output == f"The schema is at {migrate.head()}.\n"
        cluster.check(url)


def test_an_owner_who_may_not_make_roles_works_without_one(cluster: Cluster) -> None:
    with cluster.installation(may_make_roles=False) as name:
        url = cluster.url(name, name)
        migrate.upgrade(url)
        assert asyncio.run(_on_engine(url, migrate.app_role)) is None
        cluster.check(url)
        with pytest.raises(Misconfigured, match="may not create roles"):
            migrate.upgrade(url, grant_to="nobody")


def test_a_login_that_is_not_there_is_a_usage_error(cluster: Cluster) -> None:
    with (
        cluster.installation(migrated=True) as name,
        pytest.raises(Misconfigured, match="CREATE ROLE"),
    ):
        migrate.upgrade(cluster.url(name, name), grant_to='4242"; gone')


def test_the_two_roles_of_the_documentation_work(cluster: Cluster) -> None:
    """Its statements as they stand there: an owner for `eo migrate`, a login for the processes."""
    block = PAGE.read_text().split("<!-- two roles:")[1].split("```")[1]
    statements = [line.split("--")[0].strip().rstrip(";") for line in block.splitlines() if line.strip()]
    cluster.admin(*[statement.replace("'…'", "'shop'") for statement in statements])
    try:
        owner, login = (cluster.url("shop").replace(f"postgres:{cluster.postgres.password}", f"{who}:shop")
                        for who in ("shop_owner", "shop_app"))  # fmt: skip
        migrate.upgrade(owner)
        with pytest.raises(Misconfigured, match="eo migrate --grant-to"):
            cluster.check(login)
        migrate.upgrade(owner, grant_to="shop_app")
        cluster.check(login)
        for url in (owner, login):
            is_super = "SELECT rolsuper OR rolbypassrls OR rolreplication FROM pg_roles WHERE rolname = session_user"
            assert cluster.run(url, is_super)[0][0] is False
        for forbidden in ("DROP TABLE orders", "DELETE FROM postings", "CREATE TABLE x ()", "CREATE ROLE x"):
            with pytest.raises(DENIED):
                cluster.run(login, forbidden)
    finally:
        cluster.admin("DROP DATABASE IF EXISTS shop WITH (FORCE)")
