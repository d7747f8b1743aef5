"""The same work for many entries, on the cores of this machine or on a Dask cluster.

It knows nothing of the work: a picklable function of one argument is called for every entry, and what became
of each is handed over as it finishes. It belongs to the engine because annotating many maps wants it as much
as curating them; Dask is imported only where the address of a scheduler is given.
"""

import contextlib
import faulthandler
import logging
import os
import platform
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from haruspex_infer import __version__
from haruspex_infer.ending import ended_by, undisturbed
from haruspex_infer.errors import CannotWriteError, HaruspexError
from haruspex_infer.resources import available_cores

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 2
"""How often an entry is tried: what was the machine's fault goes away, what is the entry's comes back."""

CONNECTION_SECONDS = 30
"""Time that a scheduler has to answer."""

LOST_SECONDS = 60
"""Time that an answer may take from the worker that has it; some are lost with their worker for good."""

_AWAKE_SECONDS = 0.5
_LOOK_SECONDS = 2
DESERTED_SECONDS = 1800
"""Time that a scheduler may be without any worker, as when all of them wait for their turn in a queue."""

KILLED = "given up after its process was killed each time (out of memory, or longer than {:g} minutes?)"

_slot = 0


class UnfitError(HaruspexError):
    """A process lacks what the work needs, for whatever entry: everything ends."""


@dataclass(frozen=True)
class Machines:
    """Where work is done.

    Attributes
    ----------
    workers : int or None
        Processes on this machine; as many as there are cores to use by default.
    scheduler : str or None
        Address of a Dask scheduler, such as ``tcp://host:8786``, whose workers do it in place of this
        machine. They need this version of the package and the same files under the same paths.
    longest : float
        Minutes that one entry may take; then its process is ended, whatever it is doing.
    """

    workers: int | None = None
    scheduler: str | None = None
    longest: float = 60.0


ONE_PROCESS = Machines(workers=1)


