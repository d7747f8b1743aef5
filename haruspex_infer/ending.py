"""How the commands end: with an exit code that says why, and nothing half-written behind them."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from haruspex_infer.errors import DeviceLostError, HaruspexError

WRONG_INPUT = 2
_CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}


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
    asked: list[int] = []

    def end(number: int, _: object) -> None:
        asked.append(number)
        raise SystemExit(_CODES[number])  # as after an error, so that files under way are removed

    with contextlib.suppress(ValueError):  # not in the main thread: whoever has that decides
        for number in _CODES:
            signal.signal(number, end)
    try:
        command()
    except BaseException as fault:
        # native code that is being loaded turns what a handler raises into errors of its own
        if asked:
            _end("interrupted" if asked[0] == signal.SIGINT else "terminated", _CODES[asked[0]], program)
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
