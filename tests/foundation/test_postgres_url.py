"""DATABASE_URL is read as libpq reads it; what our driver or our promises do not know is refused by name."""

import ctypes
import ctypes.util
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from sqlalchemy import text

from service.foundation.addresses import libpq
from service.foundation.addresses.postgres import postgres_address, postgres_dsns
from service.foundation.errors import Misconfigured
from service.foundation.postgres.db import close, create_engine
from service.foundation.settings import Settings
from service.ops.embedded import Postgres

NOTHING = {"HOME": "/nonexistent"}
PASSWORD = "p@ss:w/rd?#%&+ é"
ENCODED = "p%40ss%3Aw%2Frd%3F%23%25%26%2B%20%C3%A9"


class _Option(ctypes.Structure):
    _fields_ = [
        ("keyword", ctypes.c_char_p), ("envvar", ctypes.c_char_p), ("compiled", ctypes.c_char_p),
        ("val", ctypes.c_char_p), ("label", ctypes.c_char_p), ("dispchar", ctypes.c_char_p),
        ("dispsize", ctypes.c_int),
    ]  # fmt: skip


@pytest.fixture(scope="session")
def their_parse() -> Callable[[str], dict[str, str] | None]:
    """What libpq itself finds in a URL, or None where it refuses it."""
    name = ctypes.util.find_library("pq")
    if name is None:
        pytest.skip("libpq is not installed here (Debian: apt install libpq5)")
    library = ctypes.CDLL(name)
    library.PQconninfoParse.restype = ctypes.POINTER(_Option)
    library.PQconninfoParse.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p)]

    def parse(url: str) -> dict[str, str] | None:
        options = library.PQconninfoParse(url.encode(), ctypes.byref(ctypes.c_char_p()))
        if not options:
            return None
        found, n = {}, 0
        while options[n].keyword:
            if options[n].val:
                found[options[n].keyword.decode()] = options[n].val.decode(errors="replace")
            n += 1
        library.PQconninfoFree(options)
        return found

    return parse


PIECES = st.sampled_from([
    "u", "a:b", "@", ":", "/", "?", "#", "h", "db", "[::1]", "[fe80::1%25eth0]", "[", "]", ":5432", ",", "h2:6543",
    "=", "&", "host=x", "host=/run/a,h", "port=1,2", "sslmode=require", "ssl=true", "user=x", "password=a+b",
    "dbname=y", "options=-c%20a",
    "%41", "%2F", "%2C", "%zz", "%", "%00", "%C3%A9", "é", " ", "://",
])  # fmt: skip


@given(pieces=st.lists(PIECES, max_size=9))
def test_libpq_and_we_read_the_same_in_every_url(
    their_parse: Callable[[str], dict[str, str] | None], pieces: list[str]
) -> None:
    """Where we refuse what libpq takes, the message says how to write it: an @ or a / that belongs to a password."""
    url = "postgresql://" + "".join(pieces)
    theirs, ours = their_parse(url), _parsed(url)
    if isinstance(ours, str):
        assert theirs is None or "%40" in ours or "UTF-8" in ours, url
    else:
        assert ours == theirs, url


def _parsed(url: str) -> dict[str, str] | str:
    """What we find, or why we refuse it."""
    try:
        return {name: value for name, value in libpq.parse(url).items() if value}
    except Misconfigured as refused:
        return str(refused)


@bounds(max_examples=50)
@given(text=st.text(max_size=40))
def test_whatever_is_written_there_is_an_address_or_one_line(text: str) -> None:
    for url in (text, f"postgresql://{text}", f"postgresql://u:{text}@h/db", f"postgresql://h/db?{text}"):
        found = _address(url)
        assert isinstance(found, tuple) or (found.startswith("DATABASE_URL") and "\n" not in found), url


def _address(url: str) -> tuple[str, ...] | str:
    try:
        return postgres_dsns(url, NOTHING)
    except Misconfigured as refused:
        return str(refused)


@given(password=st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text))
def test_any_password_reaches_the_driver_by_a_variable(password: str) -> None:
    found = postgres_dsns("postgresql://u@h:1/db", NOTHING | {"PGPASSWORD": password})
    assert _driver(found[0])[1].password == password


