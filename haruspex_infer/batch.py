"""Many maps, on the devices of this machine or on the workers of a Dask cluster; a second call goes on.

Every process keeps its network from one map to the next and works on one map at a time. What is finished is
known by the summary in a map's folder, which is written last, so that nothing else has to be kept.
"""

import platform
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from haruspex_infer.annotator import Annotator
from haruspex_infer.devices import gpu_numbers
from haruspex_infer.errors import CannotWriteError, DeviceLostError, HaruspexError
from haruspex_infer.job import Settings, annotate_map, finished, read_summary
from haruspex_infer.maptable import ANNOTATED, BEFORE, FAILED, Row, write_table
from haruspex_infer.network import digest_of, find_network, shipped_networks
from haruspex_infer.scheduling import Machines, UnfitError, slot, spread

# while one process of a GPU reads or writes, the other computes
_PER_GPU = 2
# minutes; the largest maps take hours on a slow CPU
_LONGEST = 24 * 60

# a worker of Dask may have many threads, and each map takes all of the machine
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Task:
    """A map for a process.

    Attributes
    ----------
    path, folder : Path
        Absolute.
    settings : Settings
    devices : tuple of str
        Those that processes of this machine share out among them, by their number.
    digest : str
        Of the network.
    """

    path: Path
    folder: Path
    settings: Settings
    devices: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Done:
    """What a process tells of a map.

    Attributes
    ----------
    said : tuple of str
        Lines for people.
    summary : dict or None
        What the map's folder says of it, if it was annotated.
    fault : str
        Why it was not.
    """

    said: tuple[str, ...] = ()
    summary: dict[str, Any] | None = None
    fault: str = ""


@dataclass(frozen=True)
class Step:
    """One map further.

    Attributes
    ----------
    rows : list of Row
        All maps as they stand.
    row : Row
        The one that this is about.
    said : tuple of str
        What there is to say of it.
    """

    rows: list[Row]
    row: Row
    said: tuple[str, ...] = ()


def annotate_all(
    folders: dict[Path, Path], settings: Settings, table: Path, scheduler: str | None = None
) -> Iterator[Step]:
    """Annotate maps, but for those that an earlier run finished with the same network and settings.

    Parameters
    ----------
    folders : dict of Path to Path
        Folder for the results of each map.
    settings : Settings
    table : Path
        CSV file of all maps, rewritten whole after each.
    scheduler : str, optional
        Address of a Dask scheduler whose workers do it. They need this version of the package, and the same
        files under the same paths.

    Yields
    ------
    Step
        For every map: first those that are finished, then each as soon as something has become of it.

    Raises
    ------
    HaruspexError
        If nothing can be written, or a process cannot use the network, the device or this package.
    """
    gpu_numbers(settings.device)  # told before the work
    network = find_network(settings.network)
    digest = digest_of(network)
    rows = {path: Row(path, folder) for path, folder in folders.items()}
    for path, row in rows.items():
        if summary := finished(row.folder, path, settings.asked(path, digest)):
            rows[path] = replace(row, status=BEFORE, summary=summary)
    write_table(list(rows.values()), table)
    for row in list(rows.values()):
        if row.status == BEFORE:
            yield Step(list(rows.values()), row)
    devices = (settings.device,) if scheduler else shared_out(settings.device)
    sent = _anywhere(settings, network)
    tasks = {
        str(path): Task(path.absolute(), row.folder.absolute(), sent, devices, digest)
        for path, row in rows.items()
        if row.status != BEFORE
    }
    for outcome in spread(_annotate, tasks, Machines(len(devices), scheduler, _LONGEST)):
        path = Path(outcome.name)
        done = outcome.value or Done(fault=f"{path}: {outcome.fault}.")
        status = FAILED if done.fault else ANNOTATED
        rows[path] = replace(rows[path], status=status, summary=done.summary, fault=done.fault)
        write_table(list(rows.values()), table)
        yield Step(list(rows.values()), rows[path], done.said)


def shared_out(device: str) -> tuple[str, ...]:
    """Return the device of each process that works on this machine: two for every GPU that is named."""
    if not device.startswith("cuda"):
        return (device,)
    return tuple(f"cuda:{number}" for number in gpu_numbers(device)) * _PER_GPU


def _anywhere(settings: Settings, network: Path) -> Settings:
    """Return settings that mean the same in another folder, and on another machine."""
    known = shipped_networks().get(settings.network) == network
    return replace(
        settings,
        network=settings.network if known else str(network.absolute()),
        mask=settings.mask and settings.mask.absolute(),
        model=settings.model and settings.model.absolute(),
    )


def _annotate(task: Task) -> Done:
    """Annotate a map in this process."""
    settings = replace(task.settings, device=task.devices[slot() % len(task.devices)])
    where = platform.node()
    with _one_at_a_time:
        try:
            annotator = _loaded(settings.network, settings.device, settings.memory)
        except HaruspexError as error:
            raise UnfitError(f"{error} ({where})") from error
        if annotator.digest != task.digest:
            raise UnfitError(f"{where} has another network {settings.network}: install the same there.")
        said: list[str] = []
        try:
            result = annotate_map(annotator, task.path, task.folder, settings, said.append)
        except DeviceLostError as error:
            raise UnfitError(f"{error} ({where})") from error
        except CannotWriteError:  # a full disk is no fault of the map
            raise
        except HaruspexError as error:
            if annotator.failed:  # the device was lost on the way: the next map asks for it anew
                _loaded.cache_clear()
            return Done(tuple(said), fault=str(error))
        return Done((*said, *result), read_summary(task.folder, task.path))


@lru_cache(maxsize=1)
def _loaded(network: str, device: str, memory: float | None) -> Annotator:
    """Return the network on its device, kept from one map to the next."""
    annotator = Annotator(network, device, memory)
    annotator.line()  # waits for its devices, and says what is wrong with them
    return annotator
