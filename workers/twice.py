"""A relay that publishes every message twice, as at-least-once delivery allows. `python -m workers.twice`.

`eo up` puts it in the relay's place for a while where the console's chaos page asks for it.
"""

from typing import Any

from dramatiq import Message
from setproctitle import setproctitle

from service.foundation import guard
from service.foundation.settings import Settings
from workers import relay
from workers.broker import charge_message, make_broker


class Twice:
    """The real broker, which is given every message twice."""

    def __init__(self, settings: Settings) -> None:
        self._broker = make_broker(settings)

    def enqueue(self, message: Message[Any]) -> None:
        """Send the message, and another one about the same rows."""
        self._broker.enqueue(message)
        self._broker.enqueue(charge_message(message.args[0]))


if __name__ == "__main__":
    setproctitle("eo relay")  # `eo status` looks for it
    guard.run(lambda: relay.main(broker=Twice))
