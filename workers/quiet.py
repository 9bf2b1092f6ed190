"""Filters what Dramatiq's consumers log while Redis is away: about three critical lines per second."""

import logging

import redis
from dramatiq.errors import BrokerConnectionError

from service.foundation.away import REDIS
from service.foundation.broker_keys import CHARGE_QUEUE

_CONSUMERS = tuple(f"dramatiq.worker.ConsumerThread({queue})" for queue in (CHARGE_QUEUE, f"{CHARGE_QUEUE}.DQ"))
_OF_REDIS = (BrokerConnectionError, redis.RedisError)


class _OneLine(logging.Filter):
    """Passes errors of the connection to `away`, which logs them once, and lets all other lines pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether Dramatiq's own line is written."""
        given = record.args if isinstance(record.args, tuple) else ()
        raised = record.exc_info[1] if record.exc_info else None
        error = next((e for e in (*given, raised) if isinstance(e, _OF_REDIS)), None)
        if error is None:
            return True
        REDIS.failed("consumer", error)
        return False


def be_quiet_while_redis_is_away() -> None:
    """Add the filter to the loggers of this process's consumers, where they do not have it yet."""
    for name in _CONSUMERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _OneLine) for known in logger.filters):
            logger.addFilter(_OneLine())
