"""One version of Stripe's API: the SDKs', the one we send, the one the sandbox answers as."""

import json
import re
from collections.abc import Iterator

import pytest
import stripe

from sandbox.state import API_VERSION
from service.effects.request import STRIPE_VERSION
from tests.conformance.drivers.node_client import FOLDER, NodeDriver, why_not
from tests.conformance.drivers.outcome import Target

NOBODY = Target("http://127.0.0.1:9", "sk_test_nobody0123456789")


@pytest.fixture
def node() -> Iterator[NodeDriver]:
    absent = why_not()
    if absent is not None:
        pytest.skip(absent)
    driver = NodeDriver(NOBODY)
    yield driver
    driver.close()


def test_the_version_we_pin_is_the_one_the_sdk_was_made_for() -> None:
    assert stripe.api_version == STRIPE_VERSION


def test_the_sandbox_answers_as_the_pinned_version() -> None:
    assert API_VERSION == STRIPE_VERSION


def test_the_node_sdk_was_made_for_the_pinned_version(node: NodeDriver) -> None:
    assert node.versions().api == STRIPE_VERSION
    assert node.versions().sdk == _manifest()["dependencies"]["stripe"]


def test_node_packages_are_pinned_by_hash_and_name_no_address() -> None:
    text = (FOLDER / "package-lock.json").read_text()
    packages = {name: package for name, package in json.loads(text)["packages"].items() if name}

    for name, wanted in _manifest()["dependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", wanted), name
        assert packages[f"node_modules/{name}"]["version"] == wanted
    assert all(re.match(r"sha512-", package["integrity"]) for package in packages.values())
    assert "resolved" not in text
    unfunded = [
        {field: value for field, value in package.items() if field != "funding"} for package in packages.values()
    ]
    assert "//" not in re.sub(r'"integrity": "[^"]*"', "", json.dumps(unfunded))


def _manifest() -> dict[str, dict[str, str]]:
    manifest: dict[str, dict[str, str]] = json.loads((FOLDER / "package.json").read_text())
    return manifest
