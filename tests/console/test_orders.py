"""The orders in a real browser: found by whatever names them, and acted on once, however often a form is sent."""

from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page

from tests.console.house import House, Visitors
from tests.console.test_pages import SCHEMES
from tests.ledger.support import book, charged
from tests.web.afterwards import order_in, rows

REASON = "the customer asked for it"


class Orders:
    """Orders of the house, in the states that a worker leaves them in."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._number = 0

    def __call__(self, status: str = "paid", **changes: Any) -> str:
        """The id of a new order in this state."""
        self._number += 1
        key = f"cart:{self._number}"
        return self.house.run(order_in(self.house.api, self.house.engine, status, key, **changes))

    def rows(self, sql: str, **values: object) -> list[dict[str, Any]]:
        return self.house.run(rows(self.house.engine, sql, **values))

    def refunds(self, order_id: str) -> list[int]:
        """The amounts that were asked back."""
        found = self.rows("SELECT amount_minor FROM refunds WHERE order_id = :id ORDER BY id", id=UUID(order_id))
        return [row["amount_minor"] for row in found]

    def deeds(self, order_id: str) -> list[tuple[str, str, str]]:
        """What the audit says of the order: who, what, why."""
        found = self.rows("SELECT actor, action, reason FROM audit WHERE order_id = :id ORDER BY id", id=UUID(order_id))
        return [(row["actor"], row["action"], row["reason"]) for row in found]

    def park(self, order_id: str) -> None:
        self.rows(
            "UPDATE outbox SET parked_at = now(), last_error = 'refused: no' WHERE order_id = :id", id=UUID(order_id)
        )


@pytest.fixture(scope="module")
def orders(house: House) -> Orders:
    return Orders(house)


def preview(page: Page, amount: str) -> None:
    page.get_by_label("Amount in usd").fill(amount)
    page.get_by_role("button", name="Preview").click()


def said(page: Page) -> str:
    """What the page says was done."""
    return page.locator("main > [role=status]").inner_text().strip()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_of_an_order_can_be_used_by_everybody(visit: Visitors, orders: Orders, scheme: Any) -> None:
    order = orders("pending")
    orders.park(order)
    seen = visit(f"/console/orders/{order}", scheme=scheme)
    assert seen.axe() == "[]"
    assert visit(f"/console/orders/{orders()}/refund?amount=5.00", scheme=scheme).axe() == "[]"


def test_the_picture_scrolls_in_its_own_box_on_a_phone(visit: Visitors, orders: Orders) -> None:
    order = orders()
    seen = visit(f"/console/orders/{order}", phone=True)
    assert seen.is_as_wide_as_its_window()
    box = seen.page.get_by_role("region", name="Sequence diagram of the order")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    assert visit(f"/console/orders/{order}/refund?amount=5.00", phone=True).is_as_wide_as_its_window()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_part_of_an_order_is_refunded_after_a_look_at_what_is_booked(
    visit: Visitors, orders: Orders, javascript: bool
) -> None:
    order = orders()
    page = visit(f"/console/orders/{order}", javascript=javascript).page
    page.get_by_role("link", name=f"Refund order {order}").click()
    preview(page, "5.00")
    booked = page.get_by_role("region", name="What will be booked").inner_text().split()
    assert booked.count("contra:refunds") == 1
    assert booked.count("assets:stripe:balance") == 1
    page.get_by_label("Reason").fill(REASON)
    page.get_by_role("button", name="Refund 5.00 usd").click()
    assert "A refund of 5.00 usd is under way." in said(page)
    assert orders.refunds(order) == [500]
    assert orders.deeds(order) == [("ada", "refund.ask", REASON)]
    assert page.get_by_role("row", name=REASON).is_visible()


def test_a_double_click_on_refund_refunds_once(visit: Visitors, orders: Orders) -> None:
    order = orders()
    page = visit(f"/console/orders/{order}/refund?amount=5.00").page
    page.get_by_label("Reason").fill(REASON)
    page.get_by_role("button", name="Refund 5.00 usd").dblclick()
    page.wait_for_url(f"**/console/orders/{order}")
    assert orders.refunds(order) == [500]


def test_a_restored_tab_that_sends_the_same_form_again_refunds_once_and_says_so(
    visit: Visitors, orders: Orders
) -> None:
    order = orders()
    first = visit(f"/console/orders/{order}/refund?amount=5.00").page
    hidden = first.locator("main input[name=key], main input[name=seen]")
    kept = hidden.evaluate_all("inputs => inputs.map(input => input.value)")
    first.get_by_label("Reason").fill(REASON)
    first.get_by_role("button", name="Refund 5.00 usd").click()
    assert said(first).startswith("A refund of 5.00 usd")
    restored = visit(f"/console/orders/{order}/refund?amount=5.00").page
    restored.locator("main form[method=post]").evaluate(
        "(form, kept) => { [form.key.value, form.seen.value] = kept }", kept
    )
    restored.get_by_label("Reason").fill(REASON)
    restored.get_by_role("button", name="Refund 5.00 usd").click()
    assert "This form was sent before" in said(restored)
    assert orders.refunds(order) == [500]
    assert len(orders.deeds(order)) == 1


def test_a_page_that_is_loaded_again_says_what_is_given_back_already(visit: Visitors, orders: Orders) -> None:
    order = orders()
    page = visit(f"/console/orders/{order}/refund?amount=5.00").page
    page.get_by_label("Reason").fill(REASON)
    page.get_by_role("button", name="Refund 5.00 usd").click()
    assert "is under way" in said(page)
    page.go_back()
    assert "14.99 usd can be given back. 5.00 usd are given back already, or under way." in page.content()


def test_of_two_tabs_the_second_is_told_that_the_order_has_changed(visit: Visitors, orders: Orders) -> None:
    order = orders()
    one_tab = visit(f"/console/orders/{order}/refund?amount=19.99").page
    visit_of_other = visit(f"/console/orders/{order}/refund?amount=19.99")
    other = visit_of_other.page
    for tab in (one_tab, other):
        tab.get_by_label("Reason").fill(REASON)
        tab.get_by_role("button", name="Refund 19.99 usd").click()
    assert "is under way" in said(one_tab)
    assert "The order has changed since that page was made" in other.get_by_role("alert").inner_text()
    assert [complaint for complaint in visit_of_other.complaints if "409" not in complaint] == []
    visit_of_other.complaints.clear()
    assert orders.refunds(order) == [1999]
    other.get_by_role("link", name="Look at the order as it is now").click()
    assert other.get_by_role("link", name="Refund").count() == 0, "nothing is left"


def test_more_than_is_left_is_refused_in_words(visit: Visitors, orders: Orders) -> None:
    page = visit(f"/console/orders/{orders()}/refund?amount=20.00").page
    assert "19.99 usd are left" in page.get_by_role("alert").inner_text()
    assert page.get_by_role("button", name="Refund").count() == 0


@pytest.mark.parametrize("javascript", [True, False])
def test_a_row_is_parked_retried_and_its_order_failed(visit: Visitors, orders: Orders, javascript: bool) -> None:
    order = orders("pending")
    page = visit(f"/console/orders/{order}", javascript=javascript).page
    for verb, words in (
        ("Park", "It is parked."),
        ("Retry", "It is due now."),
        ("Park", "It is parked."),
        ("Fail", ""),
    ):
        opened = page.locator("details.confirm").filter(has_text=verb)
        opened.locator("summary").click()
        opened.get_by_label("Reason").fill(REASON)
        opened.get_by_role("button").click()
        assert words in said(page)
    assert orders.rows("SELECT status FROM orders WHERE id = :id", id=UUID(order)) == [{"status": "failed"}]
    done = ["outbox.park", "outbox.retry", "outbox.park", "order.fail"]
    assert orders.deeds(order) == [("ada", what, REASON) for what in done]
    assert page.locator(".seq-human").count() == len(done), "the picture tells it, too"


@pytest.mark.parametrize("javascript", [True, False])
def test_what_is_held_is_captured_in_part_or_let_go(visit: Visitors, orders: Orders, javascript: bool) -> None:
    order = orders("authorized", capture="manual")
    page = visit(f"/console/orders/{order}", javascript=javascript).page
    page.get_by_role("link", name=f"Capture order {order}").click()
    preview(page, "12.50")
    page.get_by_label("Reason").fill(REASON)
    page.get_by_role("button", name="Capture 12.50 usd").click()
    assert "The capture is under way." in said(page)
    assert orders.rows("SELECT kind, amount_minor FROM changes WHERE order_id = :id", id=UUID(order)) == [
        {"kind": "capture", "amount_minor": 1250}
    ]
    other = orders("pending")
    page = visit(f"/console/orders/{other}", javascript=javascript).page
    opened = page.locator("details.confirm").filter(has_text="Cancel")
    opened.locator("summary").click()
    opened.get_by_label("Reason").fill(REASON)
    opened.get_by_role("button").click()
    assert "The order is canceled." in said(page)
    assert orders.deeds(other) == [("ada", "order.cancel", REASON)]


def test_who_may_only_read_sees_no_action_and_can_take_none(visit: Visitors, orders: Orders) -> None:
    order = orders()
    page = visit(f"/console/orders/{order}", role="read").page
    assert page.get_by_role("link", name="Refund").count() == 0
    assert page.locator("details.confirm").count() == 0
    page = visit(f"/console/orders/{order}/refund?amount=5.00", role="read").page
    assert page.get_by_role("button", name="Refund").count() == 0


def test_an_order_is_found_by_whatever_names_it(visit: Visitors, orders: Orders) -> None:
    order = orders("paid", intent="pi_searched")
    account = orders.rows("SELECT account_id FROM orders WHERE id = :id", id=UUID(order))[0]["account_id"]
    orders.rows(
        """UPDATE charges SET history = '[{"at": "2026-11-28T10:00:00Z", "answer": "200 succeeded",
           "request_id": "req_searched"}]' WHERE order_id = :id""",
        id=UUID(order),
    )
    orders.house.run(book(orders.house.engine, charged("searched", account_id=account, order_id=UUID(order))))
    key = orders.rows("SELECT idempotency_key FROM orders WHERE id = :id", id=UUID(order))[0]["idempotency_key"]
    page = visit("/console/orders").page
    for name in (order, key, "pi_searched", "req_searched", "ch_searched"):
        page.get_by_label("Search by any id or key").fill(name)
        page.get_by_role("button", name="Show").click()
        page.wait_for_url(f"**/console/orders/{order}")
        page.go_back()
    for name in ("req_unknown", "pi_unknown", "\u202eodd", "x" * 300):
        page.get_by_label("Search by any id or key").fill(name)
        page.get_by_role("button", name="Show").click()
        assert page.get_by_text("Nothing has this name.").is_visible()
    page.goto(f"{orders.house.url}/console/orders?q=req_unknown")
    assert "newest calls' histories were read" in page.locator("main").inner_text()


