"""What an ONNX file may hold before it is given to ONNX Runtime, and the seal that tells whether it changed.

ONNX can point to other files of the machine and name operators of foreign libraries; a network does neither.
The file is walked as Protocol Buffers on the wire (field numbers from onnx.proto3): no schema compiler and no
copy of the weights is needed, and nothing of the file is believed but lengths that fit.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from haruspex_infer.errors import HaruspexError

SEAL = "haruspex.digest"
"""Key of the metadata entry that holds the digest of everything else in the file."""

_LARGEST = 2**30
_DEEPEST = 20
_LARGEST_TAG = 2**32 - 1
_ORT_FORMAT = b"ORTM"
_DOMAINS = (b"", b"ai.onnx")

_GRAPH, _METADATA, _TRAINING, _FUNCTIONS = 7, 14, 20, 25
_SPARSE = "sparse tensor"
# fields that hold a message of a kind, by the kind that holds them
_WITHIN: dict[str, dict[int, str]] = {
    "model": {_GRAPH: "graph", 8: "operator set"},
    "graph": {1: "node", 5: "tensor", 15: _SPARSE},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    _SPARSE: {1: "tensor", 2: "tensor"},
}
_DOMAIN_OF = {"node": 7, "operator set": 1}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

Field = tuple[int, memoryview | int, memoryview]


class _BrokenError(Exception):
    """These bytes are no Protocol Buffers."""


def read_network(path: Path) -> bytes:
    """Read a network that is safe to load: whole in one file, of standard operators, unchanged since sealed.

    Parameters
    ----------
    path : Path
        ONNX file.

    Raises
    ------
    HaruspexError
        If it is not.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise HaruspexError(
                f"{path} is larger than any network for this program: give another ONNX file."
            )
        content = path.read_bytes()
    except OSError as error:
        raise HaruspexError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        if (
            content[4:8] == _ORT_FORMAT
        ):  # ONNX Runtime would read another format in it, which may hold anything
            raise _BrokenError
        model = list(_fields(memoryview(content)))
        if not any(number == _GRAPH for number, _, _ in model):
            raise _BrokenError
        fault = _fault("model", memoryview(content), 0)
        seals = _seals(model)
    except _BrokenError as error:
        raise HaruspexError(f"{path} is not an ONNX file, or is damaged: get it again.") from error
    if fault:
        raise HaruspexError(f"{path} {fault}: a network must be whole in itself; export it anew.")
    if seals and seals != [_digest(model)]:
        raise HaruspexError(
            f"{path} is not what was exported: its contents and the digest it carries differ; get it again."
        )
    return content


def seal(content: bytes) -> bytes:
    """Return an ONNX file with the digest of its contents in its metadata; an older one is replaced."""
    model = [field for field in _fields(memoryview(content)) if not _is_seal(field)]
    key, value = SEAL.encode(), _digest(model).encode()
    entry = _bytes_field(1, key) + _bytes_field(2, value)
    # a repeated field may come anywhere: at the end the rest stays as it is
    return b"".join(bytes(raw) for _, _, raw in model) + _bytes_field(_METADATA, entry)


def _fault(kind: str, message: memoryview, depth: int) -> str:
    """Say what a message must not hold; empty if all is well."""
    if depth > _DEEPEST:
        raise _BrokenError
    for number, value, _ in _fields(message):
        if kind == "model" and number in (_TRAINING, _FUNCTIONS):
            return "holds functions or training steps of its own"
        if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
            return "keeps its weights in another file"
        if number == _DOMAIN_OF.get(kind) and (isinstance(value, int) or bytes(value) not in _DOMAINS):
            return "asks for operators that are not of the ONNX standard"
        within = _WITHIN.get(kind, {}).get(number)
        if within is None:
            continue
        if isinstance(value, int):
            raise _BrokenError
        if fault := _fault(within, value, depth + 1):
            return fault
    return ""


def _fields(message: memoryview) -> Iterator[Field]:
    """Yield number, value and raw bytes of each field: bytes where it has a length, otherwise a number."""
    at = 0
    while at < len(message):
        begin = at
        tag, at = _varint(message, at)
        value: memoryview | int
        if tag & 7 == 0:
            value, at = _varint(message, at)
        elif tag & 7 == 2:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        elif tag & 7 in (1, 5):
            value, at = 0, at + (8 if tag & 7 == 1 else 4)
        else:
            raise _BrokenError
        # other readers drop the bits of a tag beyond 32, and would see another field than this one
        if at > len(message) or tag >> 3 == 0 or tag > _LARGEST_TAG:
            raise _BrokenError
        yield tag >> 3, value, message[begin:at]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _BrokenError


def _is_seal(field: Field) -> bool:
    number, value, _ = field
    if number != _METADATA or isinstance(value, int):
        return False
    return any(n == 1 and not isinstance(v, int) and v == SEAL.encode() for n, v, _ in _fields(value))


def _seals(model: list[Field]) -> list[str]:
    entries = [value for number, value, raw in model if _is_seal((number, value, raw))]
    return [
        bytes(v).decode("ascii", "replace")
        for entry in entries
        if not isinstance(entry, int)
        for n, v, _ in _fields(entry)
        if n == 2 and not isinstance(v, int)
    ]


def _digest(model: list[Field]) -> str:
    """Digest of all fields but the seal."""
    found = hashlib.sha256()
    for field in model:
        if not _is_seal(field):
            found.update(field[2])
    return f"sha256:{found.hexdigest()}"


def _bytes_field(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
