"""The exit codes of all commands. Each code has one meaning, and 1 means a finding and nothing else.

A script that acts on `eo reconcile` or `eo ledger verify` can tell "the books differ" from "the pipe broke" and from
"this program is wrong", because no other end of a command, and no traceback, has the code 1.
"""

from typing import Final

# Done; where something is compared: nothing was found.
OK: Final = 0
# Done, and something was found: `eo reconcile`, `eo ledger verify`, `eo recover`, `eo doctor`, `eo demo`, `eo healthy`.
FOUND: Final = 1
# An argument, a setting or an answer to a question is not what is needed; nothing was done.
USAGE: Final = 2
# PostgreSQL, Redis or Stripe cannot be reached, or nothing runs here.
AWAY: Final = 3
# Begun, and not everything could be read or written (a listing cut short, a full disk): the result is no result.
INCOMPLETE: Final = 4
# An error that nobody foresaw, which is a bug of this software; `eo --debug …` shows the traceback (EX_SOFTWARE).
BUG: Final = 70
# Ended by Ctrl-C, as a shell shows SIGINT: 128 + 2.
INTERRUPTED: Final = 130
# Whoever read the output is gone (`eo reconcile | true`), as a shell shows SIGPIPE: 128 + 13.
PIPE_CLOSED: Final = 141
