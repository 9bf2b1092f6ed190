"""Effects: whatever is done at Stripe is done once, whatever dies, whenever. One protocol for five of them.

A charge takes an order's money. A capture takes what an authorization holds, and a cancellation lets it go: by the
producer's wish, because the customer did not come back, or before another attempt. A refund gives money back.
Each brings its request, its transitions and its bookings (`kind`); all else is here.

opening    before the call: one transaction that says "this may be executed from now on"
reopening  opening what is stored already: asked for, delivered again, taken over, or nothing left to do
request    a locked outbox row with its order, and the stored request
answers    what an answer means, on a first send and on a re-send                                        [pure]
refusals   whose fault a 400 is: the order's, or ours                                                    [pure]
lookup     what it means that a listing does not show the effect                                         [pure]
listing    a listing proves itself
sweep      what a room says of a list of Stripe's that is swept
patience   how long what has no end is waited for, and how each wait ends                                [pure]
leasing    keeping a lease while the lists are read
lately     whose the rows were that are gone
settling   after the call: one transaction for effect, order, journal and outbox
history    what an effect's history keeps                                                                [pure]
model      what the worker holds of an effect, and what an answer makes of it                            [pure]
kind       what the protocol does not know of an effect
parking    why a row is parked

Nothing here talks to Stripe: between opening and settling the worker does, with no transaction open.
"""

from service.effects.answers import abandoned, judge_send
from service.effects.kind import Kind, Kinds
from service.effects.listing import in_order, prove_complete
from service.effects.model import Effect, Outcome, Refusal, Rules, Settlement
from service.effects.opening import Opened, open_effects
from service.effects.patience import give_up_alone
from service.effects.request import STRIPE_VERSION
from service.effects.settling import settle
from service.effects.sweep import Sweep

__all__ = [
    "STRIPE_VERSION",
    "Effect",
    "Kind",
    "Kinds",
    "Opened",
    "Outcome",
    "Refusal",
    "Rules",
    "Settlement",
    "Sweep",
    "abandoned",
    "give_up_alone",
    "in_order",
    "judge_send",
    "open_effects",
    "prove_complete",
    "settle",
]
