"""Outbox, parked rows, ledger and reconciliation in a real browser: every page, every action, hostile texts."""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from service.foundation.errors import Unavailable
from service.reconcile.kept import kept_report
from service.reconcile.report import as_csv, as_json
from service.stripe_gateway import client as stripe_gateway
from tests.console.books import POISONED, Books, fill
from tests.console.house import House, Scheme, Visitors
from tests.console.test_pages import SCHEMES

WAYS = [pytest.param(True, id="with JavaScript"), pytest.param(False, id="without JavaScript")]
_DISCREPANCIES = "/console/reconciliation/discrepancies"


@pytest.fixture(scope="module")
def books(house: House) -> Iterator[Books]:
    """The house with everything in it; its Stripe is a fake that shows what was put there."""
    books = house.run(fill(house.engine, house.settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stripe_gateway, "StripeGateway", lambda *_: books.stripe)
        yield books


def _all(house: House, statement: str, **values: Any) -> list[Any]:
    async def ask() -> list[Any]:
        async with house.engine.connect() as connection:
            return list((await connection.execute(text(statement), values)).all())

    return house.run(ask())


def _run(house: House, statement: str) -> None:
    async def run() -> None:
        async with house.engine.begin() as tx:
            await tx.execute(text(statement))

    house.run(run())


def _audit(house: House, action: str) -> tuple[str, str, str | None]:
    """Who did the newest action of this kind, by which way, and why."""
    (row,) = _all(house, "SELECT actor, via, reason FROM audit WHERE action = :a ORDER BY id DESC LIMIT 1", a=action)
    return tuple(row)


def _act(page: Page, button: str | re.Pattern[str], reason: str | None = "seen to", number: int = 0) -> None:
    """Open the first form whose button is called so, fill it in, and send it."""
    form = (
        page.locator("details.confirm").filter(has=page.get_by_role("button", name=button, include_hidden=True)).first
    )
    form.locator("summary").click()
    if reason is not None:
        form.get_by_label("Reason").fill(reason)
    if number:
        form.get_by_label("How many").fill(str(number))
    form.get_by_role("button").click()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_everybody_can_use_every_page_with_something_on_it(visit: Visitors, books: Books, scheme: Scheme) -> None:
    looked = visit(scheme=scheme)
    found = {}
    for path in books.pages():
        page = looked.go(path)
        assert not page.title().startswith("broken"), path
        for form in page.locator("details.confirm").all()[:2]:
            form.locator("summary").click()  # what is folded away is judged, too
        found[path] = looked.axe()
    assert {path: said for path, said in found.items() if said != "[]"} == {}


def test_hostile_texts_break_no_page(visit: Visitors, books: Books) -> None:
    """No script runs, no element is made of a text, and none is wider than a phone."""
    looked = visit(phone=True)
    wide = []
    for path in books.pages():
        page = looked.go(path)
        assert page.title().endswith("effectively-once"), path
        assert page.locator("main script, main img, main b:not(.stat b)").count() == 0, path
        if not looked.is_as_wide_as_its_window():
            wide.append(path)
    assert wide == []
    assert "<script>" in looked.go("/console/outbox?show=parked").locator("main").inner_text()


@pytest.mark.parametrize("javascript", WAYS)
def test_a_row_is_parked_and_retried(visit: Visitors, books: Books, house: House, *, javascript: bool) -> None:
    page = visit("/console/outbox", javascript=javascript).page
    _act(page, re.compile("Park row"), "the shop asked")
    expect(page.get_by_role("status").first).to_contain_text("is parked")
    assert _audit(house, "outbox.park") == ("ada", "console", "the shop asked")
    page.goto(f"{house.url}/console/parked?reason=by_hand")
    page.get_by_role("row").filter(has_text="the shop asked").locator("summary").click()
    row = page.get_by_role("row").filter(has_text="the shop asked")
    row.get_by_label("Reason").fill("asked again")
    row.get_by_role("button").click()
    expect(page.get_by_role("status").first).to_contain_text("is due again")
    assert _audit(house, "outbox.retry") == ("ada", "console", "asked again")
    assert _all(house, "SELECT id FROM outbox WHERE last_error = 'the shop asked' AND parked_at IS NOT NULL") == []


@pytest.mark.parametrize("javascript", WAYS)
def test_a_group_is_retried_with_its_number(visit: Visitors, books: Books, house: House, *, javascript: bool) -> None:
    _run(house, "UPDATE outbox SET parked_at = now(), published = 0 WHERE last_error LIKE 'poison%'")
    page = visit("/console/parked", javascript=javascript).page
    assert page.get_by_role("row", name=re.compile("^poison Opened")).count() == 1
    _act(page, f"Retry {POISONED} rows parked for poison", "worker repaired", number=POISONED)
    expect(page.get_by_role("status").first).to_contain_text(f"{POISONED} rows are due again")
    assert _audit(house, "outbox.retry") == ("ada", "console", "worker repaired")
    assert _all(house, "SELECT id FROM outbox WHERE last_error LIKE 'poison%' AND parked_at IS NOT NULL") == []


def test_what_was_parked_meanwhile_is_not_retried_unseen(visit: Visitors, books: Books, house: House) -> None:
    """A number that does not fit any more is refused, and the rows stay."""
    looked = visit("/console/parked")
    _run(house, "UPDATE outbox SET last_error = 'by me' WHERE last_error LIKE 'refused: 403%'")
    page = looked.page
    _act(page, "Retry 2 rows parked for refused", number=2)
    expect(page.locator("main")).to_contain_text("There are 1 of them now")
    assert len(_all(house, "SELECT id FROM outbox WHERE last_error LIKE 'refused:%' AND parked_at IS NOT NULL")) == 1
    assert all("409" in complaint for complaint in looked.complaints)
    looked.complaints.clear()  # the browser tells of the answer's status


@pytest.mark.parametrize("javascript", WAYS)
def test_notices_are_sent_again(visit: Visitors, books: Books, house: House, *, javascript: bool) -> None:
    _run(house, "UPDATE notices SET status = 'parked', ended_at = now()")
    page = visit("/console/parked", javascript=javascript).page
    _act(page, re.compile("Resend notice"), "endpoint repaired")
    expect(page.get_by_role("status").first).to_contain_text("will be sent again")
    assert _audit(house, "notice.resend") == ("ada", "console", "endpoint repaired")
    left = len(_all(house, "SELECT id FROM notices WHERE status = 'parked'"))
    _act(page, f"Resend {left} parked notices", "all of them", number=left)
    expect(page.get_by_role("status").first).to_contain_text("1 stay parked")
    assert len(_all(house, "SELECT id FROM notices WHERE status = 'parked'")) == 1


@pytest.mark.parametrize("javascript", WAYS)
def test_a_discrepancy_is_acknowledged(visit: Visitors, books: Books, house: House, *, javascript: bool) -> None:
    fingerprint = books.fingerprints["amount_mismatch"][int(javascript)]
    page = visit(f"{_DISCREPANCIES}/{fingerprint}", javascript=javascript).page
    expect(page.locator("main")).to_contain_text("Order, charge and Stripe name different amounts")
    _act(page, re.compile("Acknowledge amount mismatch"), "agreed with the shop")
    expect(page.get_by_role("status").first).to_contain_text("It is acknowledged")
    expect(page.locator("main")).to_contain_text("agreed with the shop")
    assert _audit(house, "discrepancy.acknowledge") == ("ada", "console", "agreed with the shop")


@pytest.mark.parametrize("javascript", WAYS)
def test_a_discrepancy_is_healed_after_a_preview(
    visit: Visitors, books: Books, house: House, *, javascript: bool
) -> None:
    fingerprint = books.fingerprints["status_mismatch"][int(javascript)]
    booked = len(_all(house, "SELECT id FROM journal_entries"))
    page = visit(f"{_DISCREPANCIES}/{fingerprint}", javascript=javascript).page
    page.get_by_role("button", name=re.compile("Preview healing")).click()
    expect(page.locator(".callout")).to_contain_text("It would be settled by what Stripe shows")
    assert len(_all(house, "SELECT id FROM journal_entries")) == booked, "a preview books nothing"
    page.get_by_label("Reason").first.fill("Stripe shows it")
    page.get_by_role("button", name=re.compile("^Heal status mismatch")).click()
    expect(page.get_by_role("status").first).to_contain_text("It is settled by what Stripe shows")
    assert len(_all(house, "SELECT id FROM journal_entries")) > booked
    assert _audit(house, "discrepancy.heal") == ("ada", "console", "Stripe shows it")


def test_a_report_is_downloaded_as_it_was_printed(visit: Visitors, books: Books, house: House) -> None:
    async def printed() -> tuple[str, str]:
        kept = await kept_report(house.engine, books.run)
        return "".join([p async for p in as_json(kept)]), "".join([p async for p in as_csv(kept)])

    page = visit(f"/console/reconciliation/runs/{books.run}").page
    texts = []
    for form in ("JSON", "CSV"):
        with page.expect_download() as told:
            page.get_by_role("link", name=f"Download as {form}").click()
        assert told.value.suggested_filename.endswith(form.lower())
        texts.append(told.value.path().read_text())
    assert tuple(texts) == house.run(printed())
    listed = json.loads(texts[0])["discrepancies"]
    assert len([row for row in csv.DictReader(io.StringIO(texts[1])) if row["fingerprint"]]) == len(listed)


def test_a_run_and_a_verification_are_begun_and_end(visit: Visitors, books: Books, house: House) -> None:
    page = visit("/console/reconciliation").page
    before = len(_all(house, "SELECT id FROM reconciliation_runs"))
    _act(page, "Run the reconciliation now", reason=None)
    expect(page.get_by_role("status").first).to_contain_text("A run has begun")
    _until(page, "The run that a page began ended: discrepancies")
    assert len(_all(house, "SELECT id FROM reconciliation_runs")) == before + 1
    page.goto(f"{house.url}/console/ledger")
    _act(page, "Verify the ledger", reason=None)
    _until(page, "asked for by ada")
    expect(page.locator("main")).to_contain_text("debits equal credits")


def _until(page: Page, words: str) -> None:
    """Reload until the page says so."""
    for _ in range(50):
        if words in page.locator("main").inner_text():
            return
        page.wait_for_timeout(200)
        page.reload()
    raise AssertionError(f"the page never said: {words}\n{page.locator('main').inner_text()}")


def test_a_stripe_that_is_away_is_said_and_nothing_is_changed(
    visit: Visitors, books: Books, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> NoReturn:
        raise Unavailable("Stripe cannot be reached.")

    monkeypatch.setattr(stripe_gateway, "StripeGateway", away)
    looked = visit(f"{_DISCREPANCIES}/{books.fingerprints['status_mismatch'][2]}", javascript=False)
    looked.page.get_by_role("button", name=re.compile("Preview healing")).click()
    expect(looked.page.locator("main")).to_contain_text("Stripe cannot be reached. Nothing was changed.")
    looked.go("/console/reconciliation")
    _act(looked.page, "Run the reconciliation now", reason=None)
    _until(looked.page, "ended without a result: Stripe cannot be reached.")
    assert all("503" in complaint for complaint in looked.complaints)
    looked.complaints.clear()  # the browser tells of the answer's status


def test_who_may_only_look_sees_no_action(visit: Visitors, books: Books) -> None:
    looked = visit(role="read")
    for path in books.pages():
        assert looked.go(path).locator("main form[method=post]").count() == 0, path


def test_an_entry_is_found_by_its_reference_and_leads_to_its_accounts(visit: Visitors, books: Books) -> None:
    page = visit("/console/ledger").page
    (reference,) = _all(visit._house, "SELECT reference FROM journal_entries WHERE id = :id", id=books.entry)[0]
    page.get_by_label("Its reference").fill(reference)
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Journal entry")
    expect(page.locator("main")).to_contain_text("balanced")
    page.get_by_role("link", name="assets:stripe:balance").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("assets:stripe:balance"))
    page.get_by_role("row").nth(1).get_by_role("link").click()
    expect(page.get_by_role("link", name=reference, exact=True)).to_have_count(1)
