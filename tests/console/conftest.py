"""The console in a real browser: one Chromium, one API and one database per module.

house       the API with its console (tests/console/house.py); its database is this module's
browser     Chromium; a clear skip where there is none
visit       opens pages: `visit("/console/orders", role="read", scheme="dark", phone=True, javascript=False)`
            At its end no browser's console may have complained.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from os import getpid

import pytest
from playwright.sync_api import Browser

from service.foundation.postgres.migrate import upgrade
from service.foundation.settings import Settings
from service.ops.embedded import Postgres, Valkey, free_port
from tests.conftest import NOBODY, as_if_just_made
from tests.console.house import House, Visitors, chromium

_numbers = count(1)


@pytest.fixture(scope="module")
def settings_of_module(
    postgres: Postgres, valkey: Valkey, admin: Callable[[str], object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings for a database of this module alone. `dataclasses.replace` for everything else."""
    name = f"console_{getpid()}_{next(_numbers)}"
    # In another thread: where a browser runs in this one, its event loop does, too.
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(admin, f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy").result()
        elsewhere.submit(upgrade, postgres.database_url(name)).result()  # for the rights of a role of its own
        elsewhere.submit(lambda: asyncio.run(as_if_just_made(postgres.database_url(name)))).result()
        yield Settings(
            database_url=postgres.database_url(name),
            redis_url=valkey.url,
            stripe_api_key="sk_test_" + "0" * 24,
            stripe_api_base=NOBODY,
            api_key="eo_test_" + "0" * 24,
            port=free_port(),
            data_dir=tmp_path_factory.mktemp("console") / ".eo",
        )
        elsewhere.submit(admin, f"DROP DATABASE {name} WITH (FORCE)").result()


@pytest.fixture(scope="module")
def house(settings_of_module: Settings) -> Iterator[House]:
    """The API with its console, while this module's tests run."""
    house = House(settings_of_module)
    yield house
    house.end()


@pytest.fixture(scope="module")
def browser(house: House) -> Iterator[Browser]:
    """Chromium; its own event loop runs in this thread until the module ends."""
    del house  # first, because what it asks for may still start in this thread
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, house: House) -> Iterator[Visitors]:
    """Opens pages in which the console is open."""
    visitors = Visitors(browser, house)
    yield visitors
    assert visitors.end() == []
