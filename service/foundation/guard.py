"""The end of every command: one of `exit_codes`, and a line that says why.

A command that compares something ends with FOUND by raising `SystemExit`. Python's own exit codes, 1 for a traceback
and 120 where stdout cannot be flushed, are replaced.
"""

import contextlib
import errno
import io
import os
import select
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

from service.foundation import exit_codes
from service.foundation.addresses.postgres import masked
from service.foundation.errors import Defect, EffectivelyOnceError, Unavailable
from service.foundation.text.screening import has_card_number

_TEXT_MAX = 300  # characters that are shown of the text of a library's error
_WORDS_MAX = 4_000  # characters of a line; an argument may be of any length
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_shows_tracebacks = False

Verdict = tuple[int, str]  # an exit code, and why; the text is empty where nothing is to be printed


def show_tracebacks(*, on: bool) -> None:
    """Set whether an error prints its traceback before its line (`eo --debug`)."""
    global _shows_tracebacks  # noqa: PLW0603  one process is one command
    _shows_tracebacks = on


def run(command: Callable[[], object]) -> NoReturn:
    """Call `command`, and end this process with the exit code of its outcome."""
    _prepare_streams()
    raise SystemExit(_told(_code_of(command)))


def _prepare_streams() -> None:
    """Replace closed streams by /dev/null, so that no file gets their numbers, and let no character fail a print."""
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _code_of(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:
        return _code_of_end(end)
    except BaseException as error:  # noqa: BLE001  any error ends the command with a line
        code, words = _verdict(error)
        if _shows_tracebacks:
            traceback.print_exception(error)
        _say(words)
        return code
    return exit_codes.OK


def _code_of_end(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or exit_codes.OK
    _say(str(end.code))
    return exit_codes.USAGE


def _told(code: int) -> int:
    """The exit code after stdout is written. A result that could not be written fails the command."""
    try:
        sys.stdout.flush()
    except OSError as error:
        lost, words = _of_system(error)
        _discard(sys.stdout)
        if code in (exit_codes.OK, exit_codes.FOUND):
            _say(words)
            return lost
    return code


def _discard(stream: TextIO) -> None:
    """Discard what is left in its buffer, or the interpreter fails at it again."""
    with contextlib.suppress(OSError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def _verdict(error: BaseException) -> Verdict:
    match error:
        case BaseExceptionGroup():
            return _verdict(error.exceptions[0])
        case KeyboardInterrupt():
            return exit_codes.INTERRUPTED, "stopped by Ctrl-C."
        case Unavailable():
            return exit_codes.AWAY, str(error)
        case Defect():
            return exit_codes.BUG, str(error)
        case EffectivelyOnceError():
            return exit_codes.USAGE, str(error)
        case UnicodeEncodeError():
            why = "A name has characters that this locale cannot express. Set LC_ALL=C.UTF-8 or PYTHONUTF8=1."
            return exit_codes.USAGE, why
        case ModuleNotFoundError() if not (error.name or "").startswith(("service", "workers")):
            return exit_codes.USAGE, _not_installed(error)
        case OSError():
            return _of_system(error)
        case _:
            return _of_click(error) or _of_database(error) or (exit_codes.BUG, _bug(error))


def is_of_output(error: BaseException) -> bool:
    """Whether it tells that the output cannot be written, as opposed to a connection that failed."""
    if isinstance(error, BrokenPipeError):
        return _reader_is_gone()
    return isinstance(error, OSError) and error.filename is None and error.errno in _CANNOT_WRITE


def _of_system(error: OSError) -> Verdict:
    if isinstance(error, BrokenPipeError) and is_of_output(error):
        return exit_codes.PIPE_CLOSED, ""
    if isinstance(error, ConnectionError | TimeoutError):
        return exit_codes.AWAY, f"A connection failed ({type(error).__name__}: {error})."
    if error.filename is not None:
        return exit_codes.USAGE, f"{error.filename!r}: {error.strerror}."
    if is_of_output(error):
        return exit_codes.INCOMPLETE, f"The output cannot be written: {error.strerror}. What was written is incomplete."
    return exit_codes.BUG, _bug(error)


def _reader_is_gone() -> bool:
    """Whether stdout or stderr is a pipe that nobody reads any more."""
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _of_click(error: BaseException) -> Verdict | None:
    import click  # noqa: PLC0415  where it is missing, `_not_installed` must still run

    match error:
        case click.exceptions.Exit():
            return error.exit_code, ""
        case click.Abort() if isinstance(error.__context__, KeyboardInterrupt):
            return exit_codes.INTERRUPTED, "stopped by Ctrl-C."
        case click.Abort():
            if isinstance(error.__context__, EOFError):
                click.echo(err=True)  # end the line of the question
            return exit_codes.USAGE, "Nothing was done: nobody said yes. The option --yes does."
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return exit_codes.USAGE, ""
        case click.UsageError() if error.ctx is not None:
            return exit_codes.USAGE, f"{_sentence(error.format_message())} See `{error.ctx.command_path} --help`."
        case click.ClickException():
            return exit_codes.USAGE, error.format_message()
        case _:
            return None


def _of_database(error: BaseException) -> Verdict | None:
    if "sqlalchemy" not in sys.modules:
        return None
    from service.foundation.postgres.db import is_unreachable  # noqa: PLC0415  imported already where the error is of a database

    if not is_unreachable(error):
        return None
    return exit_codes.AWAY, "PostgreSQL went away meanwhile. `eo status` tells what runs."


def _sentence(words: str) -> str:
    """These words on one line with a full stop, because another sentence follows."""
    line = " ".join(words.split())
    return line if line.endswith((".", "?", "!")) else f"{line}."


def _not_installed(error: ModuleNotFoundError) -> str:
    if (error.name or "").partition(".")[0] == "demo":
        return "The demo is no part of this installation: it starts servers of its own. Run `make demo` in a checkout."
    return f"{error.name} is not installed for {sys.executable}. `make run` installs everything into .venv."


def _bug(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return (
        f"{type(error).__name__}{where}{_text_of(error)}\n"
        "eo: This is a bug in effectively-once, not in what you typed. `eo --debug …` shows the traceback."
    )


def _text_of(error: BaseException) -> str:
    """The text of the error, or nothing where it may carry values of a statement or a card number."""
    words = " ".join(str(error).split())[:_TEXT_MAX]
    if not words or hasattr(error, "orig") or hasattr(error, "sqlstate") or has_card_number(words):
        return "."
    return f": {words}"


def _cut(words: str) -> str:
    return words if len(words) <= _WORDS_MAX else f"{words[: _WORDS_MAX // 2]} … {words[-_WORDS_MAX // 2 :]}"


def _say(words: str) -> None:
    with contextlib.suppress(OSError):
        if words:
            sys.stderr.write(f"eo: {masked(_cut(words))}\n")
            sys.stderr.flush()
