"""Take the pictures of the README and the docs anew, from a real run: `python -m tests.console.screenshots`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.acceptance.pages import ROOT, installed
from tests.console.house import Scheme, chromium

WIDTH, HEIGHT, WIDE = 1120, 760, 1420  # pixels; the picture of an order is wide
DONE_MS = 120_000
PICTURES = {"overview": "/console", "chaos": "/console/chaos", "order": ""}


def take(folder: Path) -> list[Path]:
    """Walk through the README's first minutes, and take each picture in both schemes."""
    taken = []
    with installed() as up, chromium() as browser:
        found = re.search(r"^  Console +(\S+)$", up.block, re.MULTILINE)
        assert found, "`eo up` printed no link"
        with opened(browser, found[1]) as (context, page):
            order = walked(page)
            up.run(".venv/bin/eo reconcile")
            for name, path in PICTURES.items():
                page.set_viewport_size({"width": WIDE if name == "order" else WIDTH, "height": HEIGHT})
                for scheme in get_args(Scheme):
                    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                    page.goto(f"http://127.0.0.1:{up.port}{path or order}")
                    taken.append(folder / f"console-{name}-{scheme}.png")
                    page.screenshot(path=taken[-1], full_page=name == "order")
            context.close()
    return taken


@contextmanager
def opened(browser: Browser, link: str) -> Iterator[tuple[BrowserContext, Page]]:
    """The console, opened by the link that `eo up` printed."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Open the console").click()
    yield context, page


def walked(page: Page) -> str:
    """Place orders and kill a worker after a charge; the path of that order's page, once it is paid."""
    page.get_by_role("link", name="Chaos").click()
    page.get_by_role("button", name="Place orders").click()
    page.get_by_role("button", name="Kill a worker after the charge").click()
    last = page.locator("[data-part=last]")
    expect(last.get_by_text("charged once")).to_be_visible(timeout=DONE_MS)
    expect(last.get_by_text("paid", exact=True)).to_be_visible(timeout=DONE_MS)
    return str(last.locator("a.id").get_attribute("href"))


if __name__ == "__main__":
    for picture in take(ROOT / "docs"):
        print(picture.relative_to(ROOT))
