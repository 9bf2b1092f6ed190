"""Manual capture: money that a card holds is taken, wholly or in part, or the card is let go after seven days.

Since basil (2025-03-31) what is released makes no refund and no balance transaction, and an authorization that ran out
cancels its PaymentIntent with the reason `expired`. Source: support.stripe.com, "Changes to balance transaction
behavior for partial capture and payment cancellation flows".
"""

from sandbox import account, expand, intents, paying, payments, schedule, witness
from sandbox.errors import ApiError
from sandbox.objects import PaymentIntent
from sandbox.params import Form
from sandbox.state import BY_ITSELF, Call, Execution, Sandbox

CAPTURABLE = ("requires_capture",)
SUFFIX_LENGTH_MAX = 22


def capture(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payment_intents/:id/capture`."""
    form = Form(call.params)
    amount = form.integer("amount_to_capture", smallest=1)
    paying.check_capture(call.params)
    form.text("statement_descriptor_suffix", longest=SUFFIX_LENGTH_MAX)
    form.metadata()
    paths = expand.wanted(form, "payment_intent")
    intents.load(sandbox, call.object_id)
    return lambda: _capture(sandbox, call, amount, paths)


def expire(sandbox: Sandbox, intent_id: str, _payload: bytes, at: int) -> None:
    """Scheduled: seven days after the authorization it ends, unless it was captured or canceled before."""
    intent = intents.load(sandbox, intent_id)
    if intent.status not in CAPTURABLE:
        return
    charge = payments.load_charge(sandbox, intent.latest_charge or "")
    payments.change_charge(sandbox, charge, "charge.expired", BY_ITSELF, at)
    intents.end(sandbox, intent, "expired", BY_ITSELF, at)


def _capture(sandbox: Sandbox, call: Call, wanted: int | None, paths: list[str]) -> bytes:
    intent = intents.load(sandbox, call.object_id)
    if intent.status not in CAPTURABLE:
        raise _not_now(intent)
    amount = intent.amount_capturable if wanted is None else wanted
    if amount > intent.amount_capturable:
        raise intents.state_error(intent, _TOO_MUCH, code="amount_too_large")
    at = sandbox.clock.now()
    paying.apply(intent, call.params)
    if "metadata" in call.params:
        intent.metadata = Form(call.params).merged_metadata(intent.metadata)
    charge = payments.load_charge(sandbox, intent.latest_charge or "")
    suffix = call.params.get("statement_descriptor_suffix")
    if suffix is not None:
        intent.statement_descriptor_suffix = charge.statement_descriptor_suffix = suffix
        charge.calculated_statement_descriptor = account.on_the_statement(suffix)
    charge.captured, charge.amount_captured = True, amount
    store, released = sandbox.store, intent.amount_capturable - amount
    witness.took(store, charge)
    witness.noted(store, "captured", charge.id, amount, charge.currency, charge.metadata)
    if released:
        witness.noted(store, "released", charge.id, released, charge.currency, charge.metadata)
    payments.change_charge(sandbox, charge, "charge.captured", call.origin, at)
    schedule.later(sandbox, sandbox.clock.exact() + sandbox.fee_delay_s, "fee", charge.id)
    payments.let_follow(sandbox, payments.card_of(sandbox, intent), charge.id)
    intent.status, intent.amount_received, intent.amount_capturable = "succeeded", amount, 0
    body = payments.save(sandbox, intent, "payment_intent.succeeded", call.origin, at)
    return expand.apply(sandbox, body, paths)


def _not_now(intent: PaymentIntent) -> ApiError:
    if intent.status == "succeeded":
        why = "it has already been captured."
    else:
        why = (
            f"it has a status of {intent.status}. Only a PaymentIntent with one of the following statuses may be "
            f"captured: {', '.join(CAPTURABLE)}."
        )
    return intents.state_error(intent, f"This PaymentIntent could not be captured because {why}")


_TOO_MUCH = (
    "The payment could not be captured because the requested capture amount is greater than the amount you can capture "
    "for this charge."
)
