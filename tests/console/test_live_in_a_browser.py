"""What a browser sees of pages that renew themselves, and of the door."""

import time

from playwright.sync_api import Page, expect

from tests.console.house import House, Visitors


def pending(page: Page) -> str:
    """How many orders are pending, as the front page shows it."""
    return page.locator("[data-part=states] tr", has_text="pending").locator("td.num").inner_text()


def test_the_front_page_renews_itself_and_comes_back_after_a_restart(visit: Visitors, house: House) -> None:
    looking = visit("/console")
    page = looking.page
    expect(page.locator("#connection")).to_have_text("live")
    before = int(pending(page))
    house.run(house.api.order("seen-live"))
    row = page.locator("[data-part=states] tr", has_text="pending").locator("td.num")
    expect(row).to_have_text(str(before + 1))
    house.stop()
    expect(page.locator("#connection")).to_have_text("reconnecting")
    house.start_again()
    expect(page.locator("#connection")).to_have_text("live")
    house.run(house.api.order("seen-live-again"))
    expect(row).to_have_text(str(before + 2))
    refused = [complaint for complaint in looking.complaints if "ERR_" in complaint]
    assert looking.complaints == refused  # the browser's own words for a server that is away
    looking.complaints.clear()


def test_what_is_pressed_is_renewed_when_the_press_has_ended(visit: Visitors, house: House) -> None:
    page = visit("/console").page
    expect(page.locator("#connection")).to_have_text("live")
    row = page.locator("[data-part=states] tr", has_text="pending")
    row.evaluate("row => { window.pressed = row }")
    before = int(pending(page))
    row.hover()
    page.mouse.down()
    made = page.locator("#as-of").inner_text()
    house.run(house.api.order("seen-pressed"))
    expect(page.locator("#as-of")).not_to_have_text(made)
    assert page.evaluate("window.pressed.isConnected")
    page.mouse.up()
    expect(row.locator("td.num")).to_have_text(str(before + 1))


def test_the_focus_stays_where_it_is_while_its_part_is_renewed(visit: Visitors, house: House) -> None:
    page = visit("/console").page
    expect(page.locator("#connection")).to_have_text("live")
    link = page.locator("[data-part=states] a", has_text="pending")
    link.focus()
    link.evaluate("link => { window.focused = link }")
    before = int(pending(page))
    house.run(house.api.order("seen-focused"))
    row = page.locator("[data-part=states] tr", has_text="pending")
    expect(row.locator("td.num")).to_have_text(str(before + 1))
    assert not page.evaluate("window.focused.isConnected")
    expect(link).to_be_focused()


def test_a_tab_that_nobody_sees_costs_nothing(visit: Visitors, house: House) -> None:
    page = visit("/console").page
    expect(page.locator("#connection")).to_have_text("live")
    hide = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => %s});"
    page.evaluate(hide % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#connection")).to_have_text("paused")
    deadline = time.monotonic() + 30
    while house.watchers("overview"):
        page.wait_for_timeout(20)
        assert time.monotonic() < deadline
    page.evaluate(hide % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#connection")).to_have_text("live")
    assert house.watchers("overview") == 1


def test_signing_out_in_one_tab_ends_the_other(visit: Visitors) -> None:
    looking = visit("/console")
    other = looking.context.new_page()
    other.goto(looking.page.url)
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("The console is closed")
    looking.page.reload()
    expect(looking.page.get_by_role("heading", level=1)).to_have_text("The console is closed")
    assert [c for c in looking.complaints if "401" not in c] == []
    looking.complaints.clear()


def test_a_link_opens_the_console_in_the_browser_with_and_without_javascript(visit: Visitors, house: House) -> None:
    for javascript in (True, False):
        page = visit(role=None, javascript=javascript).page
        page.goto(f"{house.url}/console/open?link={house.link()}")
        page.get_by_role("button", name="Open the console").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        assert page.url == f"{house.url}/console"
