"""REDIS_URL: what is understood, what is refused in one line, and one place that makes clients of it."""

import socket
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from service.foundation import redis_clients
from service.foundation.addresses.redis import Kind, RedisAddress, parse, with_password
from service.foundation.errors import Misconfigured

PASSWORD = "p@ss:w/rd?#%&+ é"


def _parsed(url: str) -> RedisAddress | str:
    """The address, or why it is refused."""
    try:
        return parse(url)
    except Misconfigured as refused:
        return str(refused)


@settings(max_examples=50)
@given(text=st.text(max_size=40))
def test_whatever_is_written_there_is_an_address_or_one_line(text: str) -> None:
    for start in (
        "",
        "redis://",
        "redis://u:",
        "rediss://h/0?",
        "unix://",
        "redis+sentinel://h/",
        "redis+cluster://h,",
    ):
        found = _parsed(start + text)
        assert isinstance(found, RedisAddress) or (found.startswith("REDIS_URL") and "\n" not in found), start + text


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:geheim@h:7/3", "redis://:geheim@h", "redis://h/2?password=geheim&username=u", "redis://", "redis://[::1]:7/0",
        "redis://user:ge%68eim@h:7/3", "unix:///run/redis.sock?db=4", "unix://user:geheim@/run/a%20b.sock", "redis://h:7",
    ],
)  # fmt: skip
def test_the_library_and_we_read_the_same(url: str) -> None:
    theirs = redis.ConnectionPool.from_url(url).connection_kwargs
    ours = redis_clients.client(url).connection_pool.connection_kwargs
    for name in ("username", "password", "path", "db", *(() if "path" in theirs else ("host", "port"))):
        usual = {"db": 0, "host": "localhost", "port": 6379}.get(name)
        assert ours.get(name, usual) == theirs.get(name, usual), name


def test_sentinel_and_cluster_have_several_hosts() -> None:
    found = parse(f"redis+sentinel://u:{quote(PASSWORD, safe='')}@h1,[::1]:7/orders/3?sentinel_password=geheim")
    assert (found.kind, found.hosts, found.service, found.db) == (
        Kind.SENTINEL, (("h1", 26379), ("::1", 7)), "orders", 3,
    )  # fmt: skip
    assert (found.login["password"], found.sentinel_login) == (PASSWORD, {"password": "geheim"})
    assert "geheim" not in repr(found)
    assert parse("rediss+cluster://h1,h2:7").hosts == (("h1", 6379), ("h2", 7))


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("localhost:6379", "redis://"),
        ("http://u:geheim@h", "http:// is not supported by effectively-once"),
        ("amqp://u:geheim@h", "amqp:// is not supported by effectively-once"),
        ("redis://h1,h2/0", "redis+sentinel://"),
        ("redis://h/zero", "/0"),
        ("redis://h/0/1", "database"),
        ("redis://h:port/0", "65535"),
        ("redis://:geheim/x@h:6379/0", "%2F"),
        ("redis://:gehe#im@h:6379/0/#", "#"),
        ("redis://h?socket_timeout=5", "socket_timeout is not supported by effectively-once"),
        ("redis://h?colour=red", "colour is not supported by effectively-once"),
        ("redis://h?ssl_ca_certs=/x", "rediss://"),
        ("rediss://h?ssl_cert_reqs=maybe", "required, optional, none"),
        ("rediss://h?ssl_ca_certs=/nowhere/ca", "/nowhere/ca"),
        ("rediss://h?ssl_certfile=/etc/hostname", "/etc/hostname"),
        ("unix://relative.sock", "unix:///path/to/socket"),
        ("redis+sentinel://h1,h2", "service"),
        ("redis+sentinel://h1,,h2/orders", "empty host"),
        ("redis+cluster://h/2", "only 0"),
        ("redis://h?sentinel_password=x", "redis+sentinel://"),
        ("redis://h/%zz", "%25"),
    ],
)
def test_what_is_not_understood_is_refused_by_name_and_without_the_password(url: str, named: str) -> None:
    found = _parsed(url)
    assert isinstance(found, str)
    assert named in found
    assert "REDIS_URL" in found
    assert "geheim" not in found
    assert "gehe#im" not in found


@given(password=st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text))
def test_any_password_of_its_own_variable_is_the_one_that_is_sent(password: str) -> None:
    for url in ("redis://h:6379/0", "redis+sentinel://h/orders?sentinel_username=x"):
        assert parse(with_password(url, password)).login["password"] == password
    assert parse(with_password("redis://:first@h", password)).login["password"] == "first"


@pytest.mark.parametrize("scheme", ["redis://{}", "redis+sentinel://{}/orders", "redis+cluster://{}"])
def test_a_redis_that_accepts_and_says_nothing_is_given_up(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_clients, "REDIS_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = redis_clients.client(scheme.format(f"127.0.0.1:{silent.getsockname()[1]}"))
        ended = threading.Event()

        def ask() -> None:
            try:
                client.get("x")
            except (redis.ConnectionError, redis.TimeoutError):
                ended.set()

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        assert ended.wait(30)
        client.close()


async def test_a_redis_that_is_away_is_one_kind_of_error_whatever_stands_behind_it(tmp_path: Path) -> None:
    for url in ("redis://127.0.0.1:9", "redis+sentinel://127.0.0.1:9/orders", "redis+cluster://127.0.0.1:9"):
        threads, loop = redis_clients.client(url), redis_clients.async_client(url, connections=2)
        with pytest.raises(redis.ConnectionError):
            threads.get("x")
        with pytest.raises(redis.ConnectionError):
            await loop.get("x")
        threads.close()
        await loop.aclose()
