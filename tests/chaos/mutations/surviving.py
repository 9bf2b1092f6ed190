"""Databases that forget, are silent or change their mind, and the processes around them."""

from tests.chaos.mutations.mutation import Mutation

_OPENING = "service/effects/opening.py"
_REOPENING = "service/effects/reopening.py"
_ANSWERS = "service/effects/answers.py"
_CANCELING = "tests/recovery/test_cancellations_in_a_new_life.py::"
_LIVES = "service/recovery/lives.py"
_ADOPTION = "service/recovery/adoption.py"
_FORTH = "migrations/versions/2026_11_27_0004_a_database_that_forgot.py"
_RECOVERY = "tests/recovery/"
_FORGOT = "tests/acceptance/test_a_database_that_forgot.py::"
_IDENTITY = "tests/recovery/test_identity.py::"
_DRIVER = "service/foundation/postgres/driver.py"
_SQL = "tests/foundation/test_sql.py::"
_SILENCE = "tests/chaos/test_silence.py::"
_CONNECTIONS = "tests/foundation/test_connections.py::"

SURVIVING = (
    Mutation(
        "database: closed connections are used once more", "service/foundation/postgres/db.py",
        '    event.listen(engine.sync_engine, "checkout", _refuse_distrusted)\n', "",
        (_SQL + "test_connections_that_the_server", _SQL + "test_the_neighbours"),
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
)  # fmt: skip