def _driver(dsn: str) -> tuple[list[object], asyncpg.connect_utils._ConnectionParameters]:
    """What the driver makes of its URL."""
    names = (
        "host port user password passfile database ssl service servicefile direct_tls server_settings "
        "target_session_attrs krbsrvname gsslib"
    )
    parse = asyncpg.connect_utils._parse_connect_dsn_and_args
    found: tuple[list[object], asyncpg.connect_utils._ConnectionParameters] = parse(
        dsn=dsn, **dict.fromkeys(names.split())
    )
    return found


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("postgresql://h1:1,h2:2/db", [("h1", 1), ("h2", 2)]),
        ("postgresql:///db?host=h1,h2&port=7", [("h1", 7), ("h2", 7)]),
        ("postgresql:///db?host=[::1],/run/x&port=1,2", [("::1", 1), "/run/x/.s.PGSQL.2"]),
        ("postgres://[2001:db8::1]/db", [("2001:db8::1", 5432)]),
        ("postgresql://%2Frun%2Fx/db", ["/run/x/.s.PGSQL.5432"]),
        ("postgresql+asyncpg://h/db?ssl=require", [("h", 5432)]),
        ("postgresql:///db?host=/run/a%20b", ["/run/a b/.s.PGSQL.5432"]),
    ],
)
def test_every_host_is_an_address_of_its_own(url: str, places: list[object]) -> None:
    assert [_driver(dsn)[0] for dsn in postgres_dsns(url, NOTHING)] == [[place] for place in places]


def test_options_reach_the_driver_and_what_it_takes_elsewhere_is_said() -> None:
    url = (
        f"postgresql://u%40x:{ENCODED}@h/d%20b?sslmode=require&connect_timeout=7&application_name=shop"
        "&options=-c%20search_path%3Dx&channel_binding=prefer&target_session_attrs=primary&ssl_min_protocol_version=tlsv1.3"
    )
    address = postgres_address(url, NOTHING)
    _, found = _driver(address.dsns[0])
    assert (found.user, found.password, found.database) == ("u@x", PASSWORD, "d b")
    assert (found.sslmode.name, found.ssl.minimum_version.name) == ("require", "TLSv1_3")
    assert found.server_settings == {"options": "-c search_path=x"}
    assert found.target_session_attrs.value == "primary"
    assert (address.connect_timeout_s, address.application_name) == (7.0, "shop")
    assert PASSWORD not in repr(address)
    assert ENCODED not in repr(address)


