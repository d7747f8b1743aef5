"""Fetching one file whole and undamaged, from a server that may misbehave or from a folder."""

import base64
import gzip
import hashlib
import os
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util import Retry, Timeout

from haruspex_infer.errors import HaruspexError

_PIECE = 2**20
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_DAMAGED_ATTEMPTS = 3
_MOST_REDIRECTS = 5
LARGEST = 2**35
"""Bytes that a file may have, packed or unpacked; the largest maps of the EMDB come to a few 10⁹."""
_LONGEST_ANSWER = 2**26


@dataclass(frozen=True)
class TransferSettings:
    """How files are fetched.

    Attributes
    ----------
    connections : int
        Files under way at once.
    per_second : float
        Requests a second, over all connections.
    attempts : int
        Failures in a row, without a byte gained, after which a file is given up.
    back_off : float
        Seconds of the second wait; every further one is twice as long. A server's Retry-After comes first.
    longest_wait : float
        Seconds that a wait may last at most.
    stalled_after : float
        Seconds without a byte after which a transfer counts as cut.
    budget : int or None
        Bytes that the folder may hold.
    """

    connections: int = 4
    per_second: float = 5.0
    attempts: int = 6
    back_off: float = 1.0
    longest_wait: float = 300.0
    stalled_after: float = 60.0
    budget: int | None = None


class NotThereError(HaruspexError):
    """The archive has no such file."""


class BudgetSpentError(HaruspexError):
    """The folder may not hold more."""


class DamagedError(Exception):
    """What arrived is not what the archive holds."""


