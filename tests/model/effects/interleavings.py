"""Which effects of one order are tried beside each other: each small enough to be tried in every schedule.

2 was taken, or may be. A refund's amount is of that.
"""

from collections.abc import Mapping

from tests.model.effects.model import Effects
from tests.model.effects.rows import BEFORE, CANCEL, CAPTURE, OTHER, REFUND

_HALVES = (1, 1, 1)
_refund = Effects(start_at="succeeded", asks=frozenset({REFUND}), amounts=_HALVES, workers=1)
_two_refunds = Effects(start_at="succeeded", asks=frozenset({REFUND, OTHER}), amounts=_HALVES, workers=1)
_change = Effects(start_at="held", asks=frozenset({CAPTURE, CANCEL}), workers=1)
_action = Effects(start_at="action", asks=frozenset({CANCEL}), workers=1)
_pay = Effects(start_at="declined", asks=frozenset({BEFORE}), workers=1)
_cancel = Effects(asks=frozenset({CANCEL}))


def _forgets(
    model: Effects, *, faults: int = 0, copies: bool = False, unsettled: bool = False, later: bool = False
) -> Effects:
    """The same, and the database is restored once: as it was at first, or from a backup made at any time."""
    return Effects(
        start_at=model.start_at,
        asks=model.asks,
        amounts=model.amounts,
        ends=model.ends,
        workers=1,
        faults=faults,
        restores=1,
        past=model.past,
        later=later,
        copies=copies,
        unsettled=unsettled,
    )


_past = Effects(start_at="succeeded", asks=frozenset({REFUND}), amounts=_HALVES, workers=1, past=True)
_fails = Effects(
    start_at="succeeded",
    asks=frozenset({REFUND, OTHER}),
    amounts=(2, 2, 1),
    workers=1,
    faults=0,
    later=True,
    pends=True,
)
_pay_later = Effects(start_at="declined", asks=frozenset({BEFORE}), workers=1, faults=0, later=True)

INTERLEAVINGS: Mapping[str, Effects] = {
    "a refund, two workers": Effects(start_at="succeeded", asks=frozenset({REFUND}), amounts=_HALVES, pends=True),
    "two refunds": _two_refunds,
    "two refunds of all": Effects(start_at="succeeded", asks=frozenset({REFUND, OTHER}), workers=1),
    "refunds that fail days later": _fails,
    "a refund beside one past us": _past,
    "a capture beside a cancellation": _change,
    "a capture, then a refund": Effects(start_at="held", asks=frozenset({CAPTURE, REFUND}), workers=1),
    "a cancellation beside its customer": _action,
    "a cancellation beside the first charge, two workers": _cancel,
    "a further attempt": _pay,
    "a further attempt beside its customer": _pay_later,
    "an attempt that was never executed": Effects(asks=frozenset({BEFORE}), workers=1),
    "a forgotten refund": _forgets(_refund),
    "a forgotten refund, a backup of any time": _forgets(_refund, faults=1, copies=True),
    "a forgotten refund that fails, a backup of any time": _forgets(_refund, copies=True, later=True),
    "a forgotten refund past us": _forgets(_past),
    "a forgotten refund of a forgotten charge": _forgets(_refund, unsettled=True),
    "a forgotten capture or cancellation, a backup of any time": _forgets(_change, copies=True),
    "a forgotten cancellation beside its customer": _forgets(_action),
    "a forgotten cancellation beside the first charge": _forgets(_cancel),
    "a forgotten further attempt": _forgets(_pay),
    "a forgotten further attempt of a forgotten charge": _forgets(_pay, unsettled=True),
    "a forgotten further attempt with 3-D Secure": _forgets(
        Effects(start_at="declined", asks=frozenset({BEFORE}), ends=("action", "declined"))
    ),
}

# What takes longer: `python -m tests.model.effects`.
LONGER: Mapping[str, Effects] = {
    "a capture beside a cancellation, two workers": Effects(start_at="held", asks=frozenset({CAPTURE, CANCEL})),
    "a cancellation beside its customer, two workers": Effects(start_at="action", asks=frozenset({CANCEL})),
    "refunds that fail days later, beside one past us": Effects(
        start_at="succeeded",
        asks=frozenset({REFUND, OTHER}),
        amounts=_HALVES,
        workers=1,
        faults=0,
        later=True,
        past=True,
    ),
    "a forgotten further attempt beside its customer": _forgets(_pay, later=True),
    "two forgotten refunds, a backup of any time": _forgets(_two_refunds, copies=True),
    "a forgotten attempt that was never executed": _forgets(Effects(asks=frozenset({BEFORE})), faults=1),
}
