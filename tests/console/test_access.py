"""Who comes into the console, and who does not: a real API, and a client that sends what a browser would."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
from litestar.response.base import ASGIResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.audit import Who, noted
from service.console import Access, Doorway, Role, Visitor
from service.console.access import sealed, unsealed
from service.foundation.errors import Misconfigured
from service.foundation.settings import Settings
from service.web.app import create_app
from service.web.console import frame
from service.web.console.forms import Form
from service.web.operation import AnyRequest
from tests.web.conftest import NOBODY_TRUSTED, serve

ME = Who("root", "cli")
TABLES = ("console_links", "console_sessions", "audit")
EVERYWHERE = "0.0.0.0"  # noqa: S104  it is refused


@pytest.fixture
def with_console(settings: Settings) -> Settings:
    """The console is on, and browsers reach it on loopback."""
    return replace(settings, console=True)


class Browser:
    """A client with a cookie jar that sends the headers of a browser on a page of the console."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.own = {"Origin": str(http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}

    async def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        """Send a plain form."""
        return await self.http.post(path, data=fields, headers=self.own if headers is None else headers)

    async def open(self, secret: str) -> httpx.Response:
        """Use a link."""
        return await self.post("/console/open", link=secret)

    async def token(self) -> str:
        """The token of the forms on the front page."""
        page = (await self.http.get("/console/audit")).text
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
        assert found is not None, page
        return found[1]


@asynccontextmanager
async def browsing(settings: Settings, count: int = 1) -> AsyncIterator[list[Browser]]:
    """So many browsers at the API of these settings."""
    async with serve(settings) as api:
        made = [httpx.AsyncClient(base_url=api.http.base_url, timeout=20, verify=NOBODY_TRUSTED) for _ in range(count)]
        yield [Browser(http) for http in made]
        for http in made:
            await http.aclose()


@pytest.fixture
async def browser(with_console: Settings) -> AsyncIterator[Browser]:
    """One browser."""
    async with browsing(with_console) as browsers:
        yield browsers[0]


async def link(engine: AsyncEngine, role: Role = "operate") -> str:
    """A fresh link for ada."""
    return await Access(engine).link(ME, "ada", role, 5)


