"""Writing files so that a reader never meets half of one."""

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from haruspex_infer.errors import CannotWriteError, HaruspexError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}
# file systems take 255 bytes; the names of results add to it
_LONGEST_NAME = 150


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
        Final name. The data go to a hidden file beside it, which is renamed at the end and removed if
        anything goes wrong. What a run left there that was killed while it wrote the same file is removed.

    Raises
    ------
    CannotWriteError
        If the file cannot be written.
    """
    # a name that no other process uses, on this machine or another
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}.part")
    try:
        _remove_abandoned(path.parent.glob(f".{glob.escape(path.name)}.[0-9]*.part"))
        with _in_use(temporary):
            with temporary.open("wb") as stream:
                yield stream
            temporary.replace(path)
    except OSError as error:
        raise CannotWriteError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # the folder is gone, or cannot be written to any more
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, in a file that appears only when it is complete.

    Raises
    ------
    CannotWriteError
        If the file cannot be written.
    """
    with written_whole(path) as stream:
        stream.write(text.encode())


@contextmanager
def _in_use(path: Path) -> Iterator[None]:
    """Show other runs, where there are locks, that a file is being written."""
    if fcntl is None:
        yield
        return
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            break  # this file system has no locks
        if os.fstat(handle).st_nlink:
            break
        os.close(handle)  # another run took it for abandoned before it was locked
    try:
        yield
    finally:
        os.close(handle)


def _remove_abandoned(hidden: Iterable[Path]) -> None:
    """Remove hidden files that no run is writing."""
    if fcntl is None:
        return
    for path in hidden:
        with suppress(OSError):  # it is being written, or gone, or this file system has no locks
            handle = os.open(path, os.O_WRONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def prepare_folder(folder: Path) -> None:
    """Make a folder and make sure that files can be written to it.

    Raises
    ------
    CannotWriteError
        If the folder cannot be made or written to.
    """
    probe = folder / f".haruspex.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        taken = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "there is a file of that name" if taken else error.strerror or error
        raise CannotWriteError(
            f"The output folder {folder} cannot be written to ({reason}); choose another with -o."
        ) from error


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; a run that ends, however it ends, leaves it free.

    Where the system or the file system has no locks (Windows, some network disks), nobody is kept out.

    Raises
    ------
    HaruspexError
        If another run uses the folder.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise HaruspexError(
            f"Another run writes to {folder}; wait for its end or choose another folder with -o."
        ) from error
    except OSError:
        pass  # this file system has no locks
    else:
        _remove_abandoned(folder.glob(".*.[0-9]*.part"))
    try:
        yield
    finally:
        os.close(handle)


def refuse_unsafe_name(name: str) -> None:
    """Refuse a name from an input that would not be that of a file in the folder chosen for results.

    Raises
    ------
    HaruspexError
        If it leads elsewhere, names a device of Windows, holds characters that are not printed, or is so long
        that nothing can be added to it.
    """
    device = name.partition(".")[0].rstrip().upper() in _DEVICES
    long = len(name.encode(errors="replace")) > _LONGEST_NAME
    if not name.strip(". ") or not name.isprintable() or any(c in name for c in "/\\:") or device or long:
        raise HaruspexError(f"{name!r} cannot be part of the names of results: give it a plain name.")


def quoted(path: str) -> str:
    """Return a path as the scripts of ChimeraX and PyMOL take it.

    Raises
    ------
    HaruspexError
        If they cannot: a line break in a path would be a command of its own.
    """
    if not path.isprintable() or ("'" in path and '"' in path):
        raise HaruspexError(
            f"{path!r} holds line breaks or both kinds of quotes, which viewers' scripts cannot: rename it."
        )
    return f"'{path}'" if '"' in path else f'"{path}"'
