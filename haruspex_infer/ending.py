"""How the commands end: with an exit code that says why, and nothing half-written behind them.

A signal is raised as an exception where the program stands, so that files under way are removed as after an
error. It waits where an exception would be lost or do harm, and comes again until the end is under way.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from haruspex_infer.errors import DeviceLostError, HaruspexError

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

WRONG_INPUT = 2

# seconds after which a signal that ended nothing comes again
_AGAIN = 0.05
_COMES_AGAIN = hasattr(signal, "setitimer")  # not on Windows

_held_back = False


class _Ending(SystemExit):
    """A signal came; its exit code is that of a shell, 128 and the number of the signal."""


@contextmanager
def ended_by(asked: list[int], *numbers: int, after: signal.Handlers) -> Iterator[None]:
    """End what is done within as an error would when a signal comes.

    Parameters
    ----------
    asked : list of int
        Fills with the signals as they come. Native code may turn what is raised into errors of its own: this
        tells why the process ends.
    *numbers : int
        The signals. Outside the main thread nothing changes: whoever has that decides.
    after : signal.Handlers
        What they do afterwards.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if number in numbers:
            asked.append(number)
            if _COMES_AGAIN:
                signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        if not _COMES_AGAIN or _effective(frame):
            raise _Ending(128 + asked[0])

    usual = sys.unraisablehook

    def discarded(fault: "UnraisableHookArgs") -> None:
        if not isinstance(fault.exc_value, _Ending):
            usual(fault)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = (*numbers, signal.SIGALRM) if _COMES_AGAIN else numbers
    try:
        sys.unraisablehook = discarded  # it comes again
        for number in handled:
            signal.signal(number, end)
        yield
    finally:
        if _COMES_AGAIN:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number in handled:
            signal.signal(number, after)
        sys.unraisablehook = usual


def _effective(frame: FrameType | None) -> bool:
    """Whether what is raised in a frame ends the process, and in order."""
    fault = sys.exc_info()[1]
    while fault is not None:
        if isinstance(fault, _Ending | GeneratorExit):  # it is being cleared away already
            return False
        fault = fault.__context__
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib."):  # native code may abort the process
            return False
        frame = frame.f_back
    return not _held_back


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a signal wait for what would be left half done, such as a process that begins."""
    global _held_back
    _held_back = True
    try:
        yield
    finally:
        _held_back = False


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
    try:
        # the end is short, and not for another signal to spoil
        with ended_by(asked, signal.SIGINT, signal.SIGTERM, after=signal.SIG_IGN):
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
