"""The chaos page over a real `eo up`: whatever is pressed, nobody is charged twice, and everything heals by itself."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

import pytest
from playwright.sync_api import Browser, Page, expect

from service.chaos import Switch, Witness
from service.console.switchboard import OFFER_OF
from service.ops.child import wait_until
from tests.acceptance.pages import Walkthrough, installed
from tests.console.house import WAIT_MS, Scheme, axe, chromium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a busy machine is no reason to fail

HASTE = {
    "EO_STRIPE_CONNECT_TIMEOUT_S": "1",
    "EO_STRIPE_TIMEOUT_S": "2",
    "EO_CHARGE_LEASE_S": "3",
    "EO_OUTBOX_LEASE_S": "4",
    "EO_RETRY_BASE_S": "0.2",
    "EO_RETRY_MAX_S": "2",
    "EO_FEE_SWEEP_S": "0.5",
}
ENDED_MS = 120_000
SETTLED_MS = 60_000
# In this order: what comes after the copy is forgotten.
# Relay and worker are killed as the API is; a worker is killed after its charge before all of these.
SWITCHES = (
    Switch.FREEZE,
    Switch.KEEP_COPY,
    Switch.LOSE_REPLIES,
    Switch.DOUBLE,
    Switch.EMPTY_REDIS,
    Switch.KILL_API,
    Switch.FORGET,
    Switch.DAY,
    Switch.KILL_POSTGRES,
)
# A day after the database forgot them, which is now, nobody looks for the payments of disputes any more: so none of
# these is disputed.
FORGOTTEN = SWITCHES[SWITCHES.index(Switch.KEEP_COPY) : SWITCHES.index(Switch.DAY)]


@dataclass
class Fleet:
    """An `eo up` that was started as `make run` does, and the sandbox's own books."""

    up: Walkthrough
    environ: dict[str, str]
    witness: Witness

    def eo(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.up.folder / ".venv/bin/eo", *words],
            cwd=self.up.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=240,  # on a busy machine
            check=False,
        )

    def link(self, role: str = "operate") -> str:
        return self.eo("console", "link", "--role", role).stdout.strip()


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with installed(**HASTE) as up:
        told = json.loads((up.folder / ".eo/run.json").read_text())["environment"]
        environ = {"PATH": "/usr/bin:/bin", **told}
        yield Fleet(up, environ, Witness(told["STRIPE_API_BASE"], told["EO_SANDBOX_SECRET"]))


@pytest.fixture(scope="module")
def browser(fleet: Fleet) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def plain_page(opened: Opened) -> Page:
    return opened(javascript=False)


@pytest.fixture(scope="module")
def opened(fleet: Fleet, browser: Browser) -> Iterator[Opened]:
    """Opens the console by a link of its own."""
    contexts = []

    def open_console(role: str = "operate", *, javascript: bool = True) -> Page:
        contexts.append(browser.new_context(java_script_enabled=javascript))
        contexts[-1].set_default_timeout(WAIT_MS)
        page = contexts[-1].new_page()
        page.goto(fleet.link(role))
        page.get_by_role("button", name="Open the console").click()
        page.get_by_role("link", name="Chaos").click()
        return page

    yield open_console
    for context in contexts:
        context.close()


def pressed(page: Page, verb: str) -> None:
    page.get_by_role("button", name=verb, exact=True).click()
    expect(page.get_by_text(f"{verb}: begun")).to_be_visible()


