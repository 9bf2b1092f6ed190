"""The command `eo`: quick, quiet on stdout, exact in its exit codes, and careful with secrets and data."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from service.foundation.settings import Settings
from service.ops.embedded import Postgres
from tests import forks

pytestmark = pytest.mark.slow


def eo(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a clean environment."""
    clean = {"PATH": os.environ["PATH"], **environ}
    return forks.run([sys.executable, "-m", "service", *words], env=clean)


@pytest.fixture
def empty(tmp_path: Path) -> dict[str, str]:
    """An environment where nothing was ever started."""
    return {"EO_DATA_DIR": str(tmp_path / ".eo")}


def test_help_answers_at_once_because_nothing_heavy_is_imported() -> None:
    assert "reconcile" in eo("--help").stdout
    heavy = "sqlalchemy litestar stripe asyncpg alembic redis aiohttp uvicorn dramatiq rich"
    program = f"import sys, service.ops.cli; print([m for m in {heavy!r}.split() if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"[]\n"


def test_without_a_database_the_error_is_one_line_that_names_the_next_command(empty: dict[str, str]) -> None:
    done = eo("keys", "list", **empty)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("eo: DATABASE_URL is not set")
    assert "`eo up`" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" in eo("--debug", "keys", "list", **empty).stderr


def test_a_database_that_is_away_is_exit_code_3(empty: dict[str, str]) -> None:
    done = eo("outbox", "list", DATABASE_URL="postgresql://u:secret@127.0.0.1:9/x", **empty)
    assert done.returncode == 3
    assert "secret" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_settings_name_every_knob_with_its_reason_and_mask_secrets(empty: dict[str, str]) -> None:
    secret = "sk_test_" + "s" * 24
    done = eo("settings", "--json", STRIPE_API_KEY=secret, DATABASE_URL="postgresql://u:geheim@h/x", **empty)
    rows = json.loads(done.stdout)
    assert {row["variable"] for row in rows} == {knob.metadata["variable"] for knob in fields(Settings)}
    assert all(row["why"] for row in rows)
    assert secret not in done.stdout
    assert "geheim" not in done.stdout


def test_a_wrong_setting_is_exit_code_2_and_named(empty: dict[str, str]) -> None:
    done = eo("settings", EO_PORT="eighty", **empty)
    assert done.returncode == 2
    assert "EO_PORT" in done.stderr


def test_status_says_that_nothing_runs(empty: dict[str, str]) -> None:
    done = eo("status", "--json", **empty)
    assert done.returncode == 3
    assert json.loads(done.stdout)["running"] is False


def test_reset_asks_first_and_never_deletes_what_is_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    assert eo("reset", "--yes", EO_DATA_DIR=str(folder)).returncode == 2
    assert (folder / "thesis.tex").exists()
    ours = tmp_path / ".eo"
    ours.mkdir()
    (ours / "secrets.json").write_text("{}")
    assert eo("reset", EO_DATA_DIR=str(ours)).returncode == 2  # nobody answered the question
    assert ours.exists()
    assert eo("reset", "--yes", EO_DATA_DIR=str(ours)).returncode == 0
    assert not ours.exists()


def test_migrate_says_what_it_did_and_check_changes_nothing(
    postgres: Postgres, database: str, empty: dict[str, str]
) -> None:
    again = eo("migrate", DATABASE_URL=database, **empty)
    assert (again.returncode, again.stderr) == (0, "")
    assert "The schema is at" in again.stdout
    assert eo("migrate", "--check", DATABASE_URL=database, **empty).returncode == 0
    refused = eo("migrate", "--check", DATABASE_URL=postgres.url, **empty)
    assert refused.returncode == 2
    assert "`eo migrate`" in refused.stderr
