"""Orders that are accepted and charged: keys, the relay, opening, the answer, retries and ends."""

from tests.chaos.mutations.mutation import Mutation

_SCHEMA = "migrations/versions/2026_11_24_0001_the_schema.py"
_UNIQUE = "    sa.UniqueConstraint('account_id', 'idempotency_key', name=op.f('{}')),\n"
_OPENING = "service/effects/opening.py"
_REOPENING = "service/effects/reopening.py"
_CHARGED = "service/charges/settling.py"
_SETTLING = "service/effects/settling.py"
_ANSWERS = "service/effects/answers.py"
_LOOKUP = "service/effects/lookup.py"
_REQUEST = "service/effects/request.py"
_PATIENCE = "service/effects/patience.py"
_MATRIX = "tests/chaos/test_crash_matrix.py::"
_REFUSED = "tests/charges/test_refused_requests.py::"
_OLD_KEYS = "tests/charges/test_old_keys.py::"
_ZOMBIE = "tests/chaos/test_zombie.py::"

CHARGING = (
    Mutation(
        "door: no unique key of orders", _SCHEMA,
        _UNIQUE.format("orders_account_id_idempotency_key_key"), "", ("tests/web/test_accepting.py",),
    ),
    Mutation(
        "charges: no unique key", _SCHEMA,
        _UNIQUE.format("charges_account_id_idempotency_key_key"), "",
        ("tests/charges/test_opening.py::test_a_key_that_already",),
    ),
    Mutation(
        "charges: two successes of one order are possible", _SCHEMA,
        "    op.create_index('charges_one_success', 'charges', ['account_id', 'order_id'], unique=True,",
        "    op.create_index('charges_one_success', 'charges', ['account_id', 'order_id'], unique=False,",
        ("tests/charges/test_settling.py::test_two_successes", "tests/foundation/test_migrations.py"),
    ),
    Mutation(
        "settle: without the token", _CHARGED,
        "     AND (c.token = i.token OR i.status = 'succeeded' OR (i.status = 'canceled' AND i.intent IS NOT NULL))"
        "  -- proof\n", "",
        ("tests/charges/test_settling.py::test_a_zombies_word", _ZOMBIE + "test_what_a_zombie"),
    ),
    Mutation(
        "settle: without the table of states", _SETTLING,
        "                  WHERE m.f = c.status AND m.t = i.status)", "                  WHERE true)",
        ("tests/charges/test_settling.py::test_settling_twice",),
    ),
    Mutation(
        "relay: publishing completes the row", "workers/relay.py",
        "        crash_point(CrashPoint.RELAY_AFTER_PUBLISH, claim.ids)\n",
        "        async with self._engine.begin() as tx:\n"
        "            from sqlalchemy import text\n"
        '            await tx.execute(text("DELETE FROM outbox WHERE id = ANY(:ids)"), {"ids": claim.ids})\n'
        "        crash_point(CrashPoint.RELAY_AFTER_PUBLISH, claim.ids)\n",
        ("tests/charges/test_relay.py::test_publishing_completes", _MATRIX + "test_a_death_at[worker.before_open"),
    ),
    Mutation(
        "key: a new one per delivery", "service/charges/kind.py",
        "key=effect.idempotency_key,", "key=str(effect.token),",
        ("tests/charges/test_worker.py::test_a_lost_reply", _MATRIX + "test_a_death_at[worker.reply_unread"),
    ),
    Mutation(
        "open: sent before it is written down", "service/charges/inserting.py",
        "i.version, 'sending', i.call, i.token, now() + CAST(:lease AS interval), true,",
        "i.version, 'sending', i.call, i.token, now() + CAST(:lease AS interval), false,",
        ("tests/charges/test_opening.py::test_a_first_open",),
    ),
    Mutation(
        "answers: a re-send is judged like a first send", _REOPENING,
        "first_send=not known.maybe_executed,", "first_send=True,",
        ("tests/charges/test_opening.py::test_an_expired_lease",),
    ),
    Mutation(
        "age: an old key is posted again", _REOPENING,
        "effect.age_s is not None and effect.age_s >= settings.key_age_max_s", "False",
        ("tests/charges/test_opening.py::test_a_key_as_old", _OLD_KEYS + "test_a_key_is_not_posted"),
    ),
    Mutation(
        "lookup: an incomplete listing counts as a miss", _LOOKUP,
        "    if not complete:", "    if False:",
        ("tests/charges/test_answer_table.py::test_an_incomplete", _OLD_KEYS + "test_an_incomplete"),
    ),
    Mutation(
        "lookup: the end of a listing is believed", "workers/lookups.py",
        "in_order(ask, window.gte, window.lt)", "ask(window.gte, window.lt)",
        ("tests/charges/test_listings_prove_themselves.py::test_a_look_up_whose",),
    ),
    Mutation(
        "lookup: it does not keep its lease", "workers/lookups.py",
        "renewing = asyncio.create_task(self._keep_leases(charges, givings))",
        "renewing = asyncio.create_task(asyncio.sleep(0))",
        ("tests/charges/test_leases.py::test_a_look_up_that_outlasts",),
    ),
    Mutation(
        "zombie: no deadline before the send", "workers/charge.py",
        "        if _boottime() > deadline:\n", "        if False:\n",
        ("tests/charges/test_leases.py::test_a_worker_that_slept", _ZOMBIE + "test_a_worker_that_wakes"),
    ),
    Mutation(
        "poison: suspects travel with the others", "service/outbox/rows.py",
        "SUSPECT_OPENS = 2", "SUSPECT_OPENS = 1_000_000",
        ("tests/charges/test_relay.py::test_what_was_opened",),
    ),
    Mutation(
        "refusals: what is our fault fails the order", "service/charges/answers.py",
        "    if error is None or fault_of(error) is not Fault.ORDER:", "    if error is None:",
        (_REFUSED + "test_a_stripe_that_refuses", "tests/charges/test_refusals.py::test_a_code_fails"),
    ),
    Mutation(
        "refusals: a refused re-send proves that nothing ran", _ANSWERS,
        "    if not effect.first_send:\n        return unclear(effect, answer, look_up=True)\n    if (def",
        "    if (def",
        (_REFUSED + "test_a_refusal_of_a_resend",),
    ),
    Mutation(
        "requests: what may have run is built anew", _REQUEST,
        "return stored if maybe_executed else build()", "return build()", (_REFUSED + "test_only_what_is_proven",),
    ),
    Mutation(
        "requests: nothing is built anew", _REQUEST,
        "return stored if maybe_executed else build()", "return stored", (_REFUSED + "test_after_a_deploy",),
    ),
    Mutation(
        "breaker: that Stripe says who it is closes it after a refused send", "workers/throttle.py",
        "        elif (refused := await self._refused_send()) is not None:\n", "        elif (refused := None):\n",
        ("tests/charges/test_breaker.py::test_that_stripe_says", "tests/charges/test_breaker.py::test_a_process_that"),
    ),
    Mutation(
        "breaker: half-open lets everything through", "workers/throttle.py",
        "return Admission(1, trial=True)", "return Admission(wanted, trial=True)",
        ("tests/charges/test_breaker.py::test_half_open_lets",),
    ),
    Mutation(
        "poison: never parked", _REOPENING,
        "    if _is_poison(row, settings):", "    if False:",
        ("tests/charges/test_opening.py::test_a_poison",),
    ),
    Mutation(
        "ends: deaths beside others make a poison", _REOPENING,
        " and row.opens_alone >= alone_often_enough", "",
        ("tests/charges/test_parking.py::test_deaths_beside",),
    ),
    Mutation(
        "ends: a suspect is opened beside others", _REOPENING,
        "if row.opens_unsettled >= SUSPECT_OPENS and not alone:", "if False:",
        ("tests/charges/test_parking.py::test_who_only_shared",),
    ),
    Mutation(
        "ends: a call under way brings a parked row back", "service/outbox/rows.py",
        "parked_at = CASE WHEN x.parked_at IS NULL AND {parks} THEN now() ELSE x.parked_at END",
        "parked_at = CASE WHEN {parks} THEN now() END",
        ("tests/charges/test_parking.py::test_a_row_that_a_human",),
    ),
    Mutation(
        "ends: a message is worked on before its time", _OPENING,
        "if row.is_early:", "if False:",
        ("tests/charges/test_parking.py::test_a_message_that_comes",),
    ),
    Mutation(
        "ends: an abandoned 3-D Secure waits for ever", _PATIENCE,
        "expires=True", "expires=False",
        ("tests/charges/test_ends.py::test_no_state_at_stripe",),
    ),
    Mutation(
        "ends: a cancellation's own word is believed", "service/changes/answers.py",
        "return outcome if outcome.final else replace(", 'return replace(outcome, status="done") if True else replace(',
        ("tests/charges/test_ends.py::test_a_canceled_payment",),
    ),
    Mutation(
        "ends: booked under the PaymentIntent's moment", _CHARGED,
        "    at = intent.charged_at\n", "    at = None\n",
        ("tests/charges/test_ends.py::test_a_success_that_races",),
    ),
)  # fmt: skip
