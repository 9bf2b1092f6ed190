"""Whatever is asked of an order wakes the relays once it is durable, so that its latency is not a poll's."""

import asyncio

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.outbox.wakeup import CHANNEL
from tests.web.afterwards import ask, order_in
from tests.web.conftest import Api
from tests.web.test_order_changes import BODIES


async def test_whatever_is_promised_wakes_the_relays(api: Api, engine: AsyncEngine, settings: Settings) -> None:
    woken = asyncio.Event()
    listener = await asyncpg.connect(settings.database_url)
    await listener.add_listener(CHANNEL, lambda *_: woken.set())
    states = {"capture": "authorized", "cancel": "requires_action", "pay": "failed", "refunds": "paid"}
    async with asyncio.timeout(20):
        for what, status in states.items():
            order_id = await order_in(api, engine, status, what)
            await woken.wait()  # the order's own
            woken.clear()
            assert (await ask(api, order_id, what, **BODIES[what])).status_code in (201, 202)
            await woken.wait()
            woken.clear()
    await listener.close()
