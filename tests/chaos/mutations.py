"""Guards broken on purpose: each must turn a test red, or nobody would notice when it breaks by accident.

    python -m tests.chaos.mutations              # all of them, a few minutes
    python -m tests.chaos.mutations key age      # only those whose names begin so

Each is done to a copy of the committed tree; the working tree is not touched. Exit status 1: a guard was broken and its
test stayed green.
"""

import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_S = 240
_SCHEMA = "migrations/versions/2026_11_24_0001_the_schema.py"
_UNIQUE = "    sa.UniqueConstraint('account_id', 'idempotency_key', name=op.f('{}')),\n"
_OPENING, _REOPENING = "service/effects/opening.py", "service/effects/reopening.py"
_CHARGED, _SETTLING = "service/charges/settling.py", "service/effects/settling.py"
_ANSWERS, _LOOKUP = "service/effects/answers.py", "service/effects/lookup.py"
_REQUEST, _PATIENCE = "service/effects/request.py", "service/effects/patience.py"
_MATRIX = "tests/chaos/test_crash_matrix.py::"
_REFUSED = "tests/charges/test_refused_requests.py::"
_OLD_KEYS = "tests/charges/test_old_keys.py::"
_ZOMBIE = "tests/chaos/test_zombie.py::"
_TOGETHER = "tests/web/test_refunds_together.py::"
_CANCELING = "tests/recovery/test_cancellations_in_a_new_life.py::"
_LIVES, _ADOPTION = "service/recovery/lives.py", "service/recovery/adoption.py"
_FORTH = "migrations/versions/2026_11_27_0004_a_database_that_forgot.py"
_RECOVERY = "tests/recovery/"
_FORGOT = "tests/acceptance/test_a_database_that_forgot.py::"
_IDENTITY = "tests/recovery/test_identity.py::"
_NOTICES = "tests/notices/"
_INBOX = "tests/inbox/"
_DISPUTES = "tests/disputes/"
_ELSEWHERE = "tests/refunds/test_settled_elsewhere.py::"
_DRIVER, _SQL = "service/foundation/postgres/driver.py", "tests/foundation/test_sql.py::"
_SILENCE, _CONNECTIONS = "tests/chaos/test_silence.py::", "tests/foundation/test_connections.py::"


