"""A form that asks for money, sent as a browser sends it: many times at once, and by a page that is out of date."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from tests.console.test_access import Browser, browsing, link, with_console
from tests.web.afterwards import order_in, rows
from tests.web.conftest import Api, serve

__all__ = ["with_console"]  # a fixture

_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


@pytest.fixture
async def api(with_console: Settings) -> AsyncIterator[Api]:
    """The door of the producers."""
    async with serve(with_console) as api:
        yield api


@pytest.fixture
async def browser(with_console: Settings, engine: AsyncEngine) -> AsyncIterator[Browser]:
    """A browser in which the console is open."""
    async with browsing(with_console) as (browser,):
        await browser.open(await link(engine))
        yield browser


async def form_of(browser: Browser, order: str) -> dict[str, str]:
    """What the form of a refund of 5.00 sends."""
    page = await browser.http.get(f"/console/orders/{order}/refund", params={"amount": "5.00"})
    form = page.text.partition(f'action="/console/orders/{order}/refund"')[2].partition("</form>")[0]
    return {**dict(_HIDDEN.findall(form)), "reason": "why"}


async def sent(browser: Browser, order: str, form: dict[str, str]) -> httpx.Response:
    """The answer to it."""
    return await browser.http.post(f"/console/orders/{order}/refund", data=form, headers=browser.own)


async def asked(engine: AsyncEngine, order: str) -> int:
    """How many refunds of the order there are."""
    return len(await rows(engine, "SELECT id FROM refunds WHERE order_id = :id", id=UUID(order)))


async def test_a_refund_whose_form_is_sent_many_times_at_once_is_asked_once(
    api: Api, browser: Browser, engine: AsyncEngine
) -> None:
    order = await order_in(api, engine, "paid")
    form = await form_of(browser, order)
    answers = await asyncio.gather(*(sent(browser, order, form) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {303}
    assert await asked(engine, order) == 1


async def test_of_two_pages_that_were_open_the_second_does_nothing(
    api: Api, browser: Browser, engine: AsyncEngine
) -> None:
    order = await order_in(api, engine, "paid")
    first, second = await form_of(browser, order), await form_of(browser, order)
    assert first["key"] != second["key"]
    answers = [await sent(browser, order, form) for form in (first, second)]
    assert [answer.status_code for answer in answers] == [303, 409]
    assert await asked(engine, order) == 1