def slot() -> int:
    """Return which of the processes of `spread` on this machine this is, counted from 0.

    Processes with work of their own, such as those of a cluster, have none: 0.
    """
    return _slot


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What became of one entry.

    Attributes
    ----------
    name : str
    value : object or None
        What the work returned; nothing where it failed.
    fault : str
        Why there is no value; empty where there is one.
    """

    name: str
    value: R | None
    fault: str = ""


def spread(
    work: Callable[[T], R], tasks: Mapping[str, T], machines: Machines = ONE_PROCESS
) -> Iterator[Outcome[R]]:
    """Call a function for every entry, each in a process that holds nothing else.

    An entry whose call fails or whose process is killed is tried once more, after all others; then its
    outcome says why it is lost. The other entries notice nothing.

    Parameters
    ----------
    work : callable
        Picklable, and free of effects that a second call would spoil.
    tasks : mapping of str to object
        Its argument for each entry.
    machines : Machines

    Yields
    ------
    Outcome
        One for every entry, as they finish.

    Raises
    ------
    CannotWriteError
        If an entry's result cannot be written.
    HaruspexError
        If Dask is not installed, no scheduler answers, it ends or has no workers for too long, they have
        another version of this package or cannot import the work, no process can be started on this
        machine, or the work raises UnfitError.
    """
    if not tasks:
        return iter(())
    bounded = _Bounded(work, machines.longest * 60)
    if machines.scheduler is not None:
        return _on_cluster(bounded, tasks, machines.scheduler)
    return _on_this_machine(bounded, tasks, min(machines.workers or available_cores(), len(tasks)))


@dataclass(frozen=True)
class _Bounded(Generic[T, R]):
    """Work that ends its process when it takes too long, and that other versions of this package refuse."""

    work: Callable[[T], R]
    seconds: float
    version: str = __version__

    def __call__(self, task: T) -> R:
        if self.version != __version__:
            raise UnfitError(
                f"{platform.node()} has haruspex-infer {__version__}: install {self.version} there."
            )
        # a thread outside Python, which no loop of a compiled library keeps from running
        with Path(os.devnull).open("w") as nowhere:
            faulthandler.dump_traceback_later(self.seconds, exit=True, file=nowhere)
            try:
                return self.work(task)
            finally:
                faulthandler.cancel_dump_traceback_later()

    @property
    def killed(self) -> str:
        """What is said of an entry whose process was killed."""
        return KILLED.format(self.seconds / 60)


def _on_this_machine(work: _Bounded[T, R], tasks: Mapping[str, T], workers: int) -> Iterator[Outcome[R]]:
    stop, stopping = Pipe(duplex=False)
    # a pool for every process: when one is killed, a shared pool would lose all calls under way
    with undisturbed():
        pools = [_one_process(number, stop) for number in range(workers)]
    idle = list(range(workers))
    waiting = deque((name, 1) for name in tasks)
    running: dict[Future[R], tuple[int, str, int]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                number = idle.pop()
                name, attempt = waiting.popleft()
                running[_submitted(pools, number, stop, work, tasks[name])] = (number, name, attempt)
            # not for long: a signal that comes just before does not wake a thread that waits
            for future in wait(running, _AWAKE_SECONDS, FIRST_COMPLETED).done:
                number, name, attempt = running.pop(future)
                idle.append(number)
                error = future.exception()
                _refuse_surroundings(error)
                if error is None:
                    yield Outcome(name, future.result())
                    continue
                if isinstance(error, BrokenProcessPool):
                    pools[number].shutdown(wait=False)
                    with undisturbed():
                        pools[number] = _one_process(number, stop)
                if attempt < ATTEMPTS:
                    waiting.append((name, attempt + 1))
                else:
                    yield Outcome(name, None, _reason(error, work.killed))
    finally:
        stopping.close()
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _submitted(
    pools: list[ProcessPoolExecutor], number: int, stop: Connection, work: _Bounded[T, R], task: T
) -> Future[R]:
    with undisturbed(), _interrupts_held_back():  # the process begins here
        try:
            return pools[number].submit(_at_work, work, task)
        except BrokenProcessPool:  # killed while it had nothing to do
            pools[number] = _one_process(number, stop)
            return pools[number].submit(_at_work, work, task)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back, here for a moment and for good in processes that begin meanwhile.

    It reaches all processes of a terminal: what becomes of the others is for this one to say.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _one_process(number: int, stop: Connection) -> ProcessPoolExecutor:
    try:
        return ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_begin, initargs=(number, stop)
        )
    except OSError as fault:  # its semaphores are files in shared memory
        raise HaruspexError(
            f"No process can be started to work in ({fault.strerror}); is there room in /dev/shm?"
        ) from fault


def _begin(number: int, stop: Connection) -> None:
    """Make a worker know its number, and end it when nobody wants its work or its parent is gone."""
    global _slot
    _slot = number
    if stop.poll():  # a call under way would have to be interrupted; there is none yet
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be held back
    Thread(target=_watch, args=(stop,), daemon=True).start()


def _at_work(work: Callable[[T], R], task: T) -> R:
    """Do work in a process that SIGTERM ends: at once between calls, here as soon as files are removed."""
    asked: list[int] = []
    try:
        with ended_by(asked, signal.SIGTERM, after=signal.SIG_DFL):
            return work(task)
    finally:
        if asked:
            os._exit(128 + asked[0])


def _watch(stop: Connection) -> None:
    parent = parent_process()
    gone = [] if parent is None else [parent.sentinel]
    wait_for([stop, *gone])
    while True:  # a signal that comes as its thread is about to wait for something does not wake it
        os.kill(os.getpid(), signal.SIGTERM)
        if wait_for(gone, _AWAKE_SECONDS):
            os._exit(1)  # nobody is left to take an answer


def _on_cluster(work: _Bounded[T, R], tasks: Mapping[str, T], address: str) -> Iterator[Outcome[R]]:
    try:
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError as fault:
        raise HaruspexError(
            "A scheduler needs Dask, which is not installed here: pip install distributed."
        ) from fault
    try:
        # told apart first: a client with an address that is none hangs when it is thrown away
        resolve_address(address)
        client = Client(address, timeout=CONNECTION_SECONDS, set_as_default=False)
    except (OSError, ValueError) as fault:
        raise HaruspexError(
            f"No Dask scheduler answers at {address}: start one with 'dask scheduler', workers with "
            f"'dask worker {address} --nthreads 1', and give its address."
        ) from fault
    with client:
        if not client.scheduler_info()["workers"]:
            logging.getLogger(__name__).warning("%s has no workers yet: waiting for them.", address)
        doubtful = {}
        for outcome in _finished(client, work, tasks):
            if outcome.fault == work.killed:
                doubtful[outcome.name] = tasks[outcome.name]
            else:
                yield outcome
        # a worker that is killed takes along what waits there: alone, an entry answers for itself
        for name, task in doubtful.items():
            yield from _finished(client, work, {name: task})


def _finished(client: "Client", work: _Bounded[T, R], tasks: Mapping[str, T]) -> Iterator[Outcome[R]]:
    address, retries = client.scheduler.address, ATTEMPTS - 1
    names = {client.submit(work, task, pure=False, retries=retries): name for name, task in tasks.items()}
    for future in _as_they_finish(client, list(names)):
        value, error = _answer(future, address)
        _refuse_surroundings(error)
        yield Outcome(names.pop(future), value, _reason(error, work.killed))
        future.release()


def _answer(future: "DaskFuture", address: str) -> tuple[R | None, Exception | None]:
    try:
        return future.result(LOST_SECONDS), None
    except Exception as fault:  # the work's own, or an answer that was lost with its worker
        if future.cancelled():
            raise HaruspexError(
                f"The Dask scheduler at {address} has ended: start another and run again to go on."
            ) from fault
        if isinstance(fault, TimeoutError) and future.status != "error":
            return None, BrokenProcessPool()  # its worker is gone for good, as one that was killed
        return None, fault


def _as_they_finish(client: "Client", futures: "list[DaskFuture]") -> "Iterator[DaskFuture]":
    """Yield futures as they finish, as long as there is somebody to work on them."""
    from distributed import as_completed

    finished = as_completed(futures, loop=client.loop)
    address = client.scheduler.address
    looked = attended = time.monotonic()
    while not finished.is_empty():
        batch = finished.next_batch(block=False)
        yield from batch
        if batch:
            continue
        time.sleep(0.1)
        if (now := time.monotonic()) - looked < _LOOK_SECONDS:
            continue
        looked = now
        with contextlib.suppress(OSError):  # it does not answer: its futures are cancelled soon
            attended = now if client.nthreads() else attended
        if now - attended > DESERTED_SECONDS:
            raise HaruspexError(
                f"The Dask scheduler at {address} has no workers: start some with "
                f"'dask worker {address} --nthreads 1', and run again to go on."
            )


def _refuse_surroundings(error: BaseException | None) -> None:
    """End everything where a worker lacks what it needs: no other entry would fare better."""
    if isinstance(error, UnfitError | CannotWriteError):
        raise error
    if isinstance(error, ImportError) or (isinstance(error, RuntimeError) and "deserializ" in str(error)):
        raise HaruspexError(
            f"The workers lack a part of the installation ({error.__cause__ or error}): "
            "install the same version of this package there."
        ) from error


def _reason(error: BaseException | None, killed: str) -> str:
    if error is None:
        return ""
    # Dask's KilledWorker is not imported here: its name tells
    if isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker":
        return killed
    lines = str(error).strip().splitlines()
    return f"given up after {type(error).__name__}: {lines[0] if lines else 'no message'}"
