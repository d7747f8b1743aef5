"""Whether a file that was fetched is what the archive holds: its checksums, its packing and its size."""

import base64
import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

from haruspex_infer.errors import HaruspexError

LARGEST = 2**35
"""Bytes that a file may have, packed or unpacked; the largest maps of the EMDB come to a few 10⁹."""
LARGEST_HEADER = 2**26
"""Bytes that a header (XML) may have, which is read whole into memory."""

_PIECE = 2**20


class DamagedError(Exception):
    """What arrived is not what the archive holds."""


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
                    refuse_oversized(stream.tell(), name)
        except (OSError, EOFError, zlib.error) as fault:
            raise DamagedError(str(fault)) from fault


def refuse_oversized(size: int, name: str) -> None:
    """Refuse a file that is larger than any map or model, or a header larger than any.

    Raises
    ------
    HaruspexError
        If it is larger than `LARGEST`, or `LARGEST_HEADER`.
    """
    largest = LARGEST_HEADER if name.removesuffix(".part").endswith(".xml") else LARGEST
    if size > largest:
        raise HaruspexError(f"{name.strip('.')} has more than {largest:,} bytes, which no such file has.")


def _digests(field: str) -> dict[str, str]:
    """Read ``sha-256=:…:, md5=…``; kinds that nobody should rely on or that are unknown are left out."""
    known = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5"}
    found = {}
    for item in filter(None, (part.strip() for part in field.split(","))):
        kind, _, value = item.partition("=")
        if kind.lower() in known:
            found[known[kind.lower()]] = value.strip(":")
    return found
