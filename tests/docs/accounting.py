"""The stories of docs/explanation/accounting.md, as an accountant reads them: the golden files, in major units."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from service.foundation.money import CURRENCIES
from tests.docs.parts import ROOT, table

_STORIES = ROOT / "tests/ledger/stories"
_SECTIONS = ("captures", "refunds", "failed", "duplicates", "disputes", "payouts", "others")


def stories(section: str) -> str:
    """Every story of one section: what happened, what is booked, and what the accounts hold afterwards."""
    told = (json.loads(path.read_text()) for path in sorted(_STORIES.glob("*.json")))
    return "\n\n".join(_story(story) for story in told if story["section"] == section)


PARTS = {f"accounting of {section}": partial(stories, section) for section in _SECTIONS}


def _story(story: dict[str, Any]) -> str:
    rows = (row for step in story["steps"] for row in _step(step))
    booked = table(("what happened", "when (UTC)", "debit", "credit", "amount"), rows)
    return f"### {story['title']}\n\n{story['why']}\n\n{booked}\n\n{_after(story['after'])}"


def _step(step: dict[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    if not step["books"]:
        yield step["what"], "", "nothing is booked", "", ""
    what = step["what"]
    for entry in step["books"]:
        when = datetime.fromtimestamp(entry["occurred_at"], UTC).strftime("%d %b %H:%M").lstrip("0")
        paid = f" (customer: {_money(*entry['customer'])})" if "customer" in entry else ""
        for debit, credit, amount in _sides(entry["postings"]):
            amount_and_paid, paid = amount + paid, ""
            yield what, when, debit, credit, amount_and_paid
            what = when = ""


def _sides(postings: list[tuple[str, str, int]]) -> Iterator[tuple[str, str, str]]:
    """One line where an amount goes from one account to another, else a line for each posting, debits first."""
    legs = sorted(postings, key=lambda leg: leg[2] < 0)
    if len(legs) == 2:
        (debit, currency, amount), (credit, *_) = legs
        yield f"`{debit}`", f"`{credit}`", _money(amount, currency)
        return
    for code, currency, amount in legs:
        debit, credit = (f"`{code}`", "") if amount > 0 else ("", f"`{code}`")
        yield debit, credit, _money(abs(amount), currency)


def _after(accounts: dict[str, dict[str, int]]) -> str:
    if not accounts:
        return "Afterwards all accounts are as they were."
    held = (f"`{code}` {_sums(sums.items())}" for code, sums in accounts.items())
    return f"Afterwards: {', '.join(held)}."


def _sums(sums: Iterable[tuple[str, int]]) -> str:
    return " and ".join(_money(amount, currency) for currency, amount in sums)


def _money(amount: int, currency: str) -> str:
    major = Decimal(amount).scaleb(-CURRENCIES[currency].exponent)
    return f"{major:,} {currency.upper()}"
