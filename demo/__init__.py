"""`eo demo`: a usual consumer and this service under the same faults, measured in about two minutes.

The usual consumer and this service go through the same storm on real PostgreSQL, Valkey and processes. Who is right
is told by the Stripe stand-in's own books. Nothing here is used by the service, and nothing outlives the command.

plan        what happens when: orders, faults, deaths, all from one seed
stage       the servers, shared by both, in a temporary folder
world       one contender's database, Stripe and processes: to be killed, paused, asked, and their CPU counted
naive       the usual consumer: no key; charge or refund, then record
relay, worker   the service's own, with a broker that duplicates, and with counters on the guards
feeder      who places the orders, and repeats what is unclear
refunder    who asks for the refunds, in the same ways
contenders  naive and ours behind one interface
score       what is counted
storm       one contender through the storm
rates       the numbers that matter, without any storm but duplicates
screen      the live table, or plain lines
summary     the closing tables, and the JSON
"""
