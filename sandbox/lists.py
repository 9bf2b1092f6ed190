"""Reading: retrieve one object, or list many, newest first, with filters and both cursors.

A page is found by (created, seq) on an index and never by counting, so page 1 000 costs what page 1 costs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from sandbox import account, balance, events, expand, payouting
from sandbox.errors import no_such, only_one_of
from sandbox.objects import encode
from sandbox.params import Form, Params
from sandbox.state import Call, Execution, Sandbox
from sandbox.telling import Recorded

LIMIT_DEFAULT, LIMIT_MAX = 10, 100
FOR_EVER_S = 2**40
TYPES_MAX = 20  # "An array of up to 20 strings", the SDK's docs say
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

Conditions = list[tuple[str, Any]]
Paths = list[str]


class Resource(NamedTuple):
    """How objects of one kind are read: `columns` from `table`, rendered as JSON; `filters` are columns too.

    What is older than `kept_s` can no longer be read. `path` is its place in the address where that is not the table's
    name; `times` are the columns that a list takes as an instant or a range of time.
    """

    kind: str
    table: str
    id_param: str
    columns: str
    filters: tuple[str, ...]
    render: Callable[[Sandbox, Any], bytes]
    kept_s: int = FOR_EVER_S
    path: str = ""
    times: tuple[str, ...] = ("created",)

    def retrieve(self, sandbox: Sandbox, call: Call) -> Execution:
        """`GET /v1/things/:id`."""
        paths = expand.wanted(Form(call.params), self.kind)
        sql = f"SELECT {self.columns} FROM {self.table} WHERE id = ? AND created > ?"
        row = sandbox.store.row(sql, (call.object_id, self._oldest(sandbox)))
        if row is None:
            raise no_such(self.kind, call.object_id, self.id_param)
        return lambda: expand.apply(sandbox, self.render(sandbox, row), paths)

    def list(self, sandbox: Sandbox, call: Call, *more: tuple[str, Any]) -> Execution:
        """`GET /v1/things`, of those that meet the conditions `more` too."""
        form = Form(call.params)
        limit = form.integer("limit", smallest=1, largest=LIMIT_MAX) or LIMIT_DEFAULT
        paths = expand.wanted(form, self.kind, inside_list=True)
        conditions = [*self._conditions(form, call.params), *more]
        if self.kept_s != FOR_EVER_S:
            conditions.append(("created > ?", self._oldest(sandbox)))
        backwards = self._cursor(sandbox, form, conditions)
        return lambda: self._page(sandbox, conditions, limit, paths, backwards=backwards)

    def _oldest(self, sandbox: Sandbox) -> int:
        """Only what was created after this instant can be read."""
        return sandbox.clock.now() - self.kept_s

    def _conditions(self, form: Form, params: Params) -> Conditions:
        conditions = [one for name in self.times for one in _time(name, params.get(name))]
        for name in self.filters:
            value = form.text(name)
            if value is not None:
                conditions.append((f"{name} GLOB ?" if name == "type" else f"{name} = ?", value))
        kinds = form.texts("types", most=TYPES_MAX)
        if kinds and "type" in form:
            raise only_one_of("type", "types")
        if kinds:
            conditions.append((f"type IN ({', '.join('?' * len(kinds))})", kinds))
        return conditions

    def _cursor(self, sandbox: Sandbox, form: Form, conditions: Conditions) -> bool:
        """Add the cursor's condition; True when the page lies before (newer than) the cursor."""
        after, before = form.text("starting_after"), form.text("ending_before")
        if after and before:
            raise only_one_of("ending_before", "starting_after")
        cursor, param = (before, "ending_before") if before else (after, "starting_after")
        if cursor is None:
            return False
        found = sandbox.store.row(f"SELECT created, seq FROM {self.table} WHERE id = ?", (cursor,))
        if found is None:
            raise no_such(self.kind, cursor, param, status=400)
        conditions.append((f"(created, seq) {'>' if before else '<'} (?, ?)", list(found)))
        return bool(before)

    def _page(self, sandbox: Sandbox, conditions: Conditions, limit: int, paths: Paths, *, backwards: bool) -> bytes:
        where = " AND ".join(sql for sql, _ in conditions) or "1"
        values = [value for _, given in conditions for value in (given if isinstance(given, list) else [given])]
        order = "created, seq" if backwards else "created DESC, seq DESC"
        sql = f"SELECT {self.columns} FROM {self.table} WHERE {where} ORDER BY {order} LIMIT ?"
        # One row more than asked for tells whether there is another page.
        found = sandbox.store.rows(sql, (*values, limit + 1))
        page = found[:limit][::-1] if backwards else found[:limit]
        data = [msgspec.Raw(expand.apply(sandbox, self.render(sandbox, row), paths)) for row in page]
        more = len(found) > limit
        return encode({"object": "list", "data": data, "has_more": more, "url": f"/v1/{self.path or self.table}"})


