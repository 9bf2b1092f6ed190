"""What Stripe tells, lists and pays out: events, sweeps, disputes, payouts, reconciliation."""

from tests.chaos.mutations.mutation import Mutation

_INBOX = "tests/inbox/"
_DISPUTES = "tests/disputes/"
_ELSEWHERE = "tests/refunds/test_settled_elsewhere.py::"

FOLLOWING = (
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
        "    if order.amount_disputed_minor > 0:\n", "    if False:\n",
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
