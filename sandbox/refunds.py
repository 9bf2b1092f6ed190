"""Refunds at the API: create, update, cancel. What becomes of one is in `refunding.py`."""

from sandbox import disputing, expand, intents, payments, refunding
from sandbox.currencies import spelled_with_symbol
from sandbox.errors import ApiError, invalid, missing_param, no_such
from sandbox.objects import Charge, encode
from sandbox.params import Form
from sandbox.state import Call, Execution, Sandbox

CANCELABLE = ("requires_action",)


def create(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/refunds`, of a charge or of the charge of a PaymentIntent."""
    form = Form(call.params)
    amount = form.integer("amount", smallest=1)
    _check_named(sandbox, form)
    form.metadata()
    paths = expand.wanted(form, "refund")
    return lambda: _create(sandbox, call, amount, paths)


def update(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/refunds/:id`: metadata is all that can be changed."""
    form = Form(call.params)
    form.metadata()
    paths = expand.wanted(form, "refund")
    refunding.load(sandbox, call.object_id)
    return lambda: _update(sandbox, call, paths)


def cancel(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/refunds/:id/cancel`: only one that waits for the customer can be canceled."""
    paths = expand.wanted(Form(call.params), "refund")
    refunding.load(sandbox, call.object_id)
    return lambda: _cancel(sandbox, call, paths)


def _check_named(sandbox: Sandbox, form: Form) -> None:
    charge, intent = form.text("charge"), form.text("payment_intent")
    if charge is None and intent is None:
        raise missing_param("charge")
    if charge is not None:
        row = sandbox.store.row("SELECT payment_intent FROM charges WHERE id = ?", (charge,))
        if row is None:
            raise no_such("charge", charge, "charge", status=400)
        if intent not in (None, row[0]):
            raise invalid(f"Charge {charge} does not belong to PaymentIntent {intent}.", param="payment_intent")
    elif sandbox.store.row("SELECT 1 FROM payment_intents WHERE id = ?", (intent,)) is None:
        raise no_such("payment_intent", intent or "", "payment_intent", status=400)


def _create(sandbox: Sandbox, call: Call, wanted: int | None, paths: list[str]) -> bytes:
    form = Form(call.params)
    charge = _refundable(sandbox, form.text("charge"), form.text("payment_intent"))
    left = charge.amount_captured - charge.amount_refunded
    if disputing.forbids_refunds(sandbox, charge):
        message = f"Charge {charge.id} has been charged back; cannot issue a refund."
        raise invalid(message, code="charge_disputed")
    if not left:
        raise invalid(f"Charge {charge.id} has already been refunded.", code="charge_already_refunded")
    amount = left if wanted is None else wanted
    if amount > left:
        raise _too_much(amount, left, charge.currency)
    refund = refunding.begin(sandbox, charge, amount, form.text("reason"), form.metadata(), call.origin)
    return expand.apply(sandbox, encode(refund), paths)


def _refundable(sandbox: Sandbox, charge_id: str | None, intent_id: str | None) -> Charge:
    """The charge that was paid and captured, whichever of both ids names it."""
    if charge_id is None:
        intent = intents.load(sandbox, intent_id or "")
        charge_id = intent.latest_charge if intent.status == "succeeded" else None
    charge = None if charge_id is None else payments.load_charge(sandbox, charge_id)
    if charge is None or not charge.captured:
        intent_id = intent_id if charge is None else charge.payment_intent
        raise invalid(f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.")
    return charge


def _update(sandbox: Sandbox, call: Call, paths: list[str]) -> bytes:
    refund = refunding.load(sandbox, call.object_id)
    before = encode(refund)
    if "metadata" in call.params:
        refund.metadata = Form(call.params).merged_metadata(refund.metadata)
    body = encode(refund)
    if body != before:
        refunding.save(sandbox, refund, "refund.updated", call.origin, sandbox.clock.now())
    return expand.apply(sandbox, body, paths)


def _cancel(sandbox: Sandbox, call: Call, paths: list[str]) -> bytes:
    refund = refunding.load(sandbox, call.object_id)
    if refund.status not in CANCELABLE:
        message = (
            f"This refund cannot be canceled because it has a status of {refund.status}. "
            f"Only a refund with one of the following statuses may be canceled: {', '.join(CANCELABLE)}."
        )
        raise invalid(message)
    refund = refunding.end(sandbox, refund, refunding.Ending("canceled"), call.origin, sandbox.clock.now())
    return expand.apply(sandbox, encode(refund), paths)


def _too_much(amount: int, left: int, currency: str) -> ApiError:
    """Stripe's sentence, quoted in several public reports; none of them shows a code."""
    asked, unrefunded = spelled_with_symbol(amount, currency), spelled_with_symbol(left, currency)
    message = f"Refund amount ({asked}) is greater than unrefunded amount on charge ({unrefunded})"
    return invalid(message, param="amount")
