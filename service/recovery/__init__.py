"""A database that forgot asks Stripe before it speaks (R31).

lives         which life this database is in, and whether Stripe was asked since it began
adoption      one PaymentIntent of ours against what is known: nothing, settle, adopt, block, report      [pure]
knowing       a listed PaymentIntent, and what is known of it
store         one PaymentIntent under its order's lock: judged, and written back
order_rows    the row of a forgotten order, and its other ids
charge_rows   the rows of a forgotten charge
blocking      an order whose key is another request's at Stripe
verification  the listing, from now back to the life's bound
paging        a list of Stripe's from now back to a moment
findings      what it brought back, in numbers
healing       one payment that reconciliation found
instance      which installation this database is
sweeps        what is listed again and again, so that the second listing of a life is not the last look
binding       the Stripe account that this database belongs to

Of refunds, the same: refund_adoption [pure], refund_knowing, refund_rows, refund_verification, refund_healing.

An order placed and charged in the minutes that a failover or a restored backup lost would otherwise be charged again
when its producer repeats the key a day later, because by then Stripe has forgotten the key, too.
"""

from service.recovery.adoption import Step, Verdict
from service.recovery.findings import Findings
from service.recovery.healing import heal
from service.recovery.instance import instance_of
from service.recovery.lives import Life, beat, current, fork, is_verified, note_margin
from service.recovery.order_rows import note_alias
from service.recovery.refund_healing import adopt_refund, heal_refund
from service.recovery.sweeps import PaymentSweep, RefundSweep
from service.recovery.verification import ANOTHER, NotTheVerifier, examine, recover, verify

__all__ = [
    "ANOTHER",
    "Findings",
    "Life",
    "NotTheVerifier",
    "PaymentSweep",
    "RefundSweep",
    "Step",
    "Verdict",
    "adopt_refund",
    "beat",
    "current",
    "examine",
    "fork",
    "heal",
    "heal_refund",
    "instance_of",
    "is_verified",
    "note_alias",
    "note_margin",
    "recover",
    "verify",
]
