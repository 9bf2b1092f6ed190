"""Charges: at most one successful Stripe charge per order, whatever dies, whenever.

model      a charge between opening and settling, and whether a PaymentIntent is its own                 [pure]
kind       a charge as a kind of effect
request    a PaymentIntent is created and confirmed by one call
inserting  new charges, under the unique index
answers    what a PaymentIntent, a decline or a refusal means                                            [pure]
lookup     where in Stripe's list a lost charge must be                                                  [pure]
known      which PaymentIntents a listing must show
settling   charge, order, journal and outbox
moved      what Stripe settles in another currency, booked by its balance transaction
elsewhere  which currencies those are            given_back  what refunds of such a charge are worth
expiring   a wait for the customer that is over
ending     an order that only a human can end
redating   bookings of an earlier version that may bear a wrong moment

The protocol itself (open, lease, token, first send, age, look-up, settle) is the same for all effects: `effects`.
Nothing here talks to Stripe.
"""

from service.charges.answers import judge_intent, judge_retrieve
from service.charges.kind import CHARGE
from service.charges.known import known_intents
from service.charges.lookup import Window, judge_lookup, windows
from service.charges.model import OpenCharge
from service.charges.moved import book_moved
from service.charges.redating import redate_once
from service.charges.request import payment_intent_request

__all__ = [
    "CHARGE",
    "OpenCharge",
    "Window",
    "book_moved",
    "judge_intent",
    "judge_lookup",
    "judge_retrieve",
    "known_intents",
    "payment_intent_request",
    "redate_once",
    "windows",
]
