"""Asking a server that may misbehave: at its pace, again after failures, and no other than was named."""

import threading
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util import Retry, Timeout

from haruspex_infer.errors import HaruspexError

_PASSING = (408, 425, 429, 500, 502, 503, 504)
_MOST_REDIRECTS = 5
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


class Client:
    """Asks servers; safe to use from several threads.

    Parameters
    ----------
    settings : TransferSettings
    """

    def __init__(self, settings: TransferSettings) -> None:
        self._settings = settings
        self._pool = urllib3.PoolManager(
            maxsize=settings.connections,
            block=True,
            timeout=Timeout(connect=settings.stalled_after, read=settings.stalled_after),
            headers={"Accept-Encoding": "identity", "User-Agent": "haruspex"},
        )
        self._lock = threading.Lock()
        self._next_request = 0.0

    def text(self, url: str, accept: str) -> str:
        """Return the body of a short answer, such as one page of a search.

        Raises
        ------
        HaruspexError
            If the server does not answer after all attempts.
        """
        retry = self.retry()
        while True:
            answer: urllib3.BaseHTTPResponse | None = None
            try:
                answer = self.get(url, {"Accept": accept})
                if answer.status == 200:
                    return _short_body(answer, url)
                refuse_final(answer, url)
                retry = counted(retry, url, answer=answer)
            except HTTPError as fault:
                retry = counted(retry, url, fault=fault)
            finally:
                give_back(answer)
            retry.sleep(answer)

    def get(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Ask for a URL when it is time, and follow redirects within its host: no other was asked for.

        Parameters
        ----------
        url : str
        headers : dict
            To send besides the client's own.

        Returns
        -------
        urllib3.BaseHTTPResponse
            Its body is still to be read, and the answer to be given back (`give_back`).

        Raises
        ------
        HaruspexError
            If the server leads to another host, or in a circle.
        urllib3.exceptions.HTTPError
            If it does not answer.
        """
        self._await_turn()
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
            give_back(answer)
            onward = urljoin(at, place)
            if not _same_host(at, onward):
                raise HaruspexError(
                    f"{url} leads away to {urlsplit(onward).netloc or onward}, which is not followed: "
                    "name that host if it is to be trusted."
                )
            at = onward
        raise HaruspexError(f"{url} leads from address to address; check the archive's address.")

    def retry(self) -> Retry:
        """Return the patience that one file is met with: see `TransferSettings`."""
        return Retry(
            total=self._settings.attempts,
            status_forcelist=_PASSING,
            backoff_factor=self._settings.back_off / 2,
            backoff_max=self._settings.longest_wait,
            retry_after_max=int(self._settings.longest_wait),
        )

    def _await_turn(self) -> None:
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next_request)
            self._next_request = turn + 1 / self._settings.per_second
        time.sleep(turn - now)


def give_back(answer: urllib3.BaseHTTPResponse | None) -> None:
    """Let the connection of an answer be used again."""
    if answer is not None:
        # closed first: what is left unread must not be taken for the next answer
        answer.close()
        answer.release_conn()


def refuse_final(answer: urllib3.BaseHTTPResponse, url: str) -> None:
    """Refuse an answer that will not be another one later.

    Raises
    ------
    NotThereError
        If the archive has no such file.
    HaruspexError
        If the server refuses it.
    """
    if answer.status in (404, 410):
        raise NotThereError(f"The archive has no {url}.")
    if answer.status not in _PASSING:
        raise HaruspexError(f"{url} is refused (status {answer.status}); check the archive's address.")


def counted(
    retry: Retry,
    url: str,
    *,
    fault: Exception | None = None,
    answer: urllib3.BaseHTTPResponse | None = None,
) -> Retry:
    """Count a failure, and return the patience that is left.

    Raises
    ------
    HaruspexError
        If none is.
    """
    try:
        return retry.increment("GET", url, error=fault, response=answer)
    except MaxRetryError as last:
        raise HaruspexError(f"{url} cannot be fetched ({last.reason}); run again later to go on.") from last


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
