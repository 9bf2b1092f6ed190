"""What the exit code of every command of ours means. A code has one meaning, and 1 is only ever a finding.

A script that acts on `eo reconcile` or `eo ledger verify` must be able to tell "the books differ" from "the pipe broke"
and from "this program is wrong": so nothing but a finding ends with 1, also no traceback.
"""

from typing import Final

OK: Final = 0  # done; where something is compared: nothing was found
FOUND: Final = 1  # done, and something was found that a person must look at
USAGE: Final = 2  # an argument or a setting is wrong; nothing was done
AWAY: Final = 3  # PostgreSQL, Redis or Stripe cannot be reached; nothing was done
INCOMPLETE: Final = 4  # begun, and not everything could be read or written: the result is no result
BUG: Final = 70  # an error that nobody foresaw: this program is wrong (EX_SOFTWARE of sysexits.h)
INTERRUPTED: Final = 130  # ended by Ctrl-C, as a shell shows SIGINT: 128 + 2
PIPE_CLOSED: Final = 141  # whoever read the output is gone, as a shell shows SIGPIPE: 128 + 13