async def run(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


@pytest.fixture(scope="module", autouse=True)
def act() -> Iterator[None]:
    """An action that does nothing but say who did it."""

    @frame.action("/console/test/act")
    async def act(request: AnyRequest, visitor: Visitor, form: Form) -> ASGIResponse:
        return frame.back("/console/audit", said=f"{visitor.who.actor} by {visitor.who.via}: {form['what']}")

    added = frame.ROUTES[-1]
    yield
    frame.ROUTES.remove(added)


async def test_a_link_opens_the_console_once_and_looking_at_it_uses_nothing_up(
    browser: Browser, engine: AsyncEngine
) -> None:
    secret = await link(engine)
    for _ in range(3):  # previews, and a browser that loads ahead
        asked = await browser.http.get("/console/open", params={"link": secret})
        assert asked.status_code == 200
        assert "Set-Cookie" not in asked.headers
    opened = await browser.open(secret)
    assert (opened.status_code, opened.headers["location"]) == (303, "/console")
    cookie = opened.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/console"} <= set(cookie.split("; "))
    assert (await browser.http.get("/console/audit")).status_code == 200
    assert (await browser.open(secret)).status_code == 401


async def test_of_two_at_the_same_moment_one_comes_in(with_console: Settings, engine: AsyncEngine) -> None:
    secret = await link(engine)
    async with browsing(with_console, 8) as browsers:
        answers = await asyncio.gather(*(browser.open(secret) for browser in browsers))
    assert sorted(answer.status_code for answer in answers) == [303, *[401] * 7]


async def test_what_is_no_link_opens_nothing(browser: Browser) -> None:
    for secret in ("", "short", "A" * 43, "A" * 5_000, "é" * 43, "a'--" * 11):
        assert (await browser.open(secret)).status_code == 401


async def test_an_old_link_opens_nothing(browser: Browser, engine: AsyncEngine) -> None:
    secret = await link(engine)
    await run(engine, "UPDATE console_links SET expires_at = now()")
    assert (await browser.open(secret)).status_code == 401


async def test_no_secret_is_stored_or_logged(
    browser: Browser, engine: AsyncEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = await link(engine)
    await browser.http.get("/console/open", params={"link": secret})
    await browser.open(secret)
    await browser.http.get("/console/audit")
    async with engine.connect() as connection:
        tables = [await connection.execute(text(f"SELECT t::text FROM {name} t")) for name in TABLES]
        stored = "".join(str(row[0]) for rows in tables for row in rows)
    cookie = browser.http.cookies["eo_console"]
    log = "".join(capfd.readouterr())
    assert '"route":"/console/open"' in log
    for word in (secret, cookie):
        assert word not in log
        assert word not in stored
        assert word.encode().hex() not in stored


async def test_who_made_a_link_for_whom_stands_in_the_audit(engine: AsyncEngine) -> None:
    await link(engine, "read")
    (line,) = await noted(engine)
    assert (line.actor, line.via, line.action) == ("root", "cli", "console.link")
    assert line.after is not None
    assert '"ada"' in line.after
    assert '"read"' in line.after


async def test_without_a_session_a_page_says_how_to_open_it(browser: Browser) -> None:
    for path in ("/console", "/console/audit"):
        closed = await browser.http.get(path)
        assert closed.status_code == 401
        assert "eo console link" in closed.text


async def test_a_browser_that_comes_from_another_site_is_offered_a_way_that_sends_its_cookie(browser: Browser) -> None:
    """SameSite=Strict leaves the cookie out where a link of another site leads here."""
    closed = await browser.http.get("/console/audit", headers={"Sec-Fetch-Site": "cross-site"})
    assert '<a href="/console/audit">' in closed.text


async def test_a_session_that_has_ended_opens_nothing(browser: Browser, engine: AsyncEngine) -> None:
    for end in (None, "expires_at", "ended_at"):
        await browser.open(await link(engine))
        token, cookie = await browser.token(), browser.http.cookies["eo_console"]
        if end is None:
            assert (await browser.post("/console/close", csrf=token)).status_code == 200
            assert "eo_console" not in browser.http.cookies
        else:
            await run(engine, f"UPDATE console_sessions SET {end} = now()")
        copy = {"Cookie": f"eo_console={cookie}"}
        assert (await browser.http.get("/console/audit", headers=copy)).status_code == 401
        assert (await browser.post("/console/test/act", browser.own | copy, csrf=token, what="this")).status_code == 401


async def test_an_action_is_noted_under_its_visitor_and_its_page_says_so_once(
    browser: Browser, engine: AsyncEngine
) -> None:
    await browser.open(await link(engine))
    done = await browser.post("/console/test/act", csrf=await browser.token(), what="<this>")
    assert done.status_code == 303
    assert "ada by console: &lt;this&gt;" in (await browser.http.get("/console/audit")).text
    assert "ada by console" not in (await browser.http.get("/console/audit")).text


async def test_what_is_said_cannot_be_put_there_by_another_server_of_this_machine(
    browser: Browser, engine: AsyncEngine
) -> None:
    """Cookies know no ports: whatever listens on this machine can set them."""
    await browser.open(await link(engine))
    for forged in ("496e7661646564", "496e7661646564.00", ".", "zz.zz", "ff.00"):
        browser.http.cookies.set("eo_console_said", forged, domain="127.0.0.1", path="/console")
        page = await browser.http.get("/console/audit")
        assert page.status_code == 200
        assert "Invaded" not in page.text
    assert unsealed("of another session", sealed("of this one", "Invaded")) is None


async def test_who_may_look_cannot_act(browser: Browser, engine: AsyncEngine) -> None:
    await browser.open(await link(engine, "read"))
    refused = await browser.post("/console/test/act", csrf=await browser.token(), what="this")
    assert refused.status_code == 403
    assert "eo console link --role operate" in refused.text


async def test_a_form_needs_the_token_of_its_own_session(with_console: Settings, engine: AsyncEngine) -> None:
    async with browsing(with_console, 2) as (mine, other):
        await mine.open(await link(engine))
        await other.open(await link(engine))
        foreign = await other.token()
        assert (await mine.post("/console/test/act", what="this")).status_code == 403
        for token in ("", "0" * 64, foreign, (await mine.token()).upper(), "é"):
            assert (await mine.post("/console/test/act", csrf=token, what="this")).status_code == 403
        assert (await mine.post("/console/close", csrf=foreign)).status_code == 403
        assert (await mine.post("/console/test/act", csrf=await mine.token(), what="this")).status_code == 303


FOREIGN: tuple[dict[str, str], ...] = (
    {},
    {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
)


async def test_a_form_that_another_page_sends_does_nothing(browser: Browser, engine: AsyncEngine) -> None:
    secret = await link(engine)
    for headers in FOREIGN:
        assert (await browser.post("/console/open", headers, link=secret)).status_code == 403, headers
    assert (await browser.open(secret)).status_code == 303
    token = await browser.token()
    for headers in FOREIGN:
        assert (await browser.post("/console/test/act", headers, csrf=token, what="this")).status_code == 403, headers


async def test_two_of_a_header_are_none_that_is_expected(browser: Browser, engine: AsyncEngine) -> None:
    """Whatever stands between us and a browser may look at the other one."""
    await browser.open(await link(engine))
    form = {"csrf": await browser.token(), "what": "this"}
    for two in (["http://evil.example", browser.own["Origin"]], [browser.own["Origin"], "http://evil.example"]):
        answer = await browser.http.post("/console/test/act", data=form, headers=[("Origin", one) for one in two])
        assert answer.status_code == 403, two


async def test_a_form_of_another_kind_is_refused(browser: Browser, engine: AsyncEngine) -> None:
    await browser.open(await link(engine))
    body = f"csrf={await browser.token()}&what=this"
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json", ""):
        headers = browser.own | {"Content-Type": kind}
        answer = await browser.http.post("/console/test/act", content=body, headers=headers)
        assert answer.status_code == 400, kind


async def test_what_no_address_and_no_form_can_mean_is_refused_by_every_page(
    browser: Browser, engine: AsyncEngine
) -> None:
    await browser.open(await link(engine))
    token = await browser.token()
    for route in [route for route in frame.ROUTES if ":str}" in route.path]:
        path = re.sub(r"{\w+:str}", "%00", re.sub(r"{\w+:uuid}", str(UUID(int=1)), route.path))
        fields = {"csrf": token, "reason": "this", "until": "2026-11-28T00:00:00Z", "number": "0"}
        answer = await (browser.http.get(path) if route.method == "GET" else browser.post(path, None, **fields))
        assert answer.status_code in (400, 404), (route, answer.status_code)
    for name in ("q", "subject"):
        assert (await browser.http.get(f"/console/audit?{name}=a%00b")).status_code == 400
    assert (await browser.post("/console/test/act", csrf=token, what="a\0b")).status_code == 400
    for until in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-28T00:00:00", "then"):
        sent = {"csrf": token, "reason": "this", "until": until, "number": "0"}
        assert (await browser.post("/console/notices/resend", None, **sent)).status_code == 400, until


async def test_a_name_of_another_site_that_leads_here_is_not_served(browser: Browser, engine: AsyncEngine) -> None:
    """DNS rebinding: for the browser its page is of this origin, and the Host still tells."""
    await browser.open(await link(engine))
    for host in (
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::2]",
        "x@",
    ):
        for path in ("/console/audit", "/console/open", "/console/static/console.css", "/console/live/overview"):
            assert (await browser.http.get(path, headers={"Host": host})).status_code == 421, (host, path)
        forged = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert (await browser.post("/console/open", forged, link=await link(engine))).status_code == 421, host


async def test_a_proxy_that_nobody_named_is_not_served(browser: Browser) -> None:
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host"):
        answer = await browser.http.get("/console/audit", headers={name: "203.0.113.7"})
        assert answer.status_code == 421, name
        assert "EO_CONSOLE_ORIGIN" in answer.text


async def test_behind_tls_only_its_own_address_is_served_and_the_cookie_is_for_tls_alone(
    with_console: Settings, engine: AsyncEngine
) -> None:
    async with browsing(replace(with_console, console_origin="https://Pay.example.com:443/")) as (browser,):
        own = {"Host": "pay.example.com", "Origin": "https://pay.example.com", "X-Forwarded-For": "203.0.113.7"}
        opened = await browser.post("/console/open", own, link=await link(engine))
        assert opened.status_code == 303
        cookie = opened.headers["set-cookie"]
        assert cookie.startswith("__Host-eo_console=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
        assert (await browser.http.get("/console")).status_code == 421
        for wrong in ("http://pay.example.com", "https://pay.example.com:8443"):
            forged = own | {"Origin": wrong}
            assert (await browser.post("/console/open", forged, link=await link(engine))).status_code == 403


async def test_a_cookie_of_another_installation_opens_nothing(browser: Browser, engine: AsyncEngine) -> None:
    await browser.open(await link(engine))
    await run(engine, "UPDATE instance SET hmac_key = decode(repeat('ab', 32), 'hex')")
    other = Access(engine)  # as a process of the other installation asks
    assert await other.session(browser.http.cookies["eo_console"]) is None


async def test_off_there_is_no_console(settings: Settings) -> None:
    async with browsing(settings) as (browser,):
        for path in ("/console", "/console/open", "/console/static/console.css", "/console/live/overview"):
            assert (await browser.http.get(path)).status_code == 404
        assert (await browser.open("A" * 43)).status_code == 404


async def test_no_route_of_the_console_is_in_the_description(browser: Browser) -> None:
    assert "/console" not in (await browser.http.get("/openapi.json")).text


async def test_every_answer_of_the_console_has_its_policy(browser: Browser, engine: AsyncEngine) -> None:
    paths = ("/console", "/console/open", "/console/static/console.js", "/console/static/none", "/console/live/none")
    answers = [await browser.http.get(path) for path in paths]
    await browser.open(await link(engine))
    answers += [await browser.http.get(path) for path in paths[:2]]
    answers.append(await browser.post("/console/test/act", what="this"))
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_it_is_not_served_to_a_network_without_a_word_for_it(with_console: Settings) -> None:
    for host in (EVERYWHERE, "::", "192.0.2.1", "orders.example.com"):
        with pytest.raises(Misconfigured, match="EO_CONSOLE_ORIGIN"):
            create_app(replace(with_console, host=host))


def test_an_address_that_browsers_cannot_come_by_safely_is_refused(with_console: Settings) -> None:
    for origin in (
        "http://pay.example.com",
        "pay.example.com",
        "https://",
        "https://pay.example.com/console",
        "https://a@pay.example.com",
        "ftp://x",
        "https://pay.example.com?x",
        "https://*.example.com",
        "https://pay.example.com https://x",
    ):
        with pytest.raises(Misconfigured, match="EO_CONSOLE_ORIGIN"):
            Doorway.of(replace(with_console, console_origin=origin))


def test_in_a_container_its_published_loopback_port_is_an_address_too(with_console: Settings) -> None:
    found = Doorway.of(replace(with_console, host=EVERYWHERE, console_origin="http://localhost:8000"))
    assert (found.url, found.is_encrypted) == ("http://localhost:8000/console", False)
