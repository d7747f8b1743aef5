"""What an ONNX file may hold before ONNX Runtime sees it, its metadata, and the seal that tells of changes.

ONNX can point to other files of the machine and name operators of foreign libraries; a network does neither.
The numbers of the fields are those of onnx.proto, which never change.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from haruspex_infer.errors import HaruspexError
from haruspex_infer.wire import BrokenMessageError, Field, bytes_field, fields

SEAL = "haruspex.digest"
"""Key of the metadata entry that holds the digest of everything else in the file."""

MODEL_GRAPH, GRAPH_NODE, GRAPH_TENSOR, NODE_ATTRIBUTE = 7, 1, 5, 5
"""Fields of a model, of its graph and of a node that hold what computes."""

_LARGEST = 2**30
_DEEPEST = 20
_ORT_FORMAT = b"ORTM"
_DOMAINS = (b"", b"ai.onnx")

_METADATA, _TRAINING, _FUNCTIONS = 14, 20, 25
_KEY, _VALUE = 1, 2
_SPARSE = "sparse tensor"
# fields that hold a message of a kind, by the kind that holds them
_WITHIN: dict[str, dict[int, str]] = {
    "model": {MODEL_GRAPH: "graph", 8: "operator set"},
    "graph": {GRAPH_NODE: "node", GRAPH_TENSOR: "tensor", 15: _SPARSE},
    "node": {NODE_ATTRIBUTE: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: "tensor", 2: "tensor"},
}
_DOMAIN_OF = {"node": 7, "operator set": 1}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


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
        if content[4:8] == _ORT_FORMAT:
            raise BrokenMessageError("ONNX Runtime would read another format, which may hold anything")
        if all(field.number != MODEL_GRAPH for field in fields(content)):
            raise BrokenMessageError("there is no graph")
        fault = _fault("model", memoryview(content), 0)
        seals = [value for key, value in _metadata(content) if key == SEAL.encode()]
        changed = bool(seals) and seals != [_digest(content).encode()]
    except BrokenMessageError as error:
        raise HaruspexError(f"{path} is not an ONNX file, or is damaged: get it again.") from error
    if fault:
        raise HaruspexError(f"{path} {fault}: a network must be whole in itself; export it anew.")
    if changed:
        raise HaruspexError(
            f"{path} is not what was exported: its contents and the digest it carries differ; get it again."
        )
    return content


def read_metadata(model: bytes, key: str) -> str | None:
    """Return an entry of an ONNX file's metadata, or None where it has none of that key that is text."""
    try:
        found = [value.decode() for name, value in _metadata(model) if name == key.encode()]
    except ValueError:  # no protocol buffer, or no text: whoever asks refuses it
        return None
    return found[0] if found else None


def seal(content: bytes) -> bytes:
    """Return an ONNX file with the digest of its contents in its metadata; an older one is replaced."""
    kept = b"".join(field.raw for field in fields(content) if not _is_seal(field))
    entry = bytes_field(_KEY, SEAL.encode()) + bytes_field(_VALUE, _digest(content).encode())
    # a repeated field may come anywhere: at the end the rest stays as it is
    return kept + bytes_field(_METADATA, entry)


def _fault(kind: str, message: memoryview, depth: int) -> str:
    """Say what a message must not hold; empty if all is well."""
    if depth > _DEEPEST:
        raise BrokenMessageError("messages are nested too deep")
    for field in fields(message):
        number, value = field.number, field.value
        if kind == "model" and number in (_TRAINING, _FUNCTIONS):
            return "holds functions or training steps of its own"
        if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
            return "keeps its weights in another file"
        if number == _DOMAIN_OF.get(kind) and value not in _DOMAINS:
            return "asks for operators that are not of the ONNX standard"
        within = _WITHIN.get(kind, {}).get(number)
        if within is not None and (fault := _fault(within, field.content, depth + 1)):
            return fault
    return ""


def _metadata(model: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each entry of a model's metadata."""
    for field in fields(model):
        if field.number == _METADATA:
            yield _entry(field)


def _entry(field: Field) -> tuple[bytes, bytes]:
    """Return key and value; empty where they are left out, the last where they are repeated."""
    texts = {
        part.number: bytes(part.content) for part in fields(field.content) if part.number in (_KEY, _VALUE)
    }
    return texts.get(_KEY, b""), texts.get(_VALUE, b"")


def _is_seal(field: Field) -> bool:
    return field.number == _METADATA and _entry(field)[0] == SEAL.encode()


def _digest(model: bytes) -> str:
    """Digest of all fields but the seal."""
    found = hashlib.sha256()
    for field in fields(model):
        if not _is_seal(field):
            found.update(field.raw)
    return f"sha256:{found.hexdigest()}"
