"""What a producer asks for after its order, and what it is told: cancellations, refunds, notices."""

from tests.chaos.mutations.mutation import Mutation

_CHARGED = "service/charges/settling.py"
_TOGETHER = "tests/web/test_refunds_together.py::"
_NOTICES = "tests/notices/"

PRODUCING = (
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
)  # fmt: skip
