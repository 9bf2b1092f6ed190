"""No password is shown: neither in the settings nor in the status, nor in a text that has a URL in it."""

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.foundation.addresses.postgres import masked, shown
from tests import forks

URLS = [
    "postgresql://u:geheim@h/db",
    "postgresql://u:geheim:geheim@h/db",
    "postgresql://u:geheim@geheim@h/db",
    "postgresql://u:geheim/geheim@h/db",
    "postgresql://u@h/db?password=geheim",
    "postgresql://u@h/db?p%61ssword=geheim&sslmode=require",
    "postgresql://u@h/db?sslcert=/c&sslpassword=geheim",
    "postgresql://h/db?user=u&oauth_client_secret=geheim",
    "postgresql://u:geheim@h1:1,h2:2/db",
    "redis://:geheim@h:6379/0",
    "redis://h/0?password=geheim",
    "redis+sentinel://:geheim@h1,h2/orders/0?sentinel_password=geheim",
    "rediss+cluster://u:geheim@h1,h2",
    "unix://:geheim@/run/redis.sock",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_shown_without_its_password(url: str) -> None:
    assert "geheim" not in shown(url)
    assert "geheim" not in masked(f'could not connect to "{url}": refused')
    assert "***" in shown(url)


def test_a_password_with_spaces_and_quotes_in_a_text_is_not_shown() -> None:
    assert "hei" not in masked('no answer from redis://u:ge hei"m@h:1/0 in 2 s')
    assert masked("postgresql://u:x@h said no; sk_live_abc") == "postgresql://u:***@h said no; sk_live_***"


def test_what_is_no_secret_stays() -> None:
    for url in (
        "postgresql://u@h:5432/db?sslmode=require",
        "redis://h:6379/0",
        "postgresql:///db?host=/run/x&passfile=/p",
    ):
        assert shown(url) == url
    assert shown("postgresql://u:geheim@h1:1,h2/db?sslmode=require") == "postgresql://u:***@h1:1,h2/db?sslmode=require"


@given(password=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1))
def test_whatever_the_password_is_it_is_not_shown(password: str) -> None:
    marked = f"«{password}»"
    assert "«" not in shown(f"redis://u:{marked}@h:1/0") or "?" in password
    assert "«" not in shown("redis://h:1/0?password=" + marked.replace("&", "")) or "@" in password


def test_settings_and_messages_show_none(tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "EO_DATA_DIR": str(tmp_path),
        "DATABASE_URL": "postgresql://u:gehe%3Aim@h/x?sslpassword=geheim",
        "REDIS_URL": "redis+sentinel://:geheim@h/orders?sentinel_password=geheim",
        "REDIS_PASSWORD": "geheim",
        "STRIPE_API_KEY": "sk_test_" + "geheim0123456789",
        "EO_API_KEY": "geheim" * 5,
    }
    command = [sys.executable, "-m", "service", "settings"]
    table, rows = (forks.run([*command, *words], env=environ, check=True) for words in ([], ["--json"]))
    for done in (table, rows):
        assert "gehe" not in done.stdout + done.stderr
        assert "orders" in done.stdout
    assert {row["variable"] for row in json.loads(rows.stdout)} > {"REDIS_PASSWORD", "EO_PORT"}
