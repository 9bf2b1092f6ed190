"""A long list goes on: in its place where JavaScript runs, on a next page elsewhere."""

import re

import pytest
from playwright.sync_api import Page, expect

from service.console import order_list
from tests.console.house import House, Visitors
from tests.web.afterwards import order_in

SHOWN, ORDERS = 2, 5


@pytest.fixture(scope="module")
def ids(house: House) -> list[str]:
    """All orders of the house, the newest first."""
    return [house.run(order_in(house.api, house.engine, "paid", f"cart:{n}")) for n in range(ORDERS)][::-1]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page shows two of them."""
    monkeypatch.setattr(order_list, "LIMIT", SHOWN)


def _listed(page: Page) -> list[str]:
    return [row.inner_text() for row in page.locator("#orders-rows > tr th").all()]


def _older(page: Page) -> None:
    page.get_by_role("link", name="Older orders").click()


def test_the_next_rows_come_into_the_table_and_the_focus_goes_to_the_first_of_them(
    visit: Visitors, ids: list[str]
) -> None:
    page = visit("/console/orders?status=paid").page
    assert _listed(page) == ids[:2]
    for shown in (4, 6):
        _older(page)
        expect(page.locator("#orders-rows > tr")).to_have_count(min(shown, len(ids)))
    assert _listed(page) == ids
    assert page.evaluate("document.activeElement.textContent") == ids[4]
    expect(page.get_by_role("link", name="Older orders")).to_have_count(0)
    assert page.url.endswith("/console/orders?status=paid")


def test_without_javascript_they_are_a_page_of_their_own(visit: Visitors, ids: list[str]) -> None:
    page = visit("/console/orders?status=paid", javascript=False).page
    _older(page)
    assert _listed(page) == ids[2:4]


@pytest.mark.usefixtures("ids")
def test_who_is_signed_out_meanwhile_is_told_so(visit: Visitors) -> None:
    looked = visit("/console/orders?status=paid")
    looked.context.clear_cookies()
    _older(looked.page)
    expect(looked.page.get_by_role("heading", level=1)).to_have_text(re.compile("closed", re.IGNORECASE))
    assert all("401" in complaint or "htmx" in complaint for complaint in looked.complaints), looked.complaints
    looked.complaints.clear()  # the browser tells of the answer's status
