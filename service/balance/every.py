"""Which explainer a movement has, by what it is of. A kind that is not here is in suspense, loudly."""

from collections.abc import Mapping

from service.balance.explaining import Explainer
from service.balance.of_charges import OfCharges
from service.balance.of_refunds import OfRefunds
from service.ledger import MovementOf, movement_of
from service.stripe_gateway.objects import BalanceTransaction

_CHARGES, _REFUNDS = OfCharges(), OfRefunds()
_EXPLAINERS: Mapping[MovementOf, Explainer] = {
    "charge": _CHARGES,
    "refund": _REFUNDS,
    "refund_failure": _REFUNDS,
}


def explainer_of(transaction: BalanceTransaction) -> Explainer | None:
    """None: nobody here knows what moves the balance so."""
    kind = movement_of(transaction)
    return None if kind is None else _EXPLAINERS.get(kind)
