"""The events that the demo's relay and worker count in their logs."""

from enum import StrEnum


class DemoEvent(StrEnum):
    """The `event` of such a line."""

    DELIVERED = "demo.delivered"
    DOUBLED = "demo.doubled"
    ABSORBED = "demo.absorbed"
    REPEATED = "demo.repeated"
