"""How the commands end: with an exit code that says why, and nothing half-written behind them."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from haruspex_infer.errors import DeviceLostError, HaruspexError

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

WRONG_INPUT = 2

# seconds after which a signal that was lost is sent again
_AGAIN = 0.02


class _Ending(SystemExit):
    """A signal came; its exit code is that of a shell, 128 and the number of the signal."""


def end_at(*numbers: int) -> list[int]:
    """End this process as an error would when a signal comes, so that files under way are removed.

    What is raised while Python finalizes an object is discarded; the signal is sent again then.

    Parameters
    ----------
    *numbers : int
        The signals. Outside the main thread nothing changes: whoever has that decides.

    Returns
    -------
    list of int
        Fills with the signals as they come. Native code that is being loaded turns what is raised into errors
        of its own: this tells why the process ends.
    """
    asked: list[int] = []

    def end(number: int, _: object) -> None:
        asked.append(number)
        raise _Ending(128 + number)

    usual = sys.unraisablehook

    def discarded(fault: "UnraisableHookArgs") -> None:
        if not isinstance(fault.exc_value, _Ending):
            usual(fault)
            return
        again = threading.Timer(_AGAIN, os.kill, (os.getpid(), asked[-1]))
        again.daemon = True  # a command that is done by then is done
        again.start()

    with contextlib.suppress(ValueError):
        for number in numbers:
            signal.signal(number, end)
        sys.unraisablehook = discarded
    return asked


def run(command: Callable[[], object], program: str) -> None:
    """Run a command line to its end.

    Exit codes: 0 done; 2 something is wrong that a person can mend, told in one sentence; 130 interrupted
    (Ctrl-C); 143 asked to end (SIGTERM, as schedulers send it before they kill).

    Parameters
    ----------
    command : callable
        The command line.
    program : str
        Its name in messages.
    """
    asked = end_at(signal.SIGINT, signal.SIGTERM)
    try:
        command()
    except BaseException as fault:
        if asked:
            _end("interrupted" if asked[0] == signal.SIGINT else "terminated", 128 + asked[0], program)
        if isinstance(fault, DeviceLostError):
            print(f"{program}: error: {fault}", file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(WRONG_INPUT)
        if isinstance(fault, HaruspexError):
            _end(f"error: {fault}", WRONG_INPUT, program)
        if isinstance(fault, MemoryError):
            _end("error: memory is used up; take a machine with more.", WRONG_INPUT, program)
        if isinstance(fault, OSError):  # a disk that is full or gone, wherever that showed
            where = f"{fault.filename}: " if fault.filename else ""
            _end(f"error: {HaruspexError(f'{where}{fault.strerror or fault}.')}", WRONG_INPUT, program)
        raise


def _end(why: str, code: int, program: str) -> NoReturn:
    print(f"{program}: {why}", file=sys.stderr)
    sys.exit(code)
