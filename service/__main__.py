"""`eo …`, and `python -m service …`, which is the same. Everything is imported under the guard."""

import sys
from typing import NoReturn

from service.foundation import guard


def main() -> NoReturn:
    """The entry point."""
    guard.run(_command)


def _command() -> None:
    from service.ops.cli import run  # noqa: PLC0415  so that Ctrl-C and a missing package end in a line, too

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
