"""A worker process: what Dramatiq's own command starts, `eo worker` starts too."""

import asyncio
import threading
from collections.abc import Iterator

import dramatiq
import pytest

from service.foundation.broker_keys import CHARGE_QUEUE
from service.foundation.settings import Settings
from workers.broker import make_broker, start_worker


@pytest.fixture
def broker(settings: Settings) -> Iterator[dramatiq.Broker]:
    broker = make_broker(settings)
    yield broker
    broker.close()


def test_a_message_that_never_ends_is_ended_by_the_time_limit(broker: dramatiq.Broker, settings: Settings) -> None:
    ended = threading.Event()

    @dramatiq.actor(broker=broker, queue_name=CHARGE_QUEUE, time_limit=100)
    async def stuck() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    worker = start_worker(broker, settings)
    try:
        stuck.send()
        assert ended.wait(30)
    finally:
        worker.stop(timeout=5_000)
