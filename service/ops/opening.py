"""The console under `eo up`: on where only this machine reaches it, and opened by a link that is printed once."""

import asyncio
from collections.abc import Mapping

from service.audit import Who
from service.console import Access, Doorway
from service.console.doorway import is_loopback
from service.foundation.postgres.db import close, create_engine, is_unreachable
from service.ops.arguments import user_name
from service.ops.installation import Installation

LINK_MINUTES = 60  # whoever starts it comes back to the terminal some time


def turn_on(installation: Installation, named: Mapping[str, str]) -> None:
    """Turn the console on, unless the environment says something else. Raises Misconfigured where it must not be."""
    settings = installation.settings()
    if "EO_CONSOLE" not in named and (settings.console_origin or is_loopback(settings.host)):
        installation.told["EO_CONSOLE"] = "1"
    if installation.settings().console:
        Doorway.of(settings)


def link(installation: Installation) -> str:
    """The address that opens the console once, to act; empty where it is off, and a hint where no link can be made."""
    settings = installation.settings()
    if not settings.console:
        return ""
    doorway = Doorway.of(settings)
    try:
        return doorway.link(asyncio.run(_secret(installation)))
    except Exception as error:
        if not is_unreachable(error):
            raise
        return f"{doorway.url}, opened by `eo console link`"


async def _secret(installation: Installation) -> str:
    user = user_name()
    engine = create_engine(installation.settings(), name="cli", pool=1)
    try:
        return await Access(engine).link(Who(user, "cli"), user, "operate", LINK_MINUTES)
    finally:
        await close(engine)
