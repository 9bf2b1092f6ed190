"""The pages of the ledger: a trial balance per currency, and an entry as T-accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import BadRequest, NotFound
from service.foundation.postgres.sql import Record, Statement, connect
from service.ledger import CHART, balances


@dataclass(frozen=True, slots=True)
class Line:
    """An account, or a group of accounts, of a trial balance. Debit and credit are what is left over on each side."""

    depth: int
    name: str
    code: str | None
    debit: int
    credit: int


@dataclass(frozen=True, slots=True)
class Trial:
    """The trial balance of a currency, in minor units."""

    currency: str
    lines: list[Line]
    debit: int
    credit: int

    @property
    def difference(self) -> int:
        """0 where debits equal credits, as they must."""
        return self.debit - self.credit


async def trials(engine: AsyncEngine, as_of: datetime | None) -> list[Trial]:
    """The trial balance of each currency, of all owners together: what `eo ledger balances` tells, summed up."""
    left: dict[str, dict[str, int]] = {}
    for row in await balances(engine, as_of=as_of):
        of_currency = left.setdefault(row["currency"], {})
        of_currency[row["account"]] = of_currency.get(row["account"], 0) + row["debit"] - row["credit"]
    return [_trial(currency, left[currency]) for currency in sorted(left)]


def _trial(currency: str, left: dict[str, int]) -> Trial:
    lines = _tree(left)
    return Trial(
        currency,
        lines,
        sum(line.debit for line in lines if line.code is not None),
        sum(line.credit for line in lines if line.code is not None),
    )


def _tree(left: dict[str, int]) -> list[Line]:
    """A line per account in the order of the chart, below a line per group that holds more than one."""
    lines: list[Line] = []
    places = {code: place for place, code in enumerate(CHART)}
    codes = sorted(left, key=lambda code: (places.get(code, len(places)), code))
    groups = list(dict.fromkeys(code.partition(":")[0] for code in codes))
    for group in groups:
        members = [code for code in codes if code.partition(":")[0] == group]
        if len(members) > 1:
            lines.append(_line(0, group, None, sum(left[code] for code in members)))
        depth = 1 if len(members) > 1 else 0
        lines += [_line(depth, code, code, left[code]) for code in members]
    return lines


def _line(depth: int, name: str, code: str | None, over: int) -> Line:
    return Line(depth, name, code, max(over, 0), max(-over, 0))


class _Leg(Record):
    """A posting, with what its whole entry says."""

    id: UUID
    owner: str
    reference: str
    kind: str
    order_id: UUID | None
    payment_intent_id: str | None
    customer_minor: int | None
    customer_currency: str | None
    occurred_at: datetime
    created_at: datetime
    code: str
    currency: str
    amount_minor: int


_ENTRY = Statement("""
SELECT e.id, coalesce(a.name, CAST(e.account_id AS text)) AS owner, e.reference, e.kind, e.order_id,
       e.payment_intent_id, e.customer_minor, e.customer_currency, e.occurred_at, e.created_at, l.code, p.currency,
       p.amount_minor
  FROM journal_entries e
  JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id
  LEFT JOIN accounts a ON a.id = e.account_id
 WHERE e.id = :id
 ORDER BY p.line
""").returning(_Leg)


@dataclass(frozen=True, slots=True)
class TAccount:
    """One account of an entry: what is debited on the left, what is credited on the right, minor units."""

    code: str
    currency: str
    debits: list[int]
    credits: list[int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry as T-accounts; `first` has what the whole entry says. sums: debit and credit per currency."""

    first: _Leg
    accounts: list[TAccount]
    sums: dict[str, tuple[int, int]]


async def entry(engine: AsyncEngine, entry_id: UUID) -> Entry:
    """The entry with that id. Raises NotFound."""
    async with connect(engine) as connection:
        legs = await connection.rows(_ENTRY, {"id": entry_id})
    if not legs:
        raise NotFound("There is no such journal entry.")
    return Entry(legs[0], _t_accounts(legs), _sums(legs))


def _t_accounts(legs: Sequence[_Leg]) -> list[TAccount]:
    accounts: dict[tuple[str, str], TAccount] = {}
    for leg in legs:
        account = accounts.setdefault((leg.code, leg.currency), TAccount(leg.code, leg.currency, [], []))
        (account.debits if leg.amount_minor > 0 else account.credits).append(abs(leg.amount_minor))
    return list(accounts.values())


def _sums(legs: Sequence[_Leg]) -> dict[str, tuple[int, int]]:
    sums: dict[str, tuple[int, int]] = {}
    for leg in legs:
        debit, credit = sums.get(leg.currency, (0, 0))
        sums[leg.currency] = (debit + max(leg.amount_minor, 0), credit + max(-leg.amount_minor, 0))
    return sums


class _Id(Record):
    id: UUID


# Through the accounts, because every index begins with one: they are few.
_BY_REFERENCE = Statement("""
SELECT e.id FROM accounts a JOIN journal_entries e ON e.account_id = a.id AND e.reference = :reference
 ORDER BY e.id LIMIT 2
""").returning(_Id)


async def entry_of(engine: AsyncEngine, reference: str) -> UUID:
    """The id of the entry with that reference, such as `charge:ch_…`. Raises NotFound, or BadRequest for two."""
    async with connect(engine) as connection:
        found = await connection.rows(_BY_REFERENCE, {"reference": reference})
    if not found:
        raise NotFound("There is no journal entry with this reference.")
    if len(found) > 1:
        raise BadRequest("Entries of several accounts have this reference. Open the one of the order's page.")
    return found[0].id
