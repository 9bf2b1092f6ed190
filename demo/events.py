"""What the demo's processes count: the relay and the worker of the show say it in their logs."""

from enum import StrEnum


class DemoEvent(StrEnum):
    """The `event` of such a line."""

    DELIVERED = "demo.delivered"
    DOUBLED = "demo.doubled"
    ABSORBED = "demo.absorbed"
    REPEATED = "demo.repeated"
