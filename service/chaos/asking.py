"""The client of the socket on which `eo up` listens."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import msgspec

from service.chaos.switches import Answer, Ask, Press
from service.foundation.errors import Unavailable

_ANSWER_S = 15.0  # `eo up` may be busy with starting a server
_LINE_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """The socket, by its path."""

    socket: Path

    async def look(self) -> Answer:
        """What `eo up` can do, and has done. Raises Unavailable."""
        return await self._ask(Ask())

    async def press(self, press: Press) -> Answer:
        """Press a switch; the answer says why where it was refused. Raises Unavailable."""
        return await self._ask(Ask(press))

    async def _ask(self, ask: Ask) -> Answer:
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self.socket, limit=_LINE_MAX)
                try:
                    writer.write(msgspec.json.encode(ask) + b"\n")
                    return msgspec.json.decode(await reader.readline(), type=Answer)
                finally:
                    writer.close()
        except (OSError, msgspec.MsgspecError) as error:  # TimeoutError is an OSError
            raise Unavailable("`eo up` does not answer. It may be starting a server: try again.") from error