def test_of_several_hosts_only_one_that_takes_writes_will_do() -> None:
    for dsn in postgres_dsns("postgresql://h1,h2/db", NOTHING):
        assert _driver(dsn)[1].target_session_attrs.value == "read-write"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("mysql://u:geheim@h/db", "postgresql://"),
        ("h/db", "postgresql://"),
        ("host=h dbname=db", "postgresql://"),
        ("postgresql+psycopg://h/db", "postgresql://"),
        ("postgresql://h/db?channel_binding=require", "channel_binding=require is not supported by effectively-once: "),
        ("postgresql://h/db?service=nowhere", "service"),
        ("postgresql://h/db?sslmode=strict", "sslmode=strict"),
        ("postgresql://h/db?sslmode=parse", "sslmode=parse"),
        ("postgresql://h/db?sslmode=verify-full", "sslrootcert"),
        ("postgresql://h/db?sslmode=verify-full&sslrootcert=/nowhere/ca", "/nowhere/ca"),
        ("postgresql://h/db?sslmode=require&sslrootcert=system", "verify-full"),
        ("postgresql://h/db?sslmode=verify-full&sslrootcert=/etc/hostname", "/etc/hostname"),
        ("postgresql://h/db?target_session_attrs=standby", "target_session_attrs=standby"),
        ("postgresql://h/db?connect_timeout=0", "connect_timeout"),
        ("postgresql://h/db?connect_timeout=soon", "connect_timeout"),
        ("postgresql://h/db?gssencmode=require", "gssencmode=require"),
        ("postgresql://h/db?load_balance_hosts=random", "load_balance_hosts=random"),
        ("postgresql://h/db?hostaddr=10.0.0.1", "hostaddr"),
        ("postgresql://h/db?keepalives_idle=5", "keepalives_idle"),
        ("postgresql://h/db?replication=database", "replication=database"),
        ("postgresql://h/db?client_encoding=latin1", "client_encoding=latin1"),
        ("postgresql://h/db?pool_size=5", "pool_size"),
        ("postgresql://h/db?sslmode", "name=value"),
        ("postgresql://h:port/db", "65535"),
        ("postgresql://h:0/db", "65535"),
        ("postgresql://h1:1,h2:2,h3/db?port=1,2", "3 hosts and 2 ports"),
        ("postgresql://[::1/db", "IPv6"),
        ("postgresql://u:gehe@im@h/db", "%40"),
        ("postgresql://u:gehe/im@h/db", "%2F"),
        ("postgresql://u:/geheim@h/db", "%2F"),
        ("postgresql://u:gehe%im@h/db", "%25"),
        ("postgresql://@/db?host=@abstract", "abstract socket"),
    ],
)
def test_what_is_not_understood_is_refused_by_name_and_without_the_password(url: str, named: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        postgres_dsns(url, NOTHING)
    assert named in str(refused.value)
    assert "DATABASE_URL" in str(refused.value)
    assert "geheim" not in str(refused.value)
    assert "gehe" not in str(refused.value)


def test_a_service_and_a_password_file_are_read_as_libpq_reads_them(tmp_path: Path) -> None:
    (tmp_path / "services").write_text("# ours\n[other]\nhost=wrong\n[shop]\nhost=db1,db2\nport=6000\nuser=clerk\n")
    passwords = tmp_path / "passwords"
    passwords.write_text("# nobody\nwrong:*:*:*:no\ndb2:6000:*:clerk:p\\:a\\\\ss\n*:*:*:*:any\n")
    passwords.chmod(0o600)
    environ = NOTHING | {"PGSERVICEFILE": str(tmp_path / "services"), "PGPASSFILE": str(passwords)}
    first, second = (_driver(dsn) for dsn in postgres_dsns("postgresql:///db?service=shop", environ))
    assert (first[0], first[1].user, first[1].password) == ([("db1", 6000)], "clerk", "any")
    assert (second[0], second[1].password) == ([("db2", 6000)], "p:a\\ss")
    passwords.chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod 600"):
        postgres_dsns("postgresql:///db?service=shop", environ)


def test_what_the_url_leaves_open_comes_from_the_variables_of_libpq() -> None:
    environ = NOTHING | {
        "PGHOST": "db",
        "PGPORT": "6000",
        "PGUSER": "clerk",
        "PGDATABASE": "shop",
        "PGPASSWORD": PASSWORD,
    }
    place, found = _driver(postgres_dsns("postgresql://", environ)[0])
    assert (place, found.user, found.database, found.password) == ([("db", 6000)], "clerk", "shop", PASSWORD)
    with pytest.raises(Misconfigured, match="channel_binding"):
        postgres_dsns("postgresql://h/db", environ | {"PGCHANNELBINDING": "require"})


async def test_the_driver_connects_with_what_it_is_given(postgres: Postgres) -> None:
    (dsn,) = postgres_dsns(f"{postgres.url}&options=-c%20work_mem%3D5MB&sslmode=verify-full", NOTHING)
    connection = await asyncpg.connect(dsn=dsn)
    try:
        assert await connection.fetchval("SHOW work_mem") == "5MB"
    finally:
        await connection.close()


async def test_what_the_url_asks_for_is_what_a_connection_of_ours_has(postgres: Postgres) -> None:
    asked = "&options=-c%20work_mem%3D5MB&application_name=shop&connect_timeout=7&sslmode=prefer&channel_binding=prefer"
    engine = create_engine(Settings(database_url=postgres.url + asked), name="test", pool=1, as_app=False)
    try:
        async with engine.connect() as connection:
            shown = [
                (await connection.execute(text(f"SHOW {name}"))).scalar() for name in ("work_mem", "application_name")
            ]
    finally:
        await close(engine)
    assert tuple(shown) == ("5MB", "shop eo test")
