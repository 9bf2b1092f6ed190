"""Early fraud warnings: a card's bank believes that a payment was fraud, before anybody disputes it. No money moves."""

from typing import Literal

from sandbox import events, payments
from sandbox.errors import invalid
from sandbox.ids import new_id
from sandbox.objects import EarlyFraudWarning, decode_warning, encode
from sandbox.state import Origin, Sandbox

FraudType = Literal[
    "card_never_received",
    "fraudulent_card_application",
    "made_with_counterfeit_card",
    "made_with_lost_card",
    "made_with_stolen_card",
    "misc",
    "unauthorized_use_of_card",
]


def warn(sandbox: Sandbox, charge_id: str, fraud_type: FraudType, origin: Origin, at: int) -> EarlyFraudWarning:
    """Warn of the charge, which must have been captured."""
    charge = payments.load_charge(sandbox, charge_id)
    if not charge.captured:
        raise invalid(f"Charge {charge_id} was not captured, so nobody warns of it.")
    warning = EarlyFraudWarning(
        id=new_id("issfr_"),
        actionable=not (charge.disputed or charge.refunded),
        charge=charge_id,
        created=at,
        fraud_type=fraud_type,
        payment_intent=charge.payment_intent,
    )
    body = encode(warning)
    sandbox.store.write(
        "INSERT INTO early_fraud_warnings (id, created, charge, payment_intent, body) VALUES (?, ?, ?, ?, ?)",
        (warning.id, at, charge_id, charge.payment_intent, body),
    )
    events.record(sandbox.store, "radar.early_fraud_warning.created", body, origin, at)
    return warning


def nothing_left_to_do(sandbox: Sandbox, charge_id: str, origin: Origin, at: int) -> None:
    """The charge is disputed or wholly refunded, so its warnings are actionable no longer."""
    for (before,) in sandbox.store.rows("SELECT body FROM early_fraud_warnings WHERE charge = ?", (charge_id,)):
        warning = decode_warning(before)
        if warning.actionable:
            warning.actionable = False
            body = encode(warning)
            sandbox.store.write("UPDATE early_fraud_warnings SET body = ? WHERE id = ?", (body, warning.id))
            previous = events.changed(before, body)
            events.record(sandbox.store, "radar.early_fraud_warning.updated", body, origin, at, previous)
