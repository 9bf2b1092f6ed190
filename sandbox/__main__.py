"""`eo sandbox` or `python -m sandbox`: run the Stripe stand-in until SIGTERM or SIGINT."""

import argparse
import contextlib
import gc
import math
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn

from sandbox.app import App
from sandbox.limits import Latency, RateLimit
from sandbox.secret import VARIABLE, control_secret, secret_file
from sandbox.state import Sandbox
from sandbox.strict import rules
from sandbox.wire import Protocol

EXIT_USAGE = 2
BACKLOG = 2048
# Seconds; longer than clients keep idle connections, so that the clients close them and no POST meets a closing one.
KEEP_ALIVE_S = 75
SHUTDOWN_S = 2


def main(argv: list[str] | None = None) -> None:
    """Read the options, open the books, listen and serve. A busy port or bad data file ends it with exit code 2."""
    options = _parser(os.environ).parse_args(argv)
    try:
        listener = _listen(options.host, options.port)
    except (OSError, UnicodeError) as error:
        _fail(f"cannot listen on {options.host!r}, port {options.port}: {getattr(error, 'strerror', None) or error}")
    try:
        sandbox = Sandbox(
            options.data,
            fee_delay_s=options.fee_delay_s,
            latency=Latency(options.latency_ms),
            rate_limit=RateLimit(options.rps),
            strict=options.strict,
            retry_s=options.retry_s,
        )
    except (sqlite3.Error, OSError) as error:
        _fail(f"cannot use the data file {options.data}: {error}")
    try:
        named = os.environ.get(VARIABLE)
        secret = control_secret(options.data, named)
    except (OSError, ValueError) as error:
        _fail(f"cannot guard the control API: {error}")
    _collect_garbage_rarely()
    _say(f"Stripe's API at http://{options.host}:{options.port}, books in {options.data}")
    _say(f"control API at /_sandbox/, its secret in {'$' + VARIABLE if named else secret_file(options.data)}")
    _serve(App(sandbox, secret), listener)


def _serve(app: App, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        http=Protocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,  # the sandbox's clock may differ from the machine's
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    # uvicorn stops on these signals and then raises them once more; that second time they shall do nothing.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)
    uvicorn.Server(config).run(sockets=[listener])


def _collect_garbage_rarely() -> None:
    """Make garbage collection rare: requests leave no cycles behind, and looking for them took a sixth of the CPU."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    started_as = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(
        prog="python -m sandbox" if started_as == "__main__.py" else started_as,
        description="A Stripe stand-in that remembers what it charged. Point any Stripe client at it, with any key "
        "sk_test_…; docs/sandbox.md says what it does.",
        epilog=f"It runs until Ctrl-C. What it holds stays in the file: started again, it goes on. ${VARIABLE} is the "
        "secret of the control API; unset: made, and kept beside the file.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=100),
    )

    def option(name: str, kind: Callable[[str], object], default: str | None, text: str) -> None:
        """Each option has an environment variable: `--fee-delay-s` is EO_SANDBOX_FEE_DELAY_S."""
        variable = "EO_SANDBOX_" + name.upper().replace("-", "_")
        value = environ.get(variable, default)
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{text} (${variable}; {default or 'unset'})")

    option("host", str, "127.0.0.1", "address to listen on")
    option("port", _port, "12111", "port to listen on")
    option("data", Path, "sandbox.sqlite3", "SQLite file that holds the books")
    option("fee-delay-s", _number, "1.0", "how late a balance transaction appears")
    option("latency-ms", _number, "0", "how long every answer takes")
    option("strict", rules, "", "rules that are off by default, separated by commas, or all; see docs/sandbox.md")
    option("retry-s", _number, "1.0", "pause before an event is sent again; each further one is twice as long")
    option("rps", _number, None, "requests per second and endpoint; unset: no limit")
    return parser


def _port(text: str) -> int:
    if not 0 <= (port := int(text)) <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _number(text: str) -> float:
    if not 0 <= (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError("must be a finite number that is not negative")
    return number


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A signal handler that does nothing."""


def _say(message: str) -> None:
    with contextlib.suppress(OSError):  # a full disk or a closed pipe does not end the sandbox
        sys.stderr.write(f"sandbox: {message}\n")
        sys.stderr.flush()


def _fail(message: str) -> NoReturn:
    _say(message)
    raise SystemExit(EXIT_USAGE)


if __name__ == "__main__":
    main()
