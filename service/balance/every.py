"""Which explainer a movement has, by what it is of. What has none stands in suspense, loudly."""

from collections.abc import Mapping

from service.balance.explaining import Explainer
from service.balance.of_charges import OfCharges, OfChargesTakenBack
from service.balance.of_disputes import OfDisputes
from service.balance.of_payouts import OfPayouts
from service.balance.of_refunds import OfRefunds
from service.balance.of_stripe import OfStripe
from service.ledger import MovementOf, movement_of
from service.stripe_gateway.objects import BalanceTransaction

_CHARGES, _TAKEN_BACK, _REFUNDS = OfCharges(), OfChargesTakenBack(), OfRefunds()
_DISPUTES, _PAYOUTS, _STRIPE = OfDisputes(), OfPayouts(), OfStripe()
_EXPLAINERS: Mapping[MovementOf, Explainer] = {
    "charge": _CHARGES,
    "charge_failure": _TAKEN_BACK,
    "partial_capture_reversal": _TAKEN_BACK,
    "refund": _REFUNDS,
    "refund_failure": _REFUNDS,
    "dispute": _DISPUTES,
    "dispute_reversal": _DISPUTES,
    "payout": _PAYOUTS,
    "payout_reversal": _PAYOUTS,
    "stripe_fee": _STRIPE,
    "reserve": _STRIPE,
}


def explainer_of(transaction: BalanceTransaction) -> Explainer | None:
    """None: nobody here knows what moves the balance so."""
    kind = movement_of(transaction)
    return None if kind is None else _EXPLAINERS[kind]
