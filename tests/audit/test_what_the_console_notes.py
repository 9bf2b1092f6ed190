"""Of each action of the console it is known what it leaves in the audit."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import changes, refunds
from service.audit import Action, noted
from service.changes import CancelRequest, CaptureRequest
from service.foundation.postgres import roles
from service.orders.identity import CANCEL, CAPTURE, REFUND
from service.orders.operations import Operations, Wish
from service.refunds import RefundRequest
from service.web.console import frame, pages
from tests.audit.test_what_is_noted import READS, Case, api, case
from tests.operators import OPERATOR
from tests.web.afterwards import one, order_in

__all__ = ["api", "case"]  # fixtures

# One that is new is red until it stands here. Those of the frame itself open and close the console.
_ORDER, _FOUND = "/console/orders/{order_id:uuid}", "/console/reconciliation/discrepancies/{fingerprint:str}"
POSTS: dict[str, str] = {
    "/console/open": "the link that it uses up was noted when it was made",
    "/console/close": "ends the visitor's own session",
    "/console/chaos/orders": Action.CHAOS,
    "/console/chaos/press": Action.CHAOS,
    "/console/ledger/verify": Action.LEDGER_VERIFY,
    f"{_ORDER}/refund": Action.REFUND_ASK,
    f"{_ORDER}/capture": Action.ORDER_CAPTURE,
    f"{_ORDER}/cancel": Action.ORDER_CANCEL,
    f"{_ORDER}/fail": Action.ORDER_FAIL,
    f"{_ORDER}/rows/{{row_id:uuid}}/retry": Action.OUTBOX_RETRY,
    f"{_ORDER}/rows/{{row_id:uuid}}/park": Action.OUTBOX_PARK,
    "/console/outbox/{row:uuid}/park": Action.OUTBOX_PARK,
    "/console/outbox/{row:uuid}/retry": Action.OUTBOX_RETRY,
    "/console/parked/{group:str}/retry": Action.OUTBOX_RETRY,
    "/console/notices/{notice:uuid}/resend": Action.NOTICE_RESEND,
    "/console/notices/resend": Action.NOTICE_RESEND,
    "/console/reconciliation/run": Action.RECONCILE_RUN,
    f"{_FOUND}/preview": READS,
    f"{_FOUND}/heal": Action.DISCREPANCY_HEAL,
    f"{_FOUND}/acknowledge": Action.DISCREPANCY_ACKNOWLEDGE,
}


def test_of_every_action_of_the_console_it_is_known_whether_it_is_noted() -> None:
    assert pages.MODULES, "imported, so that each has its routes"
    assert {route.path for route in frame.ROUTES if route.method == "POST"} == set(POSTS)


async def _ask(there: Operations, operation: str, account: UUID, order: UUID) -> None:
    """As the console does."""
    key = f"console:{uuid4()}"
    if operation == CANCEL:
        await changes.cancel(there, Wish(CANCEL, account, order, key, CancelRequest()), who=OPERATOR, why="why")
    elif operation == CAPTURE:
        take = CaptureRequest(amount=500)
        await changes.capture(there, Wish(CAPTURE, account, order, key, take), take, who=OPERATOR, why="why")
    else:
        back = RefundRequest(amount=500)
        await refunds.refund(there, Wish(REFUND, account, order, key, back), back, who=OPERATOR, why="why")


@pytest.mark.parametrize(
    ("operation", "status", "action"),
    [
        (REFUND, "paid", Action.REFUND_ASK),
        (CAPTURE, "authorized", Action.ORDER_CAPTURE),
        (CANCEL, "pending", Action.ORDER_CANCEL),
    ],
)
async def test_what_is_asked_of_an_order_is_noted_or_does_not_happen(
    case: Case, engine: AsyncEngine, operation: str, status: str, action: Action
) -> None:
    order = UUID(await order_in(case.api, engine, status, capture="manual" if operation == CAPTURE else "automatic"))
    account = await one(engine, "SELECT account_id FROM orders WHERE id = :id", id=order)
    there = case.api.server.app.state["resources"].operations
    role = await one(engine, f"SELECT {roles.NAME}")
    await case.as_owner(f'REVOKE INSERT ON audit FROM "{role}"')
    before = await case.everything()
    with pytest.raises(Exception, match="audit"):
        await _ask(there, operation, account, order)
    assert await case.everything() == before, "an action that could not be noted changes nothing"

    await case.as_owner(f'GRANT INSERT ON audit TO "{role}"')
    await _ask(there, operation, account, order)
    (line,) = await noted(engine)
    assert (line.actor, line.action, line.order_id, line.reason) == (OPERATOR.actor, action, order, "why")