class Transfer:
    """Fetches files into one folder; safe to use from several threads.

    Parameters
    ----------
    folder : Path
        Where the files go; what lies there already counts for the budget.
    settings : TransferSettings
    """

    def __init__(self, folder: Path, settings: TransferSettings) -> None:
        self.settings = settings
        self._pool = urllib3.PoolManager(
            maxsize=settings.connections,
            block=True,
            timeout=Timeout(connect=settings.stalled_after, read=settings.stalled_after),
            headers={"Accept-Encoding": "identity", "User-Agent": "haruspex"},
        )
        self._lock = threading.Lock()
        self._next_request = 0.0
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

    def text(self, url: str, accept: str) -> str:
        """Return the body of a short answer, such as one page of a search.

        Raises
        ------
        HaruspexError
            If the server does not answer after all attempts.
        """
        retry = self._retry()
        while True:
            self._await_turn()
            answer: urllib3.BaseHTTPResponse | None = None
            try:
                answer = self._get(url, {"Accept": accept})
                if answer.status == 200:
                    return _short_body(answer, url)
                _refuse_final(answer, url)
                retry = _counted(retry, url, answer=answer)
            except HTTPError as fault:
                retry = _counted(retry, url, fault=fault)
            finally:
                if answer is not None:
                    answer.close()
                    answer.release_conn()
            retry.sleep(answer)

    def _download(self, url: str, target: Path, check: Callable[[Path], object] | None) -> None:
        part, tag = (target.with_name(f".{target.name}.{ending}") for ending in ("part", "tag"))
        retry, furthest, damaged = self._retry(), _size(part), 0
        while True:
            self._await_turn()
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
                _refuse_final(answer, url)
                retry = _counted(retry, url, answer=answer)
            except DamagedError as fault:
                damaged += 1
                self._discard(part, tag)
                if damaged == _DAMAGED_ATTEMPTS:
                    raise HaruspexError(
                        f"{url} arrives damaged ({fault}), {damaged} times in a row; try again later."
                    ) from fault
                furthest, retry = 0, _counted(retry, url, fault=fault)
            except OSError as fault:
                raise HaruspexError(f"{part} cannot be written: {fault.strerror or fault}.") from fault
            except HTTPError as fault:
                if (size := _size(part)) > furthest:
                    # a long file over a bad line is cut often; that is no reason to give up
                    retry, furthest = self._retry(), size
                retry = _counted(retry, url, fault=fault)
            finally:
                if answer is not None:
                    # closed first: what is left unread must not be taken for the next answer
                    answer.close()
                    answer.release_conn()
            retry.sleep(answer)
        part.replace(target)
        tag.unlink(missing_ok=True)

    def _request(self, url: str, part: Path, tag: Path) -> urllib3.BaseHTTPResponse:
        """Ask for what is missing, if the archive's file is still the one that the part came from."""
        headers = {}
        if _size(part) and tag.exists():
            headers = {"Range": f"bytes={_size(part)}-", "If-Range": tag.read_text()}
        return self._get(url, headers)

    def _get(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Ask for a URL, and follow redirects within its host: another host was not what was asked for."""
        at = url
        for _ in range(_MOST_REDIRECTS):
            answer = self._pool.request(
                "GET",
                at,
                headers={**self._pool.headers, **headers},
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
            )
            place = answer.get_redirect_location()
            if not place:
                return answer
            answer.close()
            answer.release_conn()
            onward = urljoin(at, place)
            if not _same_host(at, onward):
                raise HaruspexError(
                    f"{url} leads away to {urlsplit(onward).netloc or onward}, which is not followed: "
                    "name that host if it is to be trusted."
                )
            at = onward
        raise HaruspexError(f"{url} leads from address to address; check the archive's address.")

    def _receive(self, answer: urllib3.BaseHTTPResponse, part: Path, tag: Path) -> None:
        if answer.status == 206:
            start = _size(part)
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise DamagedError("the server sent another range than was asked for")
        else:
            self._discard(part, tag)
        size = int(answer.headers.get("Content-Length", 0))
        _refuse_oversized(_size(part) + size, part.name)
        self._afford(size, part.name)
        if answer.status == 200:
            mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            # weak marks do not promise the same bytes
            if mark and not mark.startswith("W/"):
                tag.write_text(mark)
        with part.open("ab") as stream:
            for piece in answer.stream(_PIECE):
                _refuse_oversized(stream.tell() + len(piece), part.name)
                self._afford(len(piece), part.name)
                with self._lock:
                    self._held += len(piece)
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())

    def _afford(self, size: int, name: str) -> None:
        if self.settings.budget is not None and self._held + size > self.settings.budget:
            raise BudgetSpentError(
                f"{name.strip('.')} does not fit into the disk budget of {self.settings.budget:,} bytes, of "
                f"which {self._held:,} are used; allow more or choose fewer entries."
            )

    def _discard(self, part: Path, tag: Path) -> None:
        with self._lock:
            self._held -= _size(part)
        part.unlink(missing_ok=True)
        tag.unlink(missing_ok=True)

    def _await_turn(self) -> None:
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next_request)
            self._next_request = turn + 1 / self.settings.per_second
        time.sleep(turn - now)

    def _retry(self) -> Retry:
        return Retry(
            total=self.settings.attempts,
            status_forcelist=_PASSING,
            backoff_factor=self.settings.back_off / 2,
            backoff_max=self.settings.longest_wait,
            retry_after_max=int(self.settings.longest_wait),
        )


def refuse_damaged(path: Path, name: str, headers: Mapping[str, str], whole: bool) -> None:
    """Compare a file with the checksums that came with it and, where it is gzip, with its own.

    Parameters
    ----------
    path : Path
    name : str
        Name that it will have; ``.gz`` at its end promises gzip.
    headers : mapping
        Headers of the answer. Repr-Digest and Digest (SHA-256, SHA-512, MD5) are of the whole file,
        Content-MD5 is of what this answer carried.
    whole : bool
        Whether this answer carried the whole file.

    Raises
    ------
    DamagedError
        If anything differs.
    """
    promised = _digests(headers.get("Repr-Digest", "")) | _digests(headers.get("Digest", ""))
    if whole and "Content-MD5" in headers:
        promised["md5"] = headers["Content-MD5"]
    for kind, expected in promised.items():
        with path.open("rb") as stream:
            found = base64.b64encode(hashlib.file_digest(stream, kind).digest()).decode()
        if found != expected:
            raise DamagedError(f"its {kind} checksum is {found} and should be {expected}")
    if name.endswith(".gz"):
        try:
            with gzip.open(path) as stream:
                while stream.read(_PIECE):
                    _refuse_oversized(stream.tell(), name)
        except (OSError, EOFError, zlib.error) as fault:
            raise DamagedError(str(fault)) from fault


def _refuse_oversized(size: int, name: str) -> None:
    if size > LARGEST:
        raise HaruspexError(f"{name.strip('.')} has more than {LARGEST:,} bytes, which no map or model has.")


def _short_body(answer: urllib3.BaseHTTPResponse, url: str) -> str:
    body = answer.read(_LONGEST_ANSWER + 1)
    if len(body) > _LONGEST_ANSWER:
        raise HaruspexError(
            f"{url} answers with over {_LONGEST_ANSWER:,} bytes; check the archive's address."
        )
    return body.decode(errors="replace")


def _same_host(one: str, other: str) -> bool:
    """Return whether a redirect stays with its host; to go from http to https there is no other host."""
    a, b = urlsplit(one), urlsplit(other)
    upgraded = (a.scheme, b.scheme, a.port, b.port) == ("http", "https", None, None)
    return a.hostname == b.hostname and (upgraded or (a.scheme, a.port) == (b.scheme, b.port))


def _digests(field: str) -> dict[str, str]:
    """Read ``sha-256=:…:, md5=…``; kinds that nobody should rely on or that are unknown are left out."""
    known = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5"}
    found = {}
    for item in filter(None, (part.strip() for part in field.split(","))):
        kind, _, value = item.partition("=")
        if kind.lower() in known:
            found[known[kind.lower()]] = value.strip(":")
    return found


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


def _refuse_final(answer: urllib3.BaseHTTPResponse, url: str) -> None:
    if answer.status in (404, 410):
        raise NotThereError(f"The archive has no {url}.")
    if answer.status not in _PASSING:
        raise HaruspexError(f"{url} is refused (status {answer.status}); check the archive's address.")


def _counted(
    retry: Retry,
    url: str,
    *,
    fault: Exception | None = None,
    answer: urllib3.BaseHTTPResponse | None = None,
) -> Retry:
    try:
        return retry.increment("GET", url, error=fault, response=answer)
    except MaxRetryError as last:
        raise HaruspexError(f"{url} cannot be fetched ({last.reason}); run again later to go on.") from last


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
