"""Disputes at the API: answer with evidence, or accept. What becomes of one is in `disputing.py`.

Three texts as `evidence[uncategorized_text]` decide a dispute, as Stripe's page on testing says: `winning_evidence`,
`losing_evidence`, `escalate_inquiry_evidence`. The first answer shows it under review; the bank decides a little later.
"""

from sandbox import disputing, expand, schedule
from sandbox.errors import ApiError, invalid
from sandbox.objects import Dispute, encode
from sandbox.params import Form
from sandbox.state import Call, Execution, Sandbox

# How long the bank thinks. Measured by others in Stripe's test mode: 4 to 8 s.
DECIDED_AFTER_S = 5
UNDER_REVIEW = {
    "warning_needs_response": "warning_under_review",
    "needs_response": "under_review",
    "appeal_needs_response": "appeal_under_review",
}
# An inquiry is never won or lost: both texts close it.
_DECIDED = {"winning_evidence": "won", "losing_evidence": "lost"}
_INQUIRY_DECIDED = {**dict.fromkeys(_DECIDED, "warning_closed"), "escalate_inquiry_evidence": "needs_response"}


def update(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/disputes/:id`: evidence, which is sent at once unless `submit=false`, and metadata."""
    form = Form(call.params)
    form.metadata()
    paths = expand.wanted(form, "dispute")
    disputing.load(sandbox, call.object_id)
    return lambda: _update(sandbox, call, paths)


def close(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/disputes/:id/close`: the dispute is accepted, and lost; an inquiry is closed."""
    paths = expand.wanted(Form(call.params), "dispute")
    disputing.load(sandbox, call.object_id)
    return lambda: _close(sandbox, call, paths)


def _update(sandbox: Sandbox, call: Call, paths: list[str]) -> bytes:
    dispute, form, at = _open(sandbox, call.object_id), Form(call.params), sandbox.clock.now()
    if "metadata" in form:
        dispute.metadata = form.merged_metadata(dispute.metadata)
    if "intended_submission_method" in form:
        dispute.intended_submission_method = form.text("intended_submission_method")
    evidence = form.hash("evidence") or {}
    dispute.evidence = dispute.evidence | evidence
    details = dispute.evidence_details = dict(dispute.evidence_details)
    details["has_evidence"] = details["has_evidence"] or bool(evidence)
    submits = form.flag("submit") if "submit" in form else bool(evidence)
    if not (submits and details["has_evidence"]):
        return expand.apply(sandbox, disputing.save(sandbox, dispute, call.origin, at), paths)
    details["submission_count"] += 1
    details |= {"submission_method": "manual", "past_due": at > details["due_by"]}
    return expand.apply(sandbox, _submit(sandbox, dispute, call, at), paths)


def _submit(sandbox: Sandbox, dispute: Dispute, call: Call, at: int) -> bytes:
    """Send the evidence to the bank, which answers later where the text asks for it."""
    if dispute.status in UNDER_REVIEW:
        disputing.become(sandbox, dispute, UNDER_REVIEW[dispute.status], call.origin, at)
    else:
        disputing.save(sandbox, dispute, call.origin, at)
    decided = _INQUIRY_DECIDED if dispute.status.startswith("warning_") else _DECIDED
    text = dispute.evidence["uncategorized_text"]
    if text in decided:
        due = sandbox.clock.exact() + DECIDED_AFTER_S
        schedule.later(sandbox, due, "decide", dispute.id, decided[text].encode())
    return encode(dispute)


def _close(sandbox: Sandbox, call: Call, paths: list[str]) -> bytes:
    dispute, at = _open(sandbox, call.object_id), sandbox.clock.now()
    status = "warning_closed" if dispute.status.startswith("warning_") else "lost"
    dispute = disputing.become(sandbox, dispute, status, call.origin, at)
    return expand.apply(sandbox, encode(dispute), paths)


def _open(sandbox: Sandbox, dispute_id: str) -> Dispute:
    dispute = disputing.load(sandbox, dispute_id)
    if dispute.status in disputing.CLOSED:
        raise _closed()
    return dispute


def _closed() -> ApiError:
    """Recorded: without a code."""
    return invalid("This dispute is already closed")
