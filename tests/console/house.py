"""An API with its console, in a thread of its own, and a browser that has opened it.

A test that drives the browser is a plain function: playwright's own event loop runs in the test's thread meanwhile, and
no other may. What is awaited goes to the house's loop: `house.run(retry(house.engine, …))`.
"""

import asyncio
import os
import shutil
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, expect, sync_playwright
from sqlalchemy.ext.asyncio import AsyncEngine

from service.audit import Who
from service.console import Access, Role
from service.foundation.postgres.db import close, create_engine
from service.foundation.settings import Settings
from tests.web.conftest import Api, serve

T = TypeVar("T")

AXE = Path(__file__).parent / "node/node_modules/axe-core/axe.min.js"
WAIT_MS = 15_000  # on a machine that does a dozen other things
# A page differs in its two schemes by colours alone, so in the dark only the rules of colours are asked again.
_AXE = """
;axe.run({runOnly: matchMedia("(prefers-color-scheme: dark)").matches
  ? ["color-contrast", "link-in-text-block"]
  : ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
  .then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.nodes.map(n => n.target + " " + n.failureSummary))))
"""


class House:
    """The API with its console, and the database behind it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = replace(settings, console=True)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="house", daemon=True)
        self._thread.start()
        self._api = AsyncExitStack()
        self.engine: AsyncEngine = self.run(self._make_engine())
        self.api: Api = self.run(self._api.enter_async_context(serve(self.settings)))

    @property
    def url(self) -> str:
        """Where the API listens."""
        return str(self.api.http.base_url).rstrip("/")

    def run(self, awaited: Coroutine[Any, Any, T]) -> T:
        """What `awaited` returns, run in the house's loop."""
        return asyncio.run_coroutine_threadsafe(awaited, self._loop).result(timeout=60)

    def link(self, role: Role = "operate", minutes: int = 5, actor: str = "ada") -> str:
        """The secret of a fresh link."""
        return self.run(Access(self.engine).link(Who("root", "cli"), actor, role, minutes))

    def cookie(self, role: Role = "operate", actor: str = "ada") -> str:
        """The cookie of a fresh session."""
        opened = self.run(Access(self.engine).open(self.link(role, actor=actor)))
        assert opened is not None
        return opened

    def stop(self) -> None:
        """Stop the API, as a signal does."""
        self.run(self._api.aclose())

    def start_again(self) -> None:
        """Start the API again, where it was."""
        port = self.api.http.base_url.port
        assert port is not None
        self.api = self.run(self._api.enter_async_context(serve(self.settings, port)))

    def watchers(self, feed: str) -> int:
        """How many watch this feed."""
        found = self.api.server.app.state["console"].feeds.get(feed)
        return 0 if found is None else found.watchers

    def end(self) -> None:
        """Stop the API and the loop."""
        self.run(self._api.aclose())
        self.run(close(self.engine))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _make_engine(self) -> AsyncEngine:
        return create_engine(self.settings, name="test")


@dataclass
class Visit:
    """A page of a browser in which the console is open. What its console and its scripts complain of is kept."""

    house: House
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """Load a page of the house."""
        self.page.goto(self.house.url + path, wait_until="load")
        return self.page

    def axe(self) -> str:
        """What axe finds on the present page."""
        return axe(self.page)

    def is_as_wide_as_its_window(self) -> bool:
        """Whether nothing of the page stands out to the right, so that only tables and code scroll in themselves."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def note(self, message: ConsoleMessage) -> None:
        """Keep what the browser's console complains of."""
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")


Scheme = Literal["light", "dark"]


class Visitors:
    """Opens pages: each in a browser context, and so with cookies, of its own."""

    def __init__(self, browser: Browser, house: House) -> None:
        self._browser = browser
        self._house = house
        self._open: list[Visit] = []

    def __call__(
        self,
        path: str = "",
        *,
        role: Role | None = "operate",
        scheme: Scheme = "light",
        phone: bool = False,
        javascript: bool = True,
    ) -> Visit:
        """A browser with these wishes, with the console open for `role`, on the page at `path` where one is given."""
        context = self._browser.new_context(
            color_scheme=scheme,
            viewport={"width": 360, "height": 740} if phone else {"width": 1280, "height": 800},
            java_script_enabled=javascript,
            reduced_motion="reduce",
        )
        context.set_default_timeout(WAIT_MS)
        if role is not None:
            cookie = self._house.cookie(role)
            context.add_cookies([{"name": "eo_console", "value": cookie, "url": f"{self._house.url}/console"}])
        visit = Visit(self._house, context, context.new_page())
        visit.page.on("console", visit.note)
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        self._open.append(visit)
        if path:
            visit.go(path)
        return visit

    def end(self) -> list[str]:
        """Close all; what the browsers' consoles complained of."""
        complaints = [complaint for visit in self._open for complaint in visit.complaints]
        for visit in self._open:
            visit.context.close()
        self._open.clear()
        return complaints


def axe(page: Page) -> str:
    """What axe finds on a page; `[]` where it finds nothing. Skips where axe is not installed."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: `make test` fetches it where npm is there")
    session = page.context.new_cdp_session(page)  # a script added to the page would break its policy
    answer = session.send("Runtime.evaluate", {"awaitPromise": True, "expression": AXE.read_text() + _AXE})
    session.detach()
    return str(answer["result"].get("value", answer))


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without windows, which opens a page for a third of the price; the whole one; or EO_CHROMIUM.

    Skips where there is none.
    """
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    program = os.environ.get("EO_CHROMIUM") or found or ""
    if not Path(program).is_file():
        pytest.skip("there is no Chromium: `apt-get install chromium-headless-shell`, or name one by EO_CHROMIUM")
    expect.set_options(timeout=WAIT_MS)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=arguments)
        except Error as error:
            pytest.skip(f"Chromium does not start: {error.message.splitlines()[0]}")
        yield browser
        browser.close()