def test_the_list_is_filtered_and_goes_on(visit: Visitors, orders: Orders) -> None:
    for _ in range(51):
        orders("pending")
    page = visit("/console/orders?status=pending", javascript=False).page
    shown = page.locator("tbody tr")
    assert shown.count() == 50
    first = page.locator("tbody th").all_inner_texts()
    page.get_by_role("link", name="Older orders").click()
    assert not set(page.locator("tbody th").all_inner_texts()) & set(first)
    assert "status=pending" in page.url


def test_picture_text_and_json_tell_the_same(visit: Visitors, orders: Orders) -> None:
    seen = visit(f"/console/orders/{orders()}")
    words = seen.page.locator(".seq-words li span").all_inner_texts()
    tooltips = seen.page.locator("g.seq-scene > title").all_text_contents()
    assert [tooltip.split(" UTC: ", 1)[1] for tooltip in tooltips] == words
    address = seen.page.url
    text = " ".join(seen.context.request.get(f"{address}?view=text").text().split())
    shown = seen.context.request.get(f"{address}?view=json").json()
    assert [scene["tells"] for scene in shown["story"]] == words
    assert all(" ".join(word.split()) in text for word in words)
    assert len(shown["timeline"]) == sum(len(scene["events"]) for scene in shown["story"])
