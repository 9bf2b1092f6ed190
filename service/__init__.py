"""effectively-once: orders that are charged once, on a network that only promises at-least-once.

Read in the order of one order's life:

api            HTTP: POST /v1/orders and its neighbours, the application, the server
wire           the shapes of requests and answers, and a JSON reader that forgives nothing
door           group commit: whoever waits at the same time is stored by one statement
orders         the order and its outbox row, in one statement; the table of order states
idempotency    the key: its spelling, the fingerprint of a request, the key on the wire to Stripe
outbox         the promise: a row that stays until the effect is on the books
charges        the guard: open under a unique index, settle under a token
stripe_gateway the only file that talks to Stripe
ledger         double entry: what Stripe did, booked once, never changed
reconcile      ours against Stripe's, and an exit code

Beside the door: accounts (API keys), strangers (wrong ones), limits, batch, screening (card numbers), query, problems
(RFC 9457), waiting (Prefer: wait), request_log, wakeup, timeline, why_waiting, health, overview, probes, heartbeats,
standstill (why nothing is sent), parts, docs, openapi with shapes and examples, problem_types, front (the connection).
Below them: starting (what a process refuses to start on), durability, driver (connections to PostgreSQL), pools,
deadlines (every bound of a wait), money, patterns, schema, roles, db, sql, settings, knobs, errors, exit_codes, log,
away, wording, broker_keys, crash, garbage, fields, glyphs.
Where things are: addresses, libpq, redis_url, redis_clients, stripe_address, stripe_permissions, tls_files.
Around them: cli, doctor, commands, guard, healthy, status_text, supervisor, embedded, isolation, part_log, port.
The relay and the charge worker live in `workers`, because only they may know the message broker.
"""

__version__ = "0.1.0"
