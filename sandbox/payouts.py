"""Payouts at the API: ask for one by hand, update, cancel. What becomes of one is in `payouting.py`."""

from sandbox import balance, expand, payouting
from sandbox.errors import ApiError, invalid, no_such
from sandbox.objects import encode
from sandbox.params import Form
from sandbox.payouting import Step, Wanted
from sandbox.state import Call, Execution, Sandbox

DESCRIPTOR_LENGTH_MAX = 22  # "up to 22 characters", the SDK's docs say


def create(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payouts`: by hand, of no more than is available."""
    form = Form(call.params)
    form.required("amount")
    wanted = Wanted(
        form.integer("amount", smallest=1) or 0,
        form.currency(),
        automatic=False,
        description=form.text("description"),
        metadata=form.metadata(),
        statement_descriptor=form.text("statement_descriptor", longest=DESCRIPTOR_LENGTH_MAX),
    )
    destination = form.text("destination")
    if destination not in (None, payouting.bank_account(sandbox)):
        raise no_such("external account", destination or "", "destination", status=400)
    paths = expand.wanted(form, "payout")
    return lambda: _create(sandbox, wanted, call, paths)


def update(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payouts/:id`: metadata is all that can be changed."""
    form = Form(call.params)
    form.metadata()
    paths = expand.wanted(form, "payout")
    payouting.load(sandbox, call.object_id)
    return lambda: _update(sandbox, call, paths)


def cancel(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payouts/:id/cancel`: while it is pending, and only one that was asked for by hand."""
    paths = expand.wanted(Form(call.params), "payout")
    payouting.load(sandbox, call.object_id)
    return lambda: _cancel(sandbox, call, paths)


def _create(sandbox: Sandbox, wanted: Wanted, call: Call, paths: list[str]) -> bytes:
    if wanted.amount > balance.available(sandbox, wanted.currency):
        raise _too_little()
    payout = payouting.begin(sandbox, wanted, call.origin, sandbox.clock.now())
    return expand.apply(sandbox, encode(payout), paths)


def _update(sandbox: Sandbox, call: Call, paths: list[str]) -> bytes:
    payout = payouting.load(sandbox, call.object_id)
    before = encode(payout)
    if "metadata" in call.params:
        payout.metadata = Form(call.params).merged_metadata(payout.metadata)
    body = encode(payout)
    if body != before:
        payouting.save(sandbox, payout, call.origin, sandbox.clock.now())
    return expand.apply(sandbox, body, paths)


def _cancel(sandbox: Sandbox, call: Call, paths: list[str]) -> bytes:
    payout = payouting.load(sandbox, call.object_id)
    if payout.automatic:
        raise invalid("Automatic payouts cannot be canceled.")
    if payout.status != "pending":
        # Quoted in public tests against Stripe; without a code.
        raise invalid("Payouts can only be canceled while they are pending.")
    payout = payouting.become(sandbox, payout, Step("canceled"), call.origin, sandbox.clock.now())
    return expand.apply(sandbox, encode(payout), paths)


def _too_little() -> ApiError:
    """As recorded, with its two spaces."""
    message = (
        "You have insufficient funds in your Stripe account for this transfer. Your card balance is too low.  "
        "You can use the /v1/balance endpoint to view your Stripe balance "
        "(for more details, see stripe.com/docs/api#balance)."
    )
    return invalid(message, code="balance_insufficient")
