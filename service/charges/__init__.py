"""The charge protocol: at most one successful Stripe charge per order, whatever dies, whenever.

opening    before the call: one transaction that says "this may be executed from now on"
reopening  opening what was opened before: a re-delivery, a takeover, or nothing left to do
request    a charge that may be called, and the parameters that are sent, made once and stored
answers    what an answer means, on a first send and on a re-send                                        [pure]
refusals   whose fault a 400 is: the order's, or ours                                                    [pure]
follow_up  what the answer about a known PaymentIntent means                                             [pure]
patience   how long an open payment is waited for, and how each wait ends
lookup     asking Stripe's lists instead of sending again                                                [pure]
listing    a listing proves itself
leasing    keeping a lease while the lists are read
settling   after the call: one transaction for charge, order, journal and outbox
history    what a charge's history keeps                                                                 [pure]
model      what the worker holds of a charge, and what an answer makes of it                             [pure]
parking    why a row is parked                                                                           [pure]
ending     an order that only a human can end
redating   bookings of an earlier version that may bear a wrong moment

Nothing here talks to Stripe: between opening and settling the worker does, with no transaction open.
"""

from service.charges.answers import judge_send
from service.charges.follow_up import abandoned, judge_cancel, judge_retrieve
from service.charges.listing import in_order, known_intents, prove_complete
from service.charges.lookup import Window, judge_lookup, windows
from service.charges.model import OpenCharge, Outcome, Refusal, Rules, Settlement
from service.charges.opening import Opened, open_charges
from service.charges.patience import give_up_alone
from service.charges.redating import redate_once
from service.charges.request import STRIPE_VERSION, payment_intent_request
from service.charges.settling import settle

__all__ = [
    "STRIPE_VERSION",
    "OpenCharge",
    "Opened",
    "Outcome",
    "Refusal",
    "Rules",
    "Settlement",
    "Window",
    "abandoned",
    "give_up_alone",
    "in_order",
    "judge_cancel",
    "judge_lookup",
    "judge_retrieve",
    "judge_send",
    "known_intents",
    "open_charges",
    "payment_intent_request",
    "prove_complete",
    "redate_once",
    "settle",
    "windows",
]