def _time(name: str, given: Any) -> Conditions:
    """`created=5` or `created[gte]=5&created[lt]=9`."""
    if given is None:
        return []
    if isinstance(given, str):
        return [(f"{name} = ?", int(given))]
    return [(f"{name} {COMPARISONS[how]} ?", int(value)) for how, value in given.items()]


def _body(_sandbox: Sandbox, row: tuple[bytes]) -> bytes:
    return row[0]


def _balance_transaction(sandbox: Sandbox, row: tuple[bytes, int]) -> bytes:
    return balance.render(row[0], row[1], sandbox.clock.now())


def _event(_sandbox: Sandbox, row: Any) -> bytes:
    return events.render(Recorded(*row[:-1]), row[-1])


INTENTS = Resource("payment_intent", "payment_intents", "intent", "body", ("customer",), _body)
CHARGES = Resource("charge", "charges", "id", "body", ("customer", "payment_intent"), _body)
REFUNDS = Resource("refund", "refunds", "id", "body", ("charge", "payment_intent"), _body)
DISPUTES = Resource("dispute", "disputes", "dispute", "body", ("charge", "payment_intent"), _body)
WARNINGS = Resource(
    "radar.early_fraud_warning",
    "early_fraud_warnings",
    "early_fraud_warning",
    "body",
    ("charge", "payment_intent"),
    _body,
    path="radar/early_fraud_warnings",
)
PAYOUTS = Resource(
    "payout", "payouts", "payout", "body", ("destination", "status"), _body, times=("created", "arrival_date")
)
BALANCE_TRANSACTIONS = Resource(
    "balance_transaction",
    "balance_transactions",
    "id",
    "body, available_on",
    ("currency", "payout", "source", "type"),
    _balance_transaction,
)
EVENTS = Resource("event", "events", "id", f"{events.COLUMNS}, {events.PENDING}", ("type",), _event, events.KEPT_S)
WEBHOOK_ENDPOINTS = Resource("webhook_endpoint", "webhook_endpoints", "webhook_endpoint", "body", (), _body)


def refunds(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v1/refunds`: Stripe's reference says that a charge that does not exist is an error."""
    charge = Form(call.params).text("charge")
    if charge is not None and sandbox.store.row("SELECT 1 FROM charges WHERE id = ?", (charge,)) is None:
        raise no_such("charge", charge, "charge", status=400)
    return REFUNDS.list(sandbox, call)


def events_told(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v1/events`: with `delivery_success`, those that every destination has taken, or those it has not."""
    form = Form(call.params)
    if "delivery_success" not in form:
        return EVENTS.list(sandbox, call)
    wanted = "=" if form.flag("delivery_success") else ">"
    return EVENTS.list(sandbox, call, (f"{events.PENDING} {wanted} 0", []))


def balance_transactions(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v1/balance_transactions`; what a payout took is shown once its reconciliation is completed."""
    found, payout = BALANCE_TRANSACTIONS.list(sandbox, call), Form(call.params).text("payout")
    if payout is None or payouting.is_itemized(sandbox, payout):
        return found
    return lambda: encode({"object": "list", "data": [], "has_more": False, "url": "/v1/balance_transactions"})


def account_itself(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v1/account`: the sandbox's account, whose id was made at its first start."""
    expand.wanted(Form(call.params), "account")
    return lambda: encode(account.describe(sandbox))


def balance_now(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v1/balance`."""
    expand.wanted(Form(call.params), "balance")
    return lambda: encode(balance.totals(sandbox))
