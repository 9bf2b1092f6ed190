"""The sandbox: our own Stripe stand-in, and an independent witness of what was charged.

It shares no code with the service and never imports `stripe`: both sides meet only at Stripe's HTTP API. Read it in
the order of a request:

    __main__     options, listening socket, signals
    app, wire    ASGI in, answers (whole, half, none) out
    request      headers and parameters → a Call; authentication
    api, routes  the stages every request passes; faults strike between them
    idempotency  saved answers, keys in flight, 24 hours
    documented   what Stripe's types know: routes, parameters, words  ·  undone: what of it the sandbox does not do
    intents      PaymentIntents: create, confirm, cancel   ·  paying: what both say  ·  params: bracket notation
    captures     money that was held is taken, or let go   ·  refunds, refunding: money that goes back
    disputes, disputing, disputed_card, fraud_warnings     ·  what the customer's bank takes back, or warns of
    payouts, payouting  ·  money that goes to the bank
    payments     a card pays, declines, asks its owner     ·  cards: the test payment methods  ·  currencies
    declines     what the network says  ·  card_details: how objects show a card  ·  account
    balance      fees and balance transactions, late       ·  settlement: in which currency
    schedule     what happens by itself, later
    events, lists, expand, objects, ids, words             ·  reading back
    telling      events on their way: announcing decides who is told, delivering signs and repeats, posting sends
    endpoints, event_destinations, destinations            ·  where to  ·  thin, paging: Stripe's second API
    store        one SQLite file, group commit             ·  schema: its tables for disputes and payouts
    strict       rules that Stripe probably has, off until asked for
    faults, misbehave                                      ·  the fault plan and what it does
    witness, truth  ·  what really happened to money
    control, control_money, control_events                 ·  the control API
    remote          ·  asked from another process

Different from Stripe on purpose: settlement currency is the presentment currency until somebody says otherwise; any
`cus_…` is a customer; there is one account per data file. What else is missing says so itself (docs/sandbox.md).
"""