def test_a_new_user_watches_a_killed_worker_do_no_harm(fleet: Fleet, browser: Browser) -> None:
    """The README's first three minutes, click by click."""
    page = browser.new_page()
    found = re.search(r"^  Console +(\S+)$", fleet.up.block, re.MULTILINE)
    assert found
    page.goto(found[1])
    page.get_by_role("button", name="Open the console").click()
    page.get_by_role("link", name="Chaos").click()
    page.get_by_role("button", name="Place orders").click()
    expect(page.get_by_text("10 orders were placed")).to_be_visible()
    pressed(page, "Kill a worker after the charge")
    assert page.get_by_role("heading", name="Injected before").is_hidden()
    last = page.locator("[data-part=last]")
    expect(last.get_by_text("was killed by SIGKILL")).to_be_visible(timeout=WAIT_MS)
    expect(last.get_by_text("charged once")).to_be_visible(timeout=ENDED_MS)
    expect(last.get_by_text("paid", exact=True)).to_be_visible(timeout=WAIT_MS)
    assert "double charges" in page.locator(".stats").inner_text()
    expect(page.locator("#double-charges")).to_have_text("0")
    order = last.locator("a.id").inner_text()
    (intent,) = fleet.witness.charges(order)
    shown = json.loads(fleet.eo("orders", "show", order, "--json").stdout)["order"]
    assert (shown["status"], shown["payment_intent"]) == ("paid", intent)
    last.locator("a.id").click()
    expect(page.locator("main")).to_contain_text("Stripe had done it before")
    expect(page.locator("main")).to_contain_text(intent)


def test_everybody_can_use_the_page(opened: Opened) -> None:
    page = opened()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    for scheme in get_args(Scheme):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.reload()
        assert axe(page) == "[]", scheme
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert complaints == []


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_does_what_it_says_and_heals(fleet: Fleet, opened: Opened, plain_page: Page, switch: Switch) -> None:
    """Without JavaScript: each is a plain form. Who has the database forget is not forgotten."""
    page = opened(javascript=False) if switch is Switch.FORGET else plain_page
    if switch is Switch.DOUBLE:
        page.get_by_label("Seconds").fill("2")
    pressed(page, OFFER_OF[switch].verb)
    page.get_by_label("Whose card").select_option("pays" if switch in FORGOTTEN else "mixed")
    page.get_by_role("button", name="Place orders").click()
    fault = page.locator(".last article").filter(has_text=OFFER_OF[switch].verb)  # not the one before

    def has_ended() -> bool:
        try:
            page.reload()
        except Exception:  # noqa: BLE001  the API was killed
            return False
        return fault.get_by_text("done", exact=True).count() == 1

    assert wait_until(has_ended, within_s=ENDED_MS / 1000, pause=lambda _: page.wait_for_timeout(1_000)), page.content()
    assert fault.get_by_text("not done").count() == 0
    assert fleet.witness.totals()["orders_charged_twice"] == 0


def test_after_all_of_it_the_books_agree(fleet: Fleet, opened: Opened) -> None:
    page = opened()
    expect(page.locator("#unsettled")).to_have_text("0", timeout=SETTLED_MS)

    def is_explained() -> bool:
        return fleet.eo("ledger", "suspense", "--json").stdout.strip() == "[]"

    # A day that passes makes old at once what the sweeps have not read yet.
    assert wait_until(is_explained, within_s=SETTLED_MS / 1000, pause=lambda _: page.wait_for_timeout(3_000))
    compared = fleet.eo("reconcile", "--json")
    assert compared.returncode == 0, compared.stdout
    assert fleet.eo("ledger", "verify").returncode == 0
    totals = fleet.witness.totals()
    assert totals["orders_charged_twice"] == 0
    assert totals["orders_charged"] > len(SWITCHES)


def test_who_may_read_sees_and_may_not_press(fleet: Fleet, opened: Opened) -> None:
    page = opened("read", javascript=False)
    assert page.get_by_role("button", name=re.compile("Kill|Freeze|Place")).count() == 0
    form: dict[str, str | float | bool] = {"switch": Switch.EMPTY_REDIS.value}
    assert post(fleet, opened("operate"), form) == 403, "without the token of the session"
    assert post(fleet, page, {**form, "csrf": token(page)}) == 403, "with the token, but to read"
    acting = opened("operate")
    assert post(fleet, acting, {"switch": "make_coffee", "csrf": token(acting)}) == 400
    assert post(fleet, acting, {"switch": "lose_replies", "times": "1000", "csrf": token(acting)}) == 400


def token(page: Page) -> str:
    found = page.locator("input[name=csrf]").first.get_attribute("value")
    assert found is not None
    return found


def post(fleet: Fleet, page: Page, form: dict[str, str | float | bool]) -> int:
    url = f"http://127.0.0.1:{fleet.up.port}"
    answer = page.request.post(f"{url}/console/chaos/press", form=form, headers={"Origin": url}, max_redirects=0)
    return answer.status
