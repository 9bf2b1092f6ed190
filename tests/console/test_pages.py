"""What each page of the console keeps in a real browser: everybody can use it, on every screen, and no policy breaks.

A page's owner adds its path here. axe is an engine that is not ours; it judges in both colour schemes.
"""

from typing import get_args

import pytest

from tests.console.house import House, Scheme, Visitors
from tests.web.afterwards import order_in

PAGES = (
    "/console",
    "/console/orders",
    "/console/orders/{order}",
    "/console/orders/{order}/refund?amount=5.00",
    "/console/outbox",
    "/console/parked",
    "/console/ledger",
    "/console/reconciliation",
    "/console/system",
    "/console/audit",
)
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


@pytest.fixture(scope="module")
def order(house: House) -> str:
    """The id of an order that is paid."""
    return house.run(order_in(house.api, house.engine, "paid"))


@pytest.fixture(params=PAGES)
def path(request: pytest.FixtureRequest, order: str) -> str:
    """Where a page is."""
    return str(request.param).format(order=order)


def test_everybody_can_use_the_page_in_light_and_dark_and_on_a_phone(visit: Visitors, path: str) -> None:
    looking = visit(path)
    for phone in (False, True):
        if phone:
            looking.page.set_viewport_size({"width": 360, "height": 740})
            assert looking.is_as_wide_as_its_window()
        for scheme in SCHEMES:
            looking.page.emulate_media(color_scheme=scheme)
            assert looking.axe() == "[]", (scheme, phone)


def test_nothing_of_the_page_is_cut_on_a_laptop_and_every_page_is_reached_on_a_phone(
    visit: Visitors, path: str
) -> None:
    page = visit(path).page
    page.set_viewport_size({"width": 1280, "height": 800})
    cut = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.getAttribute('aria-label'))"
    assert page.locator(".scroll").evaluate_all(cut) == []
    page.set_viewport_size({"width": 360, "height": 740})
    beyond = "all => all.filter(one => one.getBoundingClientRect().right > innerWidth).map(one => one.textContent)"
    assert page.locator("nav a").evaluate_all(beyond) == []


def test_the_page_is_whole_without_javascript_and_says_when_it_was_made(visit: Visitors, path: str) -> None:
    page = visit(path, javascript=False).page
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.locator("main time").first.is_visible()
    assert page.get_by_role("link", name="Reload").is_visible()


def test_the_keyboard_alone_reaches_the_content_first(visit: Visitors, path: str) -> None:
    page = visit(path).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
