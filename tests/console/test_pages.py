"""What each page of the console keeps in a real browser: everybody can use it, on every screen, and no policy breaks.

A page's owner adds its path here. axe is an engine that is not ours; it judges in both colour schemes.
"""

from typing import get_args

import pytest

from tests.console.house import Scheme, Visitors

PAGES = ("/console",)
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("path", PAGES)
def test_everybody_can_use_the_page(visit: Visitors, path: str, scheme: Scheme) -> None:
    assert visit(path, scheme=scheme).axe() == "[]"


@pytest.mark.parametrize("path", PAGES)
def test_the_page_fits_a_phone(visit: Visitors, path: str) -> None:
    assert visit(path, phone=True).is_as_wide_as_its_window()


@pytest.mark.parametrize("path", PAGES)
def test_the_page_is_whole_without_javascript_and_says_when_it_was_made(visit: Visitors, path: str) -> None:
    page = visit(path, javascript=False).page
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.locator("main time").first.is_visible()
    assert page.get_by_role("link", name="Reload").is_visible()


@pytest.mark.parametrize("path", PAGES)
def test_the_keyboard_alone_reaches_the_content_first(visit: Visitors, path: str) -> None:
    page = visit(path).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
