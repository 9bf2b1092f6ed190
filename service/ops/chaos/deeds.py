"""The plain faults: kill a part, lose Stripe's replies, empty Redis, deliver everything twice."""

from service.ops.chaos.hands import Deed, Failed, Work, lasting, until
from service.ops.embedded import Valkey
from service.ops.installation import python

CREATE = {"method": "POST", "path": "^/v1/payment_intents$"}
_ANSWERED_S = 1.0
_STRUCK_S = 60.0  # so long a fault waits for something to strike


def kill_part(work: Work) -> Deed:
    """Kill the worker, the relay or the API. The page that asked for it is answered first."""
    yield from lasting(_ANSWERED_S)
    yield from work.kill(work.press.switch.partition("_")[2])


def kill_postgres(work: Work) -> Deed:
    """Stop the server at once: no session ends properly, no checkpoint is written."""
    part = work.hands.part("postgres")
    pid = part.pid or 0
    part.kill()
    work.inject("postgres killed")
    work.say(f"PostgreSQL (pid {pid}) was stopped at once, in the middle of whatever it did.")
    yield from work.back("postgres", pid)
    work.say("It has recovered from its write-ahead log: all that was committed is there.")


def lose_replies(work: Work) -> Deed:
    """The sandbox executes the next creates, and cuts the connection instead of answering."""
    times = work.press.times
    with work.plan({"fault": "executed_reply_lost", **CREATE, "times": times}) as plan:
        work.say(f"Stripe will execute the next {times} charges and answer none of them.")
        all_lost = yield from until(lambda: plan.fired() >= times, within_s=_STRUCK_S)
        lost = plan.fired()
        work.inject("replies lost", lost)
    work.say(f"{lost} replies were lost{'' if all_lost else '; nothing more was sent'}. Stripe answers again.")


def empty_redis(work: Work) -> Deed:
    """Forget every queued message."""
    redis = work.hands.part("redis")
    if not isinstance(redis, Valkey) or redis.command("FLUSHALL") != "+OK":
        raise Failed("Redis did not empty itself.")
    work.inject("Redis emptied")
    work.say("Redis forgot every message. Rows that wait for one come due again in the outbox.")
    yield from ()


def double(work: Work) -> Deed:
    """Every message is published twice, every event is sent twice or told under two ids, for a while."""
    seconds, relay = work.press.seconds, work.hands.part("relay")
    argv = relay.argv
    half = {"fault": "event_duplicate", "probability": 0.5}
    with work.plan(half, {"fault": "event_double"}) as plan:
        try:
            yield from _exchange(work, python("workers.twice"))
            work.say(f"For {seconds} s every message is published twice, and every event of Stripe comes twice.")
            yield from lasting(seconds)
        finally:
            relay.argv = argv
            work.hands.parts.release("relay")
        work.inject("events sent twice", plan.fired(0) + plan.fired(1))
        yield from _exchange(work, argv)
    work.say("Everything is delivered once again.")


def _exchange(work: Work, argv: list[str]) -> Deed:
    """Start the relay again with another command."""
    relay = work.hands.part("relay")
    pid = relay.pid or 0
    work.hands.parts.hold("relay")
    try:
        yield from work.end("relay")
        relay.argv = argv
    finally:
        work.hands.parts.release("relay")
    if not (yield from until(lambda: relay.pid != pid and relay.is_ready(), within_s=_STRUCK_S)):
        raise Failed(f"The relay did not start: {relay.last_words()}")
