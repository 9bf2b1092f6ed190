"""Injecting faults on purpose, where Stripe is the sandbox of an `eo up`: who asks for what, and how it is counted.

switches     what can be asked for, and the messages between the API process and `eo up`
asking       the client of the socket on which `eo up` listens
witness      the sandbox's own books, and its fault plans

`eo up` does the deeds (service.ops.chaos), because it owns the processes. The console's page only asks.
"""

from service.chaos.asking import Line
from service.chaos.switches import SECONDS_MAX, TIMES_MAX, TOUCHES, Answer, Ask, Board, Fault, Press, Step, Switch
from service.chaos.witness import Witness

__all__ = [
    "SECONDS_MAX",
    "TIMES_MAX",
    "TOUCHES",
    "Answer",
    "Ask",
    "Board",
    "Fault",
    "Line",
    "Press",
    "Step",
    "Switch",
    "Witness",
]
