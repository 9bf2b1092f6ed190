"""The charge protocol: at most one successful Stripe charge per order, whatever dies, whenever.

model      what the worker holds of a charge, and what an answer makes of it
request    the parameters sent to Stripe, made once and stored
opening    before the call: one transaction that says "this may be executed from now on"
answers    what an answer means, on a first send and on a re-send                                        [pure]
refusals   whose fault a 400 is: the order's, or ours                                                    [pure]
lookup     asking Stripe's lists instead of sending again                                                [pure]
leasing    keeping a lease while the lists are read
settling   after the call: one transaction for charge, order, journal and outbox
ending     an order that only a human can end
listing    a listing proves itself

Nothing here talks to Stripe: between opening and settling the worker does, with no transaction open.
"""
