"""Knobs: each has bounds, some have rules between them, and whoever misspells one is told."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.foundation.addresses.stripe import STRIPE_API, check_key, normal
from service.foundation.errors import Misconfigured
from service.foundation.knob_rules import RULES
from service.foundation.knobs import Knob, unknown
from service.foundation.settings import KNOBS, Settings, check

NUMBERS = [one for one in KNOBS if isinstance(one.default, int | float) and not isinstance(one.default, bool)]
KEY = "sk_test_" + "0" * 24


def said(**environ: str) -> str:
    """What a process says of this environment, or nothing where it would start."""
    try:
        Settings.from_env({"EO_DATA_DIR": "/nonexistent", **environ})
    except Misconfigured as refused:
        return str(refused)
    return ""


def test_every_number_has_bounds_and_its_default_lies_within() -> None:
    assert NUMBERS
    for one in NUMBERS:
        assert one.least is not None
        assert one.most is not None
        assert one.least <= one.default <= one.most, one.variable
    check(Settings())


@pytest.mark.parametrize("one", NUMBERS, ids=lambda one: one.variable)
def test_a_number_beyond_its_bounds_or_none_at_all_is_refused_by_name(one: Knob) -> None:
    assert one.least is not None
    assert one.most is not None
    step = 1 if one.kind is int else 0.001
    for value in (one.least - step, one.most + step, -1e18, 1e17):
        line = said(**{one.variable: str(int(value) if one.kind is int else value)})
        assert one.variable in line
        assert "\n" not in line
    for text in ("inf", "-inf", "nan", "1e999", "eight", "0x10", "1_000", "١", "", " ", "1;2"):
        if text:
            assert said(**{one.variable: text}).startswith(f"{one.variable}="), text


def test_the_message_names_variable_value_and_bound() -> None:
    assert said(EO_PORT="99999") == "EO_PORT=99999 is out of bounds: 1 to 65535. Correct it and start again."
    assert said(EO_DB_POOL="-4").startswith("EO_DB_POOL=-4 is out of bounds: 1 to 500.")
    assert said(EO_LIVE="maybe").startswith("EO_LIVE=maybe is not 0 or 1.")


@pytest.mark.parametrize(
    "changed",
    [
        {"stripe_connect_timeout_s": 20.0},
        {"stripe_timeout_s": 45.0},
        {"charge_lease_s": 60.0},
        {"retry_base_s": 901.0},
        {"key_age_max_s": 82_800.0, "charge_lease_s": 1_800.0, "clock_skew_max_s": 1_800.0, "outbox_lease_s": 3_600.0},
        {"charge_lease_s": 1_750.0, "outbox_lease_s": 1_800.0},
    ],
)
def test_each_rule_between_knobs_can_be_broken_and_is_named(changed: dict[str, float]) -> None:
    changes: dict[str, Any] = {**changed}
    settings = replace(Settings(), **changes)
    with pytest.raises(Misconfigured, match="must hold") as refused:
        check(settings)
    broken = [rule for rule in RULES if not rule.holds(settings)]
    assert broken
    assert str(refused.value).startswith(broken[0].says)


@given(age=st.floats(0, 1e6), lease=st.floats(0, 1e6), skew=st.floats(0, 1e6))
def test_no_setting_lets_a_key_be_sent_that_stripe_may_have_forgotten(age: float, lease: float, skew: float) -> None:
    """R17: from the first send to the end of the last repeat's lease less than 24 hours pass, clocks included."""
    settings = replace(
        Settings(),
        key_age_max_s=age,
        charge_lease_s=lease,
        clock_skew_max_s=skew,
        outbox_lease_s=math.nextafter(lease, 1e9),
    )
    try:
        check(settings)
    except Misconfigured:
        return
    assert age + lease + skew < 86_400


def test_a_key_of_ours_that_is_none_is_refused_before_anything_starts() -> None:
    for key in ("short", "x" * 19, "x" * 19 + "é", "x" * 10 + " " + "x" * 10):
        assert said(EO_API_KEY=key).startswith("EO_API_KEY must be"), key
    assert said(EO_API_KEY="x" * 20) == ""


def test_a_data_folder_whose_name_cannot_be_written_down_is_refused() -> None:
    assert said(EO_DATA_DIR="/data/\udcff").startswith("EO_DATA_DIR=")


def test_what_a_process_needs_is_named_with_the_next_command() -> None:
    with pytest.raises(Misconfigured, match="REDIS_URL is not set and no `eo up` runs here"):
        Settings(stripe_api_key=KEY).require("REDIS_URL", "STRIPE_API_KEY")
    with pytest.raises(Misconfigured, match="STRIPE_API_KEY is not set"):
        Settings(redis_url="redis://h").require("REDIS_URL", "STRIPE_API_KEY")


def test_a_misspelt_variable_is_warned_of_with_the_nearest_name() -> None:
    assert unknown({"EO_PROT": "1", "EO_PORT": "1", "PORT": "1"}, KNOBS) == [
        "EO_PROT is not a setting of effectively-once and has no effect. Did you mean EO_PORT?"
    ]
    assert "eo settings" in unknown({"EO_XYZZY": "1"}, KNOBS)[0]
    assert unknown({"EO_CRASH_AT": "x", "EO_SANDBOX_PORT": "1", "EO_TEST_SEED": "1"}, KNOBS) == []
    assert unknown({"EO_SANDBOX_PROT": "1"}, KNOBS) != []


