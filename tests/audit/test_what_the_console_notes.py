"""Of each action of the console it is known what it leaves in the audit."""

from service.audit import Action
from service.web.console import frame, pages
from tests.audit.test_what_is_noted import READS

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