@dataclass(frozen=True, slots=True)
class Mutation:
    """`old`, found once in `path`, becomes `new`; `tests` (files, or file::start of a name) must go red."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
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
        "reconcile: what is older than the window is forgotten", "service/reconcile/run.py",
        "carry=span == Span()", "carry=False",
        ("tests/reconcile/test_open_discrepancies.py::test_whatever_is_open",),
    ),
    Mutation(
        "reconcile: a refund is looked at when it is made, and never again", "service/reconcile/run.py",
        "        await source.stage_listing(FAILURES, gateway.list_refund_failures, gte, lt)\n", "",
        ("tests/reconcile/test_refunds_that_fail_later.py::test_it_is_found",),
    ),
    Mutation(
        "reconcile: a listing may hide that a refund failed", "service/reconcile/compare.py",
        "    return None if failure is None else failure.txn\n\n\nasync def of_no_refund",
        "    return None\n\n\nasync def of_no_refund",
        ("tests/reconcile/test_refunds_that_fail_later.py::test_a_listing_without",),
    ),
    Mutation(
        "reconcile: a parked refund is its order's", "service/reconcile/sql.py",
        "FROM {ROWS} WHERE kind <> 'refund' GROUP BY order_id", "FROM {ROWS} GROUP BY order_id",
        ("tests/reconcile/test_parked_rows.py::test_a_parked_refund",),
    ),
    Mutation(
        "reconcile: a parked refund is forgotten", "service/reconcile/refund_tables.py",
        "r.stripe_refund_id IS NULL OR x.is_parked", "r.stripe_refund_id IS NULL",
        ("tests/reconcile/test_parked_rows.py::test_a_parked_refund",),
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
        "database: closed connections are used once more", "service/foundation/postgres/db.py",
        '    event.listen(engine.sync_engine, "checkout", _refuse_distrusted)\n', "",
        (_SQL + "test_connections_that_the_server", _SQL + "test_the_neighbours"),
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
    Mutation(
        "balance: a look reads what is known for ever", "service/balance/looking.py",
        "movement.created < (self._whole_to or 0)", "False",
        ("tests/balance/test_looking.py::test_a_look_ends_where_all_is_known",),
    ),
    Mutation(
        "balance: what waits is never looked at again", "service/balance/movements.py",
        "AND look_at <= now()", "AND look_at <= now() AND false",
        ("tests/balance/test_booking.py::test_a_movement_that_comes_before_its_charge",),
    ),
    Mutation(
        "life: sending under one that Stripe was not asked about", _OPENING,
        "(SELECT l.id FROM lives l WHERE l.identity = database_identity() AND l.verified_until > now()) AS life",
        "0 AS life", (_RECOVERY + "test_lives.py::test_nothing_is_opened", _FORGOT + "test_nobody_asked"),
    ),
    Mutation(
        "life: one listing closes it", _LIVES,
        "CASE WHEN CAST(:began AS timestamptz) >= seen_at + margin THEN", "CASE WHEN true THEN",
        (_RECOVERY + "test_lives.py::test_a_first_listing", _RECOVERY + "test_listings.py::test_what_a_zombie"),
    ),
    Mutation(
        "life: a first listing is good for ever", _LIVES,
        "FIRST_LISTING_GOOD_FOR = timedelta(hours=1)", "FIRST_LISTING_GOOD_FOR = timedelta(days=365)",
        (_RECOVERY + "test_lives.py::test_a_first_listing",),
    ),
    Mutation(
        "life: a pending order is canceled in any", "service/changes/asking.py",
        "l.verified_until = 'infinity'", "true",
        (_CANCELING + "test_an_order_of_an_earlier",),
    ),
    Mutation(
        "life: an order that was made in it is canceled", "service/changes/asking.py",
        "            AND NOT EXISTS (SELECT FROM lives earlier WHERE earlier.id <> l.id))))", "))",
        (_CANCELING + "test_a_repeat_is_not_canceled",),
    ),
    Mutation(
        "life: one that was never closed hands nothing on", _LIVES,
        "coalesce(b.handed_on, p.at - b.margin)", "p.at - b.margin",
        (_RECOVERY + "test_lives.py::test_a_life_that_ends",),
    ),
    Mutation(
        "adoption: what is unknown is passed over", _ADOPTION,
        'and so is the key it was placed with")\n    return Verdict(Step.ADOPT)',
        'and so is the key it was placed with")\n    return Verdict(Step.NOTHING)',
        (_RECOVERY + "test_orders_come_back.py::test_a_paid_order", _FORGOT + "test_what_was_forgotten"),
    ),
    Mutation(
        "adoption: a repeat that came first is sent", _ADOPTION,
        "    if known.charge_id is None:\n        return Verdict(Step.ADOPT)",
        "    if known.charge_id is None:\n        return Verdict(Step.NOTHING)",
        (_RECOVERY + "test_repeats_that_came_first.py::test_a_repeat_a_day_later", _FORGOT + "test_nobody_asked"),
    ),
    Mutation(
        "adoption: a refund that is unknown is passed over", "service/recovery/refund_adoption.py",
        "    if known.row_id is None:\n        return Verdict(Step.ADOPT)",
        "    if known.row_id is None:\n        return Verdict(Step.NOTHING)",
        (_RECOVERY + "test_refunds_come_back.py::test_a_forgotten_refund_that_is_asked_for_again",),
    ),
    Mutation(
        "adoption: a refund is not known by its producer's key", "service/recovery/refund_knowing.py",
        "coalesce(held.id, named.id, keyed.id)", "coalesce(held.id, named.id)",
        (_RECOVERY + "test_refunds_come_back.py::test_a_forgotten_refund_that_is_asked_for_again",),
    ),
    Mutation(
        "conflict: not remembered", _ANSWERS, "key_conflict=True,", "key_conflict=False,",
        (_RECOVERY + "test_a_key_conflict.py::test_a_key_used",),
    ),
    Mutation(
        "conflict: remembered and posted all the same", _REOPENING, " or effect.key_conflict:", ":",
        ("tests/charges/test_opening.py::test_a_key_that_stripe",),
    ),
    Mutation(
        "identity: without the timeline", _FORTH, "timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);",
        "timeline := '-';", (_IDENTITY + "test_it_is_another_under_a_promoted",),
    ),
    Mutation(
        "identity: without the start", _FORTH, "extract(epoch FROM pg_postmaster_start_time())", "'-'",
        (_IDENTITY + "test_it_is_another_after",),
    ),
    Mutation(
        "identity: without the storage of the tables", _FORTH,
        "    pg_relation_filenode(to_regclass('public.orders')), pg_relation_filenode(to_regclass('public.charges'))",
        "    '-'",
        (_IDENTITY + "test_it_is_another_when",),
    ),
    Mutation(
        "waits: a missed deadline sends a cancel request", _DRIVER,
        "self._loop.call_soon(self.distrust)", "super()._cancel_current_command(*_)",
        (_SILENCE + "test_a_statement_that_missed",),
    ),
    Mutation(
        "waits: the question for a key has no bound", "service/accounts/keys.py",
        "asyncio.timeout(KEY_CHECK_S)", "asyncio.timeout(None)", (_SILENCE + "test_one_silent_connection_holds",),
    ),
    Mutation(
        "waits: a COMMIT without its standby is believed", _DRIVER,
        "if self._unreplicated:", "if False:", (_SILENCE + "test_a_commit_acknowledged",),
    ),
    Mutation(
        "waits: a host may take as long as it likes", _DRIVER,
        "asyncio.timeout(self._connect_s)", "asyncio.timeout(None)", (_CONNECTIONS + "test_a_first_host",),
    ),
    Mutation(
        "waits: a client that is silent in a statement keeps its session", _DRIVER,
        "if self._statement_s >= LONG_STATEMENT_S:", "if True:", (_CONNECTIONS + "test_a_client_that_falls_silent",),
    ),
    Mutation(
        "waits: a connection to a server that became read-only is kept", "service/foundation/postgres/db.py",
        '_SPOILED = ("25006", ', "_SPOILED = (", (_CONNECTIONS + "test_connections_of_a_server",),
    ),
    Mutation(
        "waits: who finds the server full fails at once", "service/foundation/postgres/sql.py",
        "CHECKOUT_S if is_full else 0.0", "0.0", (_CONNECTIONS + "test_who_finds_the_server_full",),
    ),
    Mutation(
        "session: the isolation of the database's default", "service/foundation/postgres/db.py",
        '        "default_transaction_isolation": "read committed",  # R4\n', "",
        (_CONNECTIONS + "test_the_session_is_ours",),
    ),
    Mutation(
        "session: a shared one is not noticed", "service/foundation/postgres/starting.py",
        'if found != "SELECT 1":', "if False:", ("tests/foundation/test_poolers.py::test_other_modes",),
    ),
    Mutation(
        "driver: its second try returns rows of another class", _DRIVER,
        "super()._do_execute(query, executor, timeout, retry=False, **how)",
        "super()._do_execute(query, executor, timeout, retry=retry, **how)",
        (_CONNECTIONS + "test_a_column_whose_type_changed",),
    ),
    Mutation(
        "driver: the kernel does not watch the peer", _DRIVER,
        '        watch_peer(transport.get_extra_info("socket"))\n', "", ("tests/chaos/test_dropped_packets.py",),
    ),
    Mutation(
        "worker: the time limit never looks at its clock", "workers/broker.py",
        '    broker.emit_after("process_boot")  # this starts the timer of TimeLimit\n', "",
        ("tests/charges/test_worker_process.py",),
    ),
    Mutation(
        "asking: the order's row is not held", "service/orders/operations.py", "   FOR NO KEY UPDATE\n", "",
        (
            "tests/web/test_refunds.py::test_twenty_at_once_over_the_cap",
            "tests/web/test_order_changes.py::test_of_a_cancel_and_a_worker",
        ),
    ),
    Mutation(
        "asking: a refund under way is not counted", "service/refunds/asking.py",
        " - order.amount_refunding_minor", "", ("tests/web/test_refunds.py::test_twenty_at_once_over_the_cap",),
    ),
    Mutation(
        "together: the order's row is not held", "service/refunds/placing.py",
        "        FOR NO KEY UPDATE SKIP LOCKED) AS o,", "        LIMIT 1) AS o,",
        (_TOGETHER + "test_what_was_refunded_after", _TOGETHER + "test_an_order_that_is_held"),
    ),
    Mutation(
        "together: two of one order by one statement", "service/refunds/placing.py",
        "_bound(list(first.values()))", "_bound(wanted)", (_TOGETHER + "test_each_is_told",),
    ),
    Mutation(
        "together: a key that is known makes another", "service/refunds/placing.py",
        "FROM allowed a JOIN remembered r ON r.id = a.operation_id", "FROM allowed a",
        (_TOGETHER + "test_each_is_told",),
    ),
    Mutation(
        "notices: a settled order is told to nobody", _CHARGED,
        "    await notices.tell_of_orders(tx, {row.order_id for row in rows.values() if row.is_told})\n", "",
        (f"{_NOTICES}test_telling.py::test_every_transition_of_an_order_is_told",),
    ),
    Mutation(
        "notices: told twice is sent twice", "service/notices/model.py",
        "[fact.account_id.bytes,", "[__import__('os').urandom(8),",
        (f"{_NOTICES}test_delivering.py::test_a_fact_told_twice_is_one_notice",),
    ),
    Mutation(
        "notices: a receiver that hangs has room for all", "service/notices/lanes.py",
        "LANE_MAX = 16 ", "LANE_MAX = 1_000 ",
        (f"{_NOTICES}test_delivering.py::test_an_endpoint_that_hangs_holds_up_no_other",),
    ),
    Mutation(
        "notices: any address is called", "service/notices/posting.py",
        "if self._may_be_private or is_of_the_internet(one)]", "if one]",
        (f"{_NOTICES}test_hostile_receivers.py::test_nothing_is_sent_into_a_network_of_our_own",),
    ),
    Mutation(
        "notices: what happens twice is told once", "service/notices/telling.py",
        "str(row.made_again) if row.made_again else None", "None",
        (f"{_NOTICES}test_told_again.py::test_an_attempt_that_never_ran_twice",),
    ),
    Mutation(
        "notices: what is owed is deleted", "service/notices/lanes.py",
        "   WHERE status IN {in_sql(NOTICE_FORGOTTEN)} AND ended_at", "   WHERE coalesce(ended_at, promised_at)",
        (f"{_NOTICES}test_forgetting.py::test_after_its_days",),
    ),
    Mutation(
        "inbox: what a worker has in hand is taken for settled", "service/inbox/following.py",
        'IN_HAND = again("a worker is about to settle it")', "IN_HAND = SETTLED",
        (f"{_INBOX}test_settling.py::test_a_success_whose_worker_died",),
    ),
    Mutation(
        "inbox: acknowledged before it is stored", "service/inbox/storing.py",
        "        await self._together.submit(event)\n",
        "        import asyncio\n\n        self.kept = asyncio.create_task(self._together.submit(event))\n",
        (f"{_INBOX}test_route.py::test_while_postgresql_is_away",),
    ),
    Mutation(
        "inbox: what is unknown here is taken for settled", "service/inbox/following.py",
        'UNKNOWN = again("its object is unknown here")', "UNKNOWN = SETTLED",
        (f"{_INBOX}test_settling.py::test_what_stays_unknown",),
    ),
    Mutation(
        "inbox: one that cannot be settled yet holds up all others", "service/inbox/settling.py",
        "except IncompleteListing as error:", "except KeyError as error:",
        (f"{_INBOX}test_every_kind.py::test_a_forgotten_payment_holds_up_no_other",),
    ),
    Mutation(
        "disputes: what was asked for before is taken for news", "service/disputes/settling.py",
        "WHERE d.id = b.id AND d.updated_at <= b.asked_at\n", "WHERE d.id = b.id\n",
        (f"{_DISPUTES}test_settling.py::test_what_was_asked_for_before",),
    ),
    Mutation(
        "disputes: read once, and never again", "service/disputes/again.py",
        "        if piece.first is not None and piece.last", "        if False and piece.last",
        (f"{_DISPUTES}test_again.py::test_an_old_dispute_that_moved_on",),
    ),
    Mutation(
        "disputes: a refund is begun while one is open", "service/refunds/asking.py",
        "        if order.amount_disputed_minor > 0:\n", "        if False:\n",
        ("tests/web/test_disputes.py::test_no_refund_is_made",),
    ),
    Mutation(
        "payouts: what was read late is believed", "service/payouts/following.py",
        "if said.status != known.status and said.status not in PAYOUT_TRANSITIONS[known.status]:", "if False:",
        ("tests/payouts/test_settling.py::test_whatever_order",),
    ),
    Mutation(
        "sweeps: the cursor moves over what a listing hides", "service/sweeps/sweeping.py",
        "        await prove_complete(missing, partial(self.kind.retrieve, self.gateway))\n", "",
        ("tests/sweeps/test_sweeping.py::test_a_listing_that_hides",),
    ),
    Mutation(
        "sweeps: nothing is read twice", "service/sweeps/sweeping.py",
        "max(until - OVERLAP_S, 0)", "until",
        ("tests/sweeps/test_sweeping.py::test_the_next_sweep",),
    ),
    Mutation(
        "sweeps: what is beside a list is never late", "service/sweeps/cursors.py",
        "greatest(s.swept_until, excluded.swept_until)\n",
        "greatest(s.swept_until, excluded.swept_until), swept_at = now()\n",
        ("tests/sweeps/test_sweeping.py::test_a_kind_is_late",),
    ),
    Mutation(
        "payouts: what was read again before a listing broke off is lost", "service/payouts/sweep.py",
        "        finally:  # also what a listing showed before it broke off\n            await settle(engine, page)\n",
        "        except KeyError:\n            raise\n        await settle(engine, page)\n",
        ("tests/payouts/test_contents.py::test_what_was_read_again_before",),
    ),
    Mutation(
        "currencies: a charge waits whose movement is known", "service/charges/elsewhere.py",
        "ELSE {charge}.balance_transaction_id IS NULL AND", "ELSE",
        ("tests/charges/test_elsewhere.py::test_a_charge_waits",),
    ),
    Mutation(
        "currencies: what was booked in its own is not taken back", "service/charges/moved.py",
        "await ledger.anew(tx, [_entry(c, by_id[c.id]) for c in open_])", "[_entry(c, by_id[c.id]) for c in open_]",
        (f"{_ELSEWHERE}test_the_first_charge",),
    ),
)  # fmt: skip


def broken_copy(mutation: Mutation, folder: Path) -> None:
    """The committed tree in `folder`, with the guard broken. Fails where the guard is not found exactly once."""
    tree = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout  # noqa: S607
    with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
        archive.extractall(folder, filter="data")
    path = folder / mutation.path
    text = path.read_text()
    assert text.count(mutation.old) == 1, f"{mutation.name}: found {text.count(mutation.old)} times in {mutation.path}"
    path.write_text(text.replace(mutation.old, mutation.new))


def red_tests(mutation: Mutation, folder: Path, wanted: str) -> list[str]:
    """Names of the tests that fail in the broken copy."""
    file, _, start = wanted.partition("::")
    select = ["-k", re.split(r"\[", start)[0]] if start else []
    if "[" in start:
        select = ["-k", f"{start.partition('[')[0]} and {start.partition('[')[2].rpartition('.')[2]}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", file, *select],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert run.returncode in (0, 1, 2), run.stdout + run.stderr
    assert not re.search(r"no tests ran|0 selected", run.stdout), f"{wanted}: no such test"
    return re.findall(r"^(?:FAILED|ERROR) \S*?::(\S+)", run.stdout, flags=re.MULTILINE)


def main() -> None:
    """Break one after the other and tell what went red."""
    starts = tuple(sys.argv[1:])
    unseen = []
    for mutation in MUTATIONS:
        if starts and not mutation.name.startswith(starts):
            continue
        with tempfile.TemporaryDirectory(prefix="eo-broken-") as folder:
            broken_copy(mutation, Path(folder))
            for wanted in mutation.tests:
                red = red_tests(mutation, Path(folder), wanted)
                print(f"{'red  ' if red else 'GREEN'} {mutation.name}: {', '.join(red) or wanted}", flush=True)
                unseen += [] if red else [f"{mutation.name}: {wanted}"]
    sys.exit(bool(unseen))


if __name__ == "__main__":
    main()