@pytest.mark.parametrize(
    "spelling",
    [
        "https://api.stripe.com", "https://api.stripe.com/", "https://API.Stripe.com:443", "HTTPS://api.stripe.com.",
        "https://api.stripe.com//", "",
    ],
)  # fmt: skip
def test_stripe_is_stripe_in_every_spelling_and_has_its_rate_limit(spelling: str) -> None:
    if spelling == "https://api.stripe.com//":
        assert "path" in said(STRIPE_API_BASE=spelling)
        return
    settings = Settings.from_env({"EO_DATA_DIR": "/nonexistent", "STRIPE_API_BASE": spelling, "STRIPE_API_KEY": KEY})
    assert not settings.stripe_is_sandbox
    assert settings.stripe_rps == 20
    assert settings.stripe_api_base in ("", "https://api.stripe.com")


@pytest.mark.parametrize(
    ("base", "named"),
    [
        ("http://api.stripe.com", "TLS"),
        ("https://api.stripe.com:8443", "https://api.stripe.com"),
        ("https://api.stripe.com/v1", "path"),
        ("https://files.stripe.com", "https://api.stripe.com"),
        ("https://stripe.com", "https://api.stripe.com"),
        ("https://user:geheim@api.stripe.com", "user or a password"),
        ("api.stripe.com", "https://"),
        ("https:/api.stripe.com", "https://"),
        ("ftp://api.stripe.com", "https://"),
        ("https://api.stripe.com?x", "?"),
        ("https://api.stripe.com#", "#"),
        ("https://", "host"),
        ("https://h:99999", "65535"),
        ("https://h:0", "65535"),
        ("https://api。stripe.com", "STRIPE_API_BASE"),
        ("https://api.stripe.com\\@h", "STRIPE_API_BASE"),
        ("http://h/a/../b", "path"),
        ("http://ho st", "space"),
    ],
)
def test_an_address_that_is_not_meant_is_refused(base: str, named: str) -> None:
    line = said(STRIPE_API_BASE=base, STRIPE_API_KEY=KEY)
    assert line.startswith("STRIPE_API_BASE ")
    assert named in line
    assert "geheim" not in line


def test_a_stand_in_keeps_its_own_address() -> None:
    assert normal("http://127.0.0.1:12111/") == "http://127.0.0.1:12111"
    assert normal("http://[::1]:80") == "http://[::1]"
    assert normal("https://api.stripe.com.example.org/mock/") == "https://api.stripe.com.example.org/mock"


@given(text=st.text(st.characters(codec="utf-8"), max_size=40), one=st.sampled_from(KNOBS))
def test_whatever_a_variable_holds_is_a_value_or_one_line_that_names_it(text: str, one: Knob) -> None:
    for value in (text, f"https://{text}", f"http://api.stripe.com{text}", f"sk_test_{text}"):
        line = said(**{one.variable: value.replace("\0", "")})
        assert "\n" not in line
        assert line == "" or one.variable in line, line


@given(text=st.text(max_size=30))
def test_an_address_has_one_spelling(text: str) -> None:
    for base in (text, f"https://{text}", f"https://api.stripe.com{text}", f"https://{text}.stripe.com"):
        found = _normal(base)
        assert found is None or _normal(found) == found, base
        at_stripe = found is not None and f".{urlsplit(found).hostname}".endswith(".stripe.com")
        assert not at_stripe or found == STRIPE_API, base


def _normal(base: str) -> str | None:
    try:
        return normal(base)
    except Misconfigured:
        return None


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("whsec_0123456789abcdef", "webhook"),
        ("pk_test_0123456789abcdef", "publishable"),
        ("sk_org_test_0123456789abcdef", "organization"),
        ("sk_test_", "nothing follows"),
        ("sk_test_0123 456789abcdef", "space"),
        ("sk_test_0123\n456789abcdef", "line break"),
        ("sk_test_…", "secret key"),
        ("SK_TEST_0123456789abcdef", "secret key"),
        ("garbage", "secret key"),
        ("sk_test_short", "too short"),
    ],
)
def test_a_text_that_is_no_secret_key_is_refused_without_showing_it(key: str, named: str) -> None:
    line = said(STRIPE_API_KEY=key)
    assert line.startswith("STRIPE_API_KEY ")
    assert named in line
    assert "0123" not in line


def test_the_four_kinds_of_secret_keys_are_taken() -> None:
    for start in ("sk_test_", "sk_live_", "rk_test_", "rk_live_"):
        check_key(start + "51" + "aB3" * 30, "https://api.stripe.com")
    check_key("sk_test_x", "http://127.0.0.1:12111")  # a stand-in made it
    with pytest.raises(Misconfigured, match="in the clear"):
        check_key("sk_live_" + "0" * 24, "http://proxy:8080")


def test_a_live_key_never_meets_the_servers_of_an_eo_up_that_runs_here(tmp_path: Path) -> None:
    told = {"DATABASE_URL": "postgresql:///x?host=/tmp", "REDIS_URL": "redis://h", "STRIPE_API_KEY": KEY}
    (tmp_path / "run.json").write_text(json.dumps({"pid": 1, "environment": told}))
    live = {"EO_DATA_DIR": str(tmp_path), "EO_LIVE": "1", "STRIPE_API_KEY": "sk_live_" + "0" * 24}
    with pytest.raises(Misconfigured, match="DATABASE_URL and REDIS_URL of its own"):
        Settings.from_env(live)
    own = live | {"DATABASE_URL": "postgresql:///own?host=/tmp", "REDIS_URL": "redis://own"}
    assert Settings.from_env(own).stripe_is_live


@pytest.mark.parametrize("host", ["http://x", "a b", "user@h", "h/x"])
def test_a_host_to_listen_on_is_a_host(host: str) -> None:
    assert said(EO_HOST=host).startswith("EO_HOST ")
