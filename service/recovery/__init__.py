"""A database that forgot asks Stripe before it speaks (R31).

lives         which life this database is in, and whether Stripe was asked since it began
adoption      one PaymentIntent of ours against what is known: nothing, settle, adopt, block, report      [pure]
knowing       a listed PaymentIntent, and what is known of it
store         one PaymentIntent under its order's lock: judged, and written back
order_rows    the row of a forgotten order, and its other ids
charge_rows   the rows of a forgotten charge
blocking      an order whose key is another request's at Stripe
verification  the listing, from now back to the life's bound
findings      what it brought back, in numbers
healing       one payment that reconciliation found
binding       the Stripe account that this database belongs to

An order placed and charged in the minutes that a failover or a restored backup lost would otherwise be charged again
when its producer repeats the key a day later, because by then Stripe has forgotten the key, too.
"""

from service.recovery.adoption import Step, Verdict
from service.recovery.findings import Findings
from service.recovery.healing import heal
from service.recovery.lives import Life, beat, current, fork, is_verified, note_margin
from service.recovery.order_rows import note_alias
from service.recovery.verification import ANOTHER, NotTheVerifier, examine, recover, verify

__all__ = [
    "ANOTHER",
    "Findings",
    "Life",
    "NotTheVerifier",
    "Step",
    "Verdict",
    "beat",
    "current",
    "examine",
    "fork",
    "heal",
    "is_verified",
    "note_alias",
    "note_margin",
    "recover",
    "verify",
]
