"""Fetching one file whole and undamaged, from a server that may misbehave or from a folder."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import urllib3
from urllib3.exceptions import HTTPError

from haruspex_infer.errors import HaruspexError
from haruspex_train.client import Client, NotThereError, TransferSettings, counted, give_back, refuse_final
from haruspex_train.intact import DamagedError, refuse_damaged, refuse_oversized

_PIECE = 2**20
_DAMAGED_ATTEMPTS = 3


class BudgetSpentError(HaruspexError):
    """The folder may not hold more."""


class Transfer:
    """Fetches files into one folder; safe to use from several threads.

    Parameters
    ----------
    folder : Path
        Where the files go; what lies there already counts for the budget.
    settings : TransferSettings

    Attributes
    ----------
    client : Client
        Asks the servers.
    """

    def __init__(self, folder: Path, settings: TransferSettings) -> None:
        self._budget = settings.budget
        self.client = Client(settings)
        self._lock = threading.Lock()
        self._held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def obtain(
        self, base: str, name: str, folder: Path, check: Callable[[Path], object] | None = None
    ) -> Path:
        """Have a file of the archive on disk, undamaged.

        Parameters
        ----------
        base : str
            Where the archive's tree begins: a URL, or a folder that mirrors it.
        name : str
            Path of the file in that tree.
        folder : Path
            Where a downloaded file goes, under its own name. It appears there only when it is whole; one
            that is there already is believed. Files of a mirror stay where they are.

        Returns
        -------
        Path

        Raises
        ------
        NotThereError
            If the archive does not have the file.
        BudgetSpentError
            If the folder would hold more than it may.
        HaruspexError
            If the file could not be had undamaged.
        """
        if "://" not in base:
            return _in_mirror(Path(base) / name)
        target = folder / Path(name).name
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._download(f"{base.rstrip('/')}/{name}", target, check)
        return target

    def _download(self, url: str, target: Path, check: Callable[[Path], object] | None) -> None:
        part, tag = (target.with_name(f".{target.name}.{ending}") for ending in ("part", "tag"))
        retry, furthest, damaged = self.client.retry(), _size(part), 0
        while True:
            answer = None
            try:
                answer = self._request(url, part, tag)
                if answer.status in (200, 206):
                    self._receive(answer, part, tag)
                    refuse_damaged(part, target.name, answer.headers, whole=answer.status == 200)
                    _apply(check, part)
                    break
                if answer.status == 416:
                    raise DamagedError("the archive's file is shorter than what is here")
                refuse_final(answer, url)
                retry = counted(retry, url, answer=answer)
            except DamagedError as fault:
                damaged += 1
                self._discard(part, tag)
                if damaged == _DAMAGED_ATTEMPTS:
                    raise HaruspexError(
                        f"{url} arrives damaged ({fault}), {damaged} times in a row; try again later."
                    ) from fault
                furthest, retry = 0, counted(retry, url, fault=fault)
            except OSError as fault:
                raise HaruspexError(f"{part} cannot be written: {fault.strerror or fault}.") from fault
            except HTTPError as fault:
                if (size := _size(part)) > furthest:
                    # a long file over a bad line is cut often; that is no reason to give up
                    retry, furthest = self.client.retry(), size
                retry = counted(retry, url, fault=fault)
            finally:
                give_back(answer)
            retry.sleep(answer)
        part.replace(target)
        tag.unlink(missing_ok=True)

    def _request(self, url: str, part: Path, tag: Path) -> urllib3.BaseHTTPResponse:
        """Ask for what is missing, if the archive's file is still the one that the part came from."""
        headers = {}
        if _size(part) and tag.exists():
            headers = {"Range": f"bytes={_size(part)}-", "If-Range": tag.read_text()}
        return self.client.get(url, headers)

    def _receive(self, answer: urllib3.BaseHTTPResponse, part: Path, tag: Path) -> None:
        if answer.status == 206:
            start = _size(part)
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise DamagedError("the server sent another range than was asked for")
        else:
            self._discard(part, tag)
        size = int(answer.headers.get("Content-Length", 0))
        refuse_oversized(_size(part) + size, part.name)
        self._afford(size, part.name)
        if answer.status == 200:
            mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            # weak marks do not promise the same bytes
            if mark and not mark.startswith("W/"):
                tag.write_text(mark)
        with part.open("ab") as stream:
            for piece in answer.stream(_PIECE):
                refuse_oversized(stream.tell() + len(piece), part.name)
                self._afford(len(piece), part.name)
                with self._lock:
                    self._held += len(piece)
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())

    def _afford(self, size: int, name: str) -> None:
        if self._budget is not None and self._held + size > self._budget:
            raise BudgetSpentError(
                f"{name.strip('.')} does not fit into the disk budget of {self._budget:,} bytes, of "
                f"which {self._held:,} are used; allow more or choose fewer entries."
            )

    def _discard(self, part: Path, tag: Path) -> None:
        with self._lock:
            self._held -= _size(part)
        part.unlink(missing_ok=True)
        tag.unlink(missing_ok=True)


def _apply(check: Callable[[Path], object] | None, path: Path) -> None:
    try:
        if check is not None:
            check(path)
    except HaruspexError as fault:
        raise DamagedError(str(fault)) from fault


def _in_mirror(path: Path) -> Path:
    if not path.is_file():
        raise NotThereError(f"The mirror has no {path}.")
    try:
        refuse_damaged(path, path.name, {}, whole=True)
    except DamagedError as fault:
        raise HaruspexError(f"{path} is damaged ({fault}); mirror it again.") from fault
    return path.resolve()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
